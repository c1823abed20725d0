// The table is what stubs are made of and prologues are read with: a field in the wrong place would go unseen
// elsewhere. (test/arm-objdump.test.ts compares the whole table with objdump.)

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import { ReasonError } from '../../reason.ts';
import { decode, encode, encodings, expandImmediate, modifiedImmediate } from './instructions.ts';
import { disassemble } from './syntax.ts';

const word = fc.integer({ min: 0, max: 0xffffffff }).map((n) => n >>> 0);

describe('The table of A32 instructions', () => {
  test('encodes every word that it decodes back into itself', () => {
    fc.assert(
      fc.property(word, (w) => {
        const instruction = decode(w);
        if (instruction) expect(encode(instruction.encoding.name, instruction.fields)).toBe(w);
      }),
      { numRuns: 20_000 },
    );
  });

  test('can decode each of its rows', () => {
    // Every row is reached by some filling of its fields, so that none is hidden by an earlier one.
    for (const encoding of encodings) {
      const filled = fc.sample(word, { numRuns: 2000, seed: 1 }).some((w) => {
        const always = encoding.fields.some(({ name }) => name === 'cond') ? 0xe0000000 : 0;
        const free = (w & ~encoding.mask & 0x0fffffff) | encoding.value | always;
        return decode(free >>> 0)?.encoding === encoding;
      });
      expect(filled, encoding.name).toBe(true);
    }
  });

  test('prints branches with their target', () => {
    expect(disassemble(0xebfffffe, linkAddress(0xc0300000n))).toBe('bl\t0xc0300000');
    expect(disassemble(0x0a000001, linkAddress(0xc0300000n))).toBe('beq\t0xc030000c');
    expect(disassemble(0xea7fffff, linkAddress(0xfffffff8n))).toBe('b\t0x1fffffc');
  });

  test('knows the words that ftrace and the stack protector use', () => {
    expect(encode('ADD (immediate)', { S: 0, Rn: 13, Rd: 13, imm12: 4 })).toBe(0xe28dd004);
    expect(disassemble(0xee1d3f70)).toBe('mrc\t15, 0, r3, cr13, cr0, {3}');
    expect(disassemble(0xe34c31f2)).toBe('movt\tr3, #49650');
  });

  test('says nothing about what it does not hold, and about the unconditional space', () => {
    expect(decode(0xf57ff05f)).toBeUndefined(); // dmb sy
    expect(decode(0xf28dd004)).toBeUndefined(); // `add sp, sp, #4` but for its condition
    expect(decode(0xe1b0f00e)).toBeUndefined(); // movs pc, lr: an exception return
    expect(decode(0xe92d0000)).toBeUndefined(); // push {}: UNPREDICTABLE
  });

  test('refuses to encode what does not fit', () => {
    expect(() => encode('LDR (immediate)', { Rn: 13, Rt: 4, U: 1, imm12: 4096 })).toThrow(ReasonError);
    expect(() => encode('LDR (immediate)', { Rn: 13, Rt: 4, U: 1 })).toThrow(ReasonError);
    expect(() => encode('PUSH', { register_list: 0 })).toThrow(ReasonError);
    expect(() => encode('LDRX', {})).toThrow(ReasonError);
  });

  test('finds the modified immediate of a value where there is one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xfff }), (imm12) => {
        const value = expandImmediate(imm12);
        const found = modifiedImmediate(value);
        expect(expandImmediate(found!)).toBe(value);
        expect(found! >>> 8).toBeLessThanOrEqual(imm12 >>> 8);
      }),
    );
    expect(modifiedImmediate(0x101)).toBeUndefined();
    expect(modifiedImmediate(0xff000000)).toBe(0x4ff);
    expect(modifiedImmediate(0xf000000f)).toBe(0x2ff);
  });
});
