// What the core does for a module that comes late is decided here, bit by bit. The 2016 posting's apply_relocate_add is the
// same arithmetic, done in the kernel.

import { describe, expect, it } from 'vitest';
import { addendInPlace, lateRelocation, putAddend, veneer } from './late-binding.ts';
import { disassemble } from './syntax.ts';

const [ABS32, CALL, JUMP24, PREL31, MOVW, MOVT, MOVW_PREL, LDR_PC_G2] = [2, 28, 29, 42, 43, 44, 45, 63];

/** What a recipe makes of a place, as core/include/suture/patch-table.h tells. */
function applied(type: number, place: number, symbol: number, addend: number, at = 0): number {
  const { pcRelative, shift, fields } = lateRelocation(type)!;
  const value = (BigInt(symbol + addend) - (pcRelative ? BigInt(at) : 0n)) >> BigInt(shift);
  return fields.reduce((word, { from, width, to }) => {
    const mask = width === 32 ? 0xffffffff : 2 ** width - 1;
    const bits = Number((value >> BigInt(from)) & BigInt(mask));
    return ((word & ~(mask << to)) | (bits << to)) >>> 0;
  }, place);
}

describe('a late relocation', () => {
  it.each([
    ['a pointer', ABS32, 0x12345678, 0xbf001004],
    ['movw', MOVW, 0xe3000000, 0xe3010004],
    ['movw, whatever stood in it', MOVW, 0xe30f0fff, 0xe3010004],
    ['movt', MOVT, 0xe3400000, 0xe34b0f00],
  ])('of %s makes the word that the kernel’s loader makes', (_what, type, before, after) => {
    expect(applied(type, before, 0xbf001000, 4)).toBe(after);
  });

  it('leaves the top bit of an unwind table’s entry alone', () => {
    expect(applied(PREL31, 0x80000000, 0xbf001000, 0, 0xbf002000)).toBe(0xfffff000);
    expect(lateRelocation(PREL31)!.range).toBe(31);
  });

  it('takes off the address of its place where it is relative', () => {
    expect(applied(MOVW_PREL, 0xe3000000, 0xbf001010, 0, 0xbf001000)).toBe(0xe3000010);
  });

  it('is not made of a call, nor of what spreads over several instructions', () => {
    expect([CALL, LDR_PC_G2].map(lateRelocation)).toEqual([undefined, undefined]);
  });
});

describe('the addend in a place', () => {
  it.each([
    ['a call to its own start', CALL, 0xebfffffe, -8n],
    ['a tail call', JUMP24, 0xea000002, 8n],
    ['movw', MOVW, 0xe30f0ffc, -4n],
    ['movt', MOVT, 0xe3400010, 16n],
    ['a pointer', ABS32, 0xfffffff0, -16n],
    ['an unwind table’s entry', PREL31, 0x7ffffffc, -4n],
  ])('of %s is read and put there', (_what, type, word, addend) => {
    expect(addendInPlace(type, word)).toBe(addend);
    const blank = putAddend(type, word, 0n)!;
    expect(addendInPlace(type, blank)).toBe(0n);
    expect(putAddend(type, blank, addend)).toBe(word);
  });

  it('is not put where it does not fit', () => {
    expect(putAddend(CALL, 0xeb000000, 2n)).toBeUndefined();
    expect(putAddend(CALL, 0xeb000000, 1n << 26n)).toBeUndefined();
    expect(putAddend(MOVW, 0xe3000000, 0x8000n)).toBeUndefined();
    expect(putAddend(LDR_PC_G2, 0xe59f0000, 0n)).toBeUndefined();
  });
});

it('a late call goes through a veneer that is what it says it is', () => {
  expect(veneer.words.map(({ word }) => disassemble(word)!.replace('\t', ' '))).toEqual([
    'movw ip, #0',
    'movt ip, #0',
    'ldr pc, [ip]',
  ]);
});
