// A kernel of the cache, read into memory.

import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Architecture } from '../arch/arch.ts';
import { architectureByName } from '../arch/architectures.ts';
import { type Kernel, readKernel } from '../kernel/kernel.ts';
import { reasonError } from '../reason.ts';
import { openKernel, type StoredKernel } from './kernel-store.ts';

/** A stored kernel with all that its files tell. */
export interface LoadedKernel extends Kernel {
  readonly stored: StoredKernel;
}

/** How many modules the module ABI is learnt from, if there are so many: they must agree. */
const sampleSize = 24;

/** Opens and reads a kernel by name. Throws what `openKernel` and `readKernel` throw, and `kernel-incomplete`. */
export async function loadKernel(name: string): Promise<LoadedKernel> {
  const stored = await openKernel(name);
  const [image, modules] = await Promise.all([read(stored.image, stored), sampleModules(stored)]);
  return { stored, ...(await readKernel(architectureOf(stored), image, modules, basename(stored.image))) };
}

export const architectureOf = (stored: StoredKernel): Architecture => architectureByName(stored.architecture);

/** All modules of a kernel: paths relative to its folder of modules, sorted. */
export async function moduleFiles(stored: StoredKernel): Promise<string[]> {
  const names = await readdir(stored.modules, { recursive: true }).catch(() => {
    throw incomplete(stored, stored.modules);
  });
  return names.filter((file) => file.endsWith('.ko')).sort();
}

/**
 * Modules from the smaller half, where reading costs nothing; spread over it, because the very smallest (tables of fonts,
 * library functions) have neither init nor exit.
 */
async function sampleModules(stored: StoredKernel): Promise<{ name: string; bytes: Uint8Array }[]> {
  const files = await Promise.all(
    (await moduleFiles(stored)).map(async (file) => ({ file, size: (await stat(join(stored.modules, file))).size })),
  );
  files.sort((a, b) => a.size - b.size || (a.file < b.file ? -1 : 1));
  const half = files.slice(0, Math.max(sampleSize, Math.ceil(files.length / 2)));
  const step = Math.max(1, Math.floor(half.length / sampleSize));
  return Promise.all(
    half
      .filter((_, i) => i % step === 0)
      .map(async ({ file }) => ({ name: basename(file), bytes: await read(join(stored.modules, file), stored) })),
  );
}

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
