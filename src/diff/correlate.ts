// Which piece of the one object is which of the other. By name where the source gave the name; by who refers to it where the
// compiler numbered it; never by number. Strings and constants are not correlated: they are what they contain.
//
// A function that is not recognised is safe: it counts as new and removed, and who calls it has changed. A variable that is
// not recognised would lose what it holds, and one that is mistaken for another would be worse. So variables are correlated
// only where there is one way to do it; where there are several, the new object's ones are `ambiguous`.

import type { Section } from '../elf/model.ts';
import { isInit, isRegistered } from './kernel-sections.ts';
import { isClone, isNumbered, source, stem } from './names.ts';
import { type DiffedObject, isCode, isDescriptor, isWritable, type Piece } from './object.ts';

export interface Correlation {
  /** From a piece of the patched object to that of the original. */
  readonly original: ReadonlyMap<Piece, Piece>;
  readonly patched: ReadonlyMap<Piece, Piece>;
  /** Variables of the patched object that may be one of several, or of none. */
  readonly ambiguous: ReadonlySet<Piece>;
}

/** Whether a piece is what it contains: whichever of two equal ones is taken makes no difference. */
export function isByContent(piece: Piece): boolean {
  switch (piece.kind) {
    case 'string':
    case 'constant':
    case 'slot':
      return true;
    case 'rest':
      return !isWritable(piece);
    case 'variable':
      return !isWritable(piece) && isNumbered(piece.name) && !isRegistered(piece.section.name);
    default:
      return false;
  }
}

export function correlate(original: DiffedObject, patched: DiffedObject): Correlation {
  const toOriginal = new Map<Piece, Piece>();
  const toPatched = new Map<Piece, Piece>();
  const ambiguous = new Set<Piece>();
  const pair = (a: Piece, b: Piece) => {
    // What start-up has left behind is gone: the same thing elsewhere is new.
    if (isInit(a.section.name) && !isInit(b.section.name)) return;
    toPatched.set(a, b);
    toOriginal.set(b, a);
  };
  const groups = groupPieces(original, patched);
  for (const group of groups) {
    if (group.numbered && !group.code) continue;
    if (group.code) pairFunctions(group, pair);
    else pairInOrder(group, pair, ambiguous);
  }
  const users = [usersOf(original), usersOf(patched)] as const;
  const same = new Map<Piece, boolean>();
  /** Whether two versions of a function refer to the same things in the same order. */
  const refersAlike = (one: Piece, two: Piece): boolean => {
    const known = same.get(one) ?? referenceNames(one) === referenceNames(two);
    same.set(one, known);
    return known;
  };
  const pairsOf = (user: Piece): Pairs => {
    const other = toPatched.get(user);
    return other && refersAlike(user, other)
      ? user.references.map(({ to }, i) => [to.piece, other.references[i]!.to.piece] as const)
      : [];
  };
  const cuts = [cutsOf(original), cutsOf(patched)] as const;
  const isCutAlike = ({ section: { name } }: Piece) => cuts[0].has(name) && cuts[0].get(name) === cuts[1].get(name);
  for (const group of groups)
    if (group.numbered && !group.code)
      pairVariables(group, users, pairsOf, isCutAlike, pair, (piece) => ambiguous.add(piece));
  pairNameless(original, patched, pair);
  return { original: toOriginal, patched: toPatched, ambiguous };
}

/** Pieces of one stem, of both objects. */
interface Group {
  readonly numbered: boolean;
  readonly code: boolean;
  readonly before: Piece[];
  readonly after: Piece[];
}

function groupPieces(original: DiffedObject, patched: DiffedObject): Group[] {
  const groups = new Map<string, Group>();
  // A file name tells symbols apart only where there are several, as in what `ld -r` makes.
  const byFile = [original, patched].every(({ pieces }) => new Set(pieces.map(({ file }) => file)).size > 2);
  for (const object of [original, patched])
    for (const piece of object.pieces) {
      if ((piece.kind !== 'function' && piece.kind !== 'variable') || isByContent(piece)) continue;
      const code = piece.kind === 'function';
      const numbered = isNumbered(piece.name) || (code && isClone(piece.name));
      const key = [code, numbered, byFile ? piece.file : '', numbered ? stem(piece.name) : piece.name].join('\0');
      let group = groups.get(key);
      if (!group) {
        group = { numbered, code, before: [], after: [] };
        groups.set(key, group);
      }
      (object === original ? group.before : group.after).push(piece);
    }
  return [...groups.values()];
}

type Pair = (original: Piece, patched: Piece) => void;

function pairAll(before: readonly Piece[], after: readonly Piece[], pair: Pair): void {
  for (const [i, piece] of before.entries()) pair(piece, after[i]!);
}

/** Functions: one of each; of several copies those that look the same, then as many as there were, in order. */
function pairFunctions({ before, after }: Group, pair: Pair): void {
  if (before.length === 1 && after.length === 1) {
    pair(before[0]!, after[0]!);
    return;
  }
  const byShape = new Map<string, Piece[]>();
  for (const piece of before.toReversed()) {
    const alike = byShape.get(shapeOf(piece));
    if (alike) alike.push(piece);
    else byShape.set(shapeOf(piece), [piece]);
  }
  const found = new Set<Piece>();
  for (const piece of after) {
    const alike = byShape.get(shapeOf(piece))?.pop();
    if (!alike) continue;
    pair(alike, piece);
    found.add(alike).add(piece);
  }
  const [left, right] = [before.filter((each) => !found.has(each)), after.filter((each) => !found.has(each))];
  // What is left, and not as often as it was, is new, or gone.
  if (left.length === right.length) pairAll(left, right, pair);
}

/** Names, sizes and places, but no numbers. */
const shapeOf = (piece: Piece): string =>
  `${piece.end - piece.origin} ${piece.references.map((r) => `${r.offset}:${r.type}:${token(r)}`).join(' ')}`;

/** Variables that the source gave one name, which only several files can have. */
function pairInOrder({ before, after }: Group, pair: Pair, ambiguous: Set<Piece>): void {
  if (before.length === after.length) pairAll(before, after, pair);
  else if (before.length > 0) for (const piece of after) ambiguous.add(piece);
}

/** For each numbered variable: the functions that use it, whatever copies of them, and other variables. */
type Users = ReadonlyMap<Piece, ReadonlySet<Piece>>;

function usersOf({ pieces }: DiffedObject): Users {
  const users = new Map<Piece, Set<Piece>>();
  for (const piece of pieces) {
    if (piece.kind === 'entry' || piece.kind === 'slot') continue;
    for (const { to } of piece.references) {
      if (to.piece?.kind !== 'variable' || !isNumbered(to.piece.name)) continue;
      const known = users.get(to.piece);
      if (known) known.add(piece);
      else users.set(to.piece, new Set([piece]));
    }
  }
  return users;
}

const userNames = (users: Users, piece: Piece): Set<string> =>
  new Set([...(users.get(piece) ?? [])].map((user) => (isCode(user) ? source(user.name) : stem(user.name))));

/** What a variable is besides its name. */
function signature(piece: Piece): string {
  const { section, start, end } = piece;
  // Of a pr_debug() the line number is no mark: it moves, even to where another one's was.
  if (isDescriptor(piece)) return '';
  return `${stem(section.name)} ${end - start} ${section.align} ${section.data.subarray(start, end).join()}`;
}

/** Compared by what they hold only up to this size: more of it tells no more. */
const longestSignature = 4096;

function pairVariables(
  { before, after }: Group,
  [usersBefore, usersAfter]: readonly [Users, Users],
  pairsOf: (user: Piece) => Pairs,
  isCutAlike: (piece: Piece) => boolean,
  pair: Pair,
  isAmbiguous: (piece: Piece) => void,
): void {
  let [left, right] = [before, after];
  const pairBy = (key: (piece: Piece, users: Users) => string) => {
    const keys = new Map<string, readonly [Piece[], Piece[]]>();
    for (const [side, pieces, users] of [[0, left, usersBefore] as const, [1, right, usersAfter] as const])
      for (const piece of pieces) {
        const name = key(piece, users);
        const lists = keys.get(name) ?? [[], []];
        keys.set(name, lists);
        lists[side].push(piece);
      }
    const done = new Set<Piece>();
    for (const [a, b] of keys.values()) {
      if (a.length !== b.length) continue;
      const pairs = a.length === 1 ? [[a[0]!, b[0]!] as const] : pairByUse(a, b, usersBefore, pairsOf);
      for (const [one, other] of pairs ?? []) {
        pair(one, other);
        done.add(one).add(other);
      }
    }
    left = left.filter((piece) => !done.has(piece));
    right = right.filter((piece) => !done.has(piece));
  };
  const short = (piece: Piece) => (piece.end - piece.start > longestSignature ? '' : signature(piece));
  const names = (piece: Piece, users: Users) => [...userNames(users, piece)].sort().join();
  pairBy((piece, users) => `${short(piece)} ${names(piece, users)}`);
  pairBy((piece, users) => names(piece, users));
  // What is left on both sides has the same name and no use in common that tells which is which.
  if (left.length === 1 && right.length === 1) {
    const common = userNames(usersBefore, left[0]!);
    if ([...userNames(usersAfter, right[0]!)].some((name) => common.has(name))) {
      pair(left[0]!, right[0]!);
      return;
    }
  }
  // Where a section is cut into the same variables, what lies in one place is the same.
  const byPlace = new Map(left.map((piece) => [placeOf(piece), piece]));
  if (left.length === right.length && right.every((piece) => isCutAlike(piece) && byPlace.has(placeOf(piece)))) {
    for (const piece of right) pair(byPlace.get(placeOf(piece))!, piece);
    return;
  }
  if (left.length > 0) for (const piece of right) isAmbiguous(piece);
}

/** What two versions of a function refer to, side by side. */
type Pairs = readonly (readonly [Piece | undefined, Piece | undefined])[];

/**
 * As many variables of one name before as after, all used by the same functions: each is the one that a function which refers
 * to the same things in the same order has in the same place. Undefined where no function tells.
 */
function pairByUse(
  before: readonly Piece[],
  after: readonly Piece[],
  users: Users,
  pairsOf: (user: Piece) => Pairs,
): (readonly [Piece, Piece])[] | undefined {
  const [olds, news] = [new Set(before), new Set(after)];
  const chosen = new Map<Piece, Piece>();
  for (const user of users.get(before[0]!) ?? [])
    for (const [one, two] of pairsOf(user)) {
      if (!one || !two || !olds.has(one) || !news.has(two)) continue;
      if ((chosen.get(one) ?? two) !== two) return undefined;
      chosen.set(one, two);
    }
  if (chosen.size !== before.length || new Set(chosen.values()).size !== after.length) return undefined;
  return [...chosen];
}

const placeOf = ({ section, origin }: Piece) => `${section.name} ${origin}`;

/** How sections of several variables are cut; names without numbers. A variable's own section says nothing but its number. */
function cutsOf({ pieces }: DiffedObject): Map<string, string> {
  const cuts = new Map<Section, string[]>();
  for (const piece of pieces) {
    if (piece.kind !== 'variable') continue;
    const cut = `${stem(piece.name)} ${piece.origin} ${piece.end}`;
    const list = cuts.get(piece.section);
    if (list) list.push(cut);
    else cuts.set(piece.section, [cut]);
  }
  return new Map([...cuts].filter(([, list]) => list.length > 1).map(([{ name }, list]) => [name, list.join()]));
}

/** What a reference is called, whatever number its target has. */
function token({ to }: Piece['references'][number]): string {
  if (!to.piece) return to.symbol?.name ?? '';
  return to.piece.name === '' ? to.piece.kind : stem(to.piece.name);
}

const referenceNames = ({ references }: Piece): string => references.map(token).join(' ');

/** Memory without a name that can be written: the same where its section is cut into the same pieces. */
function pairNameless(original: DiffedObject, patched: DiffedObject, pair: Pair): void {
  const restOf = ({ pieces }: DiffedObject) => {
    const found = new Map<string, Piece[]>();
    for (const piece of pieces) {
      if (piece.kind !== 'rest' || !isWritable(piece)) continue;
      const list = found.get(piece.section.name) ?? [];
      found.set(piece.section.name, list);
      list.push(piece);
    }
    return found;
  };
  const others = restOf(patched);
  for (const [name, before] of restOf(original)) {
    const after = others.get(name) ?? [];
    const alike =
      before.length === after.length && before.every((a, i) => a.end - a.start === after[i]!.end - after[i]!.start);
    if (alike) pairAll(before, after, pair);
  }
}
