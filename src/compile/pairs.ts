// From a source patch to pairs of objects: each file that the patch changes, or that includes what it changes, as the kernel
// has it and as the patch makes it. The kernel's source tree is only read, and no full build is ever made.

import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import type { Architecture } from '../arch/arch.ts';
import { readElf } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { parseConfig } from '../kernel/config.ts';
import { type Reason, ReasonError, reasonError, throwReasons } from '../reason.ts';
import { applyToFile } from './apply-diff.ts';
import { namesAdded } from './header-additions.ts';
import { filesNaming, includersOf } from './includers.ts';
import { besideKernel, isIncluded, isNamedByKernel, madeOtherwise, madeUnknown } from './made-otherwise.ts';
import { checkSource, makeObjectTree, type ObjectTree, objectsOf } from './object-tree.ts';
import {
  type CompilerOutput,
  compileAgain,
  type OriginalObject,
  objectName,
  originalObjects,
  pairFlags,
} from './original-objects.ts';
import { bypassed, type ChangedFiles, makePatchedTree } from './patched-tree.ts';
import { type FilePatch, parseUnifiedDiff } from './unified-diff.ts';
import { whyNotCompiled } from './why-not-compiled.ts';

/** One file of the kernel, as it has it and as a patch makes it. */
export interface ObjectPair {
  /** The source file, from the top of the tree: `fs/proc/cmdline.c`. */
  readonly path: string;
  /** The module that it is part of, as /proc/modules names it; '' for vmlinux. */
  readonly module: string;
  /** As the kernel's build makes it: to be compared with the image or the module as shipped. */
  readonly plain: ElfModel;
  /** What differs between these two is the fix: a section for each function and datum, compiled to go into a module. */
  readonly original: ElfModel;
  readonly patched: ElfModel;
  /** What the compiler read for the original, of the source tree with absolute paths. */
  readonly read: readonly string[];
}

export interface Pairs {
  readonly pairs: readonly ObjectPair[];
  /** What the compiler said of the patched files, and what of the patch stands elsewhere than it says or is no code. */
  readonly remarks: readonly string[];
  /** The source tree that they were compiled from. */
  readonly source: string;
}

export interface PairOptions {
  /** The source tree, instead of the one that came with the kernel. */
  readonly source?: string;
  /** How many files may be compiled for the sake of a changed header. */
  readonly mostIncluders?: number;
  readonly progress?: (text: string) => void;
}

/** Of a header that more include, somebody should know. */
const usualMostIncluders = 32;

/**
 * Compiles what a patch changes. `place` is what errors call the patch. Throws `ReasonError`: `patch-unreadable`,
 * `patch-does-not-apply`, `build-files`, `made-otherwise`, `file-removed`, `not-compiled`, `too-many-files`, `compile-failed`, `wrong-kernel`,
 * `kernel-incomplete`, `tool-missing`.
 */
export function compilePairs(
  kernel: StoredKernel,
  arch: Architecture,
  patch: string,
  place: string,
  { source = kernel.source, mostIncluders = usualMostIncluders, progress = () => {} }: PairOptions = {},
): Promise<Pairs> {
  const { platform } = arch;
  return withTemporaryFolder(async (folder) => {
    const files = parseUnifiedDiff(patch, place);
    if (source === undefined) {
      throw reasonError(
        'kernel-incomplete',
        kernel.name,
        'its source tree is not in the cache',
        `\`suture kernel fetch ${kernel.name} --source\`, or name a tree with --source`,
      );
    }
    await checkSource(kernel, source);
    const remarks: string[] = [];
    const { changed, numbered, additions } = await applyAll(source, files, remarks);

    const treeFolder = join(folder, 'objects');
    await mkdir(treeFolder);
    const tree = await makeObjectTree(kernel, platform, source, treeFolder);
    const sorted = await sortOut(tree, changed, place, remarks);
    const { compiled } = sorted;
    const adding = await onlyAdding(tree, additions, sorted.included);
    const included = sorted.included.filter((path) => !adding.headers.includes(path));
    if (compiled.length + included.length + adding.users.length === 0) throw usedByNobody(adding.headers, additions);
    const search = { tree, most: mostIncluders, progress };
    const including = [...(await compiledIncluders(search, included)), ...(await compiledOf(search, adding))];
    const wanted = [...new Set([...compiled, ...including])];
    const originals = await originalObjects(kernel, platform, source, wanted, progress);
    const missing = compiled.filter((path) => !originals.some((original) => original.path === path));
    if (missing.length > 0) throw new ReasonError(...notCompiled(tree, missing));

    // The compiler's word on what includes what. Of a header that is new it has none yet: who would find it in another's place?
    const isNew = (path: string) => changed.get(path) !== undefined && !existsSync(join(source, path));
    const mayChange = included.some(isNew) ? including : compiled;
    const affected = originals.filter(
      ({ path, run }) =>
        compiled.includes(path) ||
        mayChange.includes(path) ||
        readBy(run).some((file) => changed.has(file.slice(source.length + 1))),
    );
    const isRead = (path: string) => affected.some(({ run }) => readBy(run).includes(join(source, path)));
    const unread = included.filter((path) => changed.get(path) && existsSync(join(source, path)) && !isRead(path));
    const reasons = notCompiled(tree, unread.length > 0 ? unread : included);
    if (unread.length > 0) throwReasons(reasons.filter(({ code }) => code !== 'not-compiled'));
    if (affected.length === 0 && included.length === 0) throw usedByNobody(adding.headers, additions);
    if (affected.length === 0) throw new ReasonError(...reasons);
    if (unread.length > 0) remarks.push(...reasons.map(({ place, message }) => `${place}: ${message}`));
    const outputs = await compilePatched(tree, affected, numbered, join(folder, 'patched'), progress).catch(
      async (error: unknown) => {
        if (!(error instanceof ReasonError) || error.reasons[0].code !== 'compile-failed') throw error;
        // What a directive is in the way of, and what the compiler says of lines with their own numbers.
        return compilePatched(tree, affected, changed, join(folder, 'as-given'), () => {});
      },
    );
    return {
      source,
      pairs: affected.map(({ path, module, plain, sectioned, run }, i) => ({
        path,
        module,
        plain: readElf(plain, objectName(path)),
        original: readElf(sectioned, objectName(path)),
        patched: readElf(outputs[i]!.object, objectName(path)),
        read: run.dependencies,
      })),
      remarks: [...remarks, ...outputs.flatMap(({ warnings }) => (warnings.trim() === '' ? [] : [warnings.trimEnd()]))],
    };
  });
}

/** What a compiler read, where it is: `#include "../mount.h"` has it named `fs/proc/../mount.h`. */
const readBy = ({ dependencies }: OriginalObject['run']): string[] => dependencies.map((file) => normalize(file));

/** The changed files' bytes, as the patch makes them and with the old line numbers where code is old. */
async function applyAll(
  source: string,
  files: readonly FilePatch[],
  remarks: string[],
): Promise<{ readonly changed: ChangedFiles; readonly numbered: ChangedFiles; readonly additions: Additions }> {
  const changed = new Map<string, Uint8Array | undefined>();
  const numbered = new Map<string, Uint8Array | undefined>();
  const additions = new Map<string, ReadonlySet<string>>();
  const reasons: Reason[] = [];
  for (const file of files) {
    let isTaken = false;
    const before = await readFile(join(source, file.oldPath), 'latin1').catch(({ code }: NodeJS.ErrnoException) => {
      // A folder stands there, or a file where a folder should.
      isTaken = code === 'EISDIR' || code === 'ENOTDIR';
      return undefined;
    });
    try {
      if (file.change === 'create' && (before !== undefined || isTaken)) {
        throw reasonError('patch-does-not-apply', file.path, 'the patch makes this file, and it is there already');
      }
      if (file.change !== 'create' && before === undefined) {
        throw reasonError(
          'patch-does-not-apply',
          file.oldPath,
          'there is no such file in the source tree',
          'give a patch with paths from above the source tree (a/fs/…), made for this version of the kernel',
        );
      }
      const { text, withOldNumbers, added, moved } = applyToFile(before ?? '', file);
      for (const { hunk, lines } of moved) {
        remarks.push(
          `${file.path}: hunk ${hunk} applies ${Math.abs(lines)} lines further ${lines < 0 ? 'up' : 'down'}`,
        );
      }
      const onlyAdds =
        file.change === 'edit' && file.hunks.every(({ lines }) => lines.every(({ sign }) => sign !== '-'));
      const names = onlyAdds && file.path.endsWith('.h') ? namesAdded(text, added) : undefined;
      if (names) additions.set(file.path, names);
      const isC = /\.[ch]$/.test(file.path);
      for (const [map, bytes] of [[changed, text] as const, [numbered, isC ? withOldNumbers : text] as const]) {
        if (file.oldPath !== file.path) map.set(file.oldPath, undefined);
        map.set(file.path, file.change === 'delete' ? undefined : Buffer.from(bytes, 'latin1'));
      }
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      reasons.push(...error.reasons);
    }
  }
  throwReasons(reasons);
  return { changed, numbered, additions };
}

/** Files that say how the kernel is configured, built and laid out in memory. */
const buildFile = /(?:^|\/)(?:Makefile|Kbuild|Kconfig)[^/]*$|\.lds(?:\.[Sh])?$|^scripts\//;

/** What is no part of a kernel. */
const noCode = /^(?:Documentation|LICENSES)\/|\.(?:rst|txt|md|yaml|gitignore)$|^[A-Z]+$/;

/** Which of the changed files are compiled by themselves, and which may be included by others. */
async function sortOut(tree: ObjectTree, changed: ChangedFiles, place: string, remarks: string[]) {
  const compiled: string[] = [];
  const included: string[] = [];
  for (const [path, bytes] of changed) {
    if (buildFile.test(path)) {
      throw reasonError(
        'build-files',
        path,
        'a live patch changes functions, not how the kernel is configured, built or laid out',
        'leave this file out of the patch if the rest makes sense without it',
      );
    }
    const isCompiled = async () => /\.[cS]$/.test(path) && (await objectsOf(tree, dirname(path))).has(objectName(path));
    const otherwise = madeOtherwise(path, tree.platform.kbuild);
    if (otherwise) throw new ReasonError(otherwise);
    if (noCode.test(path) || (besideKernel.test(path) && !(await isNamedByKernel(tree.source, path)))) {
      remarks.push(`${path} is no part of the kernel`);
    } else if (bytes === undefined && (await isCompiled())) {
      throw reasonError(
        'file-removed',
        path,
        'the patch takes it away, or gives it another name; the kernel that runs has its code, and goes on using it',
        'give what changes in its functions as a change of the file under its old name, and leave the rest out',
      );
    } else if (/\.[cS]$/.test(path) && bytes) {
      // A file that no Makefile names may still be part of another, as kernel/sched/deadline.c is.
      const isOwn = await isCompiled();
      if (isOwn) compiled.push(path);
      if (!isOwn || (await isIncluded(tree.source, path))) included.push(path);
    } else {
      included.push(path);
    }
  }
  if (compiled.length + included.length === 0) {
    throw reasonError('nothing-to-patch', place, 'the patch changes no code of the kernel', 'give a patch of code');
  }
  return { compiled, included };
}

/** Headers to which a patch only adds names, and these (header-additions.ts). */
type Additions = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Of the changed headers those that only add names which no other header has, and the files that have one. A header that is not
 * among them may change whatever includes it.
 */
async function onlyAdding(tree: ObjectTree, additions: Additions, included: readonly string[]) {
  const headers: string[] = [];
  const users = new Set<string>();
  for (const path of included) {
    const names = additions.get(path);
    if (names === undefined) continue;
    const files = await filesNaming(tree, [...names]);
    if (files.some((file) => !/\.[cS]$/.test(file))) continue;
    headers.push(path);
    for (const file of files) users.add(file);
  }
  return { headers, users: [...users] };
}

function usedByNobody(headers: readonly string[], additions: Additions) {
  const names = headers.flatMap((header) => [...additions.get(header)!]);
  return reasonError(
    'nothing-to-patch',
    headers.join(', '),
    names.length === 0
      ? 'the patch adds nothing to it that makes code'
      : `the patch only adds ${names.join(', ')} to it, and no file of the kernel uses that`,
    'give the change of the functions that use it as well',
  );
}

interface CompiledSearch {
  readonly tree: ObjectTree;
  /** More files than these are not compiled for the sake of a header. */
  readonly most: number;
  readonly progress: (text: string) => void;
}

/** Files that are compiled in this configuration and may include one of `included`. Throws `too-many-files`, `not-compiled`. */
async function compiledIncluders(search: CompiledSearch, included: readonly string[]): Promise<string[]> {
  const { tree, progress } = search;
  const own = included.filter((path) => !/^arch\//.test(path) || path.startsWith(`arch/${tree.platform.kbuild}/`));
  if (own.length === 0) return [];
  progress(`looking for what includes ${own.join(', ')}`);
  const users = await includersOf(tree, own);
  if (users !== 'all') return compiledOf(search, { headers: own, users });
  throw reasonError('too-many-files', own.join(', '), 'every file of the kernel includes it', 'change another file');
}

/** Beyond so many files nobody wants to know how many there are: each folder's Makefile takes its time to be asked. */
const mostCounted = 100;
const folderBatch = 16;

/** Those of `users`, files that may be changed by `headers`, that are compiled in this configuration. Throws `too-many-files`. */
async function compiledOf(
  { tree, most, progress }: CompiledSearch,
  { headers, users }: { readonly headers: readonly string[]; readonly users: readonly string[] },
): Promise<string[]> {
  const folders = [...new Set(users.map(dirname))];
  const found: string[] = [];
  let asked = 0;
  while (asked < folders.length && found.length <= Math.max(most, mostCounted)) {
    if (asked > 0) progress(`asking the Makefiles of ${folders.length} folders (${asked})`);
    const some = folders.slice(asked, asked + folderBatch);
    const objects = new Set<string>();
    await inParallel(some, async (folder) => {
      for (const object of await objectsOf(tree, folder)) objects.add(object);
    });
    found.push(...users.filter((path) => some.includes(dirname(path)) && objects.has(objectName(path))));
    asked += some.length;
  }
  found.sort();
  if (found.length <= most) return found;
  const [count, upTo] =
    asked < folders.length
      ? [
          `more than ${mostCounted} files that are compiled in this configuration, and up to ${users.length} in all,`,
          users.length,
        ]
      : [`up to ${found.length} files that are compiled in this configuration`, found.length];
  const some = found.slice(0, 12).join(', ');
  throw reasonError(
    'too-many-files',
    headers.join(', '),
    `${count} include it: ${some}${found.length > 12 ? ', …' : ''}`,
    `\`--most-files ${upTo}\` has them compiled; a fix in a .c file alone needs none of them`,
  );
}

/** For each path that no compiled object is made from, why. */
function notCompiled(tree: ObjectTree, paths: readonly string[]): [Reason, ...Reason[]] {
  const { source, kernel, platform } = tree;
  const config = parseConfig(readFileSync(kernel.config, 'utf8'));
  const read = (path: string) =>
    existsSync(join(source, path)) ? readFileSync(join(source, path), 'utf8') : undefined;
  const isSet = (symbol: string) => ['y', 'm'].includes(config.get(symbol.replace('CONFIG_', '')) ?? '');
  const why = (path: string) =>
    path.endsWith('.h')
      ? 'no file that is compiled in its configuration includes it'
      : whyNotCompiled(path, read, isSet, platform.kbuild);
  const reasons = paths.map((path): Reason => {
    const message = why(path);
    if (message === undefined) return madeUnknown(path);
    return {
      code: 'not-compiled',
      place: path,
      message: `${kernel.name} was built without it: ${message}`,
      remedy: 'the kernel does not have this code, so it needs no fix there',
    };
  });
  return reasons as [Reason, ...Reason[]];
}

/** Compiles the patched files in a folder, in the order of `originals`, and sees that none was read past the patch. */
async function compilePatched(
  tree: ObjectTree,
  originals: readonly OriginalObject[],
  changed: ChangedFiles,
  folder: string,
  progress: (text: string) => void,
): Promise<CompilerOutput[]> {
  const real = new Set(originals.map(({ path }) => dirname(path)));
  // Each time round at least one folder more is real, so this ends.
  for (let round = 0; ; round++) {
    const patched = join(folder, `tree-${round}`);
    await mkdir(patched, { recursive: true });
    await makePatchedTree(tree.source, patched, changed, real);
    const outputs: CompilerOutput[] = [];
    const before = real.size;
    await inParallel([...originals.keys()], async (i) => {
      const original = originals[i]!;
      progress(`compiling ${original.path} as patched`);
      const objects = join(folder, `objects-${round}-${i}`);
      await mkdir(objects);
      const own = await makeObjectTree(tree.kernel, tree.platform, tree.source, objects);
      if (existsSync(original.made)) await cp(original.made, objects, { recursive: true });
      outputs[i] = await compileAgain(
        own,
        original.path,
        original.run,
        patched,
        pairFlags(tree.platform, original.run),
      );
      const { files, folders } = await bypassed(tree.source, patched, changed, outputs[i].read);
      for (const each of folders) real.add(each);
      if (files.length > 0 && folders.length === 0) {
        throw reasonError('tool-failed', original.path, `the compiler read ${files[0]} as it is without the patch`);
      }
    });
    if (real.size === before) return outputs;
  }
}

/** Runs tasks, as many at a time as there are processors; the first to fail ends it. */
async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: Math.min(cpus().length, queue.length) }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await task(item);
    }),
  );
}
