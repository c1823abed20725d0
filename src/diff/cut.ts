// A section cut into pieces: by its symbols, by the zeros between strings, by the size of entries, and where nothing has a
// name by the places that are referred to.

import type { CodeTable, ObjectCode } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import {
  SHF_EXECINSTR,
  SHF_MERGE,
  SHF_STRINGS,
  SHT_NOBITS,
  STB_LOCAL,
  STT_FILE,
  STT_FUNC,
  STT_SECTION,
} from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import { reasonError } from '../reason.ts';
import type { Piece, PieceKind, Reference } from './object.ts';
import type { Resolved } from './resolve.ts';

/** A piece while its references are still being found. */
export interface Draft extends Piece {
  references: Reference[];
}

export interface NamedSymbol {
  readonly symbol: ElfSymbol;
  readonly file: string;
  readonly value: number;
}

/** The symbols that name something, by section and in the order of their values. */
export function symbolsBySection(model: ElfModel, code: ObjectCode, name: string): Map<Section, NamedSymbol[]> {
  const found = new Map<Section, NamedSymbol[]>();
  let file = '';
  for (const symbol of model.symbols) {
    if (symbol.type === STT_FILE) file = symbol.name;
    const { place } = symbol;
    if (!isSection(place) || symbol.type === STT_SECTION) continue;
    // Labels of the compiler's own are no things; .L is how they begin.
    if (symbol.name === '' || symbol.name.startsWith('.L') || code.isMarker(symbol.name)) continue;
    const value = codeOffset(symbol, code);
    if (value > BigInt(place.size))
      throw reasonError(
        'elf-malformed',
        `${name}: ${symbol.name}`,
        `it lies behind ${place.name} of ${place.size} bytes`,
        'Get the file anew: it is damaged, or it was made to mislead.',
      );
    const list = found.get(place) ?? [];
    if (list.length === 0) found.set(place, list);
    list.push({ symbol, file: symbol.binding === STB_LOCAL ? file : '', value: Number(value) });
  }
  for (const list of found.values()) list.sort((a, b) => a.value - b.value);
  return found;
}

/** The pieces of one section, in order and without gaps, except for padding. */
export function piecesOf(
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
