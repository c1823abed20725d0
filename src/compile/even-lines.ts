// Two states of a file with their lines made to stand side by side: where one has fewer lines in a change, empty ones follow.
// What the compiler makes of line numbers then differs in no function that the change does not touch.

import type { FilePatch } from './unified-diff.ts';

/** `before` is the file's text, Latin-1; the patch fits it at just the lines that it names. */
export function evenLines(before: string, patch: FilePatch): { before: string; after: string } {
  const lines = before.split('\n');
  const [old, fresh]: [string[], string[]] = [[], []];
  let at = 0;
  for (const hunk of patch.hunks) {
    const start = hunk.oldStart - (hunk.lines.some(({ sign }) => sign !== '+') ? 1 : 0);
    old.push(...lines.slice(at, start));
    fresh.push(...lines.slice(at, start));
    at = start;
    for (const { sign, text } of hunk.lines) {
      if (sign === ' ') {
        pad(old, fresh);
        pad(fresh, old);
      }
      if (sign !== '+') {
        old.push(text);
        at++;
      }
      if (sign !== '-') fresh.push(text);
    }
    pad(old, fresh);
    pad(fresh, old);
  }
  old.push(...lines.slice(at));
  fresh.push(...lines.slice(at));
  return { before: old.join('\n'), after: fresh.join('\n') };
}

/** A line that is continued goes on through the padding. */
function pad(lines: string[], other: readonly string[]): void {
  const filling = lines.at(-1)?.endsWith('\\') ? '\\' : '';
  while (lines.length < other.length) lines.push(filling);
}
