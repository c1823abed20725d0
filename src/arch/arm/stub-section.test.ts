// Without the unwind table in this exact form, function_graph oopses as soon as it meets a patched function.

import { expect, test } from 'vitest';
import type { Stub } from '../arch.ts';
import { layOutStubs } from './stub-section.ts';

const stub = (...words: number[]): Stub => ({ words: words.map((word) => ({ word, text: '' })), relocations: [] });
const wordsOf = (data: Uint8Array): number[] =>
  Array.from({ length: data.length / 4 }, (_, i) => new DataView(data.buffer).getUint32(4 * i, true));

test('Stubs lie one behind the other, with a word before the first', () => {
  const { section, offsets } = layOutStubs([stub(0xe28dd010, 0xeafffffe), stub(0xeafffffe)]);
  expect(section).toMatchObject({ name: '.text.suture_stubs', type: 1, flags: 6n, align: 4, size: 16 });
  expect(offsets).toEqual([4, 12]);
  expect(wordsOf(section.data)).toEqual([0xe7f000f0, 0xe28dd010, 0xeafffffe, 0xeafffffe]); // udf #0 first
});

test('One entry says of the whole section that it cannot be unwound', () => {
  const { section, companions } = layOutStubs([stub(0xeafffffe)]);
  expect(companions).toHaveLength(1);
  const [table] = companions;
  // ALLOC and LINK_ORDER; the loader finds the text by what follows `.ARM.exidx`.
  expect(table).toMatchObject({ name: `.ARM.exidx${section.name}`, type: 0x70000001, flags: 0x82n, align: 4, size: 8 });
  expect(table!.link).toBe(section);
  expect(wordsOf(table!.data)).toEqual([0, 1]);
  expect(table!.relocations).toMatchObject([{ offset: 0, type: 42, addend: undefined }]);
  expect(table!.relocations[0]!.symbol).toMatchObject({ value: 0n, binding: 0, type: 3 });
  expect(table!.relocations[0]!.symbol!.place).toBe(section);
});
