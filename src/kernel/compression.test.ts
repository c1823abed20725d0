// Kernels come packed in five ways; what comes out must be right to the last byte, and bad input must end in a typed
// error, soon and without taking the memory that it asks for.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packed, plain } from '../../test/support/packed-code.ts';
import { ReasonError } from '../reason.ts';
import { type Compression, compressions, unpackIfPacked } from './compression.ts';

const compressionNamed = (name: string): Compression => compressions.find((each) => each.name === name)!;

/** The codes that unpacking ends with; none if it gives data. */
async function outcome(unpacking: () => unknown): Promise<string> {
  try {
    await unpacking();
    return 'unpacked';
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return error.reasons[0].code;
  }
}

describe.each(packed)('$command', ({ compression, bytes }) => {
  const { begins, unpack } = compressionNamed(compression);

  test('It is recognised, and by no other', () => {
    expect(compressions.filter((each) => each.begins(bytes)).map((each) => each.name)).toEqual([compression]);
    expect(begins(plain)).toBe(false);
  });

  test('It unpacks to the code and the three bytes behind it', async () => {
    expect(await unpack(bytes, 'x', plain.length)).toEqual(plain);
  });

  test('One byte more than allowed is refused', async () => {
    expect(await outcome(() => unpack(bytes, 'x', plain.length - 1))).toBe('packed-data-unreadable');
  });

  test('Cut off anywhere, it is refused, or gives the beginning of the data', async () => {
    for (let length = 0; length < bytes.length; length += 3) {
      const unpacking = async () => await unpack(bytes.subarray(0, length), 'x', plain.length);
      // lz4 has no end, and what ends lzma is behind its data; of a kernel the size is known besides.
      if ((await outcome(unpacking)) !== 'unpacked') continue;
      const data = await unpacking();
      expect(data).toEqual(plain.subarray(0, data.length));
    }
  });

  test('Damaged anywhere, it gives a typed error or no more than was allowed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = bytes.slice();
        damaged[at]! ^= change;
        await outcome(async () =>
          expect((await unpack(damaged, 'x', plain.length)).length).toBeLessThanOrEqual(plain.length),
        );
      }),
      { numRuns: 50 },
    );
  });
});

test('With a check over the data, no damage changes it', async () => {
  for (const { compression, bytes } of packed.filter((each) => each.compression === 'xz')) {
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 0x10;
      const unpacking = async () => await compressionNamed(compression).unpack(damaged, 'x', plain.length);
      if ((await outcome(unpacking)) === 'unpacked') expect(await unpacking(), `byte ${at}`).toEqual(plain);
      else refused++;
    }
    // The decoder reads over the first byte of a chunk, which is always 0.
    expect(refused).toBeGreaterThan(bytes.length - 5);
  }
});

test('What follows an xz stream does not disturb it', async () => {
  const { bytes } = packed[0]!;
  const followed = Uint8Array.from([...bytes, 1, 2, 3, 4]);
  expect(await compressionNamed('xz').unpack(followed, 'x', plain.length)).toEqual(plain);
});

test('Data that asks for gigabytes is refused before they are there', async () => {
  // The dictionary of lzma and the window and the content size of zstd are what their decoders allocate at once.
  const lzma = packed.find((each) => each.compression === 'lzma')!.bytes.slice();
  lzma.fill(0xff, 1, 5);
  expect(await compressionNamed('lzma').unpack(lzma, 'x', plain.length)).toEqual(plain);

  const zstd = packed.find((each) => each.compression === 'zstd')!.bytes.slice();
  zstd[5] = 0xff;
  expect(await compressionNamed('zstd').unpack(zstd, 'x', plain.length)).toEqual(plain);

  const bomb = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0x7f, 0x03, 0, 0, 0]);
  expect(await outcome(() => compressionNamed('zstd').unpack(bomb, 'x', 1 << 20))).toBe('packed-data-unreadable');
});

test.each([
  ['a match before the block', [0x10, 0x61, 2, 0, 0x10, 0x62]],
  ['a match of itself', [0x10, 0x61, 0, 0, 0x10, 0x62]],
  ['a match behind what is allowed', [0x1f, 0x61, 1, 0, 0xff, 0x00, 0x00]],
  ['literals behind the packed bytes', [0x40, 0x61]],
])('A block of lz4 with %s is refused', async (_, block) => {
  const bytes = Uint8Array.from([0x02, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block]);
  expect(await outcome(() => compressionNamed('lz4').unpack(bytes, 'x', 64))).toBe('packed-data-unreadable');
});

test('What is not packed stays as it is', async () => {
  expect(await unpackIfPacked(plain, 'x')).toBe(plain);
  for (const { bytes } of packed.filter((each) => each.compression !== 'lzma'))
    expect(await unpackIfPacked(bytes, 'x')).toEqual(plain);
});
