// How Thumb-2 code of relocatable objects is read. What is otherwise than in A32 code (`../object-code.ts`):
//
// - Instructions of one and two halfwords. Where one begins only the one before it tells, and literals and tables of branches lie
//   between them; the assembler marks where code and data begin with `$t` and `$d` (IHI 0044, section 4.5.5).
// - A symbol of a function has bit 0 set, and so has what a relocation makes of it, unless it is a branch's (section 4.6.1.2, T).
// - The PC reads 4 bytes ahead, so a `bl` to the symbol itself carries -4. Fields of an addend lie in both halfwords.
//
// The kernel's tables are those of A32 code: what they lead to is code at its address, without bit 0.

import type { ObjectCode, RelocatedPlace } from '../../arch.ts';
import { R_ARM_THM_CALL, R_ARM_THM_JUMP24, thumbRelocationKind } from '../relocations.ts';
import {
  farMask,
  isWide,
  nop,
  oldNop,
  pcAhead,
  putFarOffset,
  putWideImmediate,
  readBranch,
  readNumber,
  wideImmediate,
  wideMask,
  wideNop,
} from './instructions.ts';

/** r0 to r3. */
const lastArgument = 3;

/** The word that two halfwords are in memory. */
const wordOf = (first: number, second: number): number => ((second << 16) | first) >>> 0;

const branchAt = (word: number) => readBranch(word & 0xffff, word >>> 16, 0);

const branchPlace = (size: 2 | 4, mask: number): RelocatedPlace => ({
  size,
  mask,
  addend: (value) => (branchAt(value)?.distance ?? pcAhead) - pcAhead,
  lead: pcAhead,
});

const widePlace: RelocatedPlace = {
  size: 4,
  mask: wideMask,
  addend: (value) => (wideImmediate(value & 0xffff, value >>> 16) << 16) >> 16,
  lead: 0,
};

/** Of short branches gas makes relocations only where a function of assembly leaves its section by one. */
const places: Readonly<Record<string, RelocatedPlace>> = {
  R_ARM_THM_CALL: branchPlace(4, farMask),
  R_ARM_THM_JUMP24: branchPlace(4, farMask),
  R_ARM_THM_JUMP19: branchPlace(4, 0x2fff043f),
  R_ARM_THM_JUMP11: branchPlace(2, 0x7ff),
  R_ARM_THM_JUMP8: branchPlace(2, 0xff),
  R_ARM_THM_MOVW_ABS_NC: widePlace,
  R_ARM_THM_MOVT_ABS: widePlace,
  R_ARM_THM_MOVW_PREL_NC: widePlace,
  R_ARM_THM_MOVT_PREL: widePlace,
};

/** The place of a relocation of Thumb code; undefined for one that A32 code and data have too. */
const thumbPlace = (type: number): RelocatedPlace | undefined => places[thumbRelocationKind(type)?.name ?? ''];

/** From that of A32 code: tables, mapping symbols, what data has. */
export const objectCode = (a32: ObjectCode): ObjectCode => ({
  ...a32,
  step: 2,
  codeBit: 1n,
  instructionSize: (word) => (isWide(word & 0xffff) ? 4 : 2),
  relocatedPlace: (type) => thumbPlace(type) ?? a32.relocatedPlace(type),
  branch(word) {
    const found = branchAt(word);
    return found && { distance: found.distance, mask: found.mask };
  },
  isJump: (word) => branchAt(word)?.links === false,
  loadsArgument(word) {
    const found = readNumber(word & 0xffff, word >>> 16);
    return found && found.register <= lastArgument ? { argument: found.register, value: found.value } : undefined;
  },
  padding: [nop, oldNop, wordOf(nop, nop), wordOf(wideNop.first, wideNop.second)],
  otherSet: (marker) => (/^\$a(\.|$)/.test(marker) ? 'compile all of it to Thumb instructions, or nothing' : undefined),
});

/** `Architecture.addendInPlace`: "ELF for the Arm Architecture" (IHI 0044), section 4.6.1.1. */
export function addendInPlace(type: number, place: number): bigint | undefined {
  const known = thumbPlace(type);
  return known && BigInt(known.addend(place));
}

/** `Architecture.putAddend`. Both MOVW and MOVT hold the 16 bits of a small addend. */
export function putAddend(type: number, place: number, addend: bigint): number | undefined {
  if (thumbPlace(type) === widePlace)
    return BigInt.asIntN(16, addend) === addend ? putWideImmediate(place, Number(addend)) : undefined;
  if (type !== R_ARM_THM_CALL && type !== R_ARM_THM_JUMP24) return undefined;
  return BigInt.asIntN(25, addend) === addend ? putFarOffset(place, Number(addend)) : undefined;
}
