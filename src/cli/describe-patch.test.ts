// What is shown of a patch module is what a reviewer goes by: a branch must lead where the loader will lead it, and each
// kernel symbol that is reached past the exports must be named.

import { expect, test } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { SHF_ALLOC, SHN_LIVEPATCH, SHT_PROGBITS, STT_FILE, STT_FUNC } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import { linkAddress } from '../elf/units.ts';
import type { PatchModule } from '../kernel/read-patch-module.ts';
import { describePatch } from './describe-patch.ts';

/** R_ARM_JUMP24 (ELF for the Arm Architecture, section 5.6.1). */
const jump24 = 29;

test('a patch is described by what its bytes say', () => {
  const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x5000000 });
  const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(64));
  const mine = newSymbol('mine', { place: text, value: 16n, type: STT_FUNC });
  const helper = newSymbol('helper', { place: 'absolute', value: 0xc0001000n });
  model.symbols.push(
    newSymbol('fix.c', { place: 'absolute', type: STT_FILE }),
    mine,
    helper,
    newSymbol('table', { place: { index: SHN_LIVEPATCH }, value: 0xc0002000n }),
    newSymbol('printk', { place: 'undefined' }),
  );
  text.relocations.push(
    { offset: 36, type: jump24, symbol: mine, addend: undefined },
    { offset: 40, type: jump24, symbol: helper, addend: undefined },
  );
  const patch: PatchModule = {
    arch: arm,
    model,
    entry: undefined,
    name: 'p',
    vermagic: '6.1.0-50-armmp SMP mod_unload ',
    buildId: Uint8Array.of(1, 2),
    objects: [{ module: { name: 'm', buildId: Uint8Array.of(3) }, redirects: [], recipes: [] }],
    recipes: [
      {
        module: 'm',
        place: { section: text, offset: 4 },
        symbol: 'table',
        within: { section: '.data', offset: 12 },
        sympos: 0,
        addend: 0n,
        size: 4,
        pcRelative: false,
        shift: 0,
        range: 0,
        fields: [],
      },
    ],
    redirects: [
      {
        module: undefined,
        oldName: 'old',
        oldSympos: 0,
        oldAddress: linkAddress(0xc0100000n),
        oldWords: Uint32Array.of(1, 2, 3),
        masked: Uint32Array.of(1),
        site: 4,
        way: 'ftrace',
        stubSize: 12,
        newFunction: { section: text, offset: 16, name: 'mine' },
        // add sp, sp, #8; b; b
        stub: { section: text, offset: 32, words: Uint32Array.of(0xe28dd008, 0xeafffffe, 0xeafffffe) },
      },
    ],
  };
  const { redirects, ...rest } = describePatch(patch);
  expect(rest).toEqual({
    name: 'p',
    architecture: 'arm',
    kernel: '6.1.0-50-armmp',
    vermagic: patch.vermagic,
    buildId: patch.buildId,
    modules: [{ name: 'm', buildId: Uint8Array.of(3), redirects: 0, recipes: 0 }],
    recipes: [{ module: 'm', symbol: 'table (.data+0xc)', place: '.text+0x4', size: 4 }],
    unexported: [
      { name: 'helper', address: 0xc0001000n },
      { name: 'table', address: 0xc0002000n },
    ],
  });
  expect(redirects).toMatchObject([{ oldName: 'old', oldSize: 12, newName: 'mine', maskedWords: 1, way: 'ftrace' }]);
  expect(redirects[0]!.stub.map(({ text }) => text.replace(/\s+/, ' '))).toEqual([
    'add sp, sp, #8',
    'b new_function',
    'b helper',
  ]);
});
