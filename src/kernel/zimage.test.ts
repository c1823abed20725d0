// Where the kernel is in a zImage has to be found between things that look like it, and only the whole kernel will do.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeZimage, zimagePlaces } from '../../test/support/made-kernel.ts';
import { packed, plain } from '../../test/support/packed-code.ts';
import { ReasonError } from '../reason.ts';
import { isZimage, unpackZimage } from './zimage.ts';

const [arm] = packed as [(typeof packed)[0], ...typeof packed];
const zimage = () => makeZimage(arm.bytes, arm.compression, plain.length);
const patched = (at: number, value: number): Uint8Array => {
  const bytes = zimage();
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
};

test.each(packed)('A kernel packed with $command is found behind the magics of the decompressor', async (each) => {
  const bytes = makeZimage(each.bytes, each.compression, plain.length);
  expect(isZimage(bytes)).toBe(true);
  expect(await unpackZimage(bytes, 'x')).toEqual(plain);
});

test('What follows the zImage, a device tree for one, does not disturb', async () => {
  expect(await unpackZimage(Uint8Array.from([...zimage(), 0xd0, 0x0d, 0xfe, 0xed]), 'x')).toEqual(plain);
});

test('A kernel of another size than the zImage says is refused', async () => {
  for (const size of [plain.length - 1, plain.length + 1])
    await expect(unpackZimage(makeZimage(arm.bytes, arm.compression, size), 'x')).rejects.toThrow(
      /nothing in this zImage unpacks to a kernel of/,
    );
});

test.each([
  ['cut off', zimage().subarray(0, 0x100), /cut off/],
  ['without the second magic', patched(zimagePlaces.secondMagic, 0), /no table/],
  ['with the table outside', patched(zimagePlaces.tableOffset, 0xfffffff0), /no table/],
  ['with something else for a table', patched(zimagePlaces.table + 4, 0), /table of the zImage is not/],
  ['whose table leads outside', patched(zimagePlaces.table + 8, 0xfffffffe), /leads out of it/],
  ['with a kernel of four gigabytes', makeZimage(arm.bytes, arm.compression, 0xffffffff), /which no kernel has/],
])('A zImage %s is refused', async (_, bytes, message) => {
  await expect(unpackZimage(bytes, 'x')).rejects.toThrow(message);
  await expect(unpackZimage(bytes, 'x')).rejects.toBeInstanceOf(ReasonError);
});

test('Among more places that begin like packed data than any decompressor has, none is believed', async () => {
  const lz4Magic = [0x02, 0x21, 0x4c, 0x18];
  const crowded = (magics: number) => {
    const before = Array.from({ length: magics }, () => lz4Magic).flat();
    return makeZimage(Uint8Array.from([...before, ...arm.bytes]), arm.compression, plain.length);
  };
  expect(await unpackZimage(crowded(40), 'x')).toEqual(plain);
  await expect(unpackZimage(crowded(80), 'x')).rejects.toThrow(/and many more/);
});

test('Changed anywhere, it gives the kernel or a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(zimage().length - 1), fc.nat(255), async (at, value) => {
      const bytes = zimage();
      bytes[at] = value;
      if (!isZimage(bytes)) return;
      const unpacked = await unpackZimage(bytes, 'x').catch((error) => error);
      if (!(unpacked instanceof ReasonError)) expect(unpacked).toEqual(plain);
    }),
  );
});
