// Applying a patch to the text of a file: exactly, or not at all. A hunk may stand some lines further up or down than its
// header says, as long as there is one such place only; no line of it may differ, since a line that does may be the one
// that the fix is about.

import { reasonError } from '../reason.ts';
import type { FilePatch, Hunk, HunkLine } from './unified-diff.ts';

/** What a patch makes of a file. */
export interface Applied {
  readonly text: string;
  /**
   * The same for a C compiler, with a `#line` behind each statement below a change: lines that are old have their old numbers,
   * so what has `__LINE__` in it and has not changed is compiled to what it was.
   */
  readonly withOldNumbers: string;
  /** Lines of `text` that the patch has put in, counted from 0. */
  readonly added: ReadonlySet<number>;
  /** Hunks that stand elsewhere than the patch says: for a remark. */
  readonly moved: readonly { readonly hunk: number; readonly lines: number }[];
}

/** Lines with their newlines; the last may lack it. */
const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

const written = ({ text, unended }: HunkLine): string => (unended ? text : `${text}\n`);

/**
 * The text of a file after a patch. Throws `patch-does-not-apply`, saying which hunk and what stands in its place.
 */
export function applyToFile(text: string, patch: FilePatch): Applied {
  const lines = linesOf(text);
  const result: string[] = [];
  const numbered: string[] = [];
  const added = new Set<number>();
  let isBelow = false;
  /** Takes a line over; `number` is what it was in the old file, from 1. */
  const keep = (line: string, number: number) => {
    result.push(line);
    numbered.push(line);
    if (isBelow && statementEnd.test(line)) numbered.push(`#line ${number + 1}\n`);
  };
  const moved: { hunk: number; lines: number }[] = [];
  let done = 0;
  let shift = 0;
  patch.hunks.forEach((hunk, i) => {
    const old = hunk.lines.filter(({ sign }) => sign !== '+').map(written);
    const wanted = (old.length === 0 ? hunk.oldStart : hunk.oldStart - 1) + shift;
    const at = placeOf(lines, old, wanted, done);
    if (at === undefined) throw refusal(lines, patch, hunk, i, wanted, done);
    const offset = at - (wanted - shift);
    if (offset !== 0) moved.push({ hunk: i + 1, lines: offset });
    shift = offset;
    for (; done < at; done++) keep(lines[done]!, done + 1);
    for (const line of hunk.lines) {
      if (line.sign === ' ') keep(written(line), ++done);
      if (line.sign === '+') {
        added.add(result.length);
        result.push(written(line));
        numbered.push(written(line));
      }
      if (line.sign === '-') done++;
      isBelow ||= line.sign !== ' ';
    }
  });
  for (; done < lines.length; done++) keep(lines[done]!, done + 1);
  return { text: result.join(''), withOldNumbers: numbered.join(''), added, moved };
}

/**
 * Where a line ends so that a directive may stand behind it: not within the arguments of a macro, nor in a `#define` of several
 * lines. In a comment it does no harm.
 */
const statementEnd = /[;{}]\s*\n$/;

/** Where lines stand: at `wanted`, or at the only other place from `from` on. */
function placeOf(lines: readonly string[], old: readonly string[], wanted: number, from: number): number | undefined {
  const fits = (at: number) =>
    at >= from && at + old.length <= lines.length && old.every((l, i) => lines[at + i] === l);
  if (fits(wanted)) return wanted;
  if (old.length === 0) return undefined;
  const places: number[] = [];
  for (let at = from; at + old.length <= lines.length && places.length < 2; at++) if (fits(at)) places.push(at);
  return places.length === 1 ? places[0] : undefined;
}

function refusal(
  lines: readonly string[],
  patch: FilePatch,
  hunk: Hunk,
  index: number,
  wanted: number,
  done: number,
): Error {
  const which = `hunk ${index + 1} of ${patch.hunks.length}, ${hunk.header}`;
  const wholes = (skipped: '-' | '+') => hunk.lines.filter(({ sign }) => sign !== skipped).map(written);
  const fresh = wholes('-');
  const old = wholes('+');
  if (fresh.length > 0 && placeOf(lines, fresh, hunk.newStart - 1, 0) !== undefined) {
    return reasonError(
      'patch-does-not-apply',
      patch.path,
      `${which}: the file has these lines already as the patch would make them`,
      'the kernel’s source may have this fix; give the fix that it lacks',
    );
  }
  const differs = old.findIndex((line, i) => lines[wanted + i] !== line);
  const show = (line: string | undefined) =>
    line === undefined
      ? 'the end of the file'
      : `“${Buffer.from(line.replace(/\n$/, ''), 'latin1').toString('utf8').replaceAll('\r', '␍').trimEnd()}”`;
  const where = wanted + Math.max(differs, 0);
  const again = old.length > 0 && wanted >= done ? '; nowhere else does it fit just once' : '';
  const sameButCr =
    old.some((line, i) => line !== lines[wanted + i]) &&
    old.every((line, i) => line.replace('\r', '') === lines[wanted + i]?.replace('\r', ''));
  return reasonError(
    'patch-does-not-apply',
    `${patch.path}:${where + 1}`,
    `${which}: the patch expects ${show(old[Math.max(differs, 0)])}, the file has ${show(lines[where])}${again}`,
    sameButCr
      ? 'some lines end in CR LF: send or save the patch without CR (`dos2unix` takes them away)'
      : 'make the patch against the source of this very kernel',
  );
}
