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

/** From one section offset to another. */
interface Jump {
  readonly offset: number;
  readonly to: number;
}

/** What is asked of a section again for each function in it; whoever proves many knows it already. */
export interface KnownOfCode {
  /** The jumps that tables tell of. */
  readonly jumps: readonly Jump[];
  /** Places that are referred to, and relocations, of the code that is asked about; that of others does no harm. */
  readonly referred: readonly number[];
  readonly relocations: readonly Relocation[];
}

/** The jumps within a section that the module's tables tell of, by where they start. */
export function jumpsIn(arch: Architecture, model: ElfModel, code: Section): Jump[] {
  const jumps: Jump[] = [];
  for (const { section, entrySize, from, to } of arch.jumpTables) {
    for (const table of model.sections.filter(({ name }) => name === section)) {
      const places = new Map<number, number>();
      for (const relocation of relocationsOf(model, table)) {
        const place = placeIn(code, relocation);
        if (place !== undefined) places.set(relocation.offset, place);
      }
      for (const [offset, place] of places) {
        const target = offset % entrySize === from ? places.get(offset - from + to) : undefined;
        if (target !== undefined) jumps.push({ offset: place, to: target });
      }
    }
  }
  return jumps.sort((a, b) => a.offset - b.offset);
}

/** The ways into the code from one section offset up to another, undefined where they are not known, or nobody asks. */
export function waysIn(
  arch: Architecture,
  model: ElfModel,
  code: Section,
  start: number,
  end: number,
  known?: KnownOfCode,
): WaysIn | undefined {
  if (arch.jumpTables.length === 0) return undefined;
  const relocations = known?.relocations ?? relocationsOf(model, code);
  // Code without any relocation was linked before, as that of an image: its tables are elsewhere.
  if (!known && relocations.length === 0) return undefined;
  const isInside = (place: number): boolean => place >= start && place < end;
  const indexOf = (place: number): number => (place - start) >> 2;
  const jumps = new Map<number, number[]>();
  for (const { offset, to } of known?.jumps ?? jumpsIn(arch, model, code)) {
    if (!isInside(offset) || !isInside(to)) continue;
    const targets = jumps.get(indexOf(offset)) ?? [];
    targets.push(indexOf(to));
    jumps.set(indexOf(offset), targets);
  }
  const filled = relocations.filter(({ type }) => arch.objectCode.relocatedPlace(type)?.mask !== 0);
  return {
    jumps,
    referred: new Set((known?.referred ?? referredPlaces(model, code)).filter(isInside).map(indexOf)),
    filled: new Set(
      filled
        .map(({ offset }) => offset)
        .filter(isInside)
        .map(indexOf),
    ),
  };
}
