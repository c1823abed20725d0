// Temporary folders that are gone when their task is over: done, failed or interrupted.
//
// A run that was killed cannot clean up. So a folder's name carries the process that made it, by number and start time
// (numbers are used again), and whoever comes next to the same place removes the folders of processes that are no more.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from './interrupt.ts';
import { makeFolders } from './make-folders.ts';

const namePattern = /^suture-(\d+)-(\d+)-/;

/** Removal while the last writer is still dying may find a folder that was empty a moment ago: try again. */
const removal = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;

/** When a process started, in clock ticks since the machine did; undefined if there is none. See proc(5), `stat`. */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name, which may hold blanks and parentheses; starttime is the 22nd field.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3];
  } catch {
    return undefined;
  }
}

/** Removes what killed runs left in `parent`. */
export function sweepLeftovers(parent: string = tmpdir()): void {
  let names: string[];
  try {
    names = readdirSync(parent);
  } catch {
    return; // No such folder: nothing left in it.
  }
  for (const name of names) {
    const match = namePattern.exec(name);
    if (!match || processStart(Number(match[1])) === match[2]) continue;
    try {
      rmSync(join(parent, name), removal);
    } catch {
      // Another user's: not ours to remove.
    }
  }
}

const swept = new Set<string>();

/** Runs `task` with a new empty folder inside `parent`, which is made if need be, and removes the folder afterwards. */
export async function withTemporaryFolder<T>(
  task: (folder: string) => Promise<T>,
  parent: string = tmpdir(),
): Promise<T> {
  makeFolders(parent);
  if (!swept.has(parent)) {
    swept.add(parent);
    sweepLeftovers(parent);
  }
  // Synchronous, so that no signal comes between the folder and what removes it.
  const folder = mkdtempSync(join(parent, `suture-${process.pid}-${processStart(process.pid)}-`));
  const forget = atEnd(() => rmSync(folder, removal));
  try {
    return await task(folder);
  } finally {
    await rm(folder, removal);
    forget();
  }
}
