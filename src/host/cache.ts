// The cache: what was fetched once, under $XDG_CACHE_HOME/suture.
//
//   kernels/NAME/     one kernel each (kernel-store.ts)
//   apt/ARCHITECTURE/ package lists (apt.ts)
//   locks/NAME        empty files that flock(1) holds
//   building/         entries in the making; an entry appears under its own name by one rename, or not at all

import { once } from 'node:events';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { reasonError } from '../reason.ts';
import { makeFolders } from './make-folders.ts';
import { kill, start } from './run.ts';
import { withTemporaryFolder } from './temporary.ts';

/** The cache's folder. It need not exist yet. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  // The XDG Base Directory Specification has relative paths ignored.
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'suture');
}

/** Where entries are built. On the file system of the cache, so that a rename publishes them. */
export const buildingFolder = (): string => join(cacheFolder(), 'building');

/**
 * Has `build` fill a new folder and publishes that as `entry`, a path inside the cache, by one rename. When `build`
 * fails or is interrupted nothing is left. The caller holds the entry's lock and knows that it is not there.
 */
export async function publish(entry: string, build: (folder: string) => Promise<void>): Promise<void> {
  await withTemporaryFolder(async (temporary) => {
    const folder = join(temporary, 'entry');
    await mkdir(folder);
    await build(folder);
    makeFolders(dirname(entry));
    await rename(folder, entry);
  }, buildingFolder());
}

/**
 * Runs `task` while no other process runs one under the same lock name. The lock is held by flock(1), which gives it up
 * when its input ends: whatever way we die, the lock dies with us.
 */
export async function withLock<T>(name: string, task: () => Promise<T>, onWait: () => void = () => {}): Promise<T> {
  const folder = join(cacheFolder(), 'locks');
  makeFolders(folder);
  const holder = start('flock', ['--exclusive', join(folder, encodeURIComponent(name)), 'sh', '-c', 'echo; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const waiting = setTimeout(onWait, 500);
  try {
    const held = await Promise.race([
      once(holder.stdout!, 'data').then(() => true),
      once(holder, 'exit').then(() => false),
    ]);
    if (!held)
      throw reasonError(
        'tool-failed',
        'flock',
        `cannot lock ${join(folder, name)}`,
        'see that the cache can be written to',
      );
    clearTimeout(waiting);
    return await task();
  } finally {
    clearTimeout(waiting);
    kill(holder);
  }
}
