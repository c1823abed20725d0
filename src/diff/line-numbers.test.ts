// "Only the line number has changed" is said of what is then not patched, so not one byte may be passed over.

import { expect, test } from 'vitest';
import { objectCode } from '../arch/arm/object-code.ts';
import { onlyLinesDiffer } from './line-numbers.ts';
import type { Piece } from './object.ts';

test('A byte that differs is a difference, wherever the function begins and the byte stands', () => {
  for (const start of [0, 1, 2, 3]) {
    const before = new Uint8Array(11);
    const piece = { start, origin: start, references: [] } as unknown as Piece;
    expect(onlyLinesDiffer(before, before.slice(), piece, objectCode, new Set())).toBe(true);
    for (let at = 0; at < before.length; at++) {
      const after = before.slice();
      after[at] = 1;
      expect(onlyLinesDiffer(before, after, piece, objectCode, new Set()), `${start}, ${at}`).toBe(false);
    }
  }
});
