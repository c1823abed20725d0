// A relocatable object taken apart: functions, variables, strings, constants, TOC slots, entries of tables. Each is a piece: a
// range of a section that lives or dies as one, and whose references to others are known.
//
// With -ffunction-sections and -fdata-sections nearly every piece is a section. Without, functions and variables are told by
// their symbols, strings by the zeros between them, and what has no name by where others refer to it.

import type { CodeTable, ObjectCode, RelocatedPlace } from '../arch/arch.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_MERGE,
  SHF_STRINGS,
  SHF_WRITE,
  SHT_NOBITS,
  STB_LOCAL,
  STT_FILE,
  STT_FUNC,
  STT_SECTION,
} from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { reasonError } from '../reason.ts';

/**
 * `slot`: a pointer in the TOC. `entry`: of one of the kernel's tables. `rest`: code or data without a name, from one place
 * that is referred to up to the next.
 */
export type PieceKind = 'function' | 'variable' | 'string' | 'constant' | 'slot' | 'entry' | 'rest';

export interface Piece {
  readonly kind: PieceKind;
  readonly section: Section;
  /** Section offsets, [start, end). */
  readonly start: number;
  readonly end: number;
  /** Where its symbol points, and what offsets in it count from: behind what a function has before its entry. */
  readonly origin: number;
  /** Symbols at its origin, the one that it is called by first. Empty for what has no name. */
  readonly symbols: readonly ElfSymbol[];
  /** The first symbol's name, or ''. */
  readonly name: string;
  /** The source file that a local symbol stands under, '' if there is none or the symbol is not local. */
  readonly file: string;
  /** In the order of their places. */
  readonly references: readonly Reference[];
}

/** What a relocation, or a branch that the assembler resolved, refers to. */
export interface Reference {
  /** Bytes from the piece's origin. */
  readonly offset: number;
  /** r_type, or -1 for a branch without a relocation. */
  readonly type: number;
  readonly to: Target;
  /** The TOC slot that leads there. */
  readonly slot: Piece | undefined;
  /** Reached from the section's start or an anchor, not by the piece's own name. */
  readonly anchored: boolean;
}

export type Target =
  | { readonly piece: Piece; readonly offset: number }
  /** What another file defines, an absolute number, a common symbol; `symbol` is undefined for the null symbol. */
  | { readonly piece: undefined; readonly symbol: ElfSymbol | undefined; readonly offset: number };

export interface DiffedObject {
  readonly model: ElfModel;
  readonly code: ObjectCode;
  /** What errors call the file. */
  readonly name: string;
  /** Every piece of every section that takes memory, in the order of the file. */
  readonly pieces: readonly Piece[];
  readonly table: (section: Section) => CodeTable | undefined;
}

export const isWritable = ({ section }: Piece): boolean => (section.flags & SHF_WRITE) !== 0n;
export const isCode = ({ section }: Piece): boolean => (section.flags & SHF_EXECINSTR) !== 0n;

/** Whether a variable is a pr_debug()'s: part of the code that it stands in, and copied with it (linux/dynamic_debug.h, 6.1). */
export const isDescriptor = ({ section }: Piece): boolean => section.name === '__dyndbg';

/** How a message calls a piece. */
export const called = ({ name, section, start }: Piece): string => name || `${section.name}+0x${start.toString(16)}`;

/** A piece while its references are still being found. */
interface Draft extends Piece {
  references: Reference[];
}

/** A place that a relocation refers to, before there are pieces. */
interface Resolved {
  readonly relocation: Relocation;
  /** Undefined for what is in no section. */
  readonly section: Section | undefined;
  readonly at: number;
  readonly anchored: boolean;
}

/** Offsets beyond this are no honest file's, and would not be exact. */
const farthest = 2 ** 40;

/** Takes an object apart. Throws `elf-malformed` for symbols and relocations that lie outside their sections. */
export function takeApart(model: ElfModel, code: ObjectCode, name: string): DiffedObject {
  const allocated = model.sections.filter(({ flags }) => (flags & SHF_ALLOC) !== 0n);
  const tables = new Map(code.tables.map((table) => [table.section, table]));
  const prefixes = code.tables.filter(({ isPrefix }) => isPrefix);
  const table = ({ name }: Section) => tables.get(name) ?? prefixes.find(({ section }) => name.startsWith(section));
  const symbols = symbolsBySection(model, code, name);
  const resolved = new Map(allocated.map((section) => [section, resolveAll(section, code, table(section), name)]));
  const targets = targetsBySection(resolved.values());

  const bySection = new Map<Section, Draft[]>();
  for (const section of allocated) {
    const own = symbols.get(section) ?? [];
    const places = resolved.get(section)!;
    bySection.set(section, piecesOf(section, own, places, targets.get(section) ?? [], table(section), code));
  }
  for (const [section, pieces] of bySection) {
    connect(pieces, resolved.get(section)!, bySection);
    if ((section.flags & SHF_EXECINSTR) !== 0n) addBranches(pieces, resolved.get(section)!, code);
  }
  const pieces = [...bySection.values()].flat();
  seeThroughSlots(pieces);
  return { model, code, name, pieces, table };
}

interface NamedSymbol {
  readonly symbol: ElfSymbol;
  readonly file: string;
  readonly value: number;
}

/** The symbols that name something, by section and in the order of their values. */
function symbolsBySection(model: ElfModel, code: ObjectCode, name: string): Map<Section, NamedSymbol[]> {
  const found = new Map<Section, NamedSymbol[]>();
  let file = '';
  for (const symbol of model.symbols) {
    if (symbol.type === STT_FILE) file = symbol.name;
    const { place } = symbol;
    if (!isSection(place) || symbol.type === STT_SECTION) continue;
    // Labels of the compiler's own are no things; .L is how they begin.
    if (symbol.name === '' || symbol.name.startsWith('.L') || code.isMarker(symbol.name)) continue;
    if (symbol.value > BigInt(place.size))
      throw reasonError(
        'elf-malformed',
        `${name}: ${symbol.name}`,
        `it lies behind ${place.name} of ${place.size} bytes`,
        'Get the file anew: it is damaged, or it was made to mislead.',
      );
    const list = found.get(place) ?? [];
    if (list.length === 0) found.set(place, list);
    list.push({ symbol, file: symbol.binding === STB_LOCAL ? file : '', value: Number(symbol.value) });
  }
  for (const list of found.values()) list.sort((a, b) => a.value - b.value);
  return found;
}

const viewOf = ({ data }: Section) => new DataView(data.buffer, data.byteOffset, data.byteLength);

function resolveAll(section: Section, code: ObjectCode, table: CodeTable | undefined, name: string): Resolved[] {
  const view = viewOf(section);
  const found: Resolved[] = [];
  let last = 0;
  let sorted = true;
  for (const relocation of section.relocations) {
    const place = code.relocatedPlace(relocation.type);
    if (place && place.size === 0 && relocation.addend === undefined) continue;
    const size = place ? place.size : 4;
    if (section.type !== SHT_NOBITS && relocation.offset + size > section.data.length)
      throw reasonError(
        'elf-malformed',
        `${name}: ${section.name}+0x${relocation.offset.toString(16)}`,
        'a relocation reaches beyond the end of the section',
        'Get the file anew: it is damaged, or it was made to mislead.',
      );
    const fromStart = table?.fromStart ? relocation.offset % table.entrySize : 0;
    found.push(resolve(relocation, view, place, fromStart));
    if (relocation.offset < last) sorted = false;
    last = relocation.offset;
  }
  if (!sorted) found.sort((a, b) => a.relocation.offset - b.relocation.offset);
  return found;
}

/** `bias` is what the addend has too much, because the distance counts from so far before the place. */
function resolve(relocation: Relocation, view: DataView, place: RelocatedPlace | undefined, bias: number): Resolved {
  const { symbol } = relocation;
  const addend =
    relocation.addend === undefined
      ? (place?.addend(numberAt(view, relocation.offset, place.size)) ?? 0)
      : Number(BigInt.asIntN(64, relocation.addend));
  const at = addend + (place?.lead ?? 0) - bias;
  if (!symbol || !isSection(symbol.place)) return { relocation, section: undefined, at, anchored: false };
  const anchored = symbol.type === STT_SECTION || symbol.name.startsWith('.L');
  const target = Number(symbol.value) + at;
  return { relocation, section: symbol.place, at: Math.abs(target) < farthest ? target : 0, anchored };
}

/** The low 32 bits of a little-endian number; 0 where the section has no bytes. */
function numberAt(view: DataView, offset: number, size: number): number {
  if (offset + size > view.byteLength) return 0;
  if (size >= 4) return view.getInt32(offset, true);
  return size === 2 ? view.getUint16(offset, true) : size === 1 ? view.getUint8(offset) : 0;
}

/** Where each section is referred to without a name, ascending, each place once. */
function targetsBySection(all: Iterable<readonly Resolved[]>): Map<Section, number[]> {
  const found = new Map<Section, Set<number>>();
  for (const places of all)
    for (const { section, at, anchored } of places) {
      if (!section || !anchored) continue;
      const list = found.get(section) ?? new Set();
      if (list.size === 0) found.set(section, list);
      list.add(at);
    }
  return new Map([...found].map(([section, places]) => [section, [...places].sort((a, b) => a - b)]));
}

/** The pieces of one section, in order and without gaps, except for padding. */
function piecesOf(
  section: Section,
  symbols: readonly NamedSymbol[],
  places: readonly Resolved[],
  targets: readonly number[],
  table: CodeTable | undefined,
  code: ObjectCode,
): Draft[] {
  const slotSize = section.name === code.toc?.section ? code.toc.slotSize : undefined;
  if (table || slotSize !== undefined) {
    const size = table?.entrySize ?? slotSize!;
    return blocks(section, size, table ? 'entry' : 'slot', symbols);
  }
  const merged = (section.flags & SHF_MERGE) !== 0n && section.entrySize > 0 && places.length === 0;
  if (merged && (section.flags & SHF_STRINGS) !== 0n) return strings(section, symbols);
  if (merged) return blocks(section, section.entrySize, 'constant', symbols);
  return namedPieces(section, symbols, places, targets);
}

const draft = (
  kind: PieceKind,
  section: Section,
  start: number,
  end: number,
  named: readonly NamedSymbol[] = [],
  origin = start,
): Draft => ({
  kind,
  section,
  start,
  end,
  origin,
  symbols: named.map(({ symbol }) => symbol),
  name: named[0]?.symbol.name ?? '',
  file: named[0]?.file ?? '',
  references: [],
});

/** Consecutive blocks of one size; what is left at the end is a shorter one. */
function blocks(section: Section, size: number, kind: PieceKind, symbols: readonly NamedSymbol[]): Draft[] {
  const pieces: Draft[] = [];
  let next = 0;
  for (let start = 0; start < section.size; start += size) {
    const named: NamedSymbol[] = [];
    for (; next < symbols.length && symbols[next]!.value < start + size; next++)
      if (symbols[next]!.value === start) named.push(symbols[next]!);
    pieces.push(draft(kind, section, start, Math.min(start + size, section.size), named));
    // Memory without bytes is no table.
    if (section.type === SHT_NOBITS) break;
  }
  return pieces;
}

/** Strings, each with the zero that ends it; `entrySize` is the size of a character. */
function strings(section: Section, symbols: readonly NamedSymbol[]): Draft[] {
  const { data, entrySize } = section;
  const pieces: Draft[] = [];
  let next = 0;
  let start = 0;
  const cut = (end: number) => {
    const named: NamedSymbol[] = [];
    for (; next < symbols.length && symbols[next]!.value < end; next++)
      if (symbols[next]!.value === start) named.push(symbols[next]!);
    pieces.push(draft('string', section, start, end, named));
    start = end;
  };
  if (entrySize === 1) {
    for (let zero = data.indexOf(0); zero >= 0; zero = data.indexOf(0, zero + 1)) cut(zero + 1);
  } else {
    for (let at = 0; at + entrySize <= data.length; at += entrySize) {
      let isZero = true;
      for (let i = 0; i < entrySize; i++) if (data[at + i] !== 0) isZero = false;
      if (isZero) cut(at + entrySize);
    }
  }
  if (start < data.length) cut(data.length);
  return pieces;
}

/** Functions or variables by their symbols, and between them what has no name. */
function namedPieces(
  section: Section,
  symbols: readonly NamedSymbol[],
  places: readonly Resolved[],
  targets: readonly number[],
): Draft[] {
  const isText = (section.flags & SHF_EXECINSTR) !== 0n;
  const pieces: Draft[] = [];
  let end = 0;
  let place = 0;
  let target = 0;
  /** What lies in [end, start) belongs to no symbol: the words before a function that it refers through, or the rest. */
  const rest = (start: number, beforeFunction: boolean): number => {
    let relocated = false;
    let lead = start;
    for (; place < places.length && places[place]!.relocation.offset < start; place++) {
      const { offset } = places[place]!.relocation;
      if (offset < end) continue;
      if (beforeFunction && start - offset <= longestLead) lead = Math.min(lead, offset);
      else relocated = true;
    }
    let from = relocated || hasContent(section, end, lead) ? end : undefined;
    while (target < targets.length && targets[target]! < end) target++;
    for (; target < targets.length && targets[target]! < lead; target++) {
      const at = targets[target]!;
      if (from !== undefined && at > from) pieces.push(draft('rest', section, from, at));
      from = at;
    }
    if (from !== undefined && from < lead) pieces.push(draft('rest', section, from, lead));
    return lead;
  };
  for (let i = 0; i < symbols.length; ) {
    const { value } = symbols[i]!;
    let size = 0;
    const named: NamedSymbol[] = [];
    for (; i < symbols.length && symbols[i]!.value === value; i++) {
      named.push(symbols[i]!);
      size = Math.max(size, Math.min(Number(symbols[i]!.symbol.size), section.size - value));
    }
    // Symbols inside are further entries.
    const stop = size > 0 ? value + size : section.size;
    if (size > 0) while (i < symbols.length && symbols[i]!.value < stop) i++;
    const last = size > 0 ? stop : (symbols[i]?.value ?? section.size);
    const isFunction = isText || named.some(({ symbol }) => symbol.type === STT_FUNC);
    const lead = rest(value, isFunction);
    while (place < places.length && places[place]!.relocation.offset < last) place++;
    named.sort(preference);
    pieces.push(draft(isFunction ? 'function' : 'variable', section, lead, last, named, value));
    end = last;
  }
  rest(section.size, false);
  return pieces;
}

/** ppc64le's code for modules has 8 bytes before its entry; nothing has more. */
const longestLead = 8;

/** Global names before local ones, what has a size before what has none, then in the order of the file. */
const preference = (a: NamedSymbol, b: NamedSymbol) =>
  Number(a.symbol.binding === STB_LOCAL) - Number(b.symbol.binding === STB_LOCAL) ||
  Number(a.symbol.size === 0n) - Number(b.symbol.size === 0n);

/** Whether a stretch is more than padding. */
function hasContent({ data, type, flags }: Section, start: number, end: number): boolean {
  if (type === SHT_NOBITS || (flags & SHF_EXECINSTR) !== 0n) return false;
  for (let i = start; i < end; i++) if (data[i] !== 0) return true;
  return false;
}

/** The piece at a section offset: the last that begins there or before, else the first. */
function pieceAt(pieces: readonly Draft[], at: number): Draft | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pieces[middle]!.start <= at) low = middle + 1;
    else high = middle;
  }
  return pieces[Math.max(low - 1, 0)];
}

const none: readonly Draft[] = [];

/** Gives each piece its references. */
function connect(pieces: readonly Draft[], places: readonly Resolved[], all: ReadonlyMap<Section, Draft[]>): void {
  let next = 0;
  for (const { relocation, section, at, anchored } of places) {
    const { offset, type, symbol } = relocation;
    while (next + 1 < pieces.length && pieces[next + 1]!.start <= offset) next++;
    const from = pieces[next];
    if (!from || offset < from.start || offset >= from.end) continue;
    // A symbol names its piece, also where the place is beyond it: one past the end of an array is still the array's.
    const owner = section && pieceAt(all.get(section) ?? none, anchored ? at : Number(symbol!.value));
    const to: Target = owner
      ? { piece: owner, offset: at - owner.origin }
      : { piece: undefined, symbol, offset: section ? at - Number(symbol!.value) : at };
    from.references.push({ offset: offset - from.origin, type, to, slot: undefined, anchored });
  }
}

/** Branches that the assembler resolved itself, from one function to another in the same section. */
function addBranches(pieces: readonly Draft[], places: readonly Resolved[], code: ObjectCode): void {
  if (pieces.length < 2) return;
  const relocated = new Set(places.map(({ relocation }) => relocation.offset));
  for (const piece of pieces) {
    const view = viewOf(piece.section);
    const added: Reference[] = [];
    for (let at = (piece.start + 3) & ~3; at + 4 <= Math.min(piece.end, view.byteLength); at += 4) {
      const branch = code.branch(view.getUint32(at, true));
      if (!branch || relocated.has(at)) continue;
      const target = at + branch.distance;
      if (target >= piece.start && target < piece.end) continue;
      if (target < 0 || target >= piece.section.size) continue;
      const to = pieceAt(pieces, target)!;
      added.push({
        offset: at - piece.origin,
        type: resolvedBranch,
        to: { piece: to, offset: target - to.origin },
        slot: undefined,
        anchored: true,
      });
    }
    if (added.length === 0) continue;
    piece.references = [...piece.references, ...added].sort((a, b) => a.offset - b.offset);
  }
}

/** The `type` of a reference that no relocation makes. */
export const resolvedBranch = -1;

/** What loads a pointer from the TOC refers to what the pointer is to. */
function seeThroughSlots(pieces: readonly Draft[]): void {
  if (!pieces.some(({ kind }) => kind === 'slot')) return;
  for (const piece of pieces) {
    if (piece.kind === 'slot') continue;
    for (const [i, reference] of piece.references.entries()) {
      const slot = reference.to.piece;
      if (slot?.kind !== 'slot' || reference.to.offset !== 0) continue;
      const [only, ...more] = slot.references;
      if (!only || more.length > 0 || only.offset !== 0 || only.to.piece?.kind === 'slot') continue;
      piece.references[i] = { ...reference, to: only.to, slot, anchored: only.anchored };
    }
  }
}
