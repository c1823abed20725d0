// What a kernel's module loader expects of a module, learned from the modules that came with the kernel.
//
// `struct module` has a size and places of its members that depend on the configuration, and the loader refuses a module
// whose own struct is of another size (kernel/module/main.c, 6.1). Every module carries one, all zero but for its name,
// and two relocations say where the pointers to init and exit are. So a handful of modules tells all that is
// needed, without headers and without a compiler; and since all modules of a kernel were built alike, any two that
// disagree show that something else is wrong.

import type { Architecture } from '../arch/arch.ts';
import { SHF_ALLOC, SHT_NOTE } from '../elf/constants.ts';
import { cString, findSection, readElf } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { reasonError } from '../reason.ts';
import { readModinfo } from './modinfo.ts';

/** A section that the loader looks for and fills itself. Its contents are zero bytes. */
export interface RequiredSection {
  readonly name: string;
  /** sh_type, sh_flags, sh_addralign, sh_size. */
  readonly type: number;
  readonly flags: bigint;
  readonly align: number;
  readonly size: number;
}

export interface ModuleAbi {
  /** The string that a module's must equal, or but for its first word where there are versions. */
  readonly vermagic: string;
  /** In bytes, of `.gnu.linkonce.this_module`. */
  readonly structModuleSize: number;
  readonly structModuleAlign: number;
  /** Byte offsets in `struct module` of `name`, and of the pointers to the functions for loading and unloading. */
  readonly nameOffset: number;
  readonly initOffset: number;
  readonly exitOffset: number;
  /** Those without which the loader refuses a module, and their like: empty in every module. */
  readonly requiredSections: readonly RequiredSection[];
  /** e_flags. */
  readonly headerFlags: number;
  /** Whether modules carry `__versions`, the CRCs of what they import. */
  readonly modversions: boolean;
  /** Keys of `.modinfo` that every module has. */
  readonly modinfoKeys: readonly string[];
}

const thisModule = '.gnu.linkonce.this_module';
const versions = '__versions';

/** `struct modversion_info` (include/linux/module.h): an unsigned long with the CRC, and the rest for the name. */
const versionEntrySize = 64;

/** The loader's own version stands among them, first or not: `module_layout`. */
const layoutSymbol = 'module_layout';

/** What one module tells; undefined where it has no such function. */
interface Told extends Omit<ModuleAbi, 'initOffset' | 'exitOffset' | 'requiredSections'> {
  readonly initOffset: number | undefined;
  readonly exitOffset: number | undefined;
  readonly emptySections: ReadonlyMap<string, RequiredSection>;
}

/**
 * Learns from modules of one kernel, unpacked; a dozen is plenty, and at least one must have an init and one an exit
 * function. `name` is what errors call a module.
 * Throws `module-abi-unknown` when they do not tell enough, or contradict each other; and what `readElf` throws.
 */
export function learnModuleAbi(
  modules: Iterable<{ readonly name: string; readonly bytes: Uint8Array }>,
  arch: Architecture,
): ModuleAbi {
  let first: Told | undefined;
  let initOffset: number | undefined;
  let exitOffset: number | undefined;
  let sections: readonly RequiredSection[] = [];
  let modinfoKeys: readonly string[] = [];
  for (const { name, bytes } of modules) {
    const told = whatModuleTells(readElf(bytes, name), name, arch);
    first ??= told;
    for (const key of [
      'vermagic',
      'structModuleSize',
      'structModuleAlign',
      'nameOffset',
      'headerFlags',
      'modversions',
    ] as const)
      agree(name, key, first[key], told[key]);
    initOffset = agree(name, 'initOffset', initOffset, told.initOffset);
    exitOffset = agree(name, 'exitOffset', exitOffset, told.exitOffset);
    sections =
      told === first
        ? [...told.emptySections.values()]
        : sections.filter((each) => same(each, told.emptySections.get(each.name)));
    modinfoKeys = told === first ? told.modinfoKeys : modinfoKeys.filter((key) => told.modinfoKeys.includes(key));
  }
  if (!first) throw unknown('modules', 'there are none to learn from');
  if (initOffset === undefined || exitOffset === undefined)
    throw unknown('modules', 'none of those looked at has an init and an exit function, so their places stay unknown');
  const { emptySections: _, ...agreed } = first;
  return { ...agreed, initOffset, exitOffset, requiredSections: sections, modinfoKeys };
}

function whatModuleTells(module: ElfModel, name: string, arch: Architecture): Told {
  if (module.header.machine !== arch.elf.machine || module.header.class !== arch.elf.class)
    throw unknown(name, `it is not a module for ${arch.platform.name}`);
  const section = (wanted: string): Section => {
    const found = findSection(module, wanted);
    if (!found) throw unknown(name, `it has no section ${wanted}`);
    return found;
  };
  const modinfo = readModinfo(section('.modinfo').data);
  const vermagic = modinfo.find(([key]) => key === 'vermagic')?.[1];
  if (vermagic === undefined) throw unknown(name, 'its .modinfo has no vermagic');

  const struct = section(thisModule);
  const nameOffset = struct.data.findIndex((byte) => byte !== 0);
  const ownName = modinfo.find(([key]) => key === 'name')?.[1];
  if (nameOffset < 0 || (ownName !== undefined && cString(struct.data, nameOffset) !== ownName))
    throw unknown(name, `the first thing in its ${thisModule} is not its name`);
  const pointerTo = (symbol: string) => struct.relocations.find((each) => each.symbol?.name === symbol)?.offset;

  const table = findSection(module, versions);
  if (table && !versionNames(table, arch).includes(layoutSymbol))
    throw unknown(name, `its ${versions} are not entries of ${versionEntrySize} bytes with ${layoutSymbol} among them`);
  return {
    vermagic,
    structModuleSize: struct.size,
    structModuleAlign: struct.align,
    nameOffset,
    initOffset: pointerTo('init_module'),
    exitOffset: pointerTo('cleanup_module'),
    emptySections: new Map(module.sections.filter(isEmpty).map((each) => [each.name, described(each)])),
    headerFlags: module.header.flags,
    modversions: table !== undefined,
    modinfoKeys: [...new Set(modinfo.map(([key]) => key))],
  };
}

function versionNames({ data }: Section, arch: Architecture): (string | undefined)[] {
  const crcSize = arch.elf.class / 8;
  const count = data.length / versionEntrySize;
  return Array.from({ length: Math.floor(count) }, (_, i) => cString(data, i * versionEntrySize + crcSize));
}

/** In memory, but with nothing in it. Linker scripts cannot make a section of no bytes in every case, so one zero will do. */
function isEmpty({ type, flags, size, data, relocations }: Section): boolean {
  const nothing = size === 0 || (size === 1 && data.every((byte) => byte === 0));
  return (flags & SHF_ALLOC) !== 0n && type !== SHT_NOTE && nothing && relocations.length === 0;
}

const described = ({ name, type, flags, align, size }: Section): RequiredSection => ({
  name,
  type,
  flags,
  align,
  size,
});

const same = (a: RequiredSection, b: RequiredSection | undefined): boolean =>
  a.type === b?.type && a.flags === b.flags && a.align === b.align && a.size === b.size;

/** One of two that must be the same, where both are known. */
function agree<T>(name: string, what: string, known: T | undefined, told: T | undefined): T | undefined {
  if (known !== undefined && told !== undefined && known !== told)
    throw unknown(name, `its ${what} is ${told}, that of the modules before it ${known}`);
  return known ?? told;
}

function unknown(place: string, message: string) {
  return reasonError(
    'module-abi-unknown',
    place,
    message,
    'Give the modules that came with this kernel, all of the same build.',
  );
}
