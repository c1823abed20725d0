// What a module exports to others, read from its file: the tables of exports.ts, before they are linked to an address.

import { cString, findSection } from '../elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';

export interface ModuleExport {
  readonly name: string;
  /** Undefined where the kernel has no versions (MODVERSIONS=n). */
  readonly crc: number | undefined;
  readonly gplOnly: boolean;
  /** Empty for none. */
  readonly namespace: string;
}

/** The exports of a module by name, in the order of its tables; entries that lead nowhere are left out. */
export function moduleExports(module: ElfModel): Map<string, ModuleExport> {
  const tables = [
    { suffix: '', gplOnly: false },
    { suffix: '_gpl', gplOnly: true },
  ];
  return new Map(
    tables.flatMap(({ suffix, gplOnly }) => {
      const table = findSection(module, `__ksymtab${suffix}`);
      const crcs = findSection(module, `__kcrctab${suffix}`);
      return table ? tableExports(module, table, crcs, gplOnly) : [];
    }),
  );
}

function tableExports(
  module: ElfModel,
  table: Section,
  crcs: Section | undefined,
  gplOnly: boolean,
): [string, ModuleExport][] {
  const word = module.header.class / 8;
  const entrySize = 3 * word;
  const byOffset = new Map(table.relocations.map((relocation) => [relocation.offset, relocation]));
  const crcView = crcs && new DataView(crcs.data.buffer, crcs.data.byteOffset, crcs.data.byteLength);
  const found: [string, ModuleExport][] = [];
  for (let i = 0; (i + 1) * entrySize <= table.data.length; i++) {
    const name = textAt(table, byOffset.get(i * entrySize + word));
    const namespace = textAt(table, byOffset.get(i * entrySize + 2 * word)) ?? '';
    if (!name) continue;
    const crc = crcView && (i + 1) * 4 <= crcView.byteLength ? crcView.getUint32(i * 4, true) : undefined;
    found.push([name, { name, crc, gplOnly, namespace }]);
  }
  return found;
}

/** The string that a pointer's relocation leads to. */
function textAt(table: Section, relocation: Relocation | undefined): string | undefined {
  const symbol = relocation?.symbol;
  if (!relocation || !symbol || typeof symbol.place !== 'object' || !('data' in symbol.place)) return undefined;
  const inPlace = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
  const addend = relocation.addend ?? BigInt(inPlace.getUint32(relocation.offset, true));
  return cString(symbol.place.data, Number(symbol.value + addend));
}
