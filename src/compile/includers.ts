// Which source files may include a changed header, directly or through others: found by their #include lines, each led to the
// file that the compiler would take.
//
// A name in quotes is looked for beside the file that has it, then all names in the folders that every file is compiled with
// (LINUXINCLUDE in the top Makefile, Linux 6.1). Only what is in neither may come from a folder that some Makefile adds; then every
// file is meant whose path ends in the name. So more are named than do include it, also because conditions are not looked at. The
// compiler's own list of what it read has the last word (pairs.ts). Where a macro names the file (`#include MACRO`), whoever defines
// the macro so is taken to include it; but what the configuration defines, whoever has the `#include`. Of trace events the macro makes
// the name of two halves, and their headers are included by name too.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { runBuildTool } from './kbuild.ts';
import type { ObjectTree } from './object-tree.ts';

/** Every file is compiled with these (`-include`; top Makefile and scripts/Makefile.lib, Linux 6.1). */
const includedByAll = ['include/linux/compiler-version.h', 'include/linux/kconfig.h', 'include/linux/compiler_types.h'];

/** Folders at the top of a tree that hold nothing of the kernel itself. */
const notKernel = new Set(['Documentation', 'LICENSES', 'arch', 'rust', 'samples', 'scripts', 'tools']);

interface IncludeLine {
  readonly file: string;
  readonly name: string;
  readonly quoted: boolean;
}

/** Lines by the last component of what they include. */
type IncludeLines = ReadonlyMap<string, readonly IncludeLine[]>;

/** The kernel's source, and what was generated from it in an object tree. */
export type SourceTree = Pick<ObjectTree, 'source' | 'folder' | 'platform'>;

/**
 * Files that the compiler is given (.c, .S) and that may include one of `changed`, paths from the top of the tree, sorted;
 * `all` if every file of the kernel does.
 */
export async function includersOf(tree: SourceTree, changed: readonly string[]): Promise<string[] | 'all'> {
  const lines = await includeLines(tree);
  const search = new IncludeSearch(tree, changed);
  const reached = new Set(changed);
  for (const path of reached) {
    if (includedByAll.includes(path)) return 'all';
    for (const line of lines.get(posix.basename(path)) ?? []) if (search.mayMean(line, path)) reached.add(line.file);
  }
  return [...reached].filter((path) => /\.[cS]$/.test(path) && !changed.includes(path)).sort();
}

/** Where each name leads. */
class IncludeSearch {
  readonly #tree: SourceTree;
  readonly #changed: ReadonlySet<string>;
  readonly #folders: readonly string[];
  readonly #known = new Map<string, boolean>();

  constructor(tree: SourceTree, changed: readonly string[]) {
    this.#tree = tree;
    this.#changed = new Set(changed);
    const own = `arch/${tree.platform.kbuild}/include`;
    this.#folders = [
      ...[own, `${own}/generated`, 'include'],
      ...[`${own}/uapi`, `${own}/generated/uapi`, 'include/uapi', 'include/generated/uapi'],
    ];
  }

  mayMean({ file, name, quoted }: IncludeLine, path: string): boolean {
    for (const folder of quoted ? [posix.dirname(file), ...this.#folders] : this.#folders) {
      const found = posix.join(folder, name);
      if (found === path) return true;
      if (this.#exists(found)) return false;
    }
    return endsIn(path, name);
  }

  /** What a patch takes away or makes is there for one of its states. */
  #exists(path: string): boolean {
    const known =
      this.#known.get(path) ??
      (this.#changed.has(path) || [this.#tree.source, this.#tree.folder].some((top) => existsSync(join(top, path))));
    this.#known.set(path, known);
    return known;
  }
}

/** Whether a name in an #include may be a file's, whatever folder the name starts from. */
function endsIn(path: string, name: string): boolean {
  const plain = posix.normalize(name).replace(/^(?:\.\.\/)+/, '');
  return path === plain || path.endsWith(`/${plain}`);
}

/**
 * Source files and headers, generated ones too, that have one of some names as a word, also in a comment; paths from the top of
 * either tree.
 */
export async function filesNaming(tree: SourceTree, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const printed = await grepAll(tree, ['-rlwF', ...names.flatMap((name) => ['-e', name])]);
  return printed.split('\n').filter((line) => line !== '');
}

/** What matters of a line: what it includes; what macro it includes, or gives the name of a file. */
const forms = {
  include: /^(["<])([^">]+)[">]$/,
  computed: /^(\w+)$/,
  macro: /^(\w+)\s+(["<])([^">]+)[">]$/,
};

async function includeLines(tree: SourceTree): Promise<IncludeLines> {
  const name = '["<][^">]*[">]';
  const directive = `(include[[:blank:]]*(${name}|[A-Z_0-9]+[[:blank:]]*$)|define[[:blank:]]+[A-Z_0-9]+[[:blank:]]+${name})`;
  const printed = await grepAll(tree, ['-rHoE', '-e', `^[[:blank:]]*#[[:blank:]]*${directive}`]);
  const found = new Map<string, IncludeLine[]>();
  const add = (file: string, quote: string, included: string) => {
    const last = posix.basename(included);
    const list = found.get(last) ?? [];
    list.push({ file, name: included, quoted: quote === '"' });
    found.set(last, list);
  };
  /** Files that include what a macro says, and what the configuration has macros say. */
  const computed = new Map<string, string[]>();
  const configured: (readonly [macro: string, quote: string, name: string])[] = [];
  for (const text of printed.split('\n')) {
    const [, file, kind, rest] = /^([^:]+):[ \t]*#[ \t]*(include|define)[ \t]*(.*?)[ \t]*$/.exec(text) ?? [];
    if (file === undefined || rest === undefined) continue;
    if (kind === 'include') {
      const [, quote, included] = forms.include.exec(rest) ?? [];
      const [, macro] = forms.computed.exec(rest) ?? [];
      if (included !== undefined) add(file, quote!, included);
      if (macro !== undefined) computed.set(macro, [...(computed.get(macro) ?? []), file]);
    } else {
      const [, macro, quote, named] = forms.macro.exec(rest) ?? [];
      if (macro === undefined) continue;
      // Whoever defines it, and is read, has it included; but the configuration is read by all.
      if (file === 'include/generated/autoconf.h') configured.push([macro, quote!, named!]);
      else if (/\.\w+$/.test(named!)) add(file, quote!, named!);
    }
  }
  for (const [macro, quote, named] of configured) for (const file of computed.get(macro) ?? []) add(file, quote, named);
  return found;
}

/** What grep prints of the kernel's own source and of what was generated from it. */
async function grepAll({ source, folder, platform }: SourceTree, options: readonly string[]): Promise<string> {
  const tops = (await readdir(source, { withFileTypes: true })).filter(
    (entry) => entry.isDirectory() && !notKernel.has(entry.name),
  );
  const own = join('arch', platform.kbuild);
  const generated = [join(own, 'include/generated'), 'include/generated'].filter((each) =>
    existsSync(join(folder, each)),
  );
  const grep = async (top: string, folders: readonly string[]) => {
    const endings = ['c', 'h', 'S', 'inc'].map((ending) => `--include=*.${ending}`);
    return (await runBuildTool('grep', [...options, ...endings, ...folders], top, [0, 1])).stdout;
  };
  const printed = [await grep(source, [...tops.map(({ name }) => name), own])];
  if (generated.length > 0) printed.push(await grep(folder, generated));
  return printed.join('');
}
