// What the kernel rewrites in a module's code by the module's own tables: jump labels, feature fixups.

import type { Architecture } from '../arch/arch.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { relocationsOf } from './loader-relocations.ts';

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
 * The ranges of a section of code that the kernel rewrites by the module's tables. Throws what `refuse` makes of the
 * words that say which table does not tell: the layout of a module is known to whoever makes it, so a plain number, or an
 * addend that leads out of the symbol's section, can lead into any code.
 */
export function rewrittenCode(
  arch: Architecture,
  model: ElfModel,
  code: Section,
  refuse: (message: string) => Error,
): RewrittenRange[] {
  const { rewriteTables, relocationKind } = arch;
  return rewriteTables.flatMap(({ section: name, entrySize, start, extent, alternative }) =>
    model.sections
      .filter((section) => section.name === name)
      .flatMap((table) => {
        const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
        const untold = () => refuse(`${name} of its module does not tell which words the kernel rewrites`);
        const at = new Map<number, Relocation>();
        for (const relocation of relocationsOf(model, table)) {
          // Of two that add to one place nobody can tell where they lead.
          if (at.has(relocation.offset)) throw untold();
          at.set(relocation.offset, relocation);
        }
        /** Where a member of an entry leads to. */
        const place = (entry: number, member: number): { section: Section; offset: number } | undefined => {
          const relocation = at.get(entry + member);
          if (!relocation?.symbol || !isSection(relocation.symbol.place)) return undefined;
          const { symbol, type, addend, offset } = relocation;
          if (offset + 4 > view.byteLength) throw untold();
          const relative = relocationKind(type)?.use === 'pc-relative-data';
          const added = symbol.value + (addend ?? BigInt(view.getInt32(offset, true)));
          return { section: relocation.symbol.place, offset: Number(added) - (relative ? member : 0) };
        };
        /** Where `bytes` that are rewritten begin, or end: in this code, or undefined where that is in other code. */
        const inCode = (entry: number, member: number, bytes = 0): number | undefined => {
          const found = place(entry, member);
          if (!found || found.offset < 0 || found.offset + bytes > found.section.data.length) throw untold();
          return found.section === code ? found.offset : undefined;
        };
        const alternativeOf = (entry: number): RewrittenRange['alternative'] => {
          if (!alternative) return 'none';
          const [first, behind] = [place(entry, alternative.start), place(entry, alternative.end)];
          if (!first || first.section !== behind?.section || behind.offset < first.offset) return 'unknown';
          return { section: first.section, from: first.offset, bytes: behind.offset - first.offset };
        };
        if (table.data.length !== Number(table.size) || table.data.length % entrySize !== 0) throw untold();
        return Array.from({ length: table.data.length / entrySize }, (_, n) => n * entrySize).flatMap(
          (entry): RewrittenRange[] => {
            if ('words' in extent) {
              const bytes = 4 * extent.words;
              const from = inCode(entry, start, bytes);
              return from === undefined ? [] : [{ from, bytes, alternative: alternativeOf(entry) }];
            }
            const [from, end] = [inCode(entry, start), inCode(entry, extent.end)];
            if (from === undefined && end === undefined) return [];
            if (from === undefined || end === undefined || end < from) throw untold();
            return [{ from, bytes: end - from, alternative: alternativeOf(entry) }];
          },
        );
      }),
  );
}
