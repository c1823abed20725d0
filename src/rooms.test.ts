// The house stands only while imports go down the list of rooms, and while the rooms that the report page needs stay free
// of Node. Nobody notices a wrong import by reading, so this test reads them all.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/** Each room and the rooms that it may import from, beside itself and `reason.ts`: the table of ARCHITECTURE.md, top to bottom. */
const mayUse: Readonly<Record<string, readonly string[]>> = {
  cli: ['report', 'lab', 'compile', 'host', 'prove', 'link', 'match', 'kernel', 'diff', 'symbolic', 'arch', 'elf'],
  report: ['lab', 'compile', 'host', 'prove', 'link', 'match', 'kernel', 'diff', 'symbolic', 'arch', 'elf'],
  lab: ['host', 'kernel', 'arch', 'elf'],
  compile: ['host', 'link', 'kernel', 'arch', 'elf'],
  host: ['kernel', 'arch', 'elf'],
  prove: ['kernel', 'symbolic', 'arch', 'elf'],
  link: ['match', 'diff', 'kernel', 'arch', 'elf'],
  match: ['diff', 'kernel', 'arch', 'elf'],
  kernel: ['arch', 'elf'],
  diff: ['arch', 'elf'],
  symbolic: ['arch'],
  arch: ['elf'],
  elf: [],
  'reason.ts': [],
};
const rooms = Object.keys(mayUse);

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
  [...text.matchAll(/^(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm)].map(
    (match) => (match[1] ?? match[2])!,
  );
/** The text without comments: what the machine sees. */
const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');

/** Every import of a file of ours, as the file that it leads to. */
const links = sources.flatMap(({ file, text }) =>
  imports(text)
    .filter((from) => from.startsWith('.'))
    .map((from) => ({ file, target: relative(src, join(src, dirname(file), from)) })),
);
const report = (found: readonly { file: string; target: string }[]) =>
  found.map(({ file, target }) => `${file} imports ${target}`);

describe('the rooms', () => {
  it('are all in the list', () => {
    expect([...new Set(sources.map(({ file }) => roomOf(file)))].filter((room) => !rooms.includes(room))).toEqual([]);
  });

  it('are listed so that all may use only what stands below them', () => {
    for (const [room, used] of Object.entries(mayUse)) {
      expect(used.filter((each) => rooms.indexOf(each) <= rooms.indexOf(room))).toEqual([]);
    }
  });

  it('import only from themselves and from rooms that they may use', () => {
    expect(links.length).toBeGreaterThan(100);
    const wrong = links.filter(({ file, target }) => {
      const [from, to] = [roomOf(file), roomOf(target)];
      return from !== to && to !== 'reason.ts' && !mayUse[from]!.includes(to);
    });
    expect(report(wrong)).toEqual([]);
  });

  it('reach an architecture only through the list of architectures', () => {
    const folderOf = (file: string) => /^arch\/([^/]+)\//.exec(file)?.[1];
    const wrong = links.filter(({ file, target }) => {
      const to = folderOf(target);
      return to !== undefined && folderOf(file) !== to && file !== 'arch/architectures.ts';
    });
    expect(report(wrong)).toEqual([]);
  });

  it('name no architecture outside arch, nor anything of one', () => {
    // xz has a filter of that name, whatever it is used for.
    const allowed = ['kernel/xz.ts'];
    const named = /\b(arm|armhf|ppc64le|ppc64el|powerpc)\b|\bR_(ARM|PPC)|\.ARM\.|\bEM_(ARM|PPC)/i;
    const found = sources.filter(
      ({ file, text }) =>
        roomOf(file) !== 'arch' && roomOf(file) !== 'elf' && !allowed.includes(file) && named.test(code(text)),
    );
    expect(found.map(({ file, text }) => `${file}: ${named.exec(code(text))![0]}`)).toEqual([]);
  });

  it('are free of Node where a browser runs them', () => {
    const found = sources
      .filter(({ file }) => browserRooms.has(roomOf(file)))
      .flatMap(({ file, text }) => [
        ...imports(text)
          .filter((from) => from.startsWith('node:'))
          .map((from) => `${file} imports ${from}`),
        ...(nodeGlobals.test(code(text)) ? [`${file} uses ${nodeGlobals.exec(code(text))![1]}`] : []),
      ]);
    expect(found).toEqual([]);
  });
});
