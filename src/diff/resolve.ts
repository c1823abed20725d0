// From relocations to the places that they refer to, before it is known which pieces those are in.

import type { CodeTable, ObjectCode, RelocatedPlace } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { SHT_NOBITS, STT_SECTION } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { Relocation, Section } from '../elf/model.ts';
import { reasonError } from '../reason.ts';

/** A place that a relocation refers to, before there are pieces. */
export interface Resolved {
  readonly relocation: Relocation;
  /** Undefined for what is in no section. */
  readonly section: Section | undefined;
  readonly at: number;
  readonly anchored: boolean;
}

/** Offsets beyond this are no honest file's, and would not be exact. */
const farthest = 2 ** 40;

export const viewOf = ({ data }: Section) => new DataView(data.buffer, data.byteOffset, data.byteLength);

/** All that the relocations of a section refer to, in the order of their places. Throws `elf-malformed`. */
export function resolveAll(section: Section, code: ObjectCode, table: CodeTable | undefined, name: string): Resolved[] {
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
    found.push(resolve(relocation, view, code, place, fromStart));
    if (relocation.offset < last) sorted = false;
    last = relocation.offset;
  }
  if (!sorted) found.sort((a, b) => a.relocation.offset - b.relocation.offset);
  return found;
}

/** `bias` is what the addend has too much, because the distance counts from so far before the place. */
function resolve(
  relocation: Relocation,
  view: DataView,
  code: ObjectCode,
  place: RelocatedPlace | undefined,
  bias: number,
): Resolved {
  const { symbol } = relocation;
  const addend =
    relocation.addend === undefined
      ? (place?.addend(numberAt(view, relocation.offset, place.size)) ?? 0)
      : Number(BigInt.asIntN(64, relocation.addend));
  const at = addend + (place?.lead ?? 0) - bias;
  if (!symbol || !isSection(symbol.place)) return { relocation, section: undefined, at, anchored: false };
  const anchored = symbol.type === STT_SECTION || symbol.name.startsWith('.L');
  const target = Number(codeOffset(symbol, code)) + at;
  return { relocation, section: symbol.place, at: Math.abs(target) < farthest ? target : 0, anchored };
}

/** The low 32 bits of a little-endian number; 0 where the section has no bytes. */
function numberAt(view: DataView, offset: number, size: number): number {
  if (offset + size > view.byteLength) return 0;
  if (size >= 4) return view.getInt32(offset, true);
  return size === 2 ? view.getUint16(offset, true) : size === 1 ? view.getUint8(offset) : 0;
}

/** Where each section is referred to without a name, ascending, each place once. */
export function targetsBySection(all: Iterable<readonly Resolved[]>): Map<Section, number[]> {
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
