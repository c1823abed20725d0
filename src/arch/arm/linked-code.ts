// What linked A32 code shows of its relocations: the way back from an instruction to the address that the linker put
// there. "ELF for the Arm Architecture" (IHI 0044), section 4.6.1: S the symbol, A the addend, P the place; the tables 4-10
// to 4-12 have the operation of each type. Kernels are linked by GNU ld, which changes nothing but the fields, except that
// it takes out a call of a weak symbol that nobody defines.
//
//   type           operation   where the result stands                           REL: A as it stands there
//   CALL, JUMP24   S + A - P   imm24, words, signed                               the instruction counts from P + 8, so A = -8
//   ABS32          S + A       the whole word
//   MOVW_ABS_NC    S + A       imm4:imm12, the low half                           sign-extended, in both
//   MOVT_ABS       S + A       imm4:imm12, the high half
//   ALU_PC_G0_NC   S + A - P   a rotated byte, added or subtracted: the part that reaches furthest
//   ALU_PC_G1_NC   S + A - P   the same of what is left
//   LDR_PC_G2      S + A - P   imm12, added or subtracted: the rest
//
// The last three stand in one chain `sub rd, pc, #8; sub rd, rd, #4; ldr rd, [rd]`, so A - P is the same in all of them.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { KernelText, LinkedPlace, Shown, ShownTarget } from '../arch.ts';
import { R_ARM_ABS32, R_ARM_CALL, R_ARM_JUMP24, R_ARM_PC24 } from './relocations.ts';

/** Addresses are 32 bits wide and wrap. */
const wrap = (value: bigint): bigint => BigInt.asUintN(32, value);
const signed = (value: number, bits: number): bigint => BigInt.asIntN(bits, BigInt(value));

/** nop as GNU ld writes it for ARMv6T2 and later, and for earlier ones (`mov r0, r0`). */
const nops = [0xe320f000, 0xe1a00000];

const [R_ARM_NONE, R_ARM_REL32, R_ARM_TARGET1, R_ARM_V4BX, R_ARM_MOVW_ABS_NC, R_ARM_MOVT_ABS] = [0, 3, 38, 40, 43, 44];
const [R_ARM_ALU_PC_G0_NC, R_ARM_ALU_PC_G1_NC, R_ARM_LDR_PC_G2] = [57, 59, 63];

/** What MOVW shows of an address, its low half, and MOVT, its high half; `compiled` and `linked` are their 16 bits before and after. */
export function shownHalf(isHigh: boolean, compiled: number, linked: number): ShownTarget {
  const [part, shift] = isHigh ? [1, 16n] : [0, 0n];
  const addend = signed(compiled, 16);
  const half = BigInt(linked);
  return {
    addend,
    of: 2,
    parts: [[part, half << shift]],
    isContent: false,
    fits: (symbol) => ((wrap(symbol + addend) >> shift) & 0xffffn) === half,
  };
}

/** What a linked word shows of its relocation. */
export function shownTarget({ type, compiled, linked, address }: LinkedPlace): Shown {
  const same = (mask: number) => ((compiled ^ linked) & mask) === 0;
  const whole = (target: bigint, addend: bigint): ShownTarget => ({
    addend,
    of: 1,
    parts: [[0, target]],
    isContent: false,
    fits: (symbol) => wrap(symbol + addend) === wrap(target),
  });
  switch (type) {
    case R_ARM_NONE:
    case R_ARM_V4BX:
      return compiled === linked ? 'nothing' : 'differs';
    case R_ARM_PC24:
    case R_ARM_CALL:
    case R_ARM_JUMP24:
      if (nops.includes(linked)) return 'left-out';
      if (!same(0xff000000)) return 'differs';
      return whole(wrap(address + offset24(linked)), offset24(compiled));
    case R_ARM_ABS32:
    case R_ARM_TARGET1:
      return whole(BigInt(linked), signed(compiled, 32));
    case R_ARM_REL32:
      return whole(wrap(BigInt(linked) + address), signed(compiled, 32));
    case R_ARM_MOVW_ABS_NC:
    case R_ARM_MOVT_ABS:
      if (!same(0xfff0f000)) return 'differs';
      return shownHalf(type === R_ARM_MOVT_ABS, imm16(compiled), imm16(linked));
    case R_ARM_ALU_PC_G0_NC:
    case R_ARM_ALU_PC_G1_NC:
    case R_ARM_LDR_PC_G2: {
      const isLoad = type === R_ARM_LDR_PC_G2;
      // Adding or subtracting is the linker's choice: bits 23 and 22 of the operation, or the U bit of the load.
      if (!same(isLoad ? 0xff7ff000 : 0xff3ff000)) return 'differs';
      const value = isLoad ? loadOffset : rotated;
      const part = type === R_ARM_ALU_PC_G0_NC ? 0 : isLoad ? 2 : 1;
      // Whether it fits is seen in the sum: the three are one expression.
      return {
        addend: value(compiled) - address,
        of: 3,
        parts: [[part, value(linked)]],
        isContent: false,
        fits: () => true,
      };
    }
    default:
      return 'unknown';
  }
}

const offset24 = (word: number): bigint => signed(word & 0xffffff, 24) << 2n;
const imm16 = (word: number): number => ((word >>> 4) & 0xf000) | (word & 0xfff);

/** `add` or `sub` with a modified immediate constant (ARM DDI 0406C, section A5.2.4). */
function rotated(word: number): bigint {
  const turn = ((word >>> 8) & 0xf) * 2;
  const byte = word & 0xff;
  const value = turn === 0 ? byte : ((byte >>> turn) | (byte << (32 - turn))) >>> 0;
  const isSubtraction = ((word >>> 21) & 0xf) === 2;
  return isSubtraction ? -BigInt(value) : BigInt(value);
}

/** The offset of an `ldr`: bit 23 says that it is added. */
const loadOffset = (word: number): bigint => ((word & (1 << 23)) !== 0 ? 1n : -1n) * BigInt(word & 0xfff);

/** A pointer in an image's data. */
export function linkedPointer(address: LinkAddress, image: KernelText): LinkAddress | undefined {
  const word = image.word(address);
  return word === undefined ? undefined : linkAddress(BigInt(word));
}
