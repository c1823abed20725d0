// The whole link is tested on the stock kernels (test/build.test.ts). Here: what is refused before anything is laid out, and
// that all reasons are said at once.

import { describe, expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STT_FUNC } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import { linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { ReasonError } from '../reason.ts';
import { linkPatch, type PatchInput } from './link-patch.ts';

/** `push {lr}; bl __gnu_mcount_nc; bx lr`, the smallest function with a call site. */
const words = Uint32Array.of(0xe52de004, 0xebfffffe, 0xe12fff1e);
const base = linkAddress(0xc0000000n);

const image = {
  kallsyms: [
    { name: 'old', type: 't', address: base },
    { name: 'next', type: 't', address: linkAddress(base + 12n) },
  ],
  exports: new Map(),
  symbol: () => undefined,
  isInitMemory: () => false,
  enclosing: () => ({ name: 'old', start: base, end: linkAddress(base + 12n) }),
  bytes: () => new Uint8Array(words.buffer),
} as unknown as KernelImage;

function input(change: Partial<PatchInput>, section = '.text'): PatchInput {
  const object = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  const text = newSection(section, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(words.buffer.slice(0)));
  object.sections.push(text);
  object.symbols.push(newSymbol('mine', { place: text, type: STT_FUNC, size: 12n }));
  return {
    arch: arm,
    sources: { image, core: new Map(), furtherSymbols: new Map() },
    abi: {} as ModuleAbi,
    callSites: [{ address: linkAddress(base + 4n), function: base, name: 'old' }],
    selfModified: { words: [], unknown: [] },
    object,
    name: 'patch',
    replacements: [{ newName: 'mine', oldName: 'old', sympos: 0 }],
    ...change,
  };
}

const codesOf = (given: PatchInput): string[] => {
  try {
    linkPatch(given);
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons.map(({ code }) => code);
    throw error;
  }
  return [];
};

describe('linking refuses', () => {
  it('the entry way where there is none, or where the kernel rewrites the first word', () => {
    const { entryWay, ...without } = arm;
    expect(codesOf(input({ arch: without, way: 'entry' }))).toEqual(['way-missing']);
    expect(codesOf(input({ way: 'entry', selfModified: { words: [base], unknown: [] } }))).toEqual(['entry-rewritten']);
    const endless = { ...entryWay!, hindrance: () => 'it loops' };
    expect(codesOf(input({ arch: { ...arm, entryWay: endless }, way: 'entry' }))).toEqual(['entry-in-use']);
  });

  it('two functions that replace the same one', () => {
    const replacements = [
      { newName: 'mine', oldName: 'old', sympos: 0 },
      { newName: 'mine', oldName: 'old', sympos: 1 },
    ];
    expect(codesOf(input({ replacements }))).toEqual(['replaced-twice']);
  });

  it('the same function by two of its names', () => {
    const replacements = ['old', 'alias'].map((oldName) => ({ newName: 'mine', oldName, sympos: 0 }));
    const kallsyms = [...image.kallsyms, { name: 'alias', type: 'T', address: base }];
    const sources = { image: { ...image, kallsyms } as KernelImage, core: new Map(), furtherSymbols: new Map() };
    expect(codesOf(input({ replacements, sources }))).toEqual(['replaced-twice']);
  });

  it('a copy that the compiler made', () => {
    const replacements = [{ newName: 'mine', oldName: 'old.isra.0', sympos: 0 }];
    expect(codesOf(input({ replacements }))).toEqual(['compiler-made-copy']);
  });

  it('more functions than the core takes', () => {
    const replacements = Array.from({ length: 4097 }, (_, i) => ({ newName: 'mine', oldName: `f${i}`, sympos: 0 }));
    expect(codesOf(input({ replacements }))).toContain('patch-too-large');
  });

  it('a new function in memory that is given back', () => {
    expect(codesOf(input({}, '.init.text'))).toEqual(['init-text']);
  });

  it('code that refers to what is gone once the patch is loaded', () => {
    const given = input({});
    const table = newSection('.init.data', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(4));
    const symbol = newSymbol('table', { place: table });
    given.object.sections.push(table);
    given.object.symbols.push(symbol);
    given.object.sections[0]!.relocations.push({ offset: 0, type: 2, symbol, addend: undefined });
    expect(codesOf(given)).toEqual(['init-text']);
  });

  it.each(['___ksymtab_gpl+mine', '.init_array', '.initcall6.init'])(
    'a section that means nothing in a patch: %s',
    (name) => {
      const given = input({});
      given.object.sections.push(newSection(name, SHT_PROGBITS, SHF_ALLOC, new Uint8Array(4)));
      expect(codesOf(given)).toEqual(['fix-unsupported']);
    },
  );

  it('a license of its own', () => {
    const given = input({});
    const info = new TextEncoder().encode('license=Proprietary\0license=GPL\0');
    given.object.sections.push(newSection('.modinfo', SHT_PROGBITS, SHF_ALLOC, info));
    expect(codesOf(given)).toEqual(['fix-unsupported']);
  });

  it('an old function of which the kernel rewrites most', () => {
    const selfModified = { words: [base], unknown: [] };
    expect(codesOf(input({ selfModified }))).toEqual(['self-modified-unknown']);
  });

  it('a name that a patched module and vmlinux both keep to themselves', () => {
    const own = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
    const code = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(words.buffer.slice(0)));
    own.symbols.push(newSymbol('next', { place: code, type: STT_FUNC, size: 12n }));
    const target = { name: 'target', arch: arm, buildId: Uint8Array.of(1), model: own };
    const given = input({ targets: new Map([['target', target]]) });
    const used = newSymbol('next');
    given.object.symbols.push(used);
    given.object.sections[0]!.relocations.push({ offset: 4, type: 28, symbol: used, addend: undefined });
    expect(codesOf(given)).toContain('name-ambiguous');
  });

  it('a function of a module that was not given', () => {
    const replacements = [{ newName: 'mine', oldName: 'theirs', sympos: 0, module: 'target' }];
    expect(codesOf(input({ replacements }))).toEqual(['target-missing']);
  });

  it('for every reason at once', () => {
    const replacements = ['one', 'two'].map((oldName) => ({ newName: 'mine', oldName, sympos: 0 }));
    const given = input({ replacements });
    given.object.symbols.push(newSymbol('nothing_of_this_name'));
    given.object.sections[0]!.relocations.push({
      offset: 0,
      type: 28,
      symbol: given.object.symbols[1],
      addend: undefined,
    });
    expect(codesOf(given)).toEqual(['name-missing', 'name-missing', 'data-address-unknown']);
  });
});
