// A kernel of the cache, read into memory.

import { readFile, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, normalize } from 'node:path';
import type { Architecture } from '../arch/arch.ts';
import { architectureByName } from '../arch/architectures.ts';
import { parseConfig } from '../kernel/config.ts';
import { readFurtherSymbols, type SymbolAddresses } from '../kernel/further-symbols.ts';
import type { KernelImage } from '../kernel/image.ts';
import { type Kernel, type KernelCode, readKernel, readKernelCode } from '../kernel/kernel.ts';
import { checkKernelSupport, checkNeedsCore } from '../kernel/kernel-support.ts';
import { checkHeaders, readSymvers } from '../kernel/module-symvers.ts';
import { reasonError } from '../reason.ts';
import { filesBelow } from './files.ts';
import { openKernel, type StoredKernel } from './kernel-store.ts';

/** A stored kernel with all that its files tell. */
export interface LoadedKernel extends Kernel {
  readonly stored: StoredKernel;
  readonly furtherSymbols: SymbolAddresses;
}

/** How many modules the module ABI is learnt from, if there are so many: they must agree. */
const sampleSize = 24;
/** How many are asked for their size before. */
const mostMeasured = 8 * sampleSize;

/**
 * Opens and reads a kernel by name. Throws what `openKernel`, `readKernel` and `readCompanions` throw, and
 * `kernel-incomplete`.
 */
export async function loadKernel(name: string): Promise<LoadedKernel> {
  const stored = await openKernel(name);
  const [image, modules] = await Promise.all([readImage(stored), sampleModules(stored)]);
  const kernel = await readKernel(architectureOf(stored), image, modules, basename(stored.image));
  const readSymbols = await readCompanions(stored, kernel.image, (file) => read(file, stored));
  let furtherSymbols: SymbolAddresses | undefined;
  return {
    stored,
    ...kernel,
    get furtherSymbols() {
      furtherSymbols ??= readSymbols();
      return furtherSymbols;
    },
  };
}

/**
 * Opens a kernel by name and reads its image alone: for whoever works beside one that has loaded it. Throws what `openKernel` and
 * `readKernelCode` throw, and `kernel-incomplete`.
 */
export async function loadKernelCode(name: string): Promise<KernelCode> {
  const stored = await openKernel(name);
  return readKernelCode(architectureOf(stored), await readImage(stored), basename(stored.image));
}

/**
 * Reads what came with an image, and sees that it is of the same build: the headers, and the System.map and the vmlinux if
 * there are any. What it returns gives all symbols with theirs. `readPart` reads a file or says that it is missing.
 * Throws `wrong-kernel`, and what `readFurtherSymbols` throws.
 */
export async function readCompanions(
  parts: { readonly headers: string; readonly systemMap?: string | undefined; readonly vmlinux?: string | undefined },
  image: KernelImage,
  readPart: (file: string) => Promise<Uint8Array>,
): Promise<() => SymbolAddresses> {
  const header = async (file: string) => new TextDecoder().decode(await readPart(join(parts.headers, file)));
  const symvers = readSymvers(await header('Module.symvers'));
  // What modules get for their vermagic; kernel.release in include/config is another one in Debian's packages.
  const utsRelease = /^#define UTS_RELEASE "(.*)"$/m.exec(await header('include/generated/utsrelease.h'));
  checkHeaders(image, { symvers, release: utsRelease?.[1] ?? '' }, parts.headers);
  const named = async (file: string | undefined) =>
    file === undefined ? file : { name: file, bytes: await readPart(file) };
  const files = { systemMap: await named(parts.systemMap), vmlinux: await named(parts.vmlinux) };
  const readSymbols = () => readFurtherSymbols(image, files);
  if (!files.systemMap && !files.vmlinux) return readSymbols;
  const symbols = readSymbols();
  return () => symbols;
}

/**
 * Refuses a kernel that its configuration shows to be none that can be patched, or `withCore` none that a core can be built for:
 * `kernel-unsupported`, `kernel-incomplete`.
 */
export async function checkSupported(stored: StoredKernel, withCore = false): Promise<void> {
  const config = parseConfig(new TextDecoder().decode(await read(stored.config, stored)));
  checkKernelSupport(config, stored.name);
  if (withCore) checkNeedsCore(config, stored.name);
}

/** The bytes of a kernel's image as shipped. Throws `kernel-incomplete`. */
export const readImage = (stored: StoredKernel): Promise<Uint8Array> => read(stored.image, stored);

export const architectureOf = (stored: StoredKernel): Architecture => architectureByName(stored.architecture);

/** All modules of a kernel: paths relative to its folder of modules, sorted. */
export async function moduleFiles(stored: StoredKernel): Promise<string[]> {
  const names = await filesBelow(stored.modules).catch(() => {
    throw incomplete(stored, stored.modules);
  });
  return names.filter(isModule).sort();
}

/**
 * Modules from all folders, the smaller half of some, where reading costs nothing; spread over it, because the very smallest
 * (tables of fonts, library functions) have neither init nor exit.
 */
async function sampleModules(stored: StoredKernel): Promise<{ name: string; bytes: Uint8Array }[]> {
  const listed = await listedModules(stored);
  const files =
    (listed && (await measured(stored, listed).catch(() => undefined))) ??
    (await measured(stored, await moduleFiles(stored)));
  files.sort((a, b) => a.size - b.size || (a.file < b.file ? -1 : 1));
  const half = files.slice(0, Math.max(sampleSize, Math.ceil(files.length / 2)));
  const step = Math.max(1, Math.floor(half.length / sampleSize));
  return Promise.all(
    half
      .filter((_, i) => i % step === 0)
      .map(async ({ file }) => ({ name: basename(file), bytes: await read(join(stored.modules, file), stored) })),
  );
}

/**
 * The modules that `modules.order` names, which Kbuild leaves beside them, sorted: one file tells what takes a walk through
 * hundreds of folders otherwise. Undefined where it names few: then a walk takes no time, and they may be such that tell nothing.
 */
async function listedModules(stored: StoredKernel): Promise<string[] | undefined> {
  const list = await readFile(join(stored.modules, 'modules.order'), 'utf8').catch(() => '');
  const listed = list.split('\n').filter((file) => isModule(file) && isBelow(file));
  return listed.length < mostMeasured ? undefined : listed.sort();
}

/** Whether a path leads to where it seems to, below what it is relative to. */
const isBelow = (path: string): boolean => !isAbsolute(path) && normalize(path) === path && !path.startsWith('..');

/** Some of the modules with their sizes. Throws where one is no file. */
async function measured(stored: StoredKernel, modules: readonly string[]) {
  const each = Math.ceil(modules.length / mostMeasured);
  return Promise.all(
    modules
      .filter((_, i) => i % each === 0)
      .map(async (file) => {
        const found = await stat(join(stored.modules, file));
        if (!found.isFile()) throw incomplete(stored, file);
        return { file, size: found.size };
      }),
  );
}

const isModule = (file: string): boolean => file.endsWith('.ko');

async function read(file: string, stored: StoredKernel): Promise<Uint8Array> {
  try {
    const { buffer, byteOffset, length } = await readFile(file);
    return new Uint8Array(buffer, byteOffset, length);
  } catch {
    throw incomplete(stored, file);
  }
}

function incomplete(stored: StoredKernel, file: string) {
  return reasonError(
    'kernel-incomplete',
    stored.name,
    `${file} cannot be read`,
    'remove the kernel with `suture kernel remove` and bring it in again',
  );
}
