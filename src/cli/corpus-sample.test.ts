// A figure is worth something if anybody can draw the same fixes again.

import { expect, test } from 'vitest';
import { shuffled } from './corpus-sample.ts';

const items = Array.from({ length: 100 }, (_, i) => i);

test('a seed gives the same order each time, and this one on every machine', () => {
  expect(shuffled(items, 1)).toEqual(shuffled(items, 1));
  expect(shuffled(items, 1).slice(0, 5)).toMatchInlineSnapshot(`
    [
      11,
      32,
      8,
      15,
      28,
    ]
  `);
});

test('another seed gives another order, of the same items', () => {
  expect(shuffled(items, 2)).not.toEqual(shuffled(items, 1));
  expect(shuffled(items, 2).sort((a, b) => a - b)).toEqual(items);
});

test('each item may come first', () => {
  const firsts = new Set(Array.from({ length: 2000 }, (_, seed) => shuffled(items.slice(0, 10), seed)[0]));
  expect(firsts.size).toBe(10);
});
