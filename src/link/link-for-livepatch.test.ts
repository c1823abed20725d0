// A module for the kernel's own livepatch must hold no address of the kernel: what is not exported is bound by its name, in the
// form of Documentation/livepatch/module-elf-format.rst. Loading one is tested on a kernel that has livepatch (test/kernels/).

import { describe, expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import {
  EM_PPC64,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHN_LIVEPATCH,
  SHT_PROGBITS,
  STT_FUNC,
  STT_OBJECT,
} from '../elf/constants.ts';
import { findSection, newModel, newSection, newSymbol, readElf } from '../elf/elf.ts';
import { linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import type { TargetModule } from '../kernel/target-module.ts';
import { ReasonError } from '../reason.ts';
import { lateSymbolName } from './late-symbols.ts';
import { hasLivepatch, linkForLivepatch } from './link-for-livepatch.ts';
import type { PatchInput } from './link-patch.ts';

const [R_PPC64_REL24, R_PPC64_ADDR64] = [10, 38];
const base = 0xc000000000000000n;
const at = (word: number) => linkAddress(base + BigInt(4 * word));

const abi: ModuleAbi = {
  vermagic: '6.1 ',
  structModuleSize: 64,
  structModuleAlign: 8,
  nameOffset: 0,
  initOffset: 56,
  exitOffset: 48,
  requiredSections: [],
  headerFlags: 2,
  modversions: false,
  modinfoKeys: [],
};

const exported = { crc: undefined, gplOnly: false, namespace: '', address: at(0) };
const image = {
  kallsyms: [
    { name: 'old', type: 't', address: at(0) },
    { name: 'twice', type: 't', address: at(8) },
    { name: 'hidden', type: 't', address: at(12) },
    { name: 'twice', type: 't', address: at(16) },
    { name: 'counter', type: 'd', address: at(20) },
  ],
  exports: new Map([['klp_enable_patch', { name: 'klp_enable_patch', ...exported }]]),
  symbol: () => undefined,
  enclosing: () => ({ name: 'old', start: at(0), end: at(8) }),
  bytes: () => new Uint8Array(32),
} as unknown as KernelImage;

/** A fix with one function that calls and reads what `symbols` names: functions first, then data. */
function input(
  calls: readonly ReturnType<typeof newSymbol>[],
  data: readonly ReturnType<typeof newSymbol>[],
): PatchInput {
  const object = newModel({ class: 64, type: 1, machine: EM_PPC64, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(64));
  const toc = newSection('.toc', SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, new Uint8Array(64));
  text.relocations = calls.map((symbol, i) => ({ offset: 8 * i, type: R_PPC64_REL24!, symbol, addend: 0n }));
  toc.relocations = data.map((symbol, i) => ({ offset: 8 * i, type: R_PPC64_ADDR64!, symbol, addend: 4n }));
  object.sections.push(text, toc);
  object.symbols.push(newSymbol('mine', { place: text, type: STT_FUNC, size: 64n }), ...calls, ...data);
  return {
    arch: ppc64le,
    sources: { image, core: new Map(), furtherSymbols: new Map() },
    abi,
    callSites: [{ address: at(1), function: at(0), name: 'old' }],
    selfModified: { words: [], unknown: ['everything'] },
    object,
    name: 'patch',
    replacements: [{ newName: 'mine', oldName: 'old', sympos: 0 }],
  };
}

const linked = (given: PatchInput) => readElf(linkForLivepatch(given).bytes, 'patch.ko');
/** Sections of relocations by name, each with its symbols. */
const tables = (model: ReturnType<typeof linked>) =>
  model.sections.flatMap(({ name, relocationTable }) =>
    relocationTable ? [[name, relocationTable.relocations.map(({ symbol }) => symbol!.name)]] : [],
  );
const codesOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons.map(({ code }) => code);
    throw error;
  }
  return [];
};

describe('a kernel', () => {
  it('has livepatch if it exports what enables patches', () => {
    expect(hasLivepatch(image)).toBe(true);
    expect(hasLivepatch({ exports: new Map() })).toBe(false);
  });
});

describe('a module for the kernel’s own livepatch', () => {
  it('says so, and depends on no core', () => {
    const info = readModinfo(findSection(linked(input([], [])), '.modinfo')!.data);
    expect(info).toContainEqual(['livepatch', 'Y']);
    expect(info).toContainEqual(['depends', '']);
    expect(findSection(linked(input([], [])), '.suture.patch')).toBeUndefined();
  });

  it('has what is not exported bound by its name, beside what the loader binds', () => {
    const model = linked(input([newSymbol('klp_enable_patch'), newSymbol('hidden')], [newSymbol('counter')]));
    expect(tables(model)).toEqual([
      ['.klp.rela.vmlinux..text', ['.klp.sym.vmlinux.hidden,0']],
      ['.klp.rela.vmlinux..toc', ['.klp.sym.vmlinux.counter,0']],
    ]);
    expect(findSection(model, '.text')!.relocations.map(({ symbol }) => symbol!.name)).toEqual(['klp_enable_patch']);
    const late = model.symbols.filter(({ name }) => name.startsWith('.klp.sym'));
    expect(late).toMatchObject(late.map(() => ({ value: 0n, place: { index: SHN_LIVEPATCH } })));
  });

  it('tells one of several by its number where the comparison with the image has told its address', () => {
    const place = ppc64le.boundFunctionPlace;
    const model = linked(
      input([newSymbol('twice', { value: at(16), place }), newSymbol('twice', { value: at(8), place })], []),
    );
    expect(tables(model)).toEqual([
      ['.klp.rela.vmlinux..text', ['.klp.sym.vmlinux.twice,2', '.klp.sym.vmlinux.twice,1']],
    ]);
  });

  it('has what is of a module bound when that comes, in data that may be written then', () => {
    const given = input([], []);
    const theirs = newModel(given.object.header);
    const data = newSection('.data', SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, new Uint8Array(8));
    theirs.sections.push(data);
    theirs.symbols.push(newSymbol('state', { place: data, type: STT_OBJECT, size: 8n }));
    const constants = newSection('.rodata', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(8));
    const symbol = newSymbol(lateSymbolName('theirs', 'state'));
    constants.relocations.push({ offset: 0, type: R_PPC64_ADDR64!, symbol, addend: 0n });
    given.object.sections.push(constants);
    given.object.symbols.push(symbol);
    const target: TargetModule = { name: 'theirs', buildId: new Uint8Array(20), model: theirs, rewritten: [] } as never;
    const model = linked({ ...given, targets: new Map([['theirs', target]]) });
    expect(tables(model)).toEqual([['.klp.rela.theirs..rodata', ['.klp.sym.theirs.state,0']]]);
    expect(findSection(model, '.rodata')!.flags & SHF_WRITE).toBe(SHF_WRITE);
  });

  it('is refused for data without a name', () => {
    expect(codesOf(() => linked(input([], [newSymbol('inside', { value: at(21), place: 'absolute' })])))).toEqual([
      'data-address-unknown',
    ]);
  });

  it('is refused for symbols of a module that is not there, functions that the kernel lacks, and copies gcc made', () => {
    const given = input([newSymbol(lateSymbolName('gone', 'f'))], []);
    expect(codesOf(() => linked(given))).toEqual(['target-missing']);
    const replacing = (oldName: string) => ({
      ...input([], []),
      replacements: [{ newName: 'mine', oldName, sympos: 0 }],
    });
    expect(codesOf(() => linked(replacing('missing')))).toEqual(['name-missing']);
    expect(codesOf(() => linked(replacing('old.isra.0')))).toEqual(['compiler-made-copy']);
  });

  it('is refused where modules have no relocations with addends', () => {
    expect(codesOf(() => linkForLivepatch({ ...input([], []), arch: arm }))).toEqual(['kernel-unsupported']);
  });
});
