// Which source files of the kernel speak of a name, nearest first, and their objects: somebody's code may show where the kernel has
// what no table tells of (cli/shown-elsewhere.ts).

import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { ReasonError } from '../reason.ts';
import { runBuildTool } from './kbuild.ts';
import { makeObjectTree, objectsOf } from './object-tree.ts';
import { type OriginalObject, objectName, originalObjects } from './original-objects.ts';

/** Where to look. */
export interface NamingSearch {
  readonly kernel: StoredKernel;
  readonly platform: Platform;
  /** The source tree. */
  readonly source: string;
  readonly progress: (text: string) => void;
}

/** Folders at the top of a tree that have no code of the kernel's image. */
const notImage = new Set(['Documentation', 'LICENSES', 'arch', 'certs', 'rust', 'samples', 'scripts', 'tools', 'usr']);

/**
 * Gives `use` the objects of files that have `name` as a word, until it says that it has seen enough, or `most` have been compiled.
 * Those that share most folders with `near` (a path from the top of the tree) come first, and of those the ones that have the
 * name most often. What is part of a module, or does not compile, is left out.
 */
export async function eachObjectNaming(
  { kernel, platform, source, progress }: NamingSearch,
  name: string,
  near: string,
  most: number,
  use: (object: OriginalObject) => boolean,
): Promise<void> {
  const paths = await filesNaming(source, platform.kbuild, name, near);
  if (paths.length === 0) return;
  progress(`looking in other files for what shows where ${name} is`);
  await withTemporaryFolder(async (folder) => {
    const objects = join(folder, 'objects');
    await mkdir(objects);
    const tree = await makeObjectTree(kernel, platform, source, objects);
    let compiled = 0;
    for (const path of paths) {
      if (compiled === most) return;
      if (!(await objectsOf(tree, dirname(path))).has(objectName(path))) continue;
      compiled++;
      const found = await originalObjects(kernel, platform, source, [path], progress).catch((error: unknown) => {
        if (error instanceof ReasonError) return [];
        throw error;
      });
      if (found.some((object) => object.module === '' && use(object))) return;
    }
  });
}

/** C files that have a word, by path from the top of the tree. */
async function filesNaming(source: string, kbuild: string, name: string, near: string): Promise<string[]> {
  const tops = (await readdir(source, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && !notImage.has(entry.name))
    .map((entry) => entry.name);
  const { stdout } = await runBuildTool(
    'grep',
    ['-rcwF', '--include=*.c', '-e', name, ...tops, `arch/${kbuild}`],
    source,
    [0, 1],
  );
  const steps = near.split('/');
  const shared = (path: string) => path.split('/').findIndex((step, i) => step !== steps[i]);
  return stdout
    .split('\n')
    .flatMap((line) => {
      const [, path, count] = /^(.+):([1-9]\d*)$/.exec(line) ?? [];
      return path === undefined || path === near ? [] : [{ path, count: Number(count), shared: shared(path) }];
    })
    .sort((a, b) => b.shared - a.shared || b.count - a.count || (a.path < b.path ? -1 : 1))
    .map(({ path }) => path);
}
