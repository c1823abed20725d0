// An answer that belongs to other words would be a false proof: lists are told apart whatever their sums are.

import { expect, it } from 'vitest';
import { ByWords } from './by-words.ts';

const asText = (words: Uint32Array): string => [...words].join();

it('gives each list its own answer, those of one sum too', () => {
  const known = new ByWords<string>(1000);
  // Of a long list not every word enters into the sum.
  const long = Uint32Array.from({ length: 200 }, (_, i) => i);
  const other = long.slice();
  other[1] = 7;
  const prefix = long.slice(0, 199);
  for (const words of [long, other, long, prefix, new Uint32Array(), other])
    expect(known.of(words, asText)).toBe(asText(words));
});

it('asks once, as long as there is room, and then again', () => {
  const known = new ByWords<string>(4);
  const asked: string[] = [];
  const ask = (...words: number[]) =>
    known.of(Uint32Array.from(words), (some) => {
      asked.push(asText(some));
      return asText(some);
    });
  for (const words of [[1, 2], [1, 2], [3, 4], [1, 2], [5], [1, 2], [1, 2]]) expect(ask(...words)).toBe(words.join());
  expect(asked).toEqual(['1,2', '3,4', '5', '1,2']);
  // What has no room is not kept.
  expect([ask(1, 2, 3, 4, 5), ask(1, 2, 3, 4, 5)]).toEqual(['1,2,3,4,5', '1,2,3,4,5']);
  expect(asked.slice(4)).toEqual(['1,2,3,4,5', '1,2,3,4,5']);
});

it('keeps what words were, not what they become', () => {
  const known = new ByWords<string>(10);
  const words = Uint32Array.of(1, 2);
  known.of(words, asText);
  words[0] = 3;
  expect(known.of(words, asText)).toBe('3,2');
  expect(known.of(Uint32Array.of(1, 2), asText)).toBe('1,2');
});
