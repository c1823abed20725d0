// Where control goes on elsewhere in a function without a branch that its words show: a jump label that is switched on, an
// access to user memory that faults. A module's tables tell.

import type { Architecture } from '../arch/arch.ts';
import type { TableJumps } from '../arch/machine.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { relocationsOf } from './loader-relocations.ts';

/** The jumps within the code from one section offset to another, in words from its start. */
export function tableJumps(arch: Architecture, model: ElfModel, code: Section, start: number, end: number): TableJumps {
  const jumps = new Map<number, number[]>();
  for (const { section, entrySize, from, to } of arch.jumpTables) {
    for (const table of model.sections.filter(({ name }) => name === section)) {
      const places = new Map<number, number>();
      for (const { symbol, addend = 0n, offset } of relocationsOf(model, table)) {
        const place = Number((symbol?.value ?? 0n) + addend);
        if (symbol?.place === code && place >= start && place < end) places.set(offset, (place - start) >> 2);
      }
      for (const [offset, index] of places) {
        if (offset % entrySize !== from) continue;
        const target = places.get(offset - from + to);
        if (target === undefined) continue;
        const known = jumps.get(index);
        if (known) known.push(target);
        else jumps.set(index, [target]);
      }
    }
  }
  return jumps;
}
