// What the kernel's own unwind index says of a function: whether it was compiled, or follows the procedure call standard as compiled
// code does.
//
// The index has an entry of two words for each function, sorted by address: the distance to its start, and how to unwind from
// it (EHABI32, IHI 0038, section 6). gcc writes one for all that it compiles, and assembly that is called as C is says the same by
// `.fnstart`. What has none is other assembly, or data in the text, which the linker gives an entry that forbids unwinding. Of
// Debian's 6.1.176-1 (armmp) no function with a call of mcount is so, and 479 symbols of the text without one are.
//
// kallsyms of a kernel without KALLSYMS_ALL does not say where the index is. It lies between the text and the init text
// (arch/arm/kernel/vmlinux.lds.S, Linux 6.1), and nothing else there is thousands of entries that rise.

import type { LinkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { EXIDX_CANTUNWIND, entrySize } from './unwind-index.ts';

/** The smallest kernels have some thousand functions. */
const fewestEntries = 1000;

/** Where each entry's code starts, in order, and what the entry says. */
interface Index {
  readonly starts: Uint32Array;
  readonly rules: Uint32Array;
}

const known = new WeakMap<KernelText, Index | undefined>();

/**
 * Whether the kernel's unwinder can tell the caller of what runs at a link-time address; undefined if the kernel has no index
 * (UNWINDER_FRAME_POINTER).
 */
export function isUnwound(kernel: KernelText, address: LinkAddress): boolean | undefined {
  if (!known.has(kernel)) known.set(kernel, findIndex(kernel));
  const index = known.get(kernel);
  if (!index) return undefined;
  let [low, high] = [0, index.starts.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (index.starts[middle]! <= Number(address)) low = middle + 1;
    else high = middle;
  }
  return low > 0 && index.rules[low - 1] !== EXIDX_CANTUNWIND;
}

/** The longest run of words that can be an index. */
function findIndex(kernel: KernelText): Index | undefined {
  const [from, to, textStart] = [kernel.symbol('_etext'), kernel.symbol('_sinittext'), kernel.symbol('_stext')];
  if (from === undefined || to === undefined || textStart === undefined || to <= from) return undefined;
  const bytes = kernel.bytes(from, Number(to - from));
  if (!bytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [base, text] = [Number(from), Number(textStart)];
  /** The start of an entry's code if it lies in the text, else 0. Bit 0 says Thumb. */
  const start = (at: number): number => {
    const word = view.getUint32(at, true);
    const target = (base + at + ((word << 1) >> 1)) & ~1;
    return word >>> 31 === 0 && target >>> 0 >= text && target >>> 0 < base ? target >>> 0 : 0;
  };
  let best = { at: 0, entries: 0 };
  for (const phase of [0, 4]) {
    let [first, last] = [phase, 0];
    for (let at = phase; at + entrySize <= bytes.length; at += entrySize) {
      const target = start(at);
      if (target <= last) first = target === 0 ? at + entrySize : at;
      last = target;
      const entries = (at - first) / entrySize + 1;
      if (target !== 0 && entries > best.entries) best = { at: first, entries };
    }
  }
  if (best.entries < fewestEntries) return undefined;
  const place = (_: unknown, i: number): number => best.at + entrySize * i;
  const places = Array.from({ length: best.entries }, place);
  return {
    starts: Uint32Array.from(places, start),
    rules: Uint32Array.from(places, (at) => view.getUint32(at + 4, true)),
  };
}
