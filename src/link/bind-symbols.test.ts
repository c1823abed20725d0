// An undefined symbol bound to the wrong thing is a wild pointer in a kernel; what cannot be bound must be named.

import { describe, expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STB_LOCAL } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import { ReasonError } from '../reason.ts';
import { type Binding, bindSymbol, bindSymbols, type SymbolSources, unsupportedRelocations } from './bind-symbols.ts';

const address = (value: bigint): LinkAddress => linkAddress(value);

const image = {
  exports: new Map([
    ['printk', { name: 'printk', crc: 0x1234, gplOnly: false, namespace: '', address: address(0xc0000010n) }],
    ['spaced', { name: 'spaced', crc: 7, gplOnly: true, namespace: 'NS', address: address(0xc0000020n) }],
  ]),
  kallsyms: [
    { name: 'static_one', type: 't', address: address(0xc0001000n) },
    { name: 'twice', type: 't', address: address(0xc0002000n) },
    { name: 'twice', type: 't', address: address(0xc0003000n) },
    { name: 'all_data', type: 'd', address: address(0xc0004000n) },
    { name: 'starter', type: 't', address: address(0xc0008010n) },
  ],
  symbol: (name: string) =>
    ({ _sinittext: address(0xc0008000n), _einittext: address(0xc0008800n), __init_end: address(0xc0009000n) })[name],
} as unknown as KernelImage;

const sources = (further: Record<string, LinkAddress[]> = {}): SymbolSources => ({
  image,
  core: new Map([['suture_enable_patch', 99]]),
  furtherSymbols: new Map(Object.entries(further)),
});

const codeOf = (task: () => unknown): string => {
  try {
    task();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
  return 'none';
};

describe('an undefined symbol', () => {
  it('that is exported is left to the loader, with its CRC and namespace', () => {
    expect(bindSymbol(sources(), 'printk')).toEqual({ kind: 'exported', crc: 0x1234, namespace: '', module: '' });
    expect(bindSymbol(sources(), 'spaced')).toMatchObject({ kind: 'exported', namespace: 'NS' });
  });

  it('of the core is left to the loader too', () => {
    expect(bindSymbol(sources(), 'suture_enable_patch')).toMatchObject({ kind: 'exported', crc: 99, module: 'suture' });
  });

  it('that is a static function gets its address', () => {
    expect(bindSymbol(sources(), 'static_one')).toEqual({ kind: 'function', address: 0xc0001000n });
  });

  it('that is data gets its address from a System.map or an unstripped vmlinux', () => {
    expect(bindSymbol(sources({ counter: [address(0xc0009000n)] }), 'counter')).toEqual({
      kind: 'data',
      address: 0xc0009000n,
    });
  });

  it('that is data gets its address from kallsyms too, if that has data', () => {
    expect(bindSymbol(sources({ all_data: [address(0xc0004000n)] }), 'all_data')).toEqual({
      kind: 'data',
      address: 0xc0004000n,
    });
  });

  it('that is in memory which the kernel has given back is refused, function or data', () => {
    expect(codeOf(() => bindSymbol(sources(), 'starter'))).toBe('init-text');
    expect(codeOf(() => bindSymbol(sources({ setup: [address(0xc0008900n)] }), 'setup'))).toBe('init-text');
    // A System.map tells where that memory begins.
    const told = { early: [address(0xc0007f00n)], __init_begin: [address(0xc0007000n)] };
    expect(codeOf(() => bindSymbol(sources(told), 'early'))).toBe('init-text');
    expect(codeOf(() => bindSymbol(sources({ early: told.early }), 'early'))).toBe('none');
  });

  it('that names several things is refused', () => {
    expect(codeOf(() => bindSymbol(sources(), 'twice'))).toBe('name-ambiguous');
    expect(codeOf(() => bindSymbol(sources({ two: [address(1n), address(2n)] }), 'two'))).toBe('name-ambiguous');
    // A function in kallsyms, and a variable of the same name in another file.
    expect(codeOf(() => bindSymbol(sources({ static_one: [address(1n)] }), 'static_one'))).toBe('name-ambiguous');
  });

  it('that names nothing known is refused by what could be known', () => {
    expect(codeOf(() => bindSymbol(sources(), 'nothing'))).toBe('data-address-unknown');
    // The image knows all functions, so what is called and is not there is no data.
    expect(codeOf(() => bindSymbol(sources(), 'nothing', true))).toBe('name-missing');
    expect(codeOf(() => bindSymbol(sources({ other: [address(1n)] }), 'nothing'))).toBe('name-missing');
  });
});

/** An object with one relocation against `symbol` in a section. */
function objectWith(sectionName: string, type: number, symbol: string): ElfModel {
  const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  const section = newSection(sectionName, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(8));
  const undefinedSymbol = newSymbol(symbol);
  model.sections.push(section);
  model.symbols.push(newSymbol('own', { place: section, binding: STB_LOCAL }), undefinedSymbol);
  section.relocations.push({ offset: 4, type, symbol: undefinedSymbol, addend: undefined });
  return model;
}

/** R_ARM_CALL and R_ARM_ABS32 are taken by the loader; R_ARM_GOT_PREL is not (arch/arm/kernel/module.c). */
const [R_ARM_ABS32, R_ARM_CALL, R_ARM_GOT_PREL] = [2, 28, 96];

describe('binding an object', () => {
  it('gives a static function’s symbol its address, and leaves what the linker supplies itself', () => {
    const model = objectWith('.text', R_ARM_CALL, 'static_one');
    model.symbols.push(newSymbol('suture_patch_table'));
    const bound = bindSymbols(model, arm, sources(), ['suture_patch_table'], (work) => work());
    expect([...bound.keys()]).toEqual(['static_one']);
    expect(model.symbols[1]).toMatchObject({ value: 0xc0001000n, place: 'absolute' });
    expect(model.symbols[2]!.place).toBe('undefined');
  });

  it('finds nothing wrong with what the loader takes', () => {
    const model = objectWith('.text', R_ARM_CALL, 'static_one');
    const bound = bindSymbols(model, arm, sources(), [], (work) => work());
    expect(unsupportedRelocations(model, arm, bound)).toEqual([]);
  });

  it('refuses a relocation that the loader does not take, with its place', () => {
    const model = objectWith('.text', R_ARM_GOT_PREL, 'printk');
    expect(unsupportedRelocations(model, arm, new Map())).toMatchObject([
      { code: 'relocation-unsupported', place: '.text+0x4' },
    ]);
  });

  it('refuses a bound address where the loader itself would follow it', () => {
    const bound = new Map<string, Binding>([['key', { kind: 'data', address: address(0xc0009000n) }]]);
    expect(unsupportedRelocations(objectWith('__jump_table', R_ARM_ABS32, 'key'), arm, bound)).toMatchObject([
      { code: 'relocation-unsupported', place: '__jump_table+0x4' },
    ]);
    expect(unsupportedRelocations(objectWith('.init_array', R_ARM_ABS32, 'key'), arm, bound)).toHaveLength(1);
    expect(unsupportedRelocations(objectWith('.data', R_ARM_ABS32, 'key'), arm, bound)).toEqual([]);
    expect(unsupportedRelocations(objectWith('.rodata.str', R_ARM_ABS32, 'key'), arm, bound)).toEqual([]);
  });
});
