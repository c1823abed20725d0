// The cache grew by two megabytes with each temporary source tree, for ever. What is dropped must be nobody's; a tree that is there,
// or an entry that does not say whose it is, loses nothing.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dropGoneSources, objectNote, sourceNote } from './gone-sources.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'suture-gone-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Makes an entry of the cache with one file; returns its path. */
function made(entry: string, file: string, text: string): string {
  const path = join(folder, 'objects', entry);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, file), text);
  return path;
}

it('what is of a source tree that is gone goes, and nothing else', async () => {
  const [gone, there] = [join(folder, 'gone'), join(folder, 'there')];
  mkdirSync(there);
  const note = (tree?: string) => JSON.stringify({ module: '', tree });
  const dropped = [made('prepared-a-2', sourceNote, gone), made('aa/1', objectNote, note(gone))];
  const kept = [
    made('prepared-b-2', sourceNote, there),
    made('prepared-c-2', 'suture-top.txt', ''),
    made('prepared-d-2', sourceNote, 'not/a/place'),
    made('aa/2', objectNote, note(there)),
    made('bb/1', objectNote, note()),
    made('bb/2', objectNote, 'not JSON'),
  ];
  const last = join(made('cc/1', objectNote, note(gone)), '..');
  await dropGoneSources({ folder });
  expect(dropped.filter(existsSync)).toEqual([]);
  expect(kept.filter(existsSync)).toEqual(kept);
  expect(existsSync(last)).toBe(false);
});

it('a kernel without objects has nothing to lose', async () => {
  await expect(dropGoneSources({ folder: join(folder, 'none') })).resolves.toBeUndefined();
});
