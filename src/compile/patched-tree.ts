// A source tree with a patch applied, made of links: every folder that holds a changed file, and every one above it, is a
// real folder; everything else in them leads to the kernel's own tree, which is only read.
//
// The compiler follows names, so what lies beside a changed header is found beside it. But `..` in a folder that is a link
// leads back to the original tree, past the changes: so each compilation's list of files is looked at (`bypassed`), and
// where that has happened the folders on the way are made real too.

import { existsSync } from 'node:fs';
import { mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Changed files by their path from the top of the tree; undefined for one that the patch takes away. */
export type ChangedFiles = ReadonlyMap<string, Uint8Array | undefined>;

/** Fills an empty folder with the tree. `real` are further folders to be real ones. */
export async function makePatchedTree(
  source: string,
  folder: string,
  changed: ChangedFiles,
  real: Iterable<string>,
): Promise<void> {
  const folders = new Set<string>(['.']);
  for (const start of [...[...changed.keys()].map(dirname), ...real]) {
    for (let each = start; each !== '.' && !folders.has(each); each = dirname(each)) folders.add(each);
  }
  for (const each of [...folders].sort()) {
    await mkdir(join(folder, each), { recursive: true });
    if (!existsSync(join(source, each))) continue;
    for (const name of await readdir(join(source, each))) {
      const path = join(each, name);
      if (!folders.has(path) && !changed.has(path)) await symlink(join(source, path), join(folder, path));
    }
  }
  for (const [path, bytes] of changed) if (bytes) await writeFile(join(folder, path), bytes);
}

/**
 * Files of `read` (as a compiler names them) that are really the original of a changed one, and the folders of the patched
 * tree that led there: those before a `..`.
 */
export async function bypassed(
  source: string,
  folder: string,
  changed: ChangedFiles,
  read: readonly string[],
): Promise<{ files: string[]; folders: string[] }> {
  const originals = new Set([...changed.keys()].map((path) => join(source, path)));
  const files: string[] = [];
  const folders = new Set<string>();
  for (const file of read) {
    if (!originals.has(await realpath(file).catch(() => file))) continue;
    files.push(file);
    const steps = file.startsWith(`${folder}/`) ? file.slice(folder.length + 1).split('/') : [];
    steps.forEach((step, i) => {
      if (step === '..') folders.add(join(...steps.slice(0, i)));
    });
  }
  return { files, folders: [...folders] };
}
