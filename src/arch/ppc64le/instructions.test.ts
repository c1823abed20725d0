// The table is what stubs are made of and functions are read with: a field in the wrong place would go unseen elsewhere.
// (test/ppc64le-objdump.test.ts compares the whole table with objdump.)

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decode, encode, encodings, field, print } from './instructions.ts';

const anyWord = fc.integer({ min: 0, max: 0xffffffff }).map((n) => n >>> 0);

const operandsOf = (word: number, fields: readonly Parameters<typeof field>[0][]) =>
  Object.fromEntries(fields.map((f) => [f, field(f, word)]));

describe('The table of Power instructions', () => {
  test('encodes every word that it decodes back into itself', () => {
    fc.assert(
      fc.property(fc.constantFrom(...encodings), anyWord, (row, w) => {
        const word = ((w & ~row.mask) | row.value) >>> 0;
        const instruction = decode(word);
        // Only the invalid forms of accesses with update may be unknown.
        if (!instruction && row.update) return;
        expect(encode(instruction!.encoding.name, operandsOf(word, instruction!.encoding.fields))).toBe(word);
      }),
      { numRuns: 20_000 },
    );
  });

  test('has no word that two rows claim', () => {
    for (const [i, a] of encodings.entries()) {
      for (const b of encodings.slice(i + 1)) {
        expect(((a.value ^ b.value) & a.mask & b.mask) >>> 0, `${a.name} and ${b.name}`).not.toBe(0);
      }
    }
  });

  test('names every operand of the syntax once, and no other', () => {
    for (const { name, syntax, fields } of encodings) {
      expect(syntax.match(/[A-Za-z]\w*(\|0)?/g)?.toSorted() ?? [], name).toEqual([...fields].sort());
    }
  });

  test.each([
    [0x7c0802a6, 'mfspr r0,8'],
    [0xf821ff91, 'stdu r1,-112(r1)'],
    [0xe8410018, 'ld r2,24(r1)'],
    [0x3c4c0001, 'addis r2,r12,1'],
    [0x38600000, 'addi r3,0,0'],
    [0x60000000, 'ori r0,r0,0'],
    [0x4e800020, 'bclr 20,lt,0'],
    [0x429f0005, 'bcl 20,4*cr7+so,0xc000000000008004'],
    [0x4bfffffc, 'b 0xc000000000007ffc'],
    [0x48000002, 'ba 0x0'],
    [0x4c400005, 'addpcis r2,1'],
    [0x79290fa4, 'rldicr r9,r9,1,62'],
    [0x7d2a4a14, 'add r9,r10,r9'],
    [0x7d2a4e15, 'addo. r9,r10,r9'],
    [0x7fe00008, 'tw 31,r0,r0'],
  ])('prints %i as %s', (word, text) => {
    expect(print(decode(word)!, 0xc000000000008000n)).toBe(text);
  });

  test('does not claim the invalid forms of accesses with update', () => {
    expect(decode(0xe8630009)).toBeUndefined(); // ldu r3,8(r3)
    expect(decode(0xe8600009)).toBeUndefined(); // ldu r3,8(0)
    expect(decode(0xf8210009)).toBeDefined(); // stdu r1,8(r1)
    expect(decode(0x8c630001)).toBeUndefined(); // lbzu r3,1(r3)
  });

  test('claims nothing of data and of instructions that it leaves out', () => {
    for (const word of [0x00000000, 0xffffffff, 0x10000484, 0x7c0004ad]) expect(decode(word)).toBeUndefined();
  });

  test('refuses operands that do not fit, are missing, or are not the row’s', () => {
    expect(() => encode('ld', { RT: 3, 'RA|0': 1, DS: 2 })).toThrow(RangeError);
    expect(() => encode('ld', { RT: 3, 'RA|0': 1, DS: 0x8000 })).toThrow(RangeError);
    expect(() => encode('ld', { RT: 3, 'RA|0': 1 })).toThrow(/needs its operand DS/);
    expect(() => encode('ld', { RT: 3, 'RA|0': 1, DS: 0, RB: 1 })).toThrow(/has no operand RB/);
    expect(() => encode('li', { RT: 3, SI: 0 })).toThrow(/no encoding/);
  });
});
