// The entry way in Thumb-2 code: the first four bytes of the old function become `b.w new_function`.
//
// As in A32 code nothing has happened yet at a function's entry, and `b.w` changes nothing but the pc (ARM DDI 0406C, section
// A8.8.18): no stub, one instruction. An entry is in no IT block, for a call ends one (section A8.8.54: a branch is the last
// instruction of its block), so ITSTATE is 0 and the branch is not conditional. In memory, the two halfwords as one word:
//
//     11110 S imm10 | 10 J1 1 J2 imm11      b.w label (encoding T4): S:I1:I2:imm10:imm11:'0', counted from the pc, which is 4
//                                           bytes ahead; J1 = NOT(I1 EOR S), J2 = NOT(I2 EOR S)
//
// For a distance that is negative, S is 1, so J1 is I1 and J2 is I2; otherwise both are turned over: `flip`. It reaches 16 MB
// either way, and the module area is the 8 MB next below the kernel (MODULES_VADDR in arch/arm/include/asm/memory.h, Linux 6.1).
// Beyond that, an island goes on:
//
//     ldr.w pc, [pc]          @ the word behind: the pc reads as 4 bytes ahead, and an island begins at a multiple of 4
//     .word new_function      @ bit 0 set: the load goes on in Thumb code (LoadWritePC, section A2.3.2)
//
// What the branch replaces may be one instruction, two, or one and the first half of another one. So it must be kept that
//
// - nobody stands behind the first halfword while it is written. Who is inside the function holds the patch back, and nobody is
//   let run meanwhile; behind the branch nobody can come to stand there;
// - nobody comes there from elsewhere in the function. Every halfword is asked whether it could be a branch to one of the four
//   bytes, or read them, literals and second halves as well: that refuses some functions for nothing, and misses none;
// - the kernel does not rewrite any of the four bytes. A function that makes no frame begins with `push {lr}; bl
//   __gnu_mcount_nc`, whose second one ftrace rewrites: it cannot be redirected so. Behind `push {r4, lr}; push {lr}` its
//   `bl` is out of the way, and is not run with the new branch in place: what it would have popped, nobody has pushed;
// - it is one word of the patch table: a function at no multiple of 4 is refused. gcc aligns all but those that are cold.
//
// The kernel writes such a word by halves only where it crosses a word (`__patch_text_real`, arch/arm/kernel/patch.c, Linux 6.1),
// and one halfword alone for a number below 0xe800, which a word is whose first halfword is 0: refused as well.

import { linkAddress } from '../../../elf/units.ts';
import type { EntryWay, FunctionText, KernelText, Stub } from '../../arch.ts';
import { doubt, ownConventionByPlace, parked } from '../entry-redirect.ts';
import { isLeaving, isWide, nop, pcAhead, readBranch, readLiteral } from './instructions.ts';

/** What becomes a branch, in bytes. */
const branchSize = 4;

const halvesOf = (words: Uint32Array): number[] => [...words].flatMap((word) => [word & 0xffff, word >>> 16]);

/** What something in the function has to do with its first four bytes, beside calling it anew. */
function useOfEntry(words: Uint32Array): string | undefined {
  const halves = halvesOf(words);
  for (const [i, first] of halves.entries()) {
    const at = 2 * i;
    const second = halves[i + 1] ?? 0;
    const branch = readBranch(first, second, at);
    const target = branch ? at + branch.distance : -1;
    // A call of the function's own entry is one like any other.
    if (target >= (branch?.links && !branch.toA32 ? 1 : 0) && target < branchSize) return use(at, 'may lead back to');
    // Counted from where the function is 0, what lies before it is a huge number.
    const literal = readLiteral(first, second, at);
    if (literal && (literal.address + literal.size - 1) >>> 0 < branchSize + literal.size - 1) {
      return use(at, 'may read');
    }
  }
  return undefined;
}

const use = (at: number, what: string): string =>
  `what is at +0x${at.toString(16)} ${what} its first four bytes, if it is an instruction`;

/** An IT block makes up to four instructions behind it conditional (section A8.8.54); in halfwords. */
const longestItBlock = 8;

/** How far before a place literals are looked for, in bytes: as far as an `ldr` reaches, and some. */
const literalReach = 8192n;

/**
 * Whether control may come to a place from the code before it: unless what is there, padding aside, leaves in any case, or is a
 * literal that code before it loads.
 */
function mayBeRunInto(kernel: KernelText, address: bigint): boolean {
  const halfAt = (at: bigint): number | undefined => {
    const word = kernel.word(linkAddress(at & ~3n));
    return word === undefined ? undefined : (at & 2n) === 0n ? word & 0xffff : word >>> 16;
  };
  let at = address - 2n;
  while (halfAt(at) === nop) at -= 2n;
  const [before, last] = [halfAt(at - 2n), halfAt(at)];
  if (before === undefined || last === undefined) return false;
  if (!isWide(last) && isLeaving(last, 0) && !mayBeConditional(halfAt, at)) return false;
  if (isWide(before) && isLeaving(before, last) && !mayBeConditional(halfAt, at - 2n)) return false;
  // A halfword of zeros fills up behind literals.
  return last !== 0 && !isLiteral(kernel, halfAt, at);
}

/** Whether an instruction may belong to an IT block, whose first halfword is 1011 1111 firstcond mask: the mask says how many do. */
function mayBeConditional(halfAt: (at: bigint) => number | undefined, instruction: bigint): boolean {
  for (let back = 1; back < longestItBlock; back++) {
    const it = instruction - BigInt(2 * back);
    const half = halfAt(it) ?? 0;
    if (half >>> 8 !== 0xbf) continue;
    const count = [1, 2, 4, 8].findLastIndex((bit) => (half & (bit - 1)) === 0 && (half & 0xf) !== 0);
    let at = it + 2n;
    for (let left = 4 - count; left > 0 && at <= instruction; left--) {
      if (at === instruction && (half & 0xf) !== 0) return true;
      at += isWide(halfAt(at) ?? 0) ? 4n : 2n;
    }
  }
  return false;
}

/** Whether an instruction of the function that a place belongs to loads what is there. */
function isLiteral(kernel: KernelText, halfAt: (at: bigint) => number | undefined, place: bigint): boolean {
  const start = kernel.enclosing(linkAddress(place))?.start;
  if (start === undefined) return false;
  const from = place - start > literalReach ? place - literalReach : start;
  for (let at = from; at < place; at += 2n) {
    const read = readLiteral(halfAt(at) ?? 0, halfAt(at + 2n) ?? 0, Number(at));
    if (read && place >= read.address && place < read.address + read.size) return true;
  }
  return false;
}

function hindrance(text: FunctionText, kernel: KernelText | undefined): string | undefined {
  if (parked.test(text.name)) return 'processors that are switched off wait in it, and nobody sees them leave it';
  const own = kernel && ownConventionByPlace(text, kernel);
  if (own !== undefined) return own;
  if (kernel && mayBeRunInto(kernel, text.address))
    return 'the code before it may run into it, so it may be a place within a function of assembly';
  if (text.address % 4n !== 0n) return 'it begins at no multiple of 4, so what would become a branch is in two words';
  if ((text.words[0]! & 0xffff) === 0) return 'its first halfword is 0, and the kernel would write it back by halves';
  return useOfEntry(text.words);
}

export const entryWay: EntryWay = {
  branch: {
    word: 0x9000f000,
    addend: -pcAhead,
    range: 25,
    shift: 1,
    fields: [
      { from: 0, width: 11, to: 16 }, // imm11
      { from: 11, width: 10, to: 0 }, // imm10
      { from: 21, width: 1, to: 27 }, // I2, in J2
      { from: 22, width: 1, to: 29 }, // I1, in J1
      { from: 23, width: 1, to: 10 }, // S
    ],
    flip: 0x28000000,
  },
  island: {
    always: false,
    words: [
      { word: 0xf000f8df, text: 'ldr.w pc, [pc]' },
      { word: 0, text: '.word new_function', field: { from: 0, width: 32, to: 0 } },
    ],
  },
  site: () => 0,
  ofModules: true,
  hindrance,
  doubt,
  stub: (): Stub => ({ words: [], relocations: [] }),
};
