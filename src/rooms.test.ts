// The house stands only while imports go down the list of rooms, and while the rooms that the report page needs stay free
// of Node. Nobody notices a wrong import by reading, so this test reads them all.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/** Top to bottom, as ARCHITECTURE.md lists them. A room may import from itself and from rooms below. */
const rooms = [
  'cli',
  'report',
  'lab',
  'compile',
  'host',
  'prove',
  'link',
  'match',
  'kernel',
  'diff',
  'symbolic',
  'arch',
  'elf',
  'reason.ts',
];

/** Rooms that run in a browser. */
const browserRooms = new Set(['prove', 'link', 'match', 'kernel', 'diff', 'symbolic', 'arch', 'elf', 'reason.ts']);

/** Globals that only Node has. */
const nodeGlobals = /\b(Buffer|process|__dirname|require|setImmediate)\b\s*[.(]/;

const src = dirname(fileURLToPath(import.meta.url));
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.endsWith('.d.ts'))
  .map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }));

const roomOf = (file: string) => file.split('/')[0]!;
const imports = (text: string) =>
  [...text.matchAll(/^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm)].map(
    (match) => (match[1] ?? match[2])!,
  );

describe('the rooms', () => {
  it('are all in the list', () => {
    expect([...new Set(sources.map(({ file }) => roomOf(file)))].filter((room) => !rooms.includes(room))).toEqual([]);
  });

  it('import only from themselves and from rooms below', () => {
    const upward = sources.flatMap(({ file, text }) =>
      imports(text)
        .filter((from) => from.startsWith('.'))
        .map((from) => relative(src, join(src, dirname(file), from)))
        .filter((target) => rooms.indexOf(roomOf(target)) < rooms.indexOf(roomOf(file)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(upward).toEqual([]);
  });

  it('know no architecture by name, except for its own folder and the list of architectures', () => {
    const leaks = sources.flatMap(({ file, text }) =>
      imports(text)
        .filter((from) => /arch\/(arm|ppc64le)\//.test(from) && !file.startsWith('arch/'))
        .map((from) => `${file} imports ${from}`),
    );
    expect(leaks).toEqual([]);
  });

  it('are free of Node where a browser runs them', () => {
    const found = sources
      .filter(({ file }) => browserRooms.has(roomOf(file)))
      .flatMap(({ file, text }) => [
        ...imports(text)
          .filter((from) => from.startsWith('node:'))
          .map((from) => `${file} imports ${from}`),
        ...(nodeGlobals.test(text) ? [`${file} uses ${nodeGlobals.exec(text)![1]}`] : []),
      ]);
    expect(found).toEqual([]);
  });
});
