// What makes a livepatch module with symbols of other objects out of a module that only says extern: the relocations of such
// symbols in sections of their own (Documentation/livepatch/module-elf-format.rst, Linux 6.1). Mainline has the format and
// no tool that makes it from C.

import type { Architecture } from '../../src/arch/arch.ts';
import { SHF_ALLOC, SHF_INFO_LINK, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH, SHT_RELA } from '../../src/elf/constants.ts';
import { findSymbol, newSection, readElf, writeElf } from '../../src/elf/elf.ts';
import type { Relocation } from '../../src/elf/model.ts';

/** `symbols`: the undefined symbols, and what each is: `OBJECT.NAME,SYMPOS`. */
export function withKlpRelocations(
  arch: Architecture,
  bytes: Uint8Array,
  symbols: Readonly<Record<string, string>>,
): Uint8Array {
  const model = readElf(bytes.slice(), 'module');
  for (const [name, meaning] of Object.entries(symbols)) {
    const symbol = findSymbol(model, name);
    if (!symbol) throw new Error(`nothing refers to ${name}`);
    symbol.name = `.klp.sym.${meaning}`;
    symbol.place = { index: SHN_LIVEPATCH };
    const [object] = meaning.split('.');
    for (const section of model.sections.filter(({ flags }) => (flags & SHF_ALLOC) !== 0n)) {
      const moved = section.relocations.filter((relocation) => relocation.symbol === symbol);
      if (moved.length === 0) continue;
      section.relocations = section.relocations.filter((relocation) => !moved.includes(relocation));
      const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
      const relocations = moved.map((each): Relocation => {
        const inPlace = () => arch.addendInPlace(each.type, view.getUint32(each.offset, true))!;
        return { ...each, addend: each.addend ?? inPlace() };
      });
      const tableName = `.klp.rela.${object}.${section.name}`;
      let table = model.sections.find((each) => each.name === tableName);
      if (!table) {
        table = newSection(tableName, SHT_RELA, SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH);
        table.relocationTable = { target: section, relocations: [] };
        table.info = section;
        model.sections.push(table);
      }
      table.relocationTable!.relocations.push(...relocations);
    }
  }
  return writeElf(model);
}
