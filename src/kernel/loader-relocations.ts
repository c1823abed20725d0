// The relocations that the kernel's loader applies to a module.

import { SHF_RELA_LIVEPATCH } from '../elf/constants.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';

/** Relocations of one section. */
export interface RelocationTable {
  readonly target: Section;
  readonly relocations: readonly Relocation[];
}

/** All tables of relocations that the loader applies, in the order of the file: there may be several for one section. */
export function* relocationTables(model: ElfModel): Generator<RelocationTable> {
  for (const section of model.sections) {
    yield { target: section, relocations: section.relocations };
    // Those for livepatch are left alone where the kernel has none.
    if (section.relocationTable && (section.flags & SHF_RELA_LIVEPATCH) === 0n) yield section.relocationTable;
  }
}

/** Those that change one section, whichever table they stand in. */
export function relocationsOf(model: ElfModel, section: Section): readonly Relocation[] {
  const tables = [...relocationTables(model)].filter(({ target }) => target === section);
  return tables.length === 1 ? tables[0]!.relocations : tables.flatMap(({ relocations }) => relocations);
}
