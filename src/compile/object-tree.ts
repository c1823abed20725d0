// The kernel's own Kbuild on the kernel's own source, almost without preparing anything: `make O=` in a folder of ours.
//
// What `make prepare` would generate in an object tree came with the kernel's headers, as its real build made it: the
// configuration, generated headers, and the build tools for this machine. So an object tree is a copy of some eighty files
// (2 MB), made anew for each build; nobody else ever writes to it, and the source tree is only read.
//
//   make -C TREE -f SOURCE/Makefile -o prepare0 fs/proc/cmdline.o
//
// is how the kernel's Makefile says that a tree elsewhere is built (its comment on output files). `-o prepare0` has make take
// the general preparation for done; what architectures add after it is still made, and must be: flags of the stack protector
// that come from asm-offsets.h, headers that come from the vDSO, which the headers' package lacks. It leaves
// TREE/fs/proc/.cmdline.o.cmd behind, with the compiler's whole command line.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { publish, withLock } from '../host/cache.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { run } from '../host/run.ts';
import { reasonError } from '../reason.ts';
import { dropGoneSources, sourceNote } from './gone-sources.ts';
import { checkPath, runBuildTool } from './kbuild.ts';

/** An object tree: its folder, which make runs in, and what it is built from. */
export interface ObjectTree {
  readonly folder: string;
  /** The source tree, absolute. */
  readonly source: string;
  readonly kernel: StoredKernel;
  readonly platform: Platform;
}

/** Programs that Kbuild runs from its object tree when it compiles a file. An older or newer kernel may lack one. */
const buildTools = ['basic', 'genksyms', 'mod', 'recordmcount', 'bin2c'];

/** Programs for this machine that some files need and the headers' package lacks, and where each finds its headers. */
const sourceTools = [
  { program: 'scripts/asn1_compiler', include: ['include'] },
  {
    program: 'scripts/selinux/genheaders/genheaders',
    include: ['include/uapi', 'include', 'security/selinux/include'],
  },
] as const;

/**
 * Makes an object tree in an empty folder: a copy of the kernel's prepared one, which is made once and kept as long as the source
 * tree is there.
 * Throws `kernel-incomplete`, `usage` for a path that make cannot work with, `tool-missing`, `tool-failed`.
 */
export async function makeObjectTree(
  kernel: StoredKernel,
  platform: Platform,
  source: string,
  folder: string,
): Promise<ObjectTree> {
  checkPath(folder, 'set TMPDIR to another folder');
  checkPath(source, 'move the source tree, and name it with --source');
  const prepared = await preparedTree(kernel, source);
  if (!existsSync(prepared)) {
    await withLock(`objects-${kernel.name}`, async () => {
      if (existsSync(prepared)) return;
      await publish(prepared, (tree) => prepare({ kernel, platform, source, folder: tree }));
      await dropGoneSources(kernel);
    });
  }
  // make goes by the files' times.
  await cp(prepared, folder, { recursive: true, preserveTimestamps: true });
  return { folder, source, kernel, platform };
}

/** Counts up when a prepared tree gets something that the older ones in caches lack. */
const preparedForm = 2;

/** Where the cache has, or is to have, what the object trees of a kernel and a source tree are copied from. */
export async function preparedTree(kernel: StoredKernel, source: string): Promise<string> {
  return join(kernel.folder, 'objects', `prepared-${await buildIdentity(kernel, source)}-${preparedForm}`);
}

/** A hash of what all objects of a kernel have in common: its configuration, the compiler, the place of the source. */
export async function buildIdentity(kernel: StoredKernel, source: string): Promise<string> {
  const { stdout } = await run(`${kernel.crossPrefix}gcc`, ['--version']);
  const hash = createHash('sha256').update([stdout, kernel.crossPrefix, source].join('\0'));
  for (const file of ['include/config/auto.conf', 'include/generated/autoconf.h']) {
    hash.update(await readFile(join(kernel.headers, file)).catch(() => ''));
  }
  return hash.digest('hex').slice(0, 24);
}

async function prepare(tree: ObjectTree): Promise<void> {
  const { folder, kernel, platform } = tree;
  const { headers } = kernel;
  const generated = join('arch', platform.kbuild, 'include');
  await mkdir(join(folder, 'include/config'), { recursive: true });
  await mkdir(join(folder, 'scripts'));
  for (const part of ['include/generated', generated]) {
    if (!existsSync(join(headers, part))) throw incomplete(kernel, `its headers lack ${part}`);
    await cp(join(headers, part), join(folder, part), { recursive: true });
  }
  for (const file of ['auto.conf', 'kernel.release']) {
    await cp(join(headers, 'include/config', file), join(folder, 'include/config', file));
  }
  for (const tool of buildTools) {
    const from = join(headers, 'scripts', tool);
    if (existsSync(from)) await cp(from, join(folder, 'scripts', tool), { recursive: true });
  }
  for (const tool of sourceTools) await makeSourceTool(tree, tool);
  // Older than what was made of it, or make would configure the kernel anew.
  const config = join(folder, '.config');
  await writeFile(config, await readFile(kernel.config));
  await utimes(config, 0, 0);
  await writeFile(join(folder, 'include/config/auto.conf.cmd'), '');
  await writeFile(join(folder, listMakefile), listRules);
  const { status, stderr } = await makeTargets(tree, ['prepare']);
  if (status !== 0) throw reasonError('tool-failed', `make prepare for ${kernel.name}`, stderr.trim());
  const { stdout } = await runBuildTool(
    'make',
    [
      ...['--silent', '-f', join(tree.source, 'Makefile'), '-f', listMakefile],
      ...[`ARCH=${platform.kbuild}`, `CROSS_COMPILE=${kernel.crossPrefix}`, 'suture-top'],
    ],
    folder,
    [0],
  );
  await writeFile(join(folder, topFolders), stdout);
  await writeFile(join(folder, sourceNote), tree.source);
}

/** Where this machine has no compiler of its own, Kbuild says of a file what it lacks. */
async function makeSourceTool(
  { folder, source }: ObjectTree,
  { program, include }: (typeof sourceTools)[number],
): Promise<void> {
  await mkdir(dirname(join(folder, program)), { recursive: true });
  const headers = include.map((each) => `-I${join(source, each)}`);
  await runBuildTool('cc', [...headers, '-o', program, join(source, `${program}.c`)], folder, [0]).catch(() => {});
}

/** What stands where in version.h, and in the top Makefile. */
const versionParts = [
  ['MAJOR', 'VERSION'],
  ['PATCHLEVEL', 'PATCHLEVEL'],
  ['SUBLEVEL', 'SUBLEVEL'],
] as const;

/**
 * Refuses a source tree that is not one of the kernel's version, as its headers tell it, or that has been built in: what
 * was generated there would be taken for the kernel's.
 */
export async function checkSource(kernel: StoredKernel, source: string): Promise<void> {
  if (!existsSync(source)) throw reasonError('file-missing', source, 'there is no such folder', 'correct --source');
  const read = (file: string) => readFile(file, 'latin1').catch(() => '');
  const header = await read(join(kernel.headers, 'include/generated/uapi/linux/version.h'));
  const makefile = await read(join(source, 'Makefile'));
  const version = (pattern: (part: readonly [string, string]) => RegExp, text: string) =>
    versionParts.map((part) => pattern(part).exec(text)?.[1] ?? '?').join('.');
  const wanted = version(([name]) => new RegExp(`^#define LINUX_VERSION_${name} (\\d+)$`, 'm'), header);
  const found = version(([, name]) => new RegExp(`^${name} = (\\d+)$`, 'm'), makefile);
  if (wanted.includes('?')) throw incomplete(kernel, 'its headers do not tell its version (linux/version.h)');
  if (found.includes('?')) {
    throw reasonError(
      'usage',
      source,
      'it is no source tree of a kernel: its Makefile tells no version',
      'correct --source',
    );
  }
  if (wanted !== found) {
    throw reasonError(
      'wrong-kernel',
      source,
      `it is the source of Linux ${found}, and ${kernel.name} is ${wanted}`,
      'name the tree that the kernel was built from',
    );
  }
  const leftover = ['.config', 'include/config', `include/generated`].find((name) => existsSync(join(source, name)));
  if (leftover !== undefined) {
    throw reasonError(
      'usage',
      source,
      `it has been built in: ${leftover} is there, and would be taken for the kernel’s own`,
      'name a clean tree, or run `make mrproper` in this one',
    );
  }
}

/** Has Kbuild make targets. Returns what it and the compiler say, and its exit status. */
export const makeTargets = (tree: ObjectTree, targets: readonly string[]) =>
  runBuildTool(
    'make',
    [
      ...['--silent', '--keep-going', `--jobs=${jobsFor(targets)}`],
      ...['-f', join(tree.source, 'Makefile'), '-o', 'prepare0'],
      `ARCH=${tree.platform.kbuild}`,
      `CROSS_COMPILE=${tree.kernel.crossPrefix}`,
      // Debugging information is not in what the kernel loads, and takes the compiler half its time.
      'KCFLAGS=-g0',
      // Checksums of exported symbols are not in the object, and take as long as compiling it.
      'CONFIG_MODVERSIONS=',
      ...targets,
    ],
    tree.folder,
    [0, 2],
  );

/** Where the top Makefile enters both arch/arm and arch/arm/lib, both make the same target, and must not do so at once. */
const jobsFor = (targets: readonly string[]): number =>
  targets.some((target) => target.startsWith('arch/')) ? 1 : cpus().length;

/** A makefile that has Kbuild's own variables of a folder printed, once it has worked them out. */
const listMakefile = 'suture-list.mk';
const listRules = `suture-list:
\t@echo 'objects $(real-obj-y) $(lib-y) $(extra-y) $(real-obj-m)'
\t@echo 'folders $(subdir-ym)'
suture-top:
\t@echo '$(core-y) $(ARCH_CORE) $(ARCH_DRIVERS) $(ARCH_LIB)'
\t@env -0 >suture-exported
`;
/** Holds what the top Makefile enters of the architecture's folders (machdirs of arch/arm/Makefile, for one). */
const topFolders = 'suture-top.txt';
/** Holds the environment that the top Makefile gives to those of folders: names of objects may have it in them (`head-$(BITS).o`). */
const topEnvironment = 'suture-exported';

/** What the top Makefiles export, without what make says to itself and what everybody has. */
async function exportedVariables({ folder }: ObjectTree): Promise<Record<string, string>> {
  const entries = (await readFile(join(folder, topEnvironment), 'utf8')).split('\0').flatMap((entry) => {
    const [, name = '', value = ''] = /^([^=]+)=([\s\S]*)$/.exec(entry) ?? [];
    return name === '' || /^(MAKE|MFLAGS)/.test(name) || name in process.env ? [] : [[name, value] as const];
  });
  return Object.fromEntries(entries);
}

/** What a folder's Makefile names in this configuration, all with paths from the top of the tree. */
interface FolderList {
  readonly objects: ReadonlySet<string>;
  readonly folders: ReadonlySet<string>;
}

const lists = new WeakMap<ObjectTree, Map<string, Promise<FolderList>>>();

/**
 * The objects that Kbuild makes in a folder (a path from the top of the tree), `mm/util.o`; none if this configuration does
 * not have it come there. They may be named by the Makefile of a folder above, as those of fs/xfs/libxfs are.
 */
export async function objectsOf(tree: ObjectTree, folder: string): Promise<ReadonlySet<string>> {
  const steps = folder.split('/');
  const first = steps[0] === 'arch' ? 2 : 1;
  if (steps[0] === '.' || (steps[0] === 'arch' && steps[1] !== tree.platform.kbuild)) return new Set();
  const top = (await readFile(join(tree.folder, topFolders), 'utf8')).split(/\s+/).map(normalize);
  const found = new Set<string>();
  for (let depth = first; depth <= steps.length; depth++) {
    const { objects, folders } = await listOf(tree, steps.slice(0, depth).join('/'));
    for (const object of objects) if (dirname(object) === folder) found.add(object);
    const next = steps.slice(0, depth + 1).join('/');
    if (!folders.has(next) && !top.includes(`${next}/`)) break;
  }
  return found;
}

function listOf(tree: ObjectTree, folder: string): Promise<FolderList> {
  const known = lists.get(tree) ?? new Map<string, Promise<FolderList>>();
  lists.set(tree, known);
  const list = known.get(folder) ?? askMakefile(tree, folder);
  known.set(folder, list);
  return list;
}

async function askMakefile(tree: ObjectTree, folder: string): Promise<FolderList> {
  const { kbuild } = tree.platform;
  const nothing = { objects: new Set<string>(), folders: new Set<string>() };
  if (!['Kbuild', 'Makefile'].some((name) => existsSync(join(tree.source, folder, name)))) return nothing;
  const { stdout, status } = await runBuildTool(
    'make',
    [
      ...['--silent', '-rR', '-f', listMakefile, '-f', join(tree.source, 'scripts/Makefile.build')],
      ...[`srctree=${tree.source}`, 'objtree=.', `VPATH=${tree.source}`, `obj=${folder}`],
      ...['need-builtin=1', 'need-modorder=1', 'CONFIG_SHELL=/bin/sh', `CC=${tree.kernel.crossPrefix}gcc`],
      ...[`ARCH=${kbuild}`, `SRCARCH=${kbuild}`],
      'suture-list',
    ],
    tree.folder,
    [0, 2],
    await exportedVariables(tree),
  );
  if (status !== 0) return nothing;
  const named = (word: string) => {
    const line = stdout.split('\n').find((each) => each.startsWith(`${word} `)) ?? '';
    return new Set(line.split(' ').slice(1).map(normalize));
  };
  return { objects: named('objects'), folders: named('folders') };
}

const incomplete = (kernel: StoredKernel, what: string) =>
  reasonError('kernel-incomplete', kernel.name, what, 'remove the kernel and fetch or import it again');
