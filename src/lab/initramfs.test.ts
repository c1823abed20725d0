// The kernel makes no folders that an archive forgets, and no file whose folder comes later.

import { expect, test } from 'vitest';
import { makeInitramfs } from './initramfs.ts';

/** The names in an archive of plain files, found by their headers; a name ends in a zero byte. */
function names(archive: Uint8Array): string[] {
  const text = new TextDecoder('latin1').decode(archive);
  return [...text.matchAll(/070701[0-9A-F]{104}([^\0]+)\0/g)].map((match) => match[1]!);
}

test('every folder stands before what is in it, once', () => {
  const bytes = new Uint8Array([1]);
  const all = names(
    makeInitramfs(bytes, [
      { path: '/lab/deep/down/a.ko', bytes },
      { path: '/lab/deep/b.ko', bytes },
      { path: '/c', bytes },
    ]),
  );
  expect(new Set(all).size).toBe(all.length);
  for (const name of all.filter((each) => each.includes('/'))) {
    const folder = name.slice(0, name.lastIndexOf('/'));
    expect(all.indexOf(folder)).toBeGreaterThanOrEqual(0);
    expect(all.indexOf(folder)).toBeLessThan(all.indexOf(name));
  }
  expect(all).toEqual(expect.arrayContaining(['init', 'bin/busybox', 'dev/console', 'lab/deep/down/a.ko', 'c']));
});
