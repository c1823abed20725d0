// Which piece of the one object is which of the other. By name where the source gave the name; by who refers to it where the
// compiler numbered it; never by number. Strings and constants are not correlated: they are what they contain.
//
// A function that is not recognised is safe: it counts as new and removed, and who calls it has changed. A variable that is
// not recognised would lose what it holds, and one that is mistaken for another would be worse. So variables are correlated
// only where there is one way to do it; where there are several, the new object's ones are `ambiguous`.

import type { Section } from '../elf/model.ts';
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
      return !isWritable(piece) && isNumbered(piece.name);
    default:
      return false;
  }
}

export function correlate(original: DiffedObject, patched: DiffedObject): Correlation {
  const toOriginal = new Map<Piece, Piece>();
  const toPatched = new Map<Piece, Piece>();
  const ambiguous = new Set<Piece>();
  const pair = (a: Piece, b: Piece) => {
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
  const aligned = new Map<Piece, Alignment>();
  const align = (one: Piece): Alignment => {
    const two = toPatched.get(one);
    const known = aligned.get(one) ?? (two ? alignReferences(one, two) : []);
    aligned.set(one, known);
    return known;
  };
  const cuts = [cutsOf(original), cutsOf(patched)] as const;
  const isCutAlike = ({ section: { name } }: Piece) => cuts[0].has(name) && cuts[0].get(name) === cuts[1].get(name);
  for (const group of groups)
    if (group.numbered && !group.code)
      pairVariables(group, users, align, isCutAlike, pair, (piece) => ambiguous.add(piece));
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
  align: (user: Piece) => Alignment,
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
      const pairs = a.length === 1 ? [[a[0]!, b[0]!] as const] : pairByUse(a, b, usersBefore, align);
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

/**
 * As many variables of one name before as after, all used by the same functions: each is the one that stands in the same place
 * among all that the function refers to. Undefined where that does not tell.
 */
function pairByUse(
  before: readonly Piece[],
  after: readonly Piece[],
  users: Users,
  align: (user: Piece) => Alignment,
): Alignment | undefined {
  const candidates = new Set([...before, ...after]);
  const chosen = new Map<Piece, Piece>();
  const seen = new Set<Piece>();
  for (const piece of before)
    for (const user of users.get(piece) ?? []) {
      if (seen.has(user)) continue;
      seen.add(user);
      for (const [one, two] of align(user)) {
        if (!candidates.has(one) || !candidates.has(two)) continue;
        if ((chosen.get(one) ?? two) !== two) return undefined;
        chosen.set(one, two);
      }
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

/** What a reference is called when two functions are laid side by side. */
function token({ to }: Piece['references'][number]): string {
  if (!to.piece) return to.symbol?.name ?? '';
  return to.piece.name === '' ? to.piece.kind : stem(to.piece.name);
}

/** Longer ones are not laid side by side: the time grows with the square. */
const mostReferences = 500;

/** Pairs of pieces that two versions of a function refer to in the same place. */
type Alignment = readonly (readonly [Piece, Piece])[];

/** A longest common subsequence of what two functions refer to. */
function alignReferences(one: Piece, two: Piece): Alignment {
  const [a, b] = [one.references, two.references];
  const same = (i: number, j: number) => left[i] === right[j];
  const left = a.map(token);
  const right = b.map(token);
  const pairs: (readonly [Piece, Piece])[] = [];
  const add = (i: number, j: number) => {
    const [from, to] = [a[i]!.to.piece, b[j]!.to.piece];
    if (from && to) pairs.push([from, to]);
  };
  let start = 0;
  let [endA, endB] = [a.length, b.length];
  while (start < endA && start < endB && same(start, start)) add(start, start++);
  while (endA > start && endB > start && same(endA - 1, endB - 1)) add(--endA, --endB);
  const [rows, columns] = [endA - start, endB - start];
  if (rows === 0 || columns === 0 || rows > mostReferences || columns > mostReferences) return pairs;
  const width = columns + 1;
  const length = new Uint16Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--)
    for (let j = columns - 1; j >= 0; j--)
      length[i * width + j] = same(start + i, start + j)
        ? length[(i + 1) * width + j + 1]! + 1
        : Math.max(length[(i + 1) * width + j]!, length[i * width + j + 1]!);
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (same(start + i, start + j)) add(start + i++, start + j++);
    else if (length[(i + 1) * width + j]! >= length[i * width + j + 1]!) i++;
    else j++;
  }
  return pairs;
}

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
