// What linked Thumb-2 code shows of its relocations; what data shows is the same as in A32 code (`../linked-code.ts`). "ELF for
// the Arm Architecture" (IHI 0044), section 4.6.1: S the symbol, A the addend, P the place, T the bit of a function's symbol.
//
//   type                      operation         where the result stands                    REL: A as it stands there
//   THM_CALL, THM_JUMP24      ((S + A) | T) - P  S:I1:I2:imm10:imm11:0 of both halfwords    the instruction counts from P + 4, so A = -4
//   THM_MOVW_ABS_NC           (S + A) | T        imm4:i:imm3:imm8, the low half             sign-extended, in both
//   THM_MOVT_ABS              S + A              imm4:i:imm3:imm8, the high half
//
// A branch has no bit 0, so it shows where the code is. The call of a weak symbol that nobody defines becomes `nop.w`.

import type { KernelText, LinkedPlace, Shown } from '../../arch.ts';
import { shownHalf, shownTarget as shownInA32 } from '../linked-code.ts';
import { R_ARM_THM_CALL, R_ARM_THM_JUMP24, R_ARM_THM_MOVT_ABS, R_ARM_THM_MOVW_ABS_NC } from '../relocations.ts';
import { farMask, pcAhead, readBranch, wideImmediate, wideMask, wideNop } from './instructions.ts';

/** Addresses are 32 bits wide and wrap. */
const wrap = (value: bigint): bigint => BigInt.asUintN(32, value);
const codeBit = 1n;

const halves = (word: number): [first: number, second: number] => [word & 0xffff, word >>> 16];

/** From the PC on. */
const offsetIn = (word: number): bigint => BigInt((readBranch(...halves(word), 0)?.distance ?? pcAhead) - pcAhead);

const nopWord = ((wideNop.second << 16) | wideNop.first) >>> 0;

/** What a linked word shows of its relocation; a word has the instruction's first halfword in its lower half. */
export function shownTarget(place: LinkedPlace, _image: KernelText): Shown {
  const { type, compiled, linked, address } = place;
  const same = (mask: number) => ((compiled ^ linked) & ~mask) === 0;
  switch (type) {
    case R_ARM_THM_CALL:
    case R_ARM_THM_JUMP24: {
      if (linked === nopWord) return 'left-out';
      if (!same(farMask)) return 'differs';
      const addend = offsetIn(compiled);
      const target = wrap(address + offsetIn(linked));
      return {
        addend,
        of: 1,
        parts: [[0, target]],
        isContent: false,
        fits: (symbol) => wrap((symbol & ~codeBit) + addend) === target,
      };
    }
    case R_ARM_THM_MOVW_ABS_NC:
    case R_ARM_THM_MOVT_ABS: {
      if (!same(wideMask)) return 'differs';
      const [before, after] = [compiled, linked].map((word) => wideImmediate(...halves(word))) as [number, number];
      return shownHalf(type === R_ARM_THM_MOVT_ABS, before, after);
    }
    default:
      return shownInA32(place);
  }
}
