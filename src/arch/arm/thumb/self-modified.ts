// How a kernel in Thumb-2 code is read for the words that it rewrites in itself (`../self-modified.ts`, which says by which tables).
//
// A jump label is `nop.w` or `b.w` (arch/arm/include/asm/jump_label.h, WASM(nop)); what depends on where memory begins is the
// immediate of a `movw`, with LPAE of a `mov` or `mvn` too (arch/arm/kernel/phys2virt.S; Linux 6.1). Either may stand at a
// halfword, and is then in two words.

import { linkAddress } from '../../../elf/units.ts';
import type { KernelText, SelfModified } from '../../arch.ts';
import { BuiltConstants, type CodeReader, type Constant, selfModifiedBy } from '../self-modified.ts';
import { pcAhead, readBranch, readConstant, wideNop } from './instructions.ts';

const halves = (word: number): [first: number, second: number] => [word & 0xffff, word >>> 16];
const wordAt = (text: KernelText, address: number): number | undefined => text.word(linkAddress(BigInt(address)));

/** As in A32 code, but that each halfword is taken for one that an instruction begins with: a table must make sense anyway. */
function constantsIn(text: KernelText, start: number, end: number): Constant[] {
  const constants = new BuiltConstants();
  for (let address = start; address < end; address += 2) {
    const word = wordAt(text, address);
    if (word === undefined) break;
    const constant = readConstant(...halves(word), address);
    if (!constant) continue;
    const { register } = constant;
    if (constant.kind === 'low') constants.set(register, constant.value);
    else if (constant.kind === 'high') constants.setHigh(register, constant.value);
    else if (constant.kind === 'add-pc') constants.add(register, address + pcAhead);
    else {
      const literal = wordAt(text, constant.value);
      if (literal !== undefined) constants.set(register, literal);
    }
  }
  return constants.all;
}

function isBranchTo(word: number, address: number, target: number): boolean {
  const branch = readBranch(...halves(word), address);
  return branch !== undefined && !branch.links && (address + branch.distance) >>> 0 === target;
}

const reader: CodeReader = {
  step: 2,
  constantsIn,
  isJumpLabel(word, address, target) {
    const [first, second] = halves(word);
    return (first === wideNop.first && second === wideNop.second) || isBranchTo(word, address, target);
  },
  isBranchTo,
  hasOffsetOfMemory(word) {
    const [first, second] = halves(word);
    // MOVW; MOV, MVN (immediate) T2: 11110 i 000 1 0 0 1111, with bit 5 for MVN (sections A8.8.102, A8.8.115)
    return second >>> 15 === 0 && ((first & 0xfbf0) === 0xf240 || (first & 0xfbdf) === 0xf04f);
  },
};

export const selfModified = (text: KernelText): SelfModified => selfModifiedBy(text, reader);
