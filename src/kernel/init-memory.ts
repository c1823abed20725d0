// The memory that a kernel gives back once it has started: what is there is nobody's, so nothing may be bound to it.

import type { LinkAddress } from '../elf/units.ts';

/**
 * Whether the kernel has given the memory at an address back. `symbol` tells the address of a name, as far as it is known.
 *
 * Linker scripts put it between `__init_begin` and `__init_end`: init text, init data, exit text (arch/…/kernel/vmlinux.lds.S,
 * Linux 6.1). kallsyms of a kernel without KALLSYMS_ALL has only `_sinittext` and `_einittext` of all that. Init data lies
 * behind init text and its end is not known then, so everything from there on counts. Two ranges never do: the text, and
 * the per-CPU area, whose symbols stand for offsets in the copy of each CPU (include/linux/percpu-defs.h).
 */
export function isInitMemory(address: LinkAddress, symbol: (name: string) => LinkAddress | undefined): boolean {
  const within = (from: string, to: string) => {
    const [start, end] = [symbol(from), symbol(to)];
    return start !== undefined && end !== undefined && address >= start && address < end;
  };
  if (within('_sinittext', '_einittext')) return true;
  if (within('_stext', '_etext') || within('__per_cpu_start', '__per_cpu_end')) return false;
  const start = symbol('__init_begin') ?? symbol('_sinittext');
  const end = symbol('__init_end');
  return start !== undefined && address >= start && (end === undefined || address < end);
}
