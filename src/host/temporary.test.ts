// Temporary folders must be gone afterwards, whatever happened; and those of killed runs when the next one comes.

import { spawnSync } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { processStart, sweepLeftovers, withTemporaryFolder } from './temporary.ts';

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'temporary-test-'));
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

test('the folder is there during the task and gone after it', async () => {
  const folder = await withTemporaryFolder(async (path) => {
    mkdirSync(join(path, 'deep', 'er'), { recursive: true });
    return path;
  }, parent);
  expect(folder.startsWith(parent)).toBe(true);
  expect(readdirSync(parent)).toEqual([]);
});

test('a failure removes it too, and comes through', async () => {
  await expect(withTemporaryFolder(() => Promise.reject(new Error('no')), parent)).rejects.toThrow('no');
  expect(readdirSync(parent)).toEqual([]);
});

test('it is made in one go with what removes it: a signal in between would leave it behind', async () => {
  // With all of its threads at work, Node gets nothing done beside us.
  const work = Array.from({ length: 16 }, () => promisify(pbkdf2)('', '', 100_000, 64, 'sha512'));
  const task = withTemporaryFolder(async () => {}, parent);
  expect(readdirSync(parent)).toHaveLength(1);
  await Promise.all([task, ...work]);
});

test('leftovers of processes that are no more are swept; those of living ones, and other things, stay', () => {
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const living = `suture-${process.pid}-${processStart(process.pid)}-a`;
  const reused = `suture-${process.pid}-1-b`; // our number, but a process that started long before us
  for (const name of [`suture-${gone}-123-c`, living, reused, 'suture-other', 'unrelated'])
    mkdirSync(join(parent, name));
  sweepLeftovers(parent);
  expect(readdirSync(parent).sort()).toEqual([living, 'suture-other', 'unrelated'].sort());
  expect(existsSync(join(parent, reused))).toBe(false);
});

test('no parent, nothing to sweep', () => {
  sweepLeftovers(join(parent, 'none'));
});
