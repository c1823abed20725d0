// What an image tells is found by shape alone, so it is tested on images whose every part is known; the stock kernels
// are in test/kernel-image.test.ts.

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  inTableOrder,
  type MadeKernel,
  type MadeSymbol,
  makeImage,
  makeVmlinux,
  makeZimage,
} from '../../test/support/made-kernel.ts';
import { arm } from '../arch/arm/arm.ts';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { linkAddress } from '../elf/units.ts';
import { ReasonError } from '../reason.ts';
import { type KernelImage, readKernelImage } from './image.ts';

const base = 0xc0208000n;
const at = (offset: number): bigint => base + BigInt(offset);

/** Some text, some init text, a name that two functions have, and two names at one address. */
const symbols: readonly MadeSymbol[] = [
  { address: at(0x00), type: 'T', name: '_stext' },
  { address: at(0x10), type: 't', name: 'twice' },
  { address: at(0x20), type: 'T', name: 'kfree' },
  { address: at(0x30), type: 't', name: 'alias' },
  { address: at(0x30), type: 'T', name: 'module_put' },
  { address: at(0x40), type: 't', name: 'twice' },
  { address: at(0x50), type: 'T', name: 'last' },
  { address: at(0x60), type: 'D', name: '_etext' },
  { address: at(0x80), type: 'T', name: '_sinittext' },
  { address: at(0x90), type: 't', name: 'start_it' },
  { address: at(0xa0), type: 'T', name: '_einittext' },
];

const exported = (name: string, offset: number, gplOnly = false, namespace = '') => ({
  name,
  address: at(offset),
  crc: 0x1000_0000 + offset,
  gplOnly,
  namespace,
});

const made: MadeKernel = {
  word: 4,
  base,
  symbols,
  exports: [
    exported('module_put', 0x30),
    exported('kfree', 0x20),
    exported('some_data', 0x300),
    exported('__by_assembly', 0x40),
    exported('last', 0x50, true, 'A_NAMESPACE'),
    exported('_data_too', 0x304, true),
  ],
  layout: 'plain',
  modversions: true,
  release: '6.1.0-test',
  buildId: Uint8Array.from({ length: 20 }, (_, i) => i),
};

const zimageOf = (image: Uint8Array): Uint8Array => makeZimage(gzipSync(image), 'gzip', image.length);
const read = (changes: Partial<MadeKernel> = {}): Promise<KernelImage> =>
  readKernelImage(zimageOf(makeImage({ ...made, ...changes })), 'x', arm);

describe('An ARM zImage', () => {
  test('of a kernel in Thumb code is told by its exports, whose addresses are those of the code', async () => {
    const inText = ({ address }: { address: bigint }) => symbols.some((symbol) => symbol.address === address);
    const odd = made.exports.map((each) => (inText(each) ? { ...each, address: each.address | 1n } : each));
    const [a32, thumb] = [await read(), await read({ exports: odd })];
    expect([a32.arch.codeName, thumb.arch.codeName]).toEqual(['A32', 'Thumb-2']);
    expect(thumb.exports).toEqual(a32.exports);
    // Data may be anywhere.
    const oddData = odd.map((each) => (inText(each) ? each : { ...each, address: each.address | 1n }));
    const [moved] = [...(await read({ exports: oddData })).exports.values()].filter(
      ({ address }) => address % 2n === 1n,
    );
    expect(symbols.some(({ name }) => name === moved?.name)).toBe(false);
  });

  test('tells its release, its banner and where it is loaded', async () => {
    const image = await read();
    expect(image.release).toBe('6.1.0-test');
    expect(image.banner).toBe('Linux version 6.1.0-test (somebody@somewhere) #1 SMP then');
    expect(image.base).toBe(base);
    expect(image.kallsyms).toEqual(symbols);
  });

  test('tells its own build id and not that of the vDSO inside it', async () => {
    const image = await read();
    expect(image.buildId.bytes).toEqual(made.buildId);
    expect(image.bytes(image.buildId.address, 20)).toEqual(made.buildId);
  });

  test.each([true, false])('tells its exports (with versions: %s)', async (modversions) => {
    const image = await read({ modversions });
    const expected = inTableOrder(made.exports).map((each) => ({ ...each, crc: modversions ? each.crc : undefined }));
    expect([...image.exports.values()]).toEqual(expected);
  });

  test('gives the ranges of its text', async () => {
    expect((await read()).textRanges).toEqual([
      { start: at(0), end: at(0x60) },
      { start: at(0x80), end: at(0xa0) },
    ]);
  });

  test('gives words and bytes inside it, and nothing outside', async () => {
    const image = await read();
    const end = base + BigInt(image.size);
    expect(image.word(linkAddress(base))).toBe(0xe1a00000);
    expect(image.word(linkAddress(end - 3n))).toBeUndefined();
    expect(image.word(linkAddress(base - 4n))).toBeUndefined();
    expect(image.bytes(linkAddress(base), image.size)).toHaveLength(image.size);
    expect(image.bytes(linkAddress(base), image.size + 1)).toBeUndefined();
  });

  test('gives the address of a name that one thing has', async () => {
    const image = await read();
    expect(image.symbol('kfree')).toBe(at(0x20));
    expect(image.symbol('some_data')).toBe(at(0x300));
    expect(image.symbol('twice')).toBeUndefined();
    expect(image.symbol('nothing')).toBeUndefined();
  });

  test('names what an address lies in, the first of several names, up to the next address', async () => {
    const image = await read();
    expect(image.enclosing(linkAddress(at(0x24)))).toEqual({ name: 'kfree', start: at(0x20), end: at(0x30) });
    expect(image.enclosing(linkAddress(at(0x30)))).toEqual({ name: 'alias', start: at(0x30), end: at(0x40) });
    expect(image.enclosing(linkAddress(at(0x3c)))).toEqual({ name: 'alias', start: at(0x30), end: at(0x40) });
    expect(image.enclosing(linkAddress(at(-4)))).toBeUndefined();
    expect(image.enclosing(linkAddress(at(0xa0)))).toBeUndefined();
  });
});

test('A vmlinux tells the same as the zImage made of it, packed or not', async () => {
  const vmlinux = makeVmlinux(makeImage(made), base, 0x100);
  const expected = await read();
  for (const bytes of [vmlinux, new Uint8Array(gzipSync(vmlinux))]) {
    const image = await readKernelImage(bytes, 'x', arm);
    expect(image.bytes(image.base, image.size)).toEqual(expected.bytes(expected.base, expected.size));
    expect(image.buildId).toEqual(expected.buildId);
    expect(image.exports).toEqual(expected.exports);
  }
});

test('A vmlinux whose segments spread over more than any kernel has is refused', async () => {
  const vmlinux = makeVmlinux(makeImage(made), base, 0x100);
  // The physical address of the first program header.
  new DataView(vmlinux.buffer).setUint32(52 + 12, 0xfffff000, true);
  await expect(readKernelImage(vmlinux, 'x', arm)).rejects.toThrow(/spread over/);
});

describe('What is missing is said', () => {
  const others = symbols.filter(({ name }) => name !== 'kfree' && name !== 'module_put');
  test.each<[string, Partial<MadeKernel>, RegExp]>([
    ['a banner', { release: '' }, /no banner/],
    ['a build id', { buildId: new Uint8Array(3) }, /no build id/],
    ['an export that can be recognised', { symbols: others }, /exported symbols was not found/],
    ['the end of the text', { symbols: symbols.filter(({ name }) => name !== '_etext') }, /from _stext to _etext/],
  ])('%s', async (_, changes, message) => {
    await expect(read(changes)).rejects.toThrow(message);
  });

  test('an image for the other architecture', async () => {
    const zimage = zimageOf(makeImage(made));
    await expect(readKernelImage(zimage, 'x', ppc64le)).rejects.toBeInstanceOf(ReasonError);
    await expect(readKernelImage(new Uint8Array(100), 'x', ppc64le)).rejects.toThrow(/not an ELF file/);
  });
});

test('Changed anywhere, an image is read or refused', async () => {
  const image = makeImage(made);
  await fc.assert(
    fc.asyncProperty(fc.nat(image.length - 1), fc.nat(255), async (offset, value) => {
      const bytes = image.slice();
      bytes[offset] = value;
      const outcome = await readKernelImage(zimageOf(bytes), 'x', arm).catch((error) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ReasonError);
      else expect(outcome.kallsyms).toHaveLength(symbols.length);
    }),
    { numRuns: 300 },
  );
});
