// Two source trees of one kernel, file by file: what makes of each file of the old tree the new one's, as a patch that changes
// this file alone. diff(1) finds and writes the differences.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { run } from '../host/run.ts';
import { reasonError } from '../reason.ts';

/** One file that both trees have, and that differs. */
export interface FileChange {
  /** From the top of the trees. */
  readonly path: string;
  /** A unified diff for -p1, Latin-1. */
  readonly patch: string;
}

export interface TreeChanges {
  /** Sorted by path. */
  readonly files: readonly FileChange[];
  /** How many files or folders one tree has and the other has not: no change of a single file, so none of `files`. */
  readonly inOneTree: number;
}

/** Folders at the top of a tree that hold nothing of the kernel itself. */
const notKernel = new Set(['Documentation', 'LICENSES', 'arch', 'rust', 'samples', 'scripts', 'tools', 'usr', 'certs']);

/**
 * The changes of the kernel's own code for an architecture (its folder below arch/), between two trees that are only read.
 * Throws `usage` for a folder that is no source tree, `tool-missing`, `tool-failed`.
 */
export async function treeChanges(oldTree: string, newTree: string, architecture: string): Promise<TreeChanges> {
  const trees = [oldTree, newTree].map((tree) => resolve(tree));
  for (const tree of trees) {
    if (!existsSync(join(tree, 'Makefile')) || !existsSync(join(tree, 'arch', architecture))) {
      throw reasonError('usage', tree, 'it is no source tree of a kernel', 'name an unpacked source tree');
    }
  }
  const [older, newer] = trees as [string, string];
  const tops = (await readdir(older, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && !notKernel.has(entry.name) && existsSync(join(newer, entry.name)))
    .map(({ name }) => name);
  const files: FileChange[] = [];
  let inOneTree = 0;
  for (const folder of [...tops, `arch/${architecture}`]) {
    const { stdout } = await run(
      'diff',
      ['--recursive', '--unified', '--show-c-function', folder, join(newer, folder)],
      { cwd: older, accept: [0, 1], env: { LC_ALL: 'C' }, encoding: 'latin1' },
    );
    const found = readRecursiveDiff(stdout, `${newer}/`);
    files.push(...found.files);
    inOneTree += found.inOneTree;
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, inOneTree };
}

/** Reads what `diff --recursive --unified` printed; `newer` is the new tree's path with a slash at its end. */
export function readRecursiveDiff(text: string, newer: string): TreeChanges {
  const files: FileChange[] = [];
  let inOneTree = 0;
  // A line of a file that starts with `diff ` or `Only in` has a sign before it.
  for (const piece of text.split(/^(?=diff --recursive |Only in |Binary files )/m)) {
    if (piece.startsWith('Only in ')) inOneTree++;
    const match = /^diff [^\n]*\n--- ([^\t\n]+)[^\n]*\n\+\+\+ ([^\t\n]+)[^\n]*\n([\s\S]*)$/.exec(piece);
    if (!match || match[2] !== newer + match[1]!) continue;
    const [, path, , hunks] = match;
    files.push({ path: path!, patch: `--- a/${path}\n+++ b/${path}\n${hunks}` });
  }
  return { files, inOneTree };
}
