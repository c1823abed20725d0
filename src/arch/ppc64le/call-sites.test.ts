// A call site that is missed cannot be patched; one that is none would be rewritten by ftrace.

import { describe, expect, test } from 'vitest';
import type { Section } from '../../elf/model.ts';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { checkPrologue, findCallSites, moduleCallSites } from './call-sites.ts';

const MFLR = 0x7c0802a6;
const STD = 0xf8010010;
const NOP = 0x60000000;
const base = 0xc000000000008000n;

/** Kernel text of these words, with `_mcount` at the first one's address and a function called `f` all over it. */
function textOf(words: readonly number[]): KernelText {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word, true);
  const end = linkAddress(base + BigInt(bytes.length));
  return {
    word: () => undefined,
    bytes: (address, size) => bytes.subarray(Number(address - base), Number(address - base) + size),
    symbol: (name) => (name === '_mcount' ? linkAddress(base) : undefined),
    enclosing: () => ({ name: 'f', start: linkAddress(base), end }),
    section: () => undefined,
    textRanges: [{ start: linkAddress(base), end }],
  };
}

const callBack = (index: number) => (0x48000001 | ((-4 * index) & 0x03fffffc)) >>> 0;

describe('call sites in an image', () => {
  test('are calls of _mcount behind mflr r0 or std r0,16(r1)', () => {
    const text = textOf([NOP, MFLR, callBack(2), MFLR, STD, callBack(5)]);
    expect(findCallSites(text).map(({ address }) => address - base)).toEqual([8n, 20n]);
  });

  test('are not calls of something else, branches without a link, or calls behind other words', () => {
    const text = textOf([NOP, MFLR, callBack(1), MFLR, callBack(4) - 1, NOP, callBack(6)]);
    expect(findCallSites(text)).toEqual([]);
  });

  test('cannot be found in a kernel without _mcount', () => {
    expect(() => findCallSites({ ...textOf([NOP]), symbol: () => undefined })).toThrow(/_mcount/);
  });
});

test('call sites in a module are its R_PPC64_REL24 against _mcount', () => {
  const data = new Uint8Array(32);
  const view = new DataView(data.buffer);
  for (const [i, word] of [NOP, NOP, MFLR, 0x48000001, NOP, NOP, 0x48000001, NOP].entries())
    view.setUint32(4 * i, word, true);
  const symbol = { name: '_mcount', value: 0n, size: 0n, binding: 1, type: 0, other: 0, place: 'undefined' } as const;
  const relocation = (offset: number, type = 10, name = '_mcount') => ({
    offset,
    type,
    symbol: { ...symbol, name },
    addend: 0n,
  });
  const relocations = [
    relocation(24),
    relocation(12),
    relocation(12, 38),
    relocation(12, 10, 'other'),
    relocation(0),
    relocation(400),
  ];
  expect(moduleCallSites({ data, relocations } as unknown as Section)).toEqual([12]);
});

describe('the prologue', () => {
  const check = (words: readonly number[], index: number) => () =>
    checkPrologue(
      { name: 'f', address: linkAddress(base), words: Uint32Array.from(words) },
      linkAddress(base + BigInt(4 * index)),
    );
  const toc = [0x3c4c00f0, 0x38421234];
  const largeToc = [0xe84cfff8, 0x7c426214];
  const bl = 0x48001001;

  test.each([
    ['nothing', [MFLR, bl]],
    ['a TOC set-up', [...toc, MFLR, bl]],
    ['the large model’s TOC set-up', [...largeToc, MFLR, bl]],
    ['a stored return address', [...toc, MFLR, STD, bl]],
  ])('may have %s before the call', (_, words) => {
    expect(check(words, words.length - 1)).not.toThrow();
  });

  test.each([
    ['no call at the site', [MFLR, NOP], 1],
    ['no mflr', [...toc, NOP, bl], 3],
    ['half a TOC set-up', [toc[1]!, MFLR, bl], 2],
    ['another word before it', [NOP, ...toc, MFLR, bl], 4],
    ['a site far behind the entry', [MFLR, bl, NOP, NOP, MFLR, bl], 5],
    ['a site outside the function', [MFLR, bl], -1],
  ])('is refused with %s', (_, words, index) => {
    expect(check(words, index)).toThrow(/not known/);
  });
});
