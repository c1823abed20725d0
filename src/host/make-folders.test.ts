// A cache may be asked for where nothing can be made; that has to end at once, wherever it is.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeFolders } from './make-folders.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'make-folders-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('folders are made with those that they are in, and those that are there stay', () => {
  const deep = join(folder, 'a', 'b', 'c');
  makeFolders(deep);
  makeFolders(deep);
  expect(existsSync(deep)).toBe(true);
});

test('where nothing can be made, it is refused: Node’s own way never returns there', () => {
  expect(() => makeFolders('/proc/none/of/these')).toThrow(
    expect.objectContaining({ reasons: [expect.objectContaining({ code: 'output-failed', place: '/proc/none' })] }),
  );
});
