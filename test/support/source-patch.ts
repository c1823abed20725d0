// A source patch for one line of a file, as diff -u would write it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const context = 3;

/** Replaces the only line of a file that holds `from` by `to`, which may be several lines. */
export const linePatch = (source: string, path: string, from: string, to: string): string =>
  editsAsPatch(source, [[path, from, to]]);

/** A patch of several lines, which lie in the order given and apart from each other where they are of one file. */
export function editsAsPatch(
  source: string,
  edits: readonly (readonly [path: string, from: string, to: string])[],
): string {
  const paths = [...new Set(edits.map(([path]) => path))];
  return paths
    .map(
      (path) =>
        `--- a/${path}\n+++ b/${path}\n${hunksOf(
          source,
          path,
          edits.filter(([each]) => each === path),
        )}`,
    )
    .join('');
}

function hunksOf(source: string, path: string, edits: readonly (readonly [string, string, string])[]): string {
  const lines = readFileSync(join(source, path), 'latin1').split('\n');
  let added = 0;
  return edits
    .map(([, from, to]) => {
      const [hunk, growth] = hunkOf(lines, path, from, to, added);
      added += growth;
      return hunk;
    })
    .join('');
}

/** One hunk and by how much it makes the file longer; `shift` is by how much those before it do. */
function hunkOf(lines: readonly string[], path: string, from: string, to: string, shift: number): [string, number] {
  const at = lines.findIndex((line) => line.includes(from));
  if (at < 0 || lines.findLastIndex((line) => line.includes(from)) !== at) throw new Error(`${path}: not one ${from}`);
  const before = lines.slice(Math.max(at - context, 0), at);
  const after = lines.slice(at + 1, at + 1 + context);
  const fresh = to.split('\n');
  const kept = before.length + after.length;
  const hunk = [
    `@@ -${at - before.length + 1},${kept + 1} +${at - before.length + 1 + shift},${kept + fresh.length} @@`,
    ...before.map((line) => ` ${line}`),
    `-${lines[at]}`,
    ...fresh.map((line) => `+${line}`),
    ...after.map((line) => ` ${line}`),
    '',
  ].join('\n');
  return [hunk, fresh.length - 1];
}
