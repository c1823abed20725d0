// The kernels in the cache: `kernels/NAME/kernel.json` says where each part of one is.

import { existsSync } from 'node:fs';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import * as z from 'zod';
import { architectures } from '../arch/architectures.ts';
import { reasonError } from '../reason.ts';
import { buildingFolder, cacheFolder, withLock } from './cache.ts';
import { cannotRead } from './files.ts';
import { dropSourceTree } from './source-tree.ts';
import { withTemporaryFolder } from './temporary.ts';

/** The parts of a kernel that are files or folders. */
const parts = {
  /** The image as shipped: a zImage, or an ELF vmlinux. */
  image: z.string(),
  /** The folder of its modules, `lib/modules/RELEASE`. */
  modules: z.string(),
  /** What external modules are built against: `make -C HEADERS M=…`. */
  headers: z.string(),
  /** The configuration it was built with. */
  config: z.string(),
  /** The build tools that the headers use, for this machine's architecture. Imported headers bring their own. */
  kbuild: z.string().optional(),
  /** The source tree of the same version. */
  source: z.string().optional(),
  systemMap: z.string().optional(),
  /** The unstripped kernel, as ELF, where the user gave one or the debug package was fetched. */
  vmlinux: z.string().optional(),
  /** The root of the unpacked debug package: `usr/lib/debug/…`. */
  debug: z.string().optional(),
  /** A static busybox for this kernel's architecture: what runs in the lab's guests. */
  busybox: z.string().optional(),
} as const;

type PartName = keyof typeof parts;

/**
 * kernel.json. Paths of parts are relative to its folder, so that an entry may be built elsewhere and the cache may be
 * moved; absolute ones lead to what `kernel import` refers to.
 */
const kernelFile = z.strictObject({
  schema: z.literal(1),
  /** The kernel's release as Debian has it, or the name that it was imported under. */
  name: z.string().regex(/^[\w.+~-]+$/),
  architecture: z.enum(architectures.map(({ platform }) => platform.name)),
  /** Version of the Debian package; empty for an imported kernel. */
  version: z.string(),
  /** What the names of the cross tools begin with. */
  crossPrefix: z.string(),
  ...parts,
});

/** A kernel in the cache. The paths are absolute. */
export type StoredKernel = Omit<z.infer<typeof kernelFile>, 'schema'> & {
  /** The entry's own folder. */
  readonly folder: string;
};

/** What goes into kernel.json: paths may be absolute or relative to the entry. */
export type KernelDescription = Omit<z.infer<typeof kernelFile>, 'schema'>;

export const kernelsFolder = (): string => join(cacheFolder(), 'kernels');
export const kernelFolder = (name: string): string => join(kernelsFolder(), name);

/** A name that is a plain file name, and thus safe to make a path of. */
export function checkKernelName(name: string): void {
  if (!kernelFile.shape.name.safeParse(name).success || /^\.+$/.test(name)) {
    throw reasonError(
      'usage',
      name,
      'a kernel’s name has letters, digits and the signs . _ + ~ - only',
      '`suture kernel list` shows the names',
    );
  }
}

/** The text of kernel.json, absolute paths inside `folder` made relative to it. */
export function writeKernelFile(description: KernelDescription, folder: string): string {
  const isPart = (key: string): key is PartName => key in parts;
  const entries = Object.entries(description).map(([key, value]) => {
    if (value === undefined) return [key, value];
    const inside = relative(folder, resolve(folder, value));
    return [key, isPart(key) && !inside.startsWith('..') ? inside : value];
  });
  return `${JSON.stringify(kernelFile.parse({ schema: 1, ...Object.fromEntries(entries) }), null, 2)}\n`;
}

/** Reads the text of the kernel.json in `folder`. Throws `kernel-incomplete` if it is not one. */
export function readKernelFile(text: string, folder: string): StoredKernel {
  const place = join(folder, 'kernel.json');
  const refuse = (what: string) =>
    reasonError('kernel-incomplete', place, what, 'remove the kernel with `suture kernel remove` and fetch it again');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse('it is not JSON');
  }
  const { success, data, error } = kernelFile.safeParse(json);
  if (!success) throw refuse(z.prettifyError(error));
  const { schema: _, ...kernel } = data;
  const absolute = (Object.keys(parts) as PartName[]).flatMap((part) => {
    const path = kernel[part];
    return path === undefined ? [] : [[part, resolve(folder, path)]];
  });
  return { ...kernel, ...Object.fromEntries(absolute), folder };
}

/** The kernel of that name. Throws `kernel-unknown`, naming those that are there. */
export async function openKernel(name: string): Promise<StoredKernel> {
  const kernel = await findKernel(name);
  if (kernel) return kernel;
  const known = (await listKernels()).map((each) => each.name);
  throw reasonError(
    'kernel-unknown',
    name,
    `no kernel of this name is in the cache (${cacheFolder()})${known.length ? `, which has ${known.join(', ')}` : ''}`,
    '`suture kernel list` shows those that are there; `suture kernel fetch` or `suture kernel import` brings one',
  );
}

/** The kernel of that name, or undefined. */
export async function findKernel(name: string): Promise<StoredKernel | undefined> {
  checkKernelName(name);
  const folder = kernelFolder(name);
  const file = join(folder, 'kernel.json');
  return existsSync(file) ? readKernelFile(await readFile(file, 'utf8'), folder) : undefined;
}

/** All kernels in the cache, by name. Throws `file-missing` for a cache that is there and cannot be read. */
export async function listKernels(): Promise<StoredKernel[]> {
  const names = await readdir(kernelsFolder()).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw cannotRead(kernelsFolder(), error);
  });
  const found = await Promise.all(names.sort().map(findKernel));
  return found.filter((kernel) => kernel !== undefined);
}

/**
 * Removes a kernel, and a source tree of the cache that was for it alone. It is moved out of sight first, so that an
 * interrupted removal leaves none that is half there.
 */
export async function removeKernel(name: string): Promise<void> {
  const { folder, source } = await openKernel(name);
  await withLock(`kernel-${name}`, () =>
    withTemporaryFolder((temporary) => rename(folder, join(temporary, name)), buildingFolder()),
  );
  await dropSourceTree(
    source,
    (await listKernels()).map((kernel) => kernel.source),
  );
}

/** Replaces the kernel.json of a kernel that is there, by one rename. The caller holds its lock. */
export async function rewriteKernelFile(folder: string, description: KernelDescription): Promise<void> {
  const file = join(folder, 'kernel.json');
  const next = `${file}.next`;
  await writeFile(next, writeKernelFile(description, folder));
  await rename(next, file);
}
