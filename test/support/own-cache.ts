// A cache of one's own with a kernel of the real one in it, by links, for what has to begin without objects of the kernel's files.

import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { preparedTree } from '../../src/compile/object-tree.ts';
import type { StoredKernel } from '../../src/host/kernel-store.ts';

/**
 * Makes the cache in a folder that is not there yet and returns what XDG_CACHE_HOME is to be. Of what was compiled, only what all
 * builds for the kernel have in common is there. The source tree has another path in it: `--source` names the real one.
 */
export async function cacheWithoutObjects(kernel: StoredKernel, folder: string): Promise<string> {
  const own = join(folder, 'suture/kernels', kernel.name);
  await mkdir(join(own, 'objects'), { recursive: true });
  for (const name of await readdir(kernel.folder)) {
    if (name !== 'objects') await symlink(join(kernel.folder, name), join(own, name));
  }
  // Of other source trees, in folders that may be gone by now, nothing is taken: a cache has any number of those.
  const prepared = await preparedTree(kernel, kernel.source!);
  const copy = join(own, 'objects', basename(prepared));
  if (existsSync(prepared)) await cp(prepared, copy, { recursive: true, preserveTimestamps: true });
  await symlink(join(dirname(dirname(kernel.folder)), 'sources'), join(folder, 'suture/sources'));
  return folder;
}
