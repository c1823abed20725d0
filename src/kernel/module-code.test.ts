// Of ways into a function that its words do not show only the module tells; what it says decides what the function may do with
// its caller's frame.

import { expect, test } from 'vitest';
import type { Architecture } from '../arch/arch.ts';
import { arm } from '../arch/arm/arm.ts';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, SHT_RELA } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import { ModuleCode } from './module-code.ts';

const REL32 = 26;

test('The jumps within one function are those of all tables whose two places lie in it', () => {
  const { class: bits, machine } = ppc64le.elf;
  const model = newModel({ class: bits, machine, type: 1, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(64));
  const jumps = newSection('__jump_table', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(48));
  const faults = newSection('__ex_table', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(8));
  const symbol = newSymbol('', { type: 3, place: text });
  const to = (offset: number, place: number) => ({ offset, type: REL32, symbol, addend: BigInt(place) });
  // From +16 to +24 and +28; one that leaves the function; a fault at +20, in a second table of relocations.
  jumps.relocations.push(to(0, 16), to(4, 24), to(16, 16), to(20, 28), to(32, 16), to(36, 60));
  const further = newSection('.further', SHT_RELA, 0n);
  further.relocationTable = { target: faults, relocations: [to(0, 20), to(4, 28)] };
  model.sections.push(text, jumps, faults, further);
  const of = (arch: Architecture) => new ModuleCode(arch, model).waysIn(text, 16, 32, (message) => new Error(message));
  const { jumps: linked, referred: none } = of(ppc64le)!;
  expect(none).toBeUndefined();
  text.relocations.push(to(40, 60));
  const found = of(ppc64le)!;
  expect(linked).toEqual(found.jumps);
  expect([...found.jumps]).toEqual([
    [0, [2, 3, -1]],
    [1, [3]],
  ]);
  expect([...found.referred!].sort()).toEqual([0, 1, 2, 3]);
  // Two jump labels there cannot be at one place, so what they make of it is not known.
  expect(found.alternatives).toEqual([{ from: 0, to: 1, words: undefined }]);
  expect(of(arm)).toBeUndefined();
});
