// A kernel's symbols are looked up by name without being read. What is found must be what reading them all finds.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReasonError } from '../reason.ts';
import { ET_REL } from './constants.ts';
import { newModel, newSymbol, readElf, readImage, writeElf } from './elf.ts';
import { NameIndex } from './name-index.ts';

/** An executable whose symbols have these names, the index as their values. */
function imageOf(names: readonly string[]): Uint8Array {
  const model = newModel({ class: 64, type: ET_REL, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  names.forEach((name, i) => {
    model.symbols.push(newSymbol(name, { value: BigInt(i), place: 'absolute' }));
  });
  const bytes = writeElf(model);
  // e_type of an executable, which the writer does not make.
  bytes[16] = 2;
  return bytes;
}

const name = fc.oneof(fc.constantFrom('', 'a', 'init', 'ünit', 'x'.repeat(64), `${'x'.repeat(64)}y`), fc.string());

test('the symbols of a name are those that all symbols have of it, in their order', () => {
  fc.assert(
    fc.property(fc.array(name, { maxLength: 40 }), name, (names, wanted) => {
      const clean = names.map((each) => each.replaceAll('\0', ''));
      const bytes = imageOf(clean);
      const image = readImage(bytes, 'made');
      const { symbols } = readElf(bytes, 'made');
      for (const each of [...clean, wanted]) {
        expect(image.symbolsNamed(each)).toEqual(symbols.filter((symbol) => symbol.name === each));
      }
      expect(image.symbols).toEqual(symbols);
    }),
  );
});

test('an image without symbols has none of any name', () => {
  expect(readImage(imageOf([]), 'made').symbolsNamed('init')).toEqual([]);
});

test('a name outside of the table is refused when its symbol is asked for, and in nobody’s way before', () => {
  const bytes = imageOf(['first', 'second']);
  const whole = readElf(bytes, 'made');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = bytes.findIndex(
    (_, i) =>
      i % 8 === 0 &&
      i + 24 <= bytes.length &&
      view.getBigUint64(i + 8, true) === 1n &&
      view.getUint16(i + 6, true) === 0xfff1,
  );
  expect(whole.symbols).toHaveLength(2);
  view.setUint32(at, 0x7fffffff, true);
  const image = readImage(bytes, 'made');
  expect(image.symbolsNamed('first').map((symbol) => symbol.value)).toEqual([0n]);
  expect(image.symbolsNamed('second')).toEqual([]);
  expect(() => image.symbols).toThrow(ReasonError);
});

test('names that lie inside each other are told apart, and one that nothing ends is found by nobody', () => {
  const strings = new TextEncoder().encode('\0abc\0ab');
  const index = new NameIndex(4, (symbol) => [0, 1, 2, 5][symbol]!, strings);
  expect(index.candidates('abc')).toContain(1);
  expect(index.candidates('bc')).toContain(2);
  expect(index.candidates('abc')).not.toContain(2);
});
