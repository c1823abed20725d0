// Images are searched in steps and by words: what is found must be what looking at each place finds.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linkAddress } from '../elf/units.ts';
import { findText, ImageBytes } from './image-bytes.ts';

/** Few different bytes, so that texts overlap themselves and each other. */
const bytesOf = (letters: string) =>
  fc.array(fc.constantFrom(...letters), { maxLength: 60 }).map((some) => new TextEncoder().encode(some.join('')));

describe('a text in an image', () => {
  it('is found wherever it stands, itself over itself too', () => {
    fc.assert(
      fc.property(
        bytesOf('ab\0'),
        fc.string({ unit: fc.constantFrom('a', 'b', '\0'), minLength: 1, maxLength: 5 }),
        (bytes, text) => {
          const whole = new TextDecoder().decode(bytes);
          const places = [...bytes.keys()].filter((at) => whole.startsWith(text, at));
          expect([...findText(bytes, text, bytes.length)]).toEqual(places);
          expect([...findText(bytes, text, 2)]).toEqual(places.slice(0, 2));
        },
      ),
    );
  });

  it('holds where it stands with its zero, and not where it goes on or the image ends', () => {
    const image = new ImageBytes(new TextEncoder().encode('kfree\0kfree_rcu\0kfree'), 8);
    expect([0, 1, 6, 16, 99].map((at) => image.holds(at, 'kfree'))).toEqual([true, false, false, false, false]);
  });
});

describe('a number in an image', () => {
  it.each([4, 8] as const)('is found at multiples of its size only, with pointers of %i bytes', (word) => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 1, 2), { maxLength: 24 }), fc.nat(3), (numbers, cut) => {
        // At an odd place in memory, and with some bytes behind the last number.
        const memory = new Uint8Array(4 * numbers.length + 1 + cut);
        const view = new DataView(memory.buffer, 1);
        for (const [i, number] of numbers.entries()) view.setUint32(4 * i, number, true);
        const image = new ImageBytes(memory.subarray(1), word);
        const places = numbers.flatMap((number, i) => (number === 1 ? [4 * i] : []));
        expect([...image.findNumber(1)].filter((at) => at < 4 * numbers.length)).toEqual(places);
        const value = word === 4 ? 1n : (2n << 32n) | 1n;
        const pointers = places.filter((at) => word === 4 || (at % 8 === 0 && numbers[at / 4 + 1] === 2));
        expect([...image.findPointer(linkAddress(value), 100)]).toEqual(pointers);
        expect([...image.findPointer(linkAddress(value), 1)]).toEqual(pointers.slice(0, 1));
      }),
    );
  });
});
