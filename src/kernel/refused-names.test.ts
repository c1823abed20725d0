// A function that the core refuses at load must be refused when the patch is built: the two lists are one.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { neverLeft, refusalByName } from './refused-names.ts';

const codeOf = (name: string) => refusalByName(name)?.reasons[0].code;

test('the functions that no task is ever seen to have left are those of core/never-left.c', () => {
  const source = readFileSync(new URL('../../core/never-left.c', import.meta.url), 'utf8');
  const list = /never_left\[\] = \{(.*?)\};/s.exec(source)?.[1] ?? '';
  const names = [...list.replace(/\/\*.*?\*\//gs, '').matchAll(/"(\w+)"/g)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(10);
  expect([...neverLeft].sort()).toEqual(names.sort());
});

test('a name tells of them, with what gcc adds to it as well, and of other copies that gcc made', () => {
  expect(codeOf('__schedule')).toBe('never-left');
  expect(codeOf('do_exit.isra.0')).toBe('never-left');
  expect(codeOf('cmdline_proc_show.part.0')).toBe('compiler-made-copy');
  expect(codeOf('__schedule_bug')).toBeUndefined();
});
