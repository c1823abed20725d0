// What the cache keeps of source trees that are no longer there. Prepared trees and objects go by the place of the source, so those of
// a temporary tree are of no use to anybody once it is gone, and nobody would ever ask for them.

import { lstat, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { StoredKernel } from '../host/kernel-store.ts';

/** Holds the path of the source tree, in a prepared tree. */
export const sourceNote = 'suture-source';

/** Holds it as `tree`, beside an object (original-objects.ts). */
export const objectNote = 'object.json';

/**
 * Takes away what was made from source trees that are gone. What does not say which tree it is of is left, and so is what cannot be
 * looked at. The caller holds the lock of the kernel's objects.
 */
export async function dropGoneSources({ folder }: Pick<StoredKernel, 'folder'>): Promise<void> {
  const objects = join(folder, 'objects');
  const gone = new Map<string, Promise<boolean>>();
  const isOfGone = async (tree: unknown): Promise<boolean> => {
    if (typeof tree !== 'string' || !isAbsolute(tree)) return false;
    const known = gone.get(tree) ?? isGone(tree);
    gone.set(tree, known);
    return known;
  };
  for (const name of await namesIn(objects)) {
    const entry = join(objects, name);
    if (await isOfGone(await textOf(join(entry, sourceNote)))) await remove(entry);
    for (const made of await namesIn(entry)) {
      if (!(await isOfGone(treeIn(await textOf(join(entry, made, objectNote)))))) continue;
      await remove(join(entry, made));
      // With the last of its objects; others are in the way of that. Nobody puts new ones there, since it is of that tree alone.
      await rmdir(entry).catch(() => {});
    }
  }
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
const textOf = (file: string): Promise<string | undefined> => readFile(file, 'utf8').catch(() => undefined);
const remove = (entry: string): Promise<void> => rm(entry, { recursive: true, force: true }).catch(() => {});

/** Whether nothing is there, not whether it cannot be seen. */
const isGone = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT' || error.code === 'ENOTDIR',
  );

function treeIn(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as { tree?: unknown } | null)?.tree;
  } catch {
    return undefined;
  }
}
