// What a module leaves to the kernel's own livepatch to bind (Documentation/livepatch/module-elf-format.rst, Linux 6.1):
//
//     .klp.sym.OBJECT.NAME,SYMPOS   a symbol with the section index SHN_LIVEPATCH: NAME of OBJECT, whose symbols of that
//                                   name are counted from 1 in kallsyms order; 0 where there is one
//     .klp.rela.OBJECT.SECTION      the relocations of SECTION against such symbols, which are applied when OBJECT is
//                                   there, for vmlinux as the module is loaded
//
// So no address stands in the module: the kernel finds each by its name, and refuses the module if it has none.

import type { Architecture } from '../arch/arch.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_INFO_LINK,
  SHF_RELA_LIVEPATCH,
  SHF_WRITE,
  SHN_LIVEPATCH,
  SHT_RELA,
  STB_GLOBAL,
} from '../elf/constants.ts';
import { isSection, newSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import { symbolsNamed } from '../kernel/old-function.ts';
import { findTargetSymbol, type TargetModule } from '../kernel/target-module.ts';
import { type Attempt, reasonError } from '../reason.ts';
import { lateSymbol, lateSymbolName, targetOf, vmlinux } from './late-symbols.ts';

/**
 * Sees that the modules have what a module refers to by names of that form, and returns these names. `attempt` keeps
 * `target-missing`, `name-missing`, `name-ambiguous`, `init-text`.
 */
export function checkLateSymbols(
  { symbols }: ElfModel,
  targets: ReadonlyMap<string, TargetModule>,
  attempt: Attempt,
): string[] {
  const late = symbols.flatMap(({ name }) => lateSymbol(name) ?? []);
  for (const { object, name, sympos } of late) {
    if (object !== vmlinux) attempt(() => findTargetSymbol(targetOf(object, targets), name, sympos));
  }
  return symbols.flatMap(({ name }) => (lateSymbol(name) ? [name] : []));
}

/**
 * Turns every reference to an address of the kernel, and to a symbol of a module (`lateSymbolName`), into what the kernel's
 * livepatch binds. `attempt` runs a step and keeps its reasons: `data-address-unknown` for an address that has no name.
 */
export function leaveToLivepatch(model: ElfModel, arch: Architecture, image: KernelImage, attempt: Attempt): void {
  for (const section of model.sections.filter(({ flags }) => (flags & SHF_ALLOC) !== 0n)) {
    const tables = new Map<string, Relocation[]>();
    section.relocations = section.relocations.filter((relocation) => {
      const symbol = relocation.symbol;
      const object = symbol && attempt(() => objectOf(symbol, arch, image));
      if (object === undefined) return true;
      tables.set(object, [...(tables.get(object) ?? []), relocation]);
      // What is of a module may be written late, so it goes where the patch's module may write; into code the kernel patches.
      if (object !== vmlinux && (section.flags & SHF_EXECINSTR) === 0n) section.flags |= SHF_WRITE;
      return false;
    });
    model.sections.push(...[...tables].map(([object, relocations]) => table(object, section, relocations)));
  }
}

/** The object that is to bind a symbol, which is given its name there; undefined where the loader or the module itself does. */
function objectOf(symbol: ElfSymbol, arch: Architecture, image: KernelImage): string | undefined {
  const known = lateSymbol(symbol.name)?.object;
  if (known === undefined && !isAddress(symbol, arch)) return undefined;
  if (known === undefined) symbol.name = nameOfAddress(symbol, image);
  Object.assign(symbol, { value: 0n, binding: STB_GLOBAL, place: { index: SHN_LIVEPATCH } });
  return known ?? vmlinux;
}

/** Whether a symbol was bound to an address of the kernel (`bindSymbols`, `ImagePlaces`). */
const isAddress = ({ place, value }: ElfSymbol, { boundFunctionPlace }: Architecture): boolean =>
  value !== 0n &&
  (place === 'absolute' ||
    (typeof place === 'object' &&
      !isSection(place) &&
      typeof boundFunctionPlace === 'object' &&
      place.index === boundFunctionPlace.index));

/** The symbol of kallsyms at an address, the one of the same name if there are several. */
function nameOfAddress({ name, value }: ElfSymbol, image: KernelImage): string {
  const address = linkAddress(value);
  const sameName = symbolsNamed(image.kallsyms, name);
  const found = sameName.find((each) => each.address === address)
    ? name
    : image.kallsyms.find((each) => each.address === address)?.name;
  if (found === undefined || /[,\s]/.test(found)) {
    throw reasonError(
      'data-address-unknown',
      name,
      `kallsyms has no symbol at 0x${value.toString(16)}, and the kernel's livepatch finds things by their names`,
      'reach it through another symbol, or put a copy of it into the fix',
    );
  }
  const all = symbolsNamed(image.kallsyms, found);
  const position = all.findIndex((each) => each.address === address);
  return lateSymbolName(vmlinux, found, all.length > 1 ? position + 1 : 0);
}

function table(object: string, target: Section, relocations: Relocation[]): Section {
  const flags = SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH;
  const name = `.klp.rela.${object}.${target.name}`;
  return newSection(name, SHT_RELA, flags, undefined, { relocationTable: { target, relocations }, align: 8 });
}
