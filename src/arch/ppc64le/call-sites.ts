// Calls of mcount. The kernel is built with -mprofile-kernel: GCC puts the call at the very start of a function, before
// its frame, so that a hook sees the arguments where the caller left them.
//
//                          with a TOC              without               in a module (-mcmodel=large)
//     global entry         addis r2,r12,…                                ld    r2,-8(r12)
//                          addi  r2,r2,…                                 add   r2,r2,r12
//     local entry          mflr  r0                mflr  r0              mflr  r0
//                          bl    _mcount           bl    _mcount         bl    _mcount
//
// The two words before the local entry set r2, the pointer to the function's table of contents (TOC), from r12, which
// holds the global entry's address whenever a function is called through it (ELFv2 ABI 1.5, section 2.2.1, "Function
// Call Linkage Protocols"). A caller in the same module enters at the local entry, with r2 already right. Older compilers
// store the return address too, `std r0,16(r1)` between `mflr` and `bl`; no function of Debian's kernels has it, but
// ftrace takes it, and so do we.
//
// ftrace's `ip` is the address of the `bl` (arch/powerpc/kernel/trace/ftrace.c, Linux 6.1); while nobody traces it is a
// nop at run time. In the stock kernel `_mcount` alone is called so, never through a long-branch veneer of the linker's.

import type { Section } from '../../elf/model.ts';
import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import { reasonError } from '../../reason.ts';
import type { CallSite, FunctionText, KernelText } from '../arch.ts';
import { R_PPC64_REL24 } from './relocations.ts';

const mcount = '_mcount';

const MFLR_R0 = 0x7c0802a6;
const STD_R0_16_R1 = 0xf8010010;

/** Whether a word is `bl` with any target. */
export const isBl = (word: number) => (word & 0xfc000003) >>> 0 === 0x48000001;

/** What a `bl` adds to its own address, in bytes. */
export const blDistance = (word: number) => ((word & 0x03fffffc) << 6) >> 6;

const isBeforeCall = (word: number | undefined) => word === MFLR_R0 || word === STD_R0_16_R1;

/** Every call of `_mcount` in the image's text, in address order. Throws `kernel-incomplete` without that symbol. */
export function findCallSites(text: KernelText): CallSite[] {
  const target = text.symbol(mcount);
  if (target === undefined) {
    throw reasonError(
      'kernel-incomplete',
      mcount,
      'the kernel has no function of this name, so it was built without ftrace or without -mprofile-kernel',
    );
  }
  const sites: CallSite[] = [];
  for (const { start, end } of text.textRanges) {
    const size = Number(end - start);
    const bytes = text.bytes(start, size);
    if (!bytes) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const distance = Number(target - start);
    for (let at = 4; at + 4 <= size; at += 4) {
      const word = view.getUint32(at, true);
      if (!isBl(word) || at + blDistance(word) !== distance || !isBeforeCall(view.getUint32(at - 4, true))) continue;
      const address = linkAddress(start + BigInt(at));
      const enclosing = text.enclosing(address);
      if (enclosing) sites.push({ address, function: enclosing.start, name: enclosing.name });
    }
  }
  return sites;
}

/** Section offsets of the calls of `_mcount` in a relocatable object's text section, ascending. */
export function moduleCallSites(section: Section): number[] {
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  return section.relocations
    .filter(({ type, symbol, offset }) => {
      if (type !== R_PPC64_REL24 || symbol?.name !== mcount) return false;
      return offset >= 4 && offset + 4 <= view.byteLength && isBeforeCall(view.getUint32(offset - 4, true));
    })
    .map(({ offset }) => offset)
    .sort((a, b) => a - b);
}

/** Whether a word stands as GCC's calls of mcount do: any other call would lose the return address in r0. */
export const standsAsCallSite = (words: Uint32Array, index: number): boolean =>
  isBl(words[index] ?? 0) && isBeforeCall(words[index - 1]);

type SetUpWord = readonly [mask: number, value: number, text: string];

/** The pairs of words that set r2 from r12, as mask and value; displacements are free. */
const tocSetUps: readonly (readonly [SetUpWord, SetUpWord])[] = [
  [
    [0xffff0000, 0x3c4c0000, 'addis r2,r12,…'],
    [0xffff0000, 0x38420000, 'addi  r2,r2,…'],
  ],
  [
    [0xffff0003, 0xe84c0000, 'ld    r2,…(r12)'],
    [0xffffffff, 0x7c426214, 'add   r2,r2,r12'],
  ],
];

/** TOC set-up, `mflr r0`, `std r0,16(r1)`. */
const longestPrologue = 4;

/** How many words at a function's entry, the word `at`, set up its TOC pointer from its own address: 0 or 2. */
export const tocSetUpWords = (words: Uint32Array, at = 0): number =>
  words.length >= at + 2 && isTocSetUp(words[at]!, words[at + 1]!) ? 2 : 0;

function isTocSetUp(first: number, second: number): boolean {
  for (const [[firstMask, firstValue], [secondMask, secondValue]] of tocSetUps)
    if ((first & firstMask) >>> 0 === firstValue && (second & secondMask) >>> 0 === secondValue) return true;
  return false;
}

/**
 * Checks that nothing but the known prologue stands between a function's entry and its call site, so that at the site
 * every register but r0, r2 and LR is as the caller left it. Throws `prologue-unknown`.
 */
export function checkPrologue(old: FunctionText, site: LinkAddress): void {
  const index = Number(site - old.address) / 4;
  const { words } = old;
  const refuse = (what: string) =>
    reasonError(
      'prologue-unknown',
      old.name,
      `${what}, so what the code before the call of ${mcount} does is not known`,
      'Patch a caller of the function instead.',
    );
  if (!Number.isInteger(index) || !isBl(words[index] ?? 0)) {
    throw refuse(`there is no call at 0x${site.toString(16)}`);
  }
  // Behind some functions stand nameless bodies of overridden weak ones, with call sites of their own.
  if (index > longestPrologue) throw refuse('the call is far behind the entry, in code without a name');
  const move = index - (words[index - 1] === STD_R0_16_R1 ? 2 : 1);
  if (words[move] !== MFLR_R0) throw refuse('the words before the call are not mflr r0 and, at most, std r0,16(r1)');
  if (move !== 0 && !(move === 2 && isTocSetUp(words[0]!, words[1]!)))
    throw refuse('the function’s first words are not a TOC set-up');
}
