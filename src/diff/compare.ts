// Whether two pieces are the same: their bytes, without what relocations fill in, and what they refer to. A reference is the same
// if it leads to the same place of the same piece, whatever number a section offset or a TOC slot has got.

import { type Correlation, isByContent } from './correlate.ts';
import { branchAt } from './instructions.ts';
import { moved, onlyLinesDiffer, withoutLines } from './line-numbers.ts';
import { source, stem } from './names.ts';
import {
  type DiffedObject,
  grouped,
  isCode,
  isDescriptor,
  isNamelessCode,
  type Piece,
  type Reference,
  resolvedBranch,
  type Target,
} from './object.ts';

/** `lines`: nothing but line numbers of the source differ. */
export type Verdict = 'same' | 'lines' | 'changed';

/** Constants that refer to each other deeper than this are taken for changed. */
const deepest = 32;

/** Zeros behind data without a name that may be padding. */
const mostPadding = 16;

export class Comparison {
  readonly #original: DiffedObject;
  readonly #patched: DiffedObject;
  readonly #correlation: Correlation;
  readonly #bytes = new Map<Piece, Uint8Array>();
  readonly #verdicts = new Map<Piece, Verdict>();
  /** For two constants: whether they are equal; false also while that is being found out. */
  readonly #equal = new Map<Piece, Map<Piece, boolean>>();
  readonly #commonEnds = new Map<Piece, Map<Piece, number>>();
  #constants: Map<string, { readonly user: Piece; readonly constant: Piece }[]> | undefined;
  #nameless: Map<string, Piece[]> | undefined;
  readonly #entries: readonly [Map<Piece, Piece[]>, Map<Piece, Piece[]>];

  constructor(original: DiffedObject, patched: DiffedObject, correlation: Correlation) {
    this.#original = original;
    this.#patched = patched;
    this.#correlation = correlation;
    this.#entries = [entriesByOwner(original), entriesByOwner(patched)];
  }

  /** The entries of the kernel's tables that belong to a function of the patched object. */
  entriesOf(piece: Piece): readonly Piece[] {
    return this.#entries[1].get(piece) ?? [];
  }

  /** What has become of a function or variable that is in both objects. `b` is the patched object's. */
  compare(a: Piece, b: Piece): Verdict {
    const known = this.#verdicts.get(b);
    if (known) return known;
    // Until it is known: what refers to itself must not be asked for again.
    this.#verdicts.set(b, 'changed');
    const verdict = this.#compare(a, b);
    this.#verdicts.set(b, verdict);
    return verdict;
  }

  #compare(a: Piece, b: Piece): Verdict {
    if (a.end - a.start !== b.end - b.start || !this.#sameReferences(a, b, isDescriptor(b) ? 1 : 0)) return 'changed';
    let verdict: Verdict = 'same';
    if (!this.#sameBytes(a, b)) {
      const [before, after] = [this.#relocatedOut(a, this.#original), this.#relocatedOut(b, this.#patched)];
      // A damaged file may have a function without bytes.
      if (before.length !== after.length) return 'changed';
      if (a.kind === 'variable') return isDescriptor(a) && onlyLineOfDescriptor(a, before, after) ? 'lines' : 'changed';
      if (a.kind !== 'function' || !onlyLinesDiffer(before, after, b, this.#patched, this.#movedLines(a, b)))
        return 'changed';
      verdict = 'lines';
    }
    const entries = this.#sameEntries(a, b);
    return entries === 'same' ? verdict : entries;
  }

  /** Whether the original has the same code without a name as the patched object has in a piece. */
  isInOriginal(piece: Piece): boolean {
    this.#nameless ??= grouped(this.#original.pieces.filter(isNamelessCode), placeOf);
    return (this.#nameless.get(placeOf(piece)) ?? []).some((each) => this.#equalContent(each, piece, 0));
  }

  /**
   * The constant of the original that `piece`, of the patched object, was before: with the same name, used by the same function of the
   * source as `from`, and holding the same. Undefined where there is none, or more than one.
   */
  unchangedConstant(from: Piece, piece: Piece): Piece | undefined {
    this.#constants ??= grouped(
      this.#original.pieces.flatMap((user) =>
        user.references.flatMap(({ to }) =>
          to.piece?.kind === 'variable' && isByContent(to.piece) ? [{ user, constant: to.piece }] : [],
        ),
      ),
      ({ user, constant }) => usedKey(user, constant),
    );
    const candidates = new Set((this.#constants.get(usedKey(from, piece)) ?? []).map(({ constant }) => constant));
    const [same, ...others] = [...candidates].filter((each) => this.#equalContent(each, piece, 0));
    return others.length === 0 ? same : undefined;
  }

  /** The entries of tables that belong to two functions. */
  #sameEntries(a: Piece, b: Piece): Verdict {
    const [before, after] = [this.#entries[0].get(a) ?? [], this.#entries[1].get(b) ?? []];
    if (before.length !== after.length) return 'changed';
    let verdict: Verdict = 'same';
    for (const [i, one] of before.entries()) {
      const other = after[i]!;
      if (this.#original.table(one.section) !== this.#patched.table(other.section)) return 'changed';
      if (!this.#sameReferences(one, other)) return 'changed';
      if (this.#sameBytes(one, other)) continue;
      const [x, y] = [this.#relocatedOut(one, this.#original), this.#relocatedOut(other, this.#patched)];
      const line = this.#patched.table(other.section)?.line;
      if (!line || x.length !== y.length || x.length < line.offset + line.size) return 'changed';
      const withLine = x.slice();
      withLine.set(y.subarray(line.offset, line.offset + line.size), line.offset);
      if (!equalBytes(withLine, y)) return 'changed';
      verdict = 'lines';
    }
    return verdict;
  }

  /** The lines of entries that belong to two functions, before and after. */
  #movedLines(a: Piece, b: Piece): Set<string> {
    const linesOf = (object: DiffedObject, entries: readonly Piece[] = []) =>
      entries.flatMap((entry) => {
        const line = object.table(entry.section)?.line;
        return line && line.offset + line.size <= entry.end - entry.start ? [shortAt(bytesOf(entry), line.offset)] : [];
      });
    const before = linesOf(this.#original, this.#entries[0].get(a));
    const after = linesOf(this.#patched, this.#entries[1].get(b));
    return new Set(before.map((line, i) => moved(line, after[i] ?? line)));
  }

  #sameReferences(a: Piece, b: Piece, depth = 0): boolean {
    if (a.references.length !== b.references.length) return false;
    return a.references.every((reference, i) => this.#sameReference(reference, b.references[i]!, depth));
  }

  #sameReference(a: Reference, b: Reference, depth: number): boolean {
    if (a.offset !== b.offset || a.type !== b.type || (a.slot === undefined) !== (b.slot === undefined)) return false;
    return this.#sameTarget(a.to, b.to, depth);
  }

  #sameTarget(a: Target, b: Target, depth: number): boolean {
    if (!a.piece || !b.piece) {
      if (a.piece || b.piece || a.offset !== b.offset) return false;
      return a.symbol?.name === b.symbol?.name && a.symbol?.value === b.symbol?.value;
    }
    if (this.#correlation.original.get(b.piece) === a.piece)
      return (
        a.offset === b.offset && (depth > 0 || !isDescriptor(b.piece) || this.compare(a.piece, b.piece) !== 'changed')
      );
    if (a.piece.kind === 'string' && b.piece.kind === 'string')
      return this.#sameText(a.piece, a.offset, b.piece, b.offset);
    return (
      a.offset === b.offset &&
      isByContent(a.piece) &&
      isByContent(b.piece) &&
      this.#equalContent(a.piece, b.piece, depth + 1)
    );
  }

  /** Two strings from some character on: a reference may be into the middle of one. */
  #sameText(a: Piece, atA: number, b: Piece, atB: number): boolean {
    const [lengthA, lengthB] = [a.end - a.start - atA, b.end - b.start - atB];
    if (a.section.entrySize !== b.section.entrySize || atA < 0 || atB < 0) return false;
    if (lengthA === lengthB && lengthA <= this.#commonEnd(a, b)) return true;
    if (a.section.entrySize !== 1 || lengthA > longestText || lengthB > longestText) return false;
    return withoutLines(bytesOf(a).subarray(atA)) === withoutLines(bytesOf(b).subarray(atB));
  }

  /** How many bytes two strings have in common at their ends. */
  #commonEnd(a: Piece, b: Piece): number {
    const ends = this.#commonEnds.get(a) ?? new Map<Piece, number>();
    this.#commonEnds.set(a, ends);
    const known = ends.get(b);
    if (known !== undefined) return known;
    const [x, y] = [bytesOf(a), bytesOf(b)];
    let length = 0;
    while (length < x.length && length < y.length && x[x.length - 1 - length] === y[y.length - 1 - length]) length++;
    ends.set(b, length);
    return length;
  }

  #equalContent(a: Piece, b: Piece, depth: number): boolean {
    const known = this.#equal.get(a) ?? new Map<Piece, boolean>();
    this.#equal.set(a, known);
    const answer = known.get(b);
    if (answer !== undefined) return answer;
    if (depth > deepest) return false;
    known.set(b, false);
    const equal = this.#findEqual(a, b, depth);
    known.set(b, equal);
    return equal;
  }

  #findEqual(a: Piece, b: Piece, depth: number): boolean {
    if (a.kind !== b.kind || stem(a.name) !== stem(b.name)) return false;
    const [x, y] = [this.#relocatedOut(a, this.#original), this.#relocatedOut(b, this.#patched)];
    const [short, long] = x.length < y.length ? [x, y] : [y, x];
    if (long.length - short.length >= (a.kind === 'rest' ? mostPadding : 1)) return false;
    if (!long.subarray(short.length).every((byte) => byte === 0)) return false;
    return equalBytes(short, long.subarray(0, short.length)) && this.#sameReferences(a, b, depth);
  }

  /** Most pieces are the same with what relocations fill and all, and need not be copied. */
  #sameBytes(a: Piece, b: Piece): boolean {
    if (equalBytes(bytesOf(a), bytesOf(b))) return true;
    return equalBytes(this.#relocatedOut(a, this.#original), this.#relocatedOut(b, this.#patched));
  }

  /** A piece's bytes with zeros in all that relocations and branches out of it fill. */
  #relocatedOut(piece: Piece, { code }: DiffedObject): Uint8Array {
    const known = this.#bytes.get(piece);
    if (known) return known;
    // A copy, also where the bytes are Node's, whose slice() is none.
    const bytes = new Uint8Array(bytesOf(piece));
    this.#bytes.set(piece, bytes);
    const view = new DataView(bytes.buffer);
    for (const { offset, type } of piece.references) {
      const at = offset + piece.origin - piece.start;
      if (type === resolvedBranch) {
        const keep = ~(branchAt(code, view, at)?.mask ?? 0);
        for (let i = 0; i < 4 && at + i < bytes.length; i++) bytes[at + i]! &= keep >>> (8 * i);
        continue;
      }
      const place = code.relocatedPlace(type);
      if (!place || at + place.size > bytes.length) continue;
      if (place.size === 8) view.setBigUint64(at, 0n, true);
      else if (place.size === 4) view.setUint32(at, view.getUint32(at, true) & ~place.mask, true);
      else if (place.size === 2) view.setUint16(at, view.getUint16(at, true) & ~place.mask, true);
    }
    return bytes;
  }
}

const usedKey = (user: Piece, constant: Piece): string =>
  `${isCode(user) ? source(user.name) : stem(user.name)} ${stem(constant.name)}`;

const placeOf = ({ section, start, end }: Piece): string => `${section.name} ${end - start}`;

/** Entries by the function, or the nameless code, that they refer to first. */
function entriesByOwner({ pieces, table }: DiffedObject): Map<Piece, Piece[]> {
  const found = new Map<Piece, Piece[]>();
  for (const piece of pieces) {
    if (piece.kind !== 'entry' || table(piece.section)?.use === 'made') continue;
    const owner = piece.references[0]?.to.piece;
    if (!owner) continue;
    const list = found.get(owner);
    if (list) list.push(piece);
    else found.set(owner, [piece]);
  }
  return found;
}

/** struct _ddebug in include/linux/dynamic_debug.h, Linux 6.1. */
/** modname, function, filename and format come first; then 18 bits of line number. */
const pointersBefore = 4;
const lineBits = 0x3ffff;

function onlyLineOfDescriptor({ references }: Piece, before: Uint8Array, after: Uint8Array): boolean {
  const pointerSize = (references[1]?.offset ?? 0) - (references[0]?.offset ?? 0);
  const at = pointersBefore * pointerSize;
  if (at <= 0 || at + 4 > before.length) return false;
  const copies = [before.slice(), after.slice()].map((bytes) => {
    const view = new DataView(bytes.buffer);
    view.setUint32(at, view.getUint32(at, true) & ~lineBits, true);
    return bytes;
  });
  return equalBytes(copies[0]!, copies[1]!);
}

const shortAt = (bytes: Uint8Array, at: number): number => bytes[at]! | (bytes[at + 1]! << 8);

const bytesOf = ({ section, start, end }: Piece): Uint8Array => section.data.subarray(start, end);

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Longer strings are not looked through for line numbers. */
const longestText = 1024;
