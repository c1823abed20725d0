// A patch module is laid out by what the kernel's own modules tell; if those do not agree, nothing may be laid out.

import { describe, expect, test } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS } from '../elf/constants.ts';
import { newModel, newSection, newSymbol, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import { ReasonError } from '../reason.ts';
import { learnModuleAbi } from './module-abi.ts';

interface MadeModule {
  readonly name: string;
  readonly vermagic?: string;
  readonly structSize?: number;
  readonly nameOffset?: number;
  readonly init?: number;
  readonly exit?: number;
  readonly flags?: number;
  readonly versions?: readonly string[];
  readonly plt?: boolean;
}

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];

function makeModule(made: MadeModule): { name: string; bytes: Uint8Array } {
  const {
    name,
    vermagic = '6.1.0-test SMP ',
    structSize = 192,
    nameOffset = 12,
    flags = 0x0500_0000,
    plt = true,
  } = made;
  const model: ElfModel = newModel({
    class: 32,
    type: 1,
    machine: 40,
    osAbi: 0,
    abiVersion: 0,
    entry: 0n,
    flags,
  });
  const pointer = (to: string, offset: number | undefined) => {
    if (offset === undefined) return [];
    const symbol: ElfSymbol = newSymbol(to);
    model.symbols.push(symbol);
    return [{ offset, type: arm.pointerRelocation, symbol, addend: undefined }];
  };
  const struct = new Uint8Array(structSize);
  struct.set(ascii(name), nameOffset);
  const info = ascii(`license=GPL\0name=${name}\0vermagic=${vermagic}\0`);
  model.sections.push(
    newSection('.modinfo', SHT_PROGBITS, SHF_ALLOC, Uint8Array.from(info)),
    newSection('.gnu.linkonce.this_module', SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, struct, {
      align: 64,
      relocations: [...pointer('init_module', made.init), ...pointer('cleanup_module', made.exit)],
    }),
    newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(8)),
  );
  if (plt) model.sections.push(newSection('.plt', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(1)));
  if (made.versions) {
    const table = new Uint8Array(64 * made.versions.length);
    made.versions.forEach((each, i) => {
      table.set(ascii(each), 64 * i + 4);
    });
    model.sections.push(newSection('__versions', SHT_PROGBITS, SHF_ALLOC, table));
  }
  return { name: `${name}.ko`, bytes: writeElf(model) };
}

const whole: MadeModule = { name: 'whole', init: 0x40, exit: 0x80, versions: ['module_layout', 'kfree'] };
const learn = (...modules: MadeModule[]) => learnModuleAbi(modules.map(makeModule), arm);

test('One module with init and exit tells all', () => {
  expect(learn(whole)).toEqual({
    vermagic: '6.1.0-test SMP ',
    structModuleSize: 192,
    structModuleAlign: 64,
    nameOffset: 12,
    initOffset: 0x40,
    exitOffset: 0x80,
    requiredSections: [{ name: '.plt', type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_EXECINSTR, align: 1, size: 1 }],
    headerFlags: 0x0500_0000,
    modversions: true,
    modinfoKeys: ['license', 'name', 'vermagic'],
  });
});

test('Init and exit may be told by different modules', () => {
  const { init: _, ...leaving } = { ...whole, name: 'leaving' };
  const { exit: __, ...staying } = { ...whole, name: 'staying' };
  expect(learn(leaving, staying)).toEqual(learn(whole));
});

test('A section that not all modules have is not one that the loader must find', () => {
  expect(learn(whole, { ...whole, name: 'other', plt: false }).requiredSections).toEqual([]);
});

test('Without MODVERSIONS there are no versions', () => {
  const { versions: _, ...unversioned } = whole;
  expect(learn(unversioned).modversions).toBe(false);
});

describe('Modules that do not agree are refused', () => {
  test.each<[string, Partial<MadeModule>]>([
    ['vermagic', { vermagic: '6.1.0-other SMP ' }],
    ['structModuleSize', { structSize: 256 }],
    ['nameOffset', { nameOffset: 16 }],
    ['initOffset', { init: 0x44 }],
    ['exitOffset', { exit: 0x84 }],
    ['headerFlags', { flags: 0x0500_0200 }],
  ])('%s', (what, change) => {
    expect(() => learn(whole, { ...whole, name: 'odd', ...change })).toThrow(new RegExp(`odd.ko: its ${what} is`));
  });
});

test('Modules that do not tell enough are refused', () => {
  expect(() => learn()).toThrow(/none to learn from/);
  expect(() => learn()).toThrow(
    expect.objectContaining({ reasons: [expect.objectContaining({ code: 'module-abi-unknown' })] }),
  );
  expect(() => learn({ name: 'builtin_like', versions: ['module_layout'] })).toThrow(/an init and an exit function/);
  expect(() => learn({ ...whole, versions: ['kfree'] })).toThrow(/module_layout among them/);
  expect(() => learn({ ...whole, nameOffset: 0, name: '' })).toThrow(ReasonError);
  const cut = makeModule(whole).bytes.subarray(0, 200);
  expect(() => learnModuleAbi([{ name: 'cut.ko', bytes: cut }], arm)).toThrow(ReasonError);
});
