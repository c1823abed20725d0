// How control comes to words of a function that no branch in it leads to: a jump label that is switched on, an access to user
// memory that faults, a fixup that branches back. A module's tables and relocations tell.

import type { Architecture } from '../arch/arch.ts';
import type { WaysIn } from '../arch/machine.ts';
import { SHF_ALLOC } from '../elf/constants.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { relocationsOf, relocationTables } from './loader-relocations.ts';

/** Where a RELA relocation leads in a section, as a section offset; undefined if elsewhere. */
const placeIn = (code: Section, { symbol, addend = 0n }: Relocation): number | undefined =>
  symbol?.place === code ? Number(symbol.value + addend) : undefined;

/** Section offsets of a section that anything in memory refers to. */
function referredPlaces(model: ElfModel, code: Section): number[] {
  const tables = [...relocationTables(model)].filter(({ target }) => (target.flags & SHF_ALLOC) !== 0n);
  return tables.flatMap(({ relocations }) => relocations.map((each) => placeIn(code, each) ?? -1));
}

/**
 * The ways into the code from one section offset up to another, undefined where they are not known, or nobody asks. `referred` are the places that
 * are referred to, if they are known already.
 */
export function waysIn(
  arch: Architecture,
  model: ElfModel,
  code: Section,
  start: number,
  end: number,
  referred?: readonly number[],
): WaysIn | undefined {
  // Code without any relocation was linked before, as that of an image: its tables are elsewhere.
  if (arch.jumpTables.length === 0 || relocationsOf(model, code).length === 0) return undefined;
  const isInside = (place: number | undefined): place is number => place !== undefined && place >= start && place < end;
  const indexOf = (place: number): number => (place - start) >> 2;
  const jumps = new Map<number, number[]>();
  for (const { section, entrySize, from, to } of arch.jumpTables) {
    for (const table of model.sections.filter(({ name }) => name === section)) {
      const places = new Map<number, number>();
      for (const relocation of relocationsOf(model, table)) {
        const place = placeIn(code, relocation);
        if (isInside(place)) places.set(relocation.offset, indexOf(place));
      }
      for (const [offset, index] of places) {
        const target = offset % entrySize === from ? places.get(offset - from + to) : undefined;
        if (target !== undefined) jumps.set(index, [...(jumps.get(index) ?? []), target]);
      }
    }
  }
  const filled = relocationsOf(model, code).filter(({ type }) => arch.objectCode.relocatedPlace(type)?.mask !== 0);
  return {
    jumps,
    referred: new Set((referred ?? referredPlaces(model, code)).filter(isInside).map(indexOf)),
    filled: new Set(
      filled
        .map(({ offset }) => offset)
        .filter(isInside)
        .map(indexOf),
    ),
  };
}
