// What a module's unwind tables say of a piece of its code, as the kernel's unwinder will find it.
//
// An index table (EHABI32, IHI 0038, section 6) has an entry of two words for each function: the distance to its start, and how
// to unwind from it. It is sorted, and an entry holds up to the next one's start. The loader takes every section of the
// type for a table of the section that it is named after, `.ARM.exidx` before the name of the code, `.ARM.exidx` alone for
// `.text` (module_finalize in arch/arm/kernel/module.c, Linux 6.1); the unwinder looks in the first table whose code an
// address is in (unwind_find_idx in arch/arm/kernel/unwind.c).
//
// A stub runs with a stack that is half the old function's and half the caller's: nothing that a table can say is right
// at each of its instructions. So each must be said to be one that cannot be unwound. What stands before a stub is
// looked at, too: the graph tracer unwinds from the word before the address that the hook goes on at.

import { SHF_ALLOC, SHT_ARM_EXIDX } from '../../elf/constants.ts';
import type { ElfModel, Section } from '../../elf/model.ts';
import type { UnwindingOf } from '../arch.ts';
import { R_ARM_PREL31 } from './relocations.ts';

const prefix = '.ARM.exidx';
/** Two words. */
export const entrySize = 8;
/** The second word of an entry whose code must not be unwound (EHABI32, section 6). */
export const EXIDX_CANTUNWIND = 1;
/** Keeps a personality routine in the link, and changes nothing. */
const R_ARM_NONE = 0;

/** An entry: where in the code it begins to hold, and whether it forbids unwinding. */
interface Entry {
  readonly start: number;
  readonly forbids: boolean;
}

/** `Architecture.unwindingOf`. */
export const unwindingOf: UnwindingOf = (model, isWritten) => {
  const known = new Map<Section, readonly Entry[] | string>();
  return (code, from, to) => {
    const entries = known.get(code) ?? readIndex(model, code, isWritten);
    known.set(code, entries);
    if (typeof entries === 'string') return entries;
    if (from < 0) return `what stands before it is not in ${code.name}, so who unwinds from there looks elsewhere`;
    const next = after(entries, from);
    for (let i = next - 1; i < entries.length && (entries[i]?.start ?? from) < to; i++)
      if (!entries[i]?.forbids) return 'it is not said of all its words that they cannot be unwound';
    return undefined;
  };
};

/** The number of the first entry that begins behind a place. */
function after(entries: readonly Entry[], place: number): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.start <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The entries for a section of code, or why they cannot be told. */
function readIndex(
  model: ElfModel,
  code: Section,
  isWritten: (section: Section) => boolean,
): readonly Entry[] | string {
  if (model.sections.some((each) => each !== code && each.name === code.name))
    return `there are several sections ${code.name}: which of them an unwind table is for cannot be told`;
  const tables = model.sections.filter(({ type, flags }) => type === SHT_ARM_EXIDX && (flags & SHF_ALLOC) !== 0n);
  const stray = tables.find(({ name }) => !name.startsWith(prefix));
  if (stray) return `which code the unwind table ${stray.name} is for cannot be told`;
  const own = tables.filter(({ name }) => (name === prefix ? '.text' : name.slice(prefix.length)) === code.name);
  const [table] = own;
  if (!table || own.length > 1) return `${own.length} unwind tables are for ${code.name}, and one is needed`;
  const changed = isWritten(table) || model.sections.some(({ relocationTable }) => relocationTable?.target === table);
  if (changed || table.data.length % entrySize !== 0) return `what ${table.name} says once it is loaded cannot be told`;

  const starts = new Map<number, number>();
  const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
  const changedWords = new Set<number>();
  for (const { type, offset, symbol, addend } of table.relocations) {
    if (type === R_ARM_NONE) continue;
    if (changedWords.has(offset) || offset % 4 !== 0 || offset + 4 > table.data.length)
      return `the loader changes ${table.name} at 0x${offset.toString(16)} in a way that cannot be told`;
    changedWords.add(offset);
    if (type !== R_ARM_PREL31 || addend !== undefined || symbol?.place !== code) continue;
    // Of a place that keeps its own addend in 31 bits.
    starts.set(offset, Number(symbol.value) + ((view.getInt32(offset, true) << 1) >> 1));
  }
  const entries: Entry[] = [];
  for (let at = 0; at < table.data.length; at += entrySize) {
    const start = starts.get(at);
    if (start === undefined || start <= (entries.at(-1)?.start ?? -1))
      return `the entries of ${table.name} are not all for ${code.name} and in its order`;
    const forbids = view.getUint32(at + 4, true) === EXIDX_CANTUNWIND && !changedWords.has(at + 4);
    entries.push({ start, forbids });
  }
  return entries;
}
