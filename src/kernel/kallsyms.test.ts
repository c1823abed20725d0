// The symbol table is found by its shape alone; so it must be found whatever the symbols are, and nothing else be taken
// for it.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type KallsymsLayout, type MadeSymbol, makeKallsyms } from '../../test/support/made-kernel.ts';
import { ReasonError } from '../reason.ts';
import { readKallsyms } from './kallsyms.ts';

const name = fc.stringMatching(/^(sys_)?[A-Za-z_.][\w.]{0,30}$/);
const symbols = fc
  .array(fc.record({ step: fc.integer({ min: 1, max: 0x1000 }), type: fc.constantFrom('T', 't', 'W', 'D'), name }), {
    minLength: 1,
    maxLength: 600,
  })
  .map((list) => {
    let address = 0xc0008000n;
    return list.map(({ step, type, name }): MadeSymbol => {
      address += BigInt(step);
      return { address, type, name };
    });
  });

const cases: [4 | 8, KallsymsLayout][] = [
  [4, 'plain'],
  [4, 'sequences'],
  [4, 'offsets-last'],
  [8, 'plain'],
  [8, 'sequences'],
  [8, 'offsets-last'],
];

/** Other things in an image; no zeros, of which another table of offsets could be made. */
const others = fc.uint8Array({ min: 1, maxLength: 300 });

/** The table between other things, as it is in an image. */
function inAnImage(table: Uint8Array, before: Uint8Array, behind: Uint8Array): Uint8Array {
  const start = Math.ceil(before.length / 16) * 16;
  const image = new Uint8Array(start + table.length + behind.length);
  image.set(before);
  image.set(table, start);
  image.set(behind, start + table.length);
  return image;
}

describe.each(cases)('With pointers of %i bytes and the tables %s', (word, layout) => {
  test('Every symbol is found, in order, with its type', () => {
    fc.assert(
      fc.property(symbols, others, others, (made, before, behind) => {
        const image = inAnImage(makeKallsyms(made, word, layout), before, behind);
        expect(readKallsyms(image, word, 'x')).toEqual(made);
      }),
      { numRuns: 30 },
    );
  });

  test('Changed anywhere, it is read or refused, and never more symbols than there is room for', () => {
    const made = Array.from({ length: 300 }, (_, i) => ({
      address: 0xc0008000n + BigInt(4 * i),
      type: 't',
      name: `f${i}`,
    }));
    const table = makeKallsyms(made, word, layout);
    fc.assert(
      fc.property(fc.nat(table.length - 1), fc.nat(255), (at, value) => {
        const bytes = table.slice();
        bytes[at] = value;
        try {
          expect(readKallsyms(bytes, word, 'x')).toHaveLength(made.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ReasonError);
          expect((error as ReasonError).reasons[0].code).toBe('kallsyms-unreadable');
        }
      }),
      { numRuns: 200 },
    );
  });
});

test('A name of more than 127 tokens has its length in two bytes', () => {
  const made = [{ address: 0xc0008000n, type: 'T', name: 'a'.repeat(300) }];
  expect(readKallsyms(makeKallsyms(made, 4, 'plain'), 4, 'x')).toEqual(made);
});

test('Bytes without a symbol table are refused', () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(5000), Uint8Array.from({ length: 5000 }, (_, i) => i * i)])
    expect(() => readKallsyms(bytes, 4, 'x')).toThrow(/no symbol table was found/);
});

test('An image full of beginnings that lead nowhere is given up', () => {
  // Before a token table, every word is a count, and the beginning of a name of the three tokens that follow: T and two
  // more. So from each of a million words on there are names to pass over, but never as many as were counted.
  const region = new Uint8Array(1 << 22);
  for (let at = 0; at < region.length; at += 4) region.set([3, 'T'.charCodeAt(0), 0x10, 0], at);
  const table = makeKallsyms([{ address: 0xc0008000n, type: 'T', name: 'f' }], 4, 'plain');
  // One offset and the base, then the count.
  table.fill(0, 8, 12);
  expect(() => readKallsyms(inAnImage(table, region, new Uint8Array(0)), 4, 'x')).toThrow(
    /too much that only looks like/,
  );
});
