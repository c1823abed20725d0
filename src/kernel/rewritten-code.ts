// What the kernel rewrites in a module's code by the module's own tables: jump labels, feature fixups.

import type { Architecture } from '../arch/arch.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { relocationTables } from './loader-relocations.ts';
import { listIn } from './places.ts';

/** Bytes of a section, from a section offset on. */
export interface RewrittenRange {
  readonly from: number;
  readonly bytes: number;
  /** Where the words are that may take their place, nops behind them: nowhere, or not known where. */
  readonly alternative: SectionRange | 'none' | 'unknown';
}

interface SectionRange {
  readonly section: Section;
  readonly from: number;
  readonly bytes: number;
}

/**
 * The ranges of each section of code that the kernel rewrites by the module's tables. Throws what `refuse` makes of the
 * words that say which table does not tell: the layout of a module is known to whoever makes it, so a plain number, or an
 * addend that leads out of the symbol's section, can lead into any code. Each table is read once, however much code there is.
 */
export function rewrittenCode(
  arch: Architecture,
  model: ElfModel,
  refuse: (message: string) => Error,
): Map<Section, RewrittenRange[]> {
  const { rewriteTables, relocationKind } = arch;
  const named = new Map(rewriteTables.map((table) => [table.section, table]));
  const tables = new Set(model.sections.filter(({ name }) => named.has(name)));
  const relocations = new Map<Section, Map<number, Relocation>>();
  const found = new Map<Section, RewrittenRange[]>();
  const untold = (name: string) => refuse(`${name} of its module does not tell which words the kernel rewrites`);
  for (const { target, relocations: of } of tables.size > 0 ? relocationTables(model) : []) {
    if (!tables.has(target)) continue;
    const at = relocations.get(target) ?? new Map<number, Relocation>();
    relocations.set(target, at);
    for (const relocation of of) {
      // Of two that add to one place nobody can tell where they lead.
      if (at.has(relocation.offset)) throw untold(target.name);
      at.set(relocation.offset, relocation);
    }
  }
  for (const table of tables) {
    const { entrySize, start, extent, alternative } = named.get(table.name)!;
    const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
    /** Where a member of an entry leads to. */
    const place = (entry: number, member: number): { section: Section; offset: number } | undefined => {
      const relocation = relocations.get(table)?.get(entry + member);
      if (!relocation?.symbol || !isSection(relocation.symbol.place)) return undefined;
      const { symbol, type, addend, offset } = relocation;
      if (offset + 4 > view.byteLength) throw untold(table.name);
      const relative = relocationKind(type)?.use === 'pc-relative-data';
      const added = symbol.value + (addend ?? BigInt(view.getInt32(offset, true)));
      return { section: relocation.symbol.place, offset: Number(added) - (relative ? member : 0) };
    };
    /** Where `bytes` that are rewritten begin, or end. */
    const inCode = (entry: number, member: number, bytes = 0): { section: Section; offset: number } => {
      const to = place(entry, member);
      if (!to || to.offset < 0 || to.offset + bytes > to.section.data.length) throw untold(table.name);
      return to;
    };
    const alternativeOf = (entry: number): RewrittenRange['alternative'] => {
      if (!alternative) return 'none';
      const [first, behind] = [place(entry, alternative.start), place(entry, alternative.end)];
      if (!first || first.section !== behind?.section || behind.offset < first.offset) return 'unknown';
      return { section: first.section, from: first.offset, bytes: behind.offset - first.offset };
    };
    if (table.data.length !== Number(table.size) || table.data.length % entrySize !== 0) throw untold(table.name);
    for (let entry = 0; entry < table.data.length; entry += entrySize) {
      const words = 'words' in extent ? 4 * extent.words : undefined;
      const { section, offset: from } = inCode(entry, start, words);
      const end = 'words' in extent ? undefined : inCode(entry, extent.end);
      if (end && (end.section !== section || end.offset < from)) throw untold(table.name);
      const bytes = words ?? end!.offset - from;
      listIn(found, section).push({ from, bytes, alternative: alternativeOf(entry) });
    }
  }
  return found;
}
