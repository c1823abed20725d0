// The stub's words and the assembly beside them must say the same. (test/ppc64le-redirect.test.ts runs stubs.)

import { describe, expect, test } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import { ReasonError } from '../../reason.ts';
import { ftraceStub, makeStub } from './ftrace-redirect.ts';
import { decode, encode, print } from './instructions.ts';
import { layOutStubs } from './stub-section.ts';

const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });
const old = { name: 'f', address: linkAddress(0x1000n), words: Uint32Array.of(0x7c0802a6, 0x48000101) };
const site = linkAddress(0x1004n);
const refusal = (make: () => unknown) => {
  try {
    make();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
  return undefined;
};

/** Aliases that the chapter uses, as what they stand for. */
const spellOut = (text: string): string =>
  text
    .replace(/ +/g, ' ')
    .replace(/^mflr (r\d+)$/, 'mfspr $1,8')
    .replace(/^mtlr (r\d+)$/, 'mtspr 8,$1')
    .replace(/^mtctr (r\d+)$/, 'mtspr 9,$1')
    .replace(/^bctrl$/, 'bcctrl 20,lt,0')
    .replace(/^blr$/, 'bclr 20,lt,0')
    .replace('.+4', '0x4')
    .replace(/\(new_function.*\)@\w+$/, '0');

describe('a stub', () => {
  test.each([0, 1, 4, 64])('with %i stack arguments has words that are the assembly beside them', (count) => {
    for (const { word, text } of makeStub(count).words) expect(print(decode(word)!, 0n)).toBe(spellOut(text));
  });

  test('keeps the stack aligned and its TOC doubleword above the copied arguments', () => {
    for (let count = 0; count <= 64; count++) {
      const texts = makeStub(count).words.map(({ text }) => text);
      const frame = Number(/stdu +r1,-(\d+)/.exec(texts[2]!)![1]);
      const toc = Number(/std +r2,(\d+)/.exec(texts[3]!)![1]);
      expect(frame % 16).toBe(0);
      expect(toc).toBe(96 + 8 * count);
      expect(toc + 8).toBeLessThanOrEqual(frame);
    }
  });

  test('relocates the pair that makes r12, against the new function', () => {
    const { words, relocations } = makeStub(0);
    expect(relocations.map(({ offset }) => words[offset / 4]!.text)).toEqual([
      'addis   r12,r12,(new_function-.+4)@ha',
      'addi    r12,r12,(new_function-.+8)@l',
    ]);
  });
});

describe('the ftrace way', () => {
  test('copies as many arguments as the new function reads', () => {
    const third = encode('ld', { RT: 3, 'RA|0': 1, DS: 96 + 16 });
    expect(ftraceStub(old, site, Uint32Array.of(third, blr))).toEqual(makeStub(3));
    expect(ftraceStub(old, site, Uint32Array.of(blr))).toEqual(makeStub(0));
  });

  test('refuses a new function that hands out an argument’s address, or reads more than a stub copies', () => {
    const address = encode('addi', { RT: 3, 'RA|0': 1, SI: 96 });
    const far = encode('ld', { RT: 3, 'RA|0': 1, DS: 96 + 8 * 64 });
    expect(refusal(() => ftraceStub(old, site, Uint32Array.of(address, blr)))).toBe('stack-arguments');
    expect(refusal(() => ftraceStub(old, site, Uint32Array.of(far, blr)))).toBe('stack-arguments');
  });

  test('refuses an old function whose prologue it does not know', () => {
    const strange = { ...old, words: Uint32Array.of(0x60000000, 0x48000101) };
    expect(refusal(() => ftraceStub(strange, site, Uint32Array.of(blr)))).toBe('prologue-unknown');
  });
});

test('stubs are laid out one behind the other, each on 16 bytes', () => {
  const stubs = [makeStub(0), makeStub(1), makeStub(0)];
  const { section, offsets, companions } = layOutStubs(stubs);
  expect(offsets).toEqual([0, 64, 144]);
  expect(section).toMatchObject({ name: '.text.suture_stubs', type: 1, flags: 6n, size: 208, align: 16 });
  const view = new DataView(section.data.buffer);
  expect(view.getUint32(64, true)).toBe(stubs[1]!.words[0]!.word);
  expect(view.getUint32(60, true)).toBe(0x7fe00008);
  expect(companions).toEqual([]);
});
