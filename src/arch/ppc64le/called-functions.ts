// Which functions compiled code calls: those are called as the ABI has it, whatever they were made from.
//
// Of a function with a call of _mcount the compiler has made every word. What a `bl` of such a function leads to follows the ELF
// V2 ABI, or is one of the helpers that the compiler and inline assembly have an agreement of their own with, which go by their names
// (entry-redirect.ts). What it calls in turn does so too, if it makes a frame as the ABI wants it of who calls (section
// 2.2.2.1): assembly that calls places of its own does without. Of what nobody calls so, nothing in the image tells that it is no
// assembly, or data in the text.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import { ReasonError } from '../../reason.ts';
import type { KernelText } from '../arch.ts';
import { blDistance, findCallSites, isBl } from './call-sites.ts';

/** `b` with any target: outside of the function a sibling call, which is one as well. */
const isB = (word: number): boolean => (word & 0xfc000003) >>> 0 === 0x48000000;

/** stdu r1,-N(r1): makes a frame. */
const makesFrame = (word: number): boolean => (word & 0xffff8003) >>> 0 === 0xf8218001;

const known = new WeakMap<KernelText, ReadonlySet<LinkAddress>>();

/** The link-time addresses, global and local entries, that calls of compiled code lead to. */
export function calledFunctions(kernel: KernelText): ReadonlySet<LinkAddress> {
  const found = known.get(kernel) ?? findCalled(kernel);
  known.set(kernel, found);
  return found;
}

function findCalled(kernel: KernelText): ReadonlySet<LinkAddress> {
  // By their distance from here: offsets are numbers, addresses are not.
  const origin = kernel.textRanges[0]?.start ?? linkAddress(0n);
  const at = (offset: number): LinkAddress => linkAddress(origin + BigInt(offset));
  const called = new Set<number>();
  const read = new Set<LinkAddress>();
  const follow = (address: LinkAddress, isCompiled: boolean): void => {
    const caller = kernel.enclosing(address);
    if (!caller || read.has(caller.start)) return;
    read.add(caller.start);
    const bytes = kernel.bytes(caller.start, Number(caller.end - caller.start) & ~3);
    if (!bytes) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const words = Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(4 * i, true));
    if (!isCompiled && !words.some(makesFrame)) return;
    const base = Number(caller.start - origin);
    for (const [i, word] of words.entries()) {
      const target = 4 * i + blDistance(word);
      if (isBl(word) || (isB(word) && (target < 0 || target >= bytes.length))) called.add(base + target);
    }
  };
  for (const { address } of compiledSites(kernel)) follow(address, true);
  // A set goes on to what is added to it meanwhile.
  for (const offset of called) follow(at(offset), false);
  return new Set(Array.from(called, at));
}

/** The calls of _mcount; none on a kernel that is not compiled with them. */
function compiledSites(kernel: KernelText): { readonly address: LinkAddress }[] {
  try {
    return findCallSites(kernel);
  } catch (error) {
    if (error instanceof ReasonError) return [];
    throw error;
  }
}
