// A path that cannot be read or written is the commonest mistake of all: what is said names the user's own path, never a
// temporary one, and what to do.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReasonError } from '../reason.ts';
import { checkFolderOf, filesBelow, makeFolder, readInput, writeOutput } from './files.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'files-test-'));
  writeFileSync(join(folder, 'file'), 'bytes');
});
afterAll(() => rmSync(folder, { recursive: true }));

const reasonOf = async (task: Promise<unknown>) => {
  const error = await task.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ReasonError)) throw new Error('nothing was refused');
  return error.reasons[0];
};

describe('reading', () => {
  test.each([
    ['none', 'there is no such file'],
    ['.', 'it is a folder, not a file'],
    ['file/none', 'not a directory'],
  ])('%s: %s', async (name, message) => {
    const reason = await reasonOf(readInput(`${folder}/${name}`));
    expect(reason).toMatchObject({ code: 'file-missing', place: `${folder}/${name}`, message });
    expect(reason.remedy).not.toBe('');
  });
});

describe('writing', () => {
  test('a link stays one, and its target gets the bytes', async () => {
    writeFileSync(join(folder, 'target'), 'old');
    symlinkSync(join(folder, 'target'), join(folder, 'link'));
    await writeOutput(join(folder, 'link'), 'new');
    expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, 'target'), 'utf8')).toBe('new');
    rmSync(join(folder, 'link'));
    rmSync(join(folder, 'target'));
  });

  test('a device stays one', async () => {
    await writeOutput('/dev/null', 'bytes');
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test('a file has its bytes, and nothing else is left', async () => {
    await writeOutput(join(folder, 'written'), 'whole');
    expect(readFileSync(join(folder, 'written'), 'utf8')).toBe('whole');
    expect(readdirSync(folder).sort()).toEqual(['file', 'written']);
  });

  test.each(['none/out.ko', 'file/out.ko', 'made'])('%s is refused without a word of Node', async (name) => {
    await makeFolder(join(folder, 'made'));
    const reason = await reasonOf(writeOutput(join(folder, name), 'bytes'));
    expect(reason).toMatchObject({ code: 'output-failed', place: join(folder, name) });
    expect(reason.message).not.toMatch(/E[A-Z]{4,}|\.next/);
    expect(reason.remedy).toContain('-o');
  });
});

test('A place that cannot be written to is told before there is anything to write', async () => {
  await checkFolderOf(join(folder, 'out.ko'));
  for (const name of ['none/out.ko', 'file/out.ko'])
    expect(await reasonOf(checkFolderOf(join(folder, name)))).toMatchObject({
      code: 'output-failed',
      place: join(folder, name),
    });
});

describe('making a folder', () => {
  test('one that is there is no fault', async () => {
    await makeFolder(join(folder, 'new'));
    await makeFolder(join(folder, 'new'));
    expect(readdirSync(join(folder, 'new'))).toEqual([]);
  });

  test.each([
    ['none/new', /there is no folder .*none$/],
    ['file', /already exists/],
    ['/proc/new', /^nothing can be made in \/proc$/],
  ])('%s is refused', async (name, message) => {
    expect(await reasonOf(makeFolder(resolve(folder, name)))).toMatchObject({
      code: 'output-failed',
      message: expect.stringMatching(message),
    });
  });
});

test('The files below a folder are told by their paths in it, folders and what links lead to left out', async () => {
  const top = join(folder, 'top');
  mkdirSync(join(top, 'deep', 'deeper'), { recursive: true });
  for (const path of ['file', 'deep/middle', 'deep/deeper/bottom']) writeFileSync(join(top, path), '');
  symlinkSync(join(top, 'deep'), join(top, 'link'));
  expect((await filesBelow(top)).sort()).toEqual(['deep/deeper/bottom', 'deep/middle', 'file', 'link']);
});
