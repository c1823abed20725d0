// What every loadable module has, patch or not: call sites for ftrace, modinfo, versions, `struct module`, and the sections
// that the kernel's loader asks for. Kbuild leaves this to modpost and a linker script.

import type { Architecture } from '../arch/arch.ts';
import { SHT_NOBITS, STB_GLOBAL, STB_LOCAL, STT_OBJECT, STT_SECTION } from '../elf/constants.ts';
import { findSection, newSection, newSymbol, setData } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { type Binding, coreModule } from './bind-symbols.ts';
import { callSiteTable, dataSection, modinfo, thisModule, versions } from './module-sections.ts';

export const thisModuleSymbol = '__this_module';

/** What a module says of itself in its modinfo that is not the same for all. */
type Modinfo = readonly (readonly [key: string, value: string])[];

/**
 * Completes a module. `object` is changed; `bound` says what its undefined symbols were bound to; `own` is its own modinfo,
 * that of a module for the core if it is left out.
 */
export function finishModule(
  object: ElfModel,
  name: string,
  arch: Architecture,
  abi: ModuleAbi,
  image: KernelImage,
  bound: ReadonlyMap<string, Binding>,
  own: Modinfo = [['depends', coreModule]],
): void {
  addCallSites(arch, object);
  const versions = versionsSection(arch, abi, image, bound);
  if (versions) object.sections.push(versions);
  addModinfo(object, name, abi, bound, own);
  addThisModule(arch, object, name, abi);
  addRequiredSections(object, abi);
  addLooseSymbols(object);
  object.header.flags = abi.headerFlags;
}

/**
 * The call sites that ftrace is told of, as the kernel's recordmcount chooses them (scripts/recordmcount.c, Linux 6.1): those
 * of `.exit.text` are left out, since that may not be loaded.
 */
export function listedCallSites(arch: Architecture, object: ElfModel): { section: Section; offset: number }[] {
  return object.sections
    .filter(({ name }) => name !== '.exit.text')
    .flatMap((section) => arch.moduleCallSites(section).map((offset) => ({ section, offset })));
}

function addCallSites(arch: Architecture, object: ElfModel): void {
  const sites = listedCallSites(arch, object).map(({ section, offset }) => ({
    symbol: sectionSymbol(object, section),
    offset,
  }));
  if (sites.length > 0) object.sections.push(callSiteTable(arch, sites));
}

/** `__versions` for what was bound; undefined for a kernel without versions. */
export function versionsSection(
  arch: Architecture,
  abi: ModuleAbi,
  image: KernelImage,
  bound: ReadonlyMap<string, Binding>,
): Section | undefined {
  if (!abi.modversions) return undefined;
  const crcs = new Map<string, number>();
  // The loader compares this one before it looks at any symbol (kernel/module/version.c, check_modstruct_version).
  const layout = image.exports.get('module_layout')?.crc;
  if (layout !== undefined) crcs.set('module_layout', layout);
  for (const [symbol, binding] of [...bound].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (binding.kind === 'exported' && binding.crc !== undefined) crcs.set(symbol, binding.crc);
  }
  return versions(arch, crcs);
}

function addModinfo(
  object: ElfModel,
  name: string,
  abi: ModuleAbi,
  bound: ReadonlyMap<string, Binding>,
  own: Modinfo,
): void {
  const namespaces = new Set([...bound.values()].flatMap((b) => (b.kind === 'exported' ? [b.namespace] : [])));
  namespaces.delete('');
  let section = findSection(object, '.modinfo');
  if (!section) {
    section = dataSection('.modinfo', new Uint8Array(), 1);
    object.sections.push(section);
  }
  const added = modinfo([
    ...[...namespaces].sort().map((namespace) => ['import_ns', namespace] as const),
    ...own,
    ['name', name],
    ['vermagic', abi.vermagic],
  ]);
  setData(section, Uint8Array.of(...section.data, ...added));
}

function addThisModule(arch: Architecture, object: ElfModel, name: string, abi: ModuleAbi): void {
  const defined = (wanted: string) => object.symbols.find((s) => s.name === wanted && s.place !== 'undefined');
  const section = thisModule(arch, abi, name, defined('init_module'), defined('cleanup_module'));
  object.sections.push(section);
  defineSymbol(object, thisModuleSymbol, section);
}

/** Gives a global object the whole of a section, whether or not the object refers to it already. */
export function defineSymbol(object: ElfModel, name: string, section: Section): ElfSymbol {
  let symbol = object.symbols.find((s) => s.name === name && s.place === 'undefined');
  if (!symbol) {
    symbol = newSymbol(name);
    object.symbols.push(symbol);
  }
  return Object.assign(symbol, {
    value: 0n,
    size: BigInt(section.size),
    binding: STB_GLOBAL,
    type: STT_OBJECT,
    place: section,
  });
}

function addRequiredSections(object: ElfModel, abi: ModuleAbi): void {
  for (const { name, type, flags, align, size } of abi.requiredSections) {
    if (findSection(object, name)) continue;
    const data = new Uint8Array(type === SHT_NOBITS ? 0 : size);
    object.sections.push(newSection(name, type, flags, data, { align, size }));
  }
}

/** Architectures make symbols of their own for unwind tables; whatever a relocation refers to must be in the table. */
export function addLooseSymbols(object: ElfModel): void {
  const known = new Set(object.symbols);
  for (const { relocations } of object.sections) {
    for (const { symbol } of relocations) {
      if (!symbol || known.has(symbol)) continue;
      known.add(symbol);
      object.symbols.push(symbol);
    }
  }
}

/** The symbol of a section, made if there is none. */
export function sectionSymbol(object: ElfModel, section: Section): ElfSymbol {
  const found = object.symbols.find((s) => s.type === STT_SECTION && s.place === section);
  if (found) return found;
  const made = newSymbol('', { binding: STB_LOCAL, type: STT_SECTION, place: section });
  object.symbols.push(made);
  return made;
}
