// Reading a source patch: a unified diff as diff -u, git and quilt write it, paths with one leading component (-p1).
//
//   --- a/fs/proc/cmdline.c          what stands before the first pair of such lines is talk, and so is what stands
//   +++ b/fs/proc/cmdline.c          between one file's hunks and the next file, but for git's own lines
//   @@ -5,3 +5,4 @@ heading          old start, old lines, new start, new lines; a count that is left out is 1
//    kept                            counted in both
//   -taken out
//   +put in
//   \ No newline at end of file      about the line before
//
// A file that is not there is /dev/null, or, as `diff -N` has it, one of 1 January 1970, of which no line is. Where every line ends in
// CR LF, as mail is sent, the CR is none of the patch's.
//
// Text is handled as Latin-1, a character a byte, since kernel sources are in more than one encoding.

import { type ReasonError, reasonError } from '../reason.ts';

export interface HunkLine {
  readonly sign: ' ' | '-' | '+';
  /** Without the newline. */
  readonly text: string;
  /** It is the file's last line, and no newline follows it. */
  readonly unended: boolean;
}

export interface Hunk {
  /** `@@ -5,3 +5,4 @@ heading`. */
  readonly header: string;
  /** Line numbers from 1; where the count is 0, the line after which the hunk stands. */
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly HunkLine[];
}

/** What a patch does to one file. */
export interface FilePatch {
  /** Relative to the top of the tree. */
  readonly path: string;
  /** The path that it has before, for a rename; the same otherwise. */
  readonly oldPath: string;
  readonly change: 'edit' | 'create' | 'delete';
  readonly hunks: readonly Hunk[];
}

interface Header {
  oldName?: string;
  newName?: string;
  change: FilePatch['change'];
}

/**
 * What a patch changes, file by file. `place` is what errors call it. Throws `patch-unreadable` with the line.
 */
export function parseUnifiedDiff(text: string, place: string): FilePatch[] {
  const lines = (/[^\r]\n/.test(text) ? text : text.replaceAll('\r\n', '\n')).split('\n');
  const files: FilePatch[] = [];
  const unreadable = (line: number, message: string): ReasonError =>
    reasonError(
      'patch-unreadable',
      `${place}:${line + 1}`,
      message,
      'give a unified diff as `git diff` or `diff -u` writes it, with paths from above the source tree (a/fs/…, b/fs/…)',
    );

  let header: Header = { change: 'edit' };
  const finish = (at: number, hunks: readonly Hunk[]) => {
    const { oldName, newName, change } = header;
    header = { change: 'edit' };
    const [path, oldPath] = [newName ?? oldName, oldName ?? newName];
    if (path === undefined || oldPath === undefined) throw unreadable(at, 'this names no file');
    if (change === 'edit' && path === oldPath && hunks.length === 0) return;
    files.push({ path, oldPath, change, hunks });
  };
  const nameIn = (at: number, name: string): string | undefined => {
    const path = name.replace(/\t.*$/, '').trimEnd();
    if (path === '/dev/null') return undefined;
    if (noName.test(path)) throw unreadable(at, 'a path that no file can have');
    if (path.startsWith('"')) throw unreadable(at, 'a quoted path; files of the kernel have plain names');
    const parts = path.split('/').slice(1);
    if (parts.length === 0 || parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw unreadable(at, `${path} is no path with one component above the source tree`);
    }
    return parts.join('/');
  };

  let at = 0;
  let inGit = false;
  const endGit = () => {
    // A rename or a change of mode without hunks.
    if (inGit && (header.oldName ?? header.newName) !== undefined) finish(at, []);
    inGit = false;
    header = { change: 'edit' };
  };
  while (at < lines.length) {
    const line = lines[at]!;
    if (line.startsWith('diff --git ')) {
      endGit();
      inGit = true;
      at++;
    } else if (inGit && /^(?:new|deleted) file mode (?!100)/.test(line)) {
      throw unreadable(at, 'a file that is none of text: a symbolic link, or a tree of its own');
    } else if (inGit && /^(?:new|deleted) file mode /.test(line)) {
      header.change = line.startsWith('new') ? 'create' : 'delete';
      at++;
    } else if (inGit && /^(?:rename|copy) (?:from|to) /.test(line)) {
      if (line.startsWith('copy')) throw unreadable(at, 'a copied file');
      if (line.startsWith('rename from ')) header.oldName = nameIn(at, `a/${line.slice('rename from '.length)}`)!;
      else header.newName = nameIn(at, `b/${line.slice('rename to '.length)}`)!;
      at++;
    } else if (/^(?:GIT binary patch|Binary files )/.test(line)) {
      throw unreadable(at, 'a change of a binary file');
    } else if (line.startsWith('--- ') && lines[at + 1]?.startsWith('+++ ')) {
      const [oldName, newName] = [nameIn(at, line.slice(4)), nameIn(at + 1, lines[at + 1]!.slice(4))];
      if (oldName === undefined && newName === undefined) throw unreadable(at, 'neither side is a file');
      const change = oldName === undefined ? 'create' : newName === undefined ? 'delete' : header.change;
      header = {
        change,
        ...(oldName === undefined ? {} : { oldName }),
        ...(newName === undefined ? {} : { newName }),
      };
      // Beside `diff -u x.c.orig x.c`, where the new side counts, as with `patch`.
      if (!inGit && change === 'edit') header.oldName = header.newName!;
      const from = at;
      at += 2;
      const hunks: Hunk[] = [];
      while (lines[at]?.startsWith('@@ ')) {
        const { hunk, next } = readHunk(lines, at, unreadable);
        hunks.push(hunk);
        at = next;
      }
      if (hunks.length === 0) throw unreadable(at, 'a hunk (@@ -…) should stand here');
      const more = firstLeftOver(lines, at);
      if (more !== undefined) throw unreadable(more, `the hunk ${hunks.at(-1)!.header} has more lines than it says`);
      const [only] = hunks;
      if (change === 'edit' && hunks.length === 1) {
        if (isFromNothing(lines[from]!, only!, '+')) header.change = 'create';
        if (isFromNothing(lines[from + 1]!, only!, '-')) header.change = 'delete';
      }
      finish(from, hunks);
      inGit = false;
    } else {
      if (/^\*{15}$/.test(line)) throw unreadable(at, 'a change as `diff -c` writes it');
      if (line.startsWith('@@ -')) throw unreadable(at, 'a hunk that belongs to no file: no ---/+++ lines before it');
      at++;
    }
  }
  endGit();
  if (files.length === 0) throw unreadable(0, 'there is no change of a file in it');
  const named = files.flatMap(({ path, oldPath }) => (path === oldPath ? [path] : [path, oldPath]));
  const twice = named.find((path, i) => named.indexOf(path) !== i);
  if (twice) throw unreadable(0, `${twice} is changed in two places of the patch`);
  return files;
}

/** A control character, or a component longer than file systems have it (NAME_MAX of linux/limits.h). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
const noName = /[\0-\x1f\x7f]|[^/]{256}/;

/**
 * Where lines that look like a hunk's stand right behind the last of one: its counts are wrong, and part of it would be
 * taken for talk. `-- ` is how mail ends, `---` how the next file begins.
 */
function firstLeftOver(lines: readonly string[], from: number): number | undefined {
  for (let at = from; /^[ +-]/.test(lines[at] ?? '') && !/^--( ?$|-)/.test(lines[at]!); at++)
    if (!lines[at]!.startsWith(' ')) return at;
  return undefined;
}

/**
 * Whether `diff -N` means that there is no file, on one side of a patch whose only hunk has lines of the other side, `sign`, alone. The
 * beginning of time is written in the zone of whoever ran it.
 */
const isFromNothing = (nameLine: string, { lines }: Hunk, sign: '+' | '-'): boolean =>
  lines.every((line) => line.sign === sign) && /\t(?:1970-01-01|1969-12-31) /.test(nameLine);

function readHunk(
  lines: readonly string[],
  start: number,
  unreadable: (line: number, message: string) => ReasonError,
): { hunk: Hunk; next: number } {
  const header = lines[start]!;
  const match = /^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@/.exec(header);
  if (!match) throw unreadable(start, `this should read @@ -LINE,COUNT +LINE,COUNT @@: ${header}`);
  let oldLeft = Number(match[2] ?? 1);
  let newLeft = Number(match[4] ?? 1);
  const found: HunkLine[] = [];
  let at = start + 1;
  for (; oldLeft > 0 || newLeft > 0 || lines[at]?.startsWith('\\'); at++) {
    const line = lines[at];
    if (line?.startsWith('\\')) {
      const last = found.pop();
      if (!last) throw unreadable(at, 'a remark about no line');
      found.push({ ...last, unended: true });
      continue;
    }
    // Some mailers take the blank of an empty line away.
    const sign = line === '' && at + 1 < lines.length ? ' ' : line?.[0];
    if (sign !== ' ' && sign !== '-' && sign !== '+') {
      throw unreadable(at, `the hunk ${header} is cut short: ${oldLeft} old and ${newLeft} new lines are missing`);
    }
    if (sign !== '+') oldLeft--;
    if (sign !== '-') newLeft--;
    if (oldLeft < 0 || newLeft < 0) throw unreadable(at, `the hunk ${header} has more lines than it says`);
    found.push({ sign, text: line!.slice(1), unended: false });
  }
  return {
    hunk: { header, oldStart: Number(match[1]), newStart: Number(match[3]), lines: found },
    next: at,
  };
}
