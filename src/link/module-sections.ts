// The sections that a loadable module has beside its code: what modpost and the kernel's link step would have added.

import type { Architecture } from '../arch/arch.ts';
import { SHF_ALLOC, SHF_WRITE, SHT_PROGBITS } from '../elf/constants.ts';
import { cString, newSection } from '../elf/elf.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/model.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { reasonError } from '../reason.ts';

/** A section of data in memory. */
export function dataSection(name: string, data: Uint8Array, align: number, writable = false): Section {
  return newSection(name, SHT_PROGBITS, writable ? SHF_ALLOC | SHF_WRITE : SHF_ALLOC, data, { align });
}

/**
 * Makes the pointer-size place at a section offset point at `symbol + addend`, by a relocation. With REL the addend stands
 * in the place itself, so it is written there.
 */
export function putPointer(arch: Architecture, section: Section, offset: number, symbol: ElfSymbol, addend = 0): void {
  const relocation: Relocation = { offset, type: arch.pointerRelocation, symbol, addend: undefined };
  if (arch.elf.rela) relocation.addend = BigInt(addend);
  else new DataView(section.data.buffer, section.data.byteOffset).setUint32(offset, addend, true);
  section.relocations.push(relocation);
}

/** The bytes of `.modinfo`: `key=value`, each ended by a NUL. */
export function modinfo(entries: readonly (readonly [key: string, value: string])[]): Uint8Array {
  return new TextEncoder().encode(entries.map(([key, value]) => `${key}=${value}\0`).join(''));
}

const versionEntrySize = 64;

/** What `versions` below writes, read back: a CRC by name. */
export function readVersions(arch: Architecture, data: Uint8Array): Map<string, number> {
  const word = arch.elf.class / 8;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const crcs = new Map<string, number>();
  for (let at = 0; at + versionEntrySize <= data.length; at += versionEntrySize) {
    const name = cString(data.subarray(at, at + versionEntrySize), word);
    if (name) crcs.set(name, view.getUint32(at, true));
  }
  return crcs;
}

/**
 * `__versions`: one `struct modversion_info` (include/linux/module.h, 6.1) a symbol, an unsigned long with the CRC and the
 * name in what is left of 64 bytes. The kernel looks for `module_layout` too.
 */
export function versions(arch: Architecture, crcs: ReadonlyMap<string, number>): Section {
  const entrySize = versionEntrySize;
  const word = arch.elf.class / 8;
  const data = new Uint8Array(crcs.size * entrySize);
  const view = new DataView(data.buffer);
  let at = 0;
  for (const [name, crc] of crcs) {
    const text = new TextEncoder().encode(name);
    if (text.length >= entrySize - word) {
      throw reasonError('relocation-unsupported', name, `a name of ${text.length} bytes does not fit into __versions`);
    }
    view.setUint32(at, crc, true);
    data.set(text, at + word);
    at += entrySize;
  }
  return dataSection('__versions', data, word);
}

/**
 * `.gnu.linkonce.this_module`, the module's own `struct module`, of which only the name and the two functions are filled in.
 * The symbol `__this_module` is for whoever defines it.
 */
export function thisModule(
  arch: Architecture,
  abi: ModuleAbi,
  name: string,
  init: ElfSymbol | undefined,
  exit: ElfSymbol | undefined,
): Section {
  const section = dataSection(
    '.gnu.linkonce.this_module',
    new Uint8Array(abi.structModuleSize),
    abi.structModuleAlign,
    true,
  );
  section.data.set(new TextEncoder().encode(name), abi.nameOffset);
  if (init) putPointer(arch, section, abi.initOffset, init);
  if (exit) putPointer(arch, section, abi.exitOffset, exit);
  return section;
}

/** `__mcount_loc`: where ftrace finds the module's call sites. `sites` are offsets in sections that have a symbol. */
export function callSiteTable(
  arch: Architecture,
  sites: readonly { readonly symbol: ElfSymbol; readonly offset: number }[],
): Section {
  const word = arch.elf.class / 8;
  const section = dataSection('__mcount_loc', new Uint8Array(sites.length * word), word);
  sites.forEach((site, i) => {
    putPointer(arch, section, i * word, site.symbol, site.offset);
  });
  return section;
}
