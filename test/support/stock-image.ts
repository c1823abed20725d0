// The image of a stock kernel, read as Suture reads it.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { architectureByName } from '../../src/arch/architectures.ts';
import { openKernel } from '../../src/host/kernel-store.ts';
import { type KernelImage, readKernelImage } from '../../src/kernel/image.ts';

/** Reads the image of a kernel in the cache. */
export async function stockImage(name: string): Promise<KernelImage> {
  const kernel = await openKernel(name);
  return readKernelImage(await readFile(kernel.image), basename(kernel.image), architectureByName(kernel.architecture));
}
