// A source patch for one line of a file, as diff -u would write it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const context = 3;

/** Replaces the only line of a file that holds `from` by `to`, which may be several lines. */
export function linePatch(source: string, path: string, from: string, to: string): string {
  const lines = readFileSync(join(source, path), 'latin1').split('\n');
  const at = lines.findIndex((line) => line.includes(from));
  if (at < 0 || lines.findLastIndex((line) => line.includes(from)) !== at) throw new Error(`${path}: not one ${from}`);
  const before = lines.slice(Math.max(at - context, 0), at);
  const after = lines.slice(at + 1, at + 1 + context);
  const fresh = to.split('\n');
  const kept = before.length + after.length;
  return [
    `--- a/${path}`,
    `+++ b/${path}`,
    `@@ -${at - before.length + 1},${kept + 1} +${at - before.length + 1},${kept + fresh.length} @@`,
    ...before.map((line) => ` ${line}`),
    `-${lines[at]}`,
    ...fresh.map((line) => `+${line}`),
    ...after.map((line) => ` ${line}`),
    '',
  ].join('\n');
}
