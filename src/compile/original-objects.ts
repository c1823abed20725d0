// The objects of a kernel's own source files, compiled by the kernel's Kbuild and kept.
//
// Of each file there are two: `plain`, what the kernel's build makes and what is compared with the image as shipped; and
// `sectioned`, from the same command line but with each function and datum in a section of its own and, where code for a
// module is not code for the image, compiled as for a module. The patched file is compiled in the second way too, and
// what differs between the two is the fix.
//
// Kept under KERNEL/objects/KEY/HASH/: KEY names the kernel's configuration, the compiler and the file, HASH the contents
// of every file that the compiler read and of the makefiles above it. So a tree that is edited gets other objects, and an
// unchanged one its own.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import type { Platform } from '../arch/arch.ts';
import { publish } from '../host/cache.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { reasonError } from '../reason.ts';
import { type CompilerRun, listedDependencies, otherRun, readCompilerRun } from './compile-command.ts';
import { objectNote } from './gone-sources.ts';
import { runBuildTool } from './kbuild.ts';
import { buildIdentity, makeObjectTree, makeTargets, type ObjectTree } from './object-tree.ts';

/** The compiled forms of one source file of the kernel. */
export interface OriginalObject {
  /** The source file, from the top of the tree. */
  readonly path: string;
  /** The module that the object is part of, as /proc/modules names it; '' for vmlinux. */
  readonly module: string;
  readonly plain: Uint8Array;
  readonly sectioned: Uint8Array;
  /** How Kbuild had it compiled. */
  readonly run: CompilerRun;
  /** The folder below which files are that Kbuild made for it before, at their paths in an object tree. */
  readonly made: string;
}

const entryFile = z.strictObject({
  module: z.string(),
  words: z.array(z.string()),
  source: z.string(),
  /** What the compiler read: from the source tree, and from the object tree what Kbuild made first. */
  dependencies: z.array(z.string()),
  /** The source tree, so that its objects can go when it is gone; older entries do not say. */
  tree: z.string().optional(),
});

/**
 * Flags that put each function and datum into a section of its own, reached by its own name and not by its distance from
 * another one, and what a platform needs beside them.
 */
export const sectionedFlags = (platform: Platform): string[] => [
  '-ffunction-sections',
  '-fdata-sections',
  '-fno-section-anchors',
  ...platform.sectionedFlags,
];

/**
 * The flags of both halves of a pair, of a file that Kbuild compiles so: the compiler describes the types that it used as well
 * (.BTF), which changes no code.
 */
export const pairFlags = (platform: Platform, run?: CompilerRun): string[] => [
  ...sectionedFlags(platform),
  ...((run && platform.flagsForFile?.(run.words)) ?? []),
  '-gbtf',
];

/** `fs/proc/cmdline.c` → `fs/proc/cmdline.o`. */
export const objectName = (path: string): string => path.replace(/\.[cS]$/, '.o');

/**
 * The objects of source files (paths from the top of `source`), from the cache or compiled in one run of Kbuild. Those
 * that Kbuild has no rule for in this configuration are left out.
 * Throws `compile-failed` with the compiler's words if the kernel's own source does not compile, `tool-missing`.
 */
export async function originalObjects(
  kernel: StoredKernel,
  platform: Platform,
  source: string,
  paths: readonly string[],
  progress: (text: string) => void,
): Promise<OriginalObject[]> {
  const form = [...pairFlags(platform), platform.assemblyForModule?.name ?? ''];
  const identity = [await buildIdentity(kernel, source), ...form].join();
  const keyOf = (path: string) =>
    join(kernel.folder, 'objects', createHash('sha256').update(identity).update(path).digest('hex').slice(0, 24));
  const found = new Map<string, OriginalObject>();
  for (const path of paths) {
    const kept = await lookUp(keyOf(path), kernel, source, path);
    if (kept) found.set(path, kept);
  }
  const missing = paths.filter((path) => !found.has(path));
  if (missing.length > 0) {
    progress(`compiling ${missing.length === 1 ? missing[0] : `${missing.length} files`} as the kernel has them`);
    await withTemporaryFolder(async (folder) => {
      const tree = await makeObjectTree(kernel, platform, source, folder);
      const { stderr } = await makeTargets(tree, missing.map(objectName));
      for (const path of missing) {
        const object = await compileBoth(tree, path, stderr, missing);
        if (object) found.set(path, await keep(keyOf(path), tree, object));
      }
    });
  }
  return paths.flatMap((path) => found.get(path) ?? []);
}

type Compiled = Omit<OriginalObject, 'made'>;

/** Kbuild has compiled a file; compiles it the second way. Undefined where Kbuild made nothing and had no complaint of it. */
async function compileBoth(
  tree: ObjectTree,
  path: string,
  said: string,
  asked: readonly string[],
): Promise<Compiled | undefined> {
  const object = objectName(path);
  const noted = join(tree.folder, dirname(object), `.${object.slice(dirname(object).length + 1)}.cmd`);
  if (!existsSync(join(tree.folder, object)) || !existsSync(noted)) {
    const lines = said.split('\n');
    // What Kbuild would have to make first, and cannot: a program for this machine that the headers' package lacks, say.
    const isAsked = (line: string) => asked.some((each) => line.includes(`target '${objectName(each)}'`));
    const needs = lines.filter((line) => /\*\*\* No rule to make target/.test(line) && !isAsked(line));
    if (needs.length > 0) {
      throw reasonError(
        'tool-failed',
        path,
        `Kbuild cannot make what this file needs: ${needs.map((line) => line.replace(/^make(\[\d+\])?: \*\*\* /, '')).join('; ')}`,
        'fix another file, or give the whole function as a C file',
      );
    }
    const complaints = lines.filter((line) => line.includes(path) || line.includes(object));
    if (!complaints.some((line) => /\berror:|Error \d/.test(line))) return undefined;
    throw compileFailed(
      path,
      said,
      tree.source,
      'the kernel’s own source does not compile here; is it the tree of this kernel?',
    );
  }
  const compilerRun = readCompilerRun(await readFile(noted, 'utf8'), object);
  const plain = new Uint8Array(await readFile(join(tree.folder, object)));
  const sectioned = await compileAgain(tree, path, compilerRun, tree.source, pairFlags(tree.platform, compilerRun));
  const module = compilerRun.words.includes('-DMODULE')
    ? (/^-DKBUILD_MODNAME="(.*)"$/.exec(
        compilerRun.words.find((word) => word.startsWith('-DKBUILD_MODNAME=')) ?? '',
      )?.[1] ?? '')
    : '';
  return { path, module, plain, sectioned: sectioned.object, run: compilerRun };
}

/** What a compiler made, and the files that it read, as it names them. */
export interface CompilerOutput {
  readonly object: Uint8Array;
  readonly read: readonly string[];
  readonly warnings: string;
}

/**
 * Runs a file's compiler once more in an object tree, over `top` in place of the source tree, with further flags.
 * Throws `compile-failed` with the compiler's words.
 */
export async function compileAgain(
  tree: ObjectTree,
  path: string,
  compilerRun: CompilerRun,
  top: string,
  flags: readonly string[],
): Promise<CompilerOutput> {
  const [object, dependencies] = [join(tree.folder, 'suture.o'), join(tree.folder, 'suture.d')];
  const { assemblyForModule } = tree.platform;
  const assembly = assemblyForModule && path.endsWith('.c') ? join(tree.folder, 'suture.s') : undefined;
  const [compiler, ...words] = otherRun(compilerRun, {
    object: assembly ?? object,
    dependencies,
    tree: { from: tree.source, to: top },
    // -S is stronger than -c.
    flags: assembly ? [...flags, '-S'] : flags,
  });
  const { status, stderr } = await runBuildTool(compiler!, words, tree.folder, [0, 1]);
  if (status !== 0)
    throw compileFailed(path, stderr, top, 'mend the fix; it is compiled as the kernel compiles this file');
  if (assembly) await assemble(tree, path, { compiler: compiler!, words, assembly, object });
  return {
    object: new Uint8Array(await readFile(object)),
    read: listedDependencies(await readFile(dependencies, 'utf8')),
    warnings: stderr.replaceAll(`${top}/`, ''),
  };
}

/** The second half of a compilation, with the assembly changed to what a module needs. */
async function assemble(
  { platform, folder }: ObjectTree,
  path: string,
  run: {
    readonly compiler: string;
    readonly words: readonly string[];
    readonly assembly: string;
    readonly object: string;
  },
): Promise<void> {
  const { compiler, words, assembly, object } = run;
  await writeFile(assembly, platform.assemblyForModule!(await readFile(assembly, 'latin1')), 'latin1');
  // What the compiler tells the assembler of the machine.
  const kept = words.filter((word) => /^-(Wa,|m)/.test(word));
  const { status, stderr } = await runBuildTool(compiler, [...kept, '-c', '-o', object, assembly], folder, [0, 1]);
  if (status !== 0) throw compileFailed(path, stderr, folder, 'give the whole function as a C file');
}

function compileFailed(path: string, said: string, top: string, remedy: string) {
  const lines = said
    .replaceAll(`${top}/`, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^make(\[\d+\])?: /.test(line));
  if (lines.some((line) => /No space left on device/.test(line))) {
    return reasonError(
      'output-failed',
      path,
      'no space left for the compiler’s output',
      'make room, or set TMPDIR to another folder',
    );
  }
  return reasonError('compile-failed', path, lines.join('\n') || 'the compiler ended without a word', remedy);
}

/** Puts objects into the cache. Another run may just have done the same, and its entry is as good. */
async function keep(key: string, tree: ObjectTree, compiled: Compiled): Promise<OriginalObject> {
  const { kernel, source } = tree;
  const { dependencies } = compiled.run;
  const entry = join(key, await hashOf([...dependencies, ...makefilesOf(source, compiled.path)], tree.folder));
  const made = dependencies.filter((name) => !isAbsolute(name) && !existsSync(join(kernel.headers, name)));
  await publish(entry, async (folder) => {
    await writeFile(join(folder, 'plain.o'), compiled.plain);
    await writeFile(join(folder, 'sectioned.o'), compiled.sectioned);
    for (const name of made) {
      await mkdir(join(folder, 'made', dirname(name)), { recursive: true });
      await copyFile(join(tree.folder, name), join(folder, 'made', name));
    }
    const { words } = compiled.run;
    const text = JSON.stringify({
      module: compiled.module,
      words,
      source: compiled.run.source,
      dependencies,
      tree: source,
    });
    await writeFile(join(folder, objectNote), text);
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  return (await lookUp(key, kernel, source, compiled.path)) ?? { ...compiled, made: join(entry, 'made') };
}

/** The entry whose files are as they were. */
async function lookUp(
  key: string,
  kernel: StoredKernel,
  source: string,
  path: string,
): Promise<OriginalObject | undefined> {
  const entries = await readdir(key).catch(() => []);
  for (const name of entries) {
    const entry = join(key, name);
    const text = await readFile(join(entry, objectNote), 'utf8').catch(() => '{}');
    const { success, data } = entryFile.safeParse(JSON.parse(text));
    if (!success || !data.dependencies.includes(join(source, path))) continue;
    const made = join(entry, 'made');
    const where = (file: string) => (existsSync(join(made, file)) ? made : kernel.headers);
    if ((await hashOf([...data.dependencies, ...makefilesOf(source, path)], where)) !== name) continue;
    const { module, words, dependencies } = data;
    const [plain, sectioned] = await Promise.all(
      ['plain.o', 'sectioned.o'].map(async (file) => new Uint8Array(await readFile(join(entry, file)))),
    );
    return {
      path,
      module,
      plain: plain!,
      sectioned: sectioned!,
      run: { words, source: data.source, dependencies },
      made,
    };
  }
  return undefined;
}

/** The makefiles that decide about a file's flags, from its folder up to the top, whether or not there are any. */
function makefilesOf(source: string, path: string): string[] {
  const files: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    files.push(...['Makefile', 'Kbuild'].map((name) => join(source, folder, name)));
    if (folder === '.') return files;
  }
}

/** The hash of files' contents, in order; relative ones are below `folder`. A missing one has another hash than an empty one. */
async function hashOf(files: readonly string[], folder: string | ((file: string) => string)): Promise<string> {
  const hash = createHash('sha256');
  const contents = await Promise.all(
    files.map((file) => {
      const below = typeof folder === 'string' ? folder : folder(file);
      return readFile(isAbsolute(file) ? file : join(below, file)).catch(() => undefined);
    }),
  );
  files.forEach((file, i) => {
    hash.update(`${file}\0${contents[i]?.length ?? 'missing'}\0`).update(contents[i] ?? '');
  });
  return hash.digest('hex').slice(0, 24);
}
