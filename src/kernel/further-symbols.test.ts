// A System.map or a vmlinux of another build gives every name an address, and each of them is wrong.

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type MadeKernel, makeImage, makeZimage } from '../../test/support/made-kernel.ts';
import { arm } from '../arch/arm/arm.ts';
import { SHF_ALLOC, SHT_NOTE } from '../elf/constants.ts';
import { newModel, newSection, newSymbol, writeElf } from '../elf/elf.ts';
import { ReasonError } from '../reason.ts';
import { readFurtherSymbols } from './further-symbols.ts';
import { type KernelImage, readKernelImage } from './image.ts';
import { largestMap, readSystemMap } from './system-map.ts';

const base = 0xc0208000n;

/** A kernel whose code and data lie `shift` bytes further than that of another build. */
function kernel(shift: bigint): MadeKernel {
  const at = (offset: number) => base + BigInt(offset) + shift;
  const symbol = (offset: number, type: string, name: string) => ({ address: at(offset), type, name });
  const exported = (name: string, offset: number, gplOnly: boolean) => ({
    ...{ name, address: at(offset), crc: offset, gplOnly, namespace: '' },
  });
  return {
    word: 4,
    base,
    symbols: [
      { address: base, type: 'T', name: '_stext' },
      symbol(0x20, 'T', 'kfree'),
      symbol(0x30, 't', 'module_put'),
      symbol(0x40, 't', 'twice'),
      symbol(0x50, 't', 'twice'),
      symbol(0x60, 'D', '_etext'),
      symbol(0x80, 'T', '_sinittext'),
      symbol(0xa0, 'T', '_einittext'),
    ],
    exports: [exported('kfree', 0x20, true), exported('module_put', 0x30, false), exported('data', 0x300, true)],
    layout: 'plain',
    modversions: true,
    release: '6.1.0-test',
    buildId: new Uint8Array(20).fill(Number(shift)),
  };
}

/** A System.map of all that, and of a variable that is not exported; some lines changed, by name. */
function systemMap({ symbols, exports }: MadeKernel, changes: Readonly<Record<string, string>> = {}): Uint8Array {
  const data = exports.filter(({ name }) => symbols.every((symbol) => symbol.name !== name));
  const all = [...symbols, ...data.map((each) => ({ ...each, type: 'D' }))];
  const lines = all.map(({ address, type, name }) => changes[name] ?? `${address.toString(16)} ${type} ${name}`);
  return new TextEncoder().encode(`${[...lines, 'c0208400 d hidden'].join('\n')}\n`);
}

/** A vmlinux of a build id and one variable. */
function vmlinux(buildId: Uint8Array | undefined): Uint8Array {
  const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x5000000 });
  if (buildId) {
    const note = Uint8Array.of(4, 0, 0, 0, buildId.length, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, ...buildId);
    model.sections.push(newSection('.notes', SHT_NOTE, SHF_ALLOC, note));
  }
  model.symbols.push(newSymbol('hidden', { value: 0xc0208400n, place: 'absolute' }), newSymbol('elsewhere'));
  return writeElf(model);
}

const mine = kernel(0n);
const theirs = kernel(0x10n);
let image: KernelImage;
beforeAll(async () => {
  const bytes = makeImage(mine);
  image = await readKernelImage(makeZimage(gzipSync(bytes), 'gzip', bytes.length), 'x', arm);
});

const named = (bytes: Uint8Array) => ({ name: 'file', bytes });
function refusal(files: Parameters<typeof readFurtherSymbols>[1]) {
  try {
    readFurtherSymbols(image, files);
  } catch (error) {
    return (error as ReasonError).reasons[0];
  }
  return undefined;
}

describe('a System.map', () => {
  it('of the kernel gives the addresses of all names', () => {
    const symbols = readFurtherSymbols(image, { systemMap: named(systemMap(mine)) });
    expect(symbols.get('hidden')).toEqual([0xc0208400n]);
    expect(symbols.get('twice')).toEqual([0xc0208040n, 0xc0208050n]);
  });

  it('of another build is refused, with the first symbol that lies elsewhere and how many do', () => {
    expect(refusal({ systemMap: named(systemMap(theirs)) })).toMatchObject({
      code: 'wrong-kernel',
      place: 'file',
      message: expect.stringMatching(/^module_put is at 0xc0208030 in the image and 0xc0208040 in .* with \d+ more/),
    });
  });

  it.each([
    ['one function elsewhere', { _sinittext: 'c0208084 T _sinittext' }],
    ['exported data elsewhere', { data: 'c0208304 D data' }],
    ['exported data missing, as when it is cut off', { data: 'c0208300 D other' }],
  ])('with %s is refused', (_what, changes) => {
    expect(refusal({ systemMap: named(systemMap(mine, changes)) })).toMatchObject({ code: 'wrong-kernel' });
  });

  it('that stands in for the real one is refused', () => {
    const standIn = new TextEncoder().encode('ffffffffffffffff B The real System.map is elsewhere\n');
    expect(refusal({ systemMap: named(standIn) })).toMatchObject({
      code: 'system-map-malformed',
      place: 'file: line 1',
    });
    expect(refusal({ systemMap: named(new Uint8Array()) })).toMatchObject({ code: 'wrong-kernel' });
  });

  it('that is too large is refused, and one line of megabytes too', () => {
    expect(refusal({ systemMap: named(new Uint8Array(largestMap + 1)) })).toMatchObject({
      code: 'system-map-malformed',
      message: expect.stringMatching(/more than any/),
    });
    expect(refusal({ systemMap: named(new Uint8Array(8 << 20).fill(0x61)) })).toMatchObject({ place: 'file: line 1' });
  });

  it('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.nat(systemMap(mine).length - 1), fc.nat(255), (offset, value) => {
        const bytes = systemMap(mine);
        bytes[offset] = value;
        try {
          expect(readSystemMap(bytes, 'x').length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ReasonError);
        }
      }),
    );
  });
});

describe('a vmlinux', () => {
  it('with the build id of the image gives the addresses of what it defines', () => {
    const symbols = readFurtherSymbols(image, { vmlinux: named(vmlinux(mine.buildId)) });
    expect([...symbols]).toEqual([['hidden', [0xc0208400n]]]);
  });

  it('of another build, or of no known one, is refused', () => {
    expect(refusal({ vmlinux: named(vmlinux(theirs.buildId)) })).toMatchObject({
      code: 'wrong-kernel',
      message:
        'its build id is 1010101010101010101010101010101010101010, the image has 0000000000000000000000000000000000000000',
    });
    expect(refusal({ vmlinux: named(vmlinux(undefined)) })).toMatchObject({ code: 'wrong-kernel' });
  });
});
