// What the kernel rewrites in a module's code by the module's own tables: jump labels, feature fixups.

import type { Architecture } from '../arch/arch.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { relocationsOf } from './loader-relocations.ts';

/** Bytes of a section, from a section offset on. */
export interface RewrittenRange {
  readonly from: number;
  readonly bytes: number;
}

/**
 * The ranges of a section of code that the kernel rewrites by the module's tables. Throws what `refuse` makes of the
 * words that say which table does not tell.
 */
export function rewrittenCode(
  arch: Architecture,
  model: ElfModel,
  code: Section,
  refuse: (message: string) => Error,
): RewrittenRange[] {
  const { rewriteTables, relocationKind } = arch;
  return rewriteTables.flatMap(({ section: name, entrySize, start, extent }) =>
    model.sections
      .filter((section) => section.name === name)
      .flatMap((table) => {
        const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
        const untold = () => refuse(`${name} of its module does not tell which words the kernel rewrites`);
        const targetOf = ({ symbol, type, addend, offset }: Relocation, member: number): number | undefined => {
          if (symbol?.place !== code) return undefined;
          if (offset + 4 > view.byteLength) throw untold();
          const relative = relocationKind(type)?.use === 'pc-relative-data';
          return Number(symbol.value + (addend ?? BigInt(view.getInt32(offset, true)))) - (relative ? member : 0);
        };
        const at = new Map<number, Relocation>();
        for (const relocation of relocationsOf(model, table)) {
          // Of two that add to one place nobody can tell where they lead.
          if (at.has(relocation.offset)) throw untold();
          at.set(relocation.offset, relocation);
        }
        return [...at.values()]
          .filter(({ offset }) => offset % entrySize === start)
          .flatMap((relocation): RewrittenRange[] => {
            const from = targetOf(relocation, start);
            if ('words' in extent) return from === undefined ? [] : [{ from, bytes: 4 * extent.words }];
            const behind = at.get(relocation.offset - start + extent.end);
            const end = behind && targetOf(behind, extent.end);
            if (from === undefined && end === undefined) return [];
            if (from === undefined || end === undefined || end < from) throw untold();
            return [{ from, bytes: end - from }];
          });
      }),
  );
}
