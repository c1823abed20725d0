// The source trees of Debian's kernels in the cache: `sources/PACKAGE_VERSION/`, one for all kernels of that version.
//
// A tree takes 1.5 GB, and the kernels of every architecture are built from the same one; so it is not part of a kernel's
// entry, which only refers to it, and goes with the last kernel that does.

import { existsSync } from 'node:fs';
import { readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { reasonError } from '../reason.ts';
import type { Apt } from './apt.ts';
import { buildingFolder, cacheFolder, publish, withLock } from './cache.ts';
import type { DebianPackage } from './debian.ts';
import { run } from './run.ts';
import { withTemporaryFolder } from './temporary.ts';

const sourcesFolder = (): string => join(cacheFolder(), 'sources');

/** Where the tree of a source package is, or would be. */
export const sourceTreeFolder = ({ name, version }: Pick<DebianPackage, 'name' | 'version'>): string =>
  join(sourcesFolder(), `${name}_${version.replaceAll(':', '%3a')}`);

/**
 * The folder of a source package's tree, fetched and unpacked unless it is in the cache. Throws `fetch-failed`.
 */
export async function fetchSourceTree(
  apt: Apt,
  source: DebianPackage,
  progress: (text: string) => void,
): Promise<string> {
  const folder = sourceTreeFolder(source);
  if (existsSync(folder)) return folder;
  await withLock(`source-${source.name}`, async () => {
    if (existsSync(folder)) return;
    await publish(folder, (tree) =>
      withSourceArchive(apt, source, progress, async (archive) => {
        progress(`unpacking ${source.name} ${source.version}`);
        await run('tar', ['--extract', '--file', archive, '--strip-components=1', '--directory', tree]);
      }),
    );
  });
  return folder;
}

/** Has `task` look at a source package's archive, which is gone afterwards. Throws `fetch-failed`. */
export function withSourceArchive<T>(
  apt: Apt,
  source: DebianPackage,
  progress: (text: string) => void,
  task: (archive: string) => Promise<T>,
): Promise<T> {
  return withTemporaryFolder(async (downloads) => {
    progress(`fetching ${source.name} ${source.version} (${(source.size / 1e6).toFixed(1)} MB)`);
    await apt.unpack([source], downloads, downloads);
    const archives = join(downloads, 'usr/src');
    const archive = (await readdir(archives)).find((file) => /^linux-source-.*\.tar\.xz$/.test(file));
    if (archive === undefined) {
      throw reasonError(
        'fetch-failed',
        source.name,
        'the package holds no source archive',
        'unpack the kernel’s source yourself, and name it with --source',
      );
    }
    return task(join(archives, archive));
  }, buildingFolder());
}

/** Removes a tree of the cache that no kernel of `sources` (absolute paths) refers to any more; leaves others alone. */
export async function dropSourceTree(tree: string | undefined, sources: readonly (string | undefined)[]) {
  if (tree === undefined || dirname(tree) !== sourcesFolder() || sources.includes(tree)) return;
  await withTemporaryFolder((temporary) => rename(tree, join(temporary, 'tree')), buildingFolder());
}
