// Which source files may include a changed header, directly or through others: found by their #include lines.
//
// More are named than do: `#include "core.h"` is taken for every core.h of the tree, and conditions are not looked at. The
// compiler's own list of what it read has the last word (pairs.ts). A computed include (`#include MACRO`) is not followed;
// the kernel has them for trace events, whose headers are also included by name, and in a handful of drivers.

import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { runBuildTool } from './kbuild.ts';

/** Every file is compiled with these (`-include`; top Makefile and scripts/Makefile.lib, Linux 6.1). */
const includedByAll = ['include/linux/compiler-version.h', 'include/linux/kconfig.h', 'include/linux/compiler_types.h'];

/** Folders at the top of a tree that hold nothing of the kernel itself. */
const notKernel = new Set(['Documentation', 'LICENSES', 'arch', 'rust', 'samples', 'scripts', 'tools']);

/** Files by the last component of what they include. */
type IncludeLines = ReadonlyMap<string, readonly { readonly file: string; readonly name: string }[]>;

/**
 * Files that the compiler is given (.c, .S) and that may include one of `changed`, paths from the top of the tree, sorted;
 * `all` if every file of the kernel does. `architecture` is the name of the folder below arch/.
 */
export async function includersOf(
  source: string,
  architecture: string,
  changed: readonly string[],
): Promise<string[] | 'all'> {
  const lines = await includeLines(source, architecture);
  const reached = new Set(changed);
  for (const path of reached) {
    if (includedByAll.includes(path)) return 'all';
    for (const { file, name } of lines.get(posix.basename(path)) ?? []) if (mayMean(name, path)) reached.add(file);
  }
  return [...reached].filter((path) => /\.[cS]$/.test(path) && !changed.includes(path)).sort();
}

/** Whether a name in an #include may be a file's: its path ends in the name, whatever folder the name starts from. */
export function mayMean(name: string, path: string): boolean {
  const plain = posix.normalize(name).replace(/^(?:\.\.\/)+/, '');
  return path === plain || path.endsWith(`/${plain}`);
}

async function includeLines(source: string, architecture: string): Promise<IncludeLines> {
  const tops = (await readdir(source, { withFileTypes: true })).filter(
    (entry) => entry.isDirectory() && !notKernel.has(entry.name),
  );
  const { stdout } = await runBuildTool(
    'grep',
    [
      ...['-rHoE', ...['c', 'h', 'S', 'inc'].map((ending) => `--include=*.${ending}`)],
      '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*["<][^">]*[">]',
      ...[...tops.map(({ name }) => name), join('arch', architecture)],
    ],
    source,
    [0, 1],
  );
  const found = new Map<string, { file: string; name: string }[]>();
  for (const line of stdout.split('\n')) {
    const match = /^([^:]+):.*["<]([^">]+)[">]$/.exec(line);
    if (!match) continue;
    const [, file, name] = match;
    const last = posix.basename(name!);
    const list = found.get(last) ?? [];
    list.push({ file: file!, name: name! });
    found.set(last, list);
  }
  return found;
}
