// The distribution's own kernel of a platform, for whoever does not name one.

import type { Platform } from '../arch/arch.ts';
import { isStockRelease } from './choose-packages.ts';
import { compareVersions } from './debian.ts';
import { fetchKernel } from './fetch-kernel.ts';
import { listKernels, type StoredKernel } from './kernel-store.ts';

/** The newest stock kernel of a platform among some. Imported ones, which have no version, are none, whatever they are called. */
export function newestStock(kernels: readonly StoredKernel[], platform: Platform): StoredKernel | undefined {
  return kernels
    .filter(({ name, version }) => version !== '' && isStockRelease(name, platform))
    .sort((a, b) => compareVersions(a.version, b.version) || compareVersions(a.name, b.name))
    .at(-1);
}

/** The newest stock kernel of a platform in the cache, or else the newest that can be fetched. Throws what `fetchKernel` throws. */
export async function stockKernel(platform: Platform, say: (text: string) => void): Promise<StoredKernel> {
  const newest = newestStock(await listKernels(), platform);
  if (newest) return newest;
  const { architecture } = platform.debian;
  say(`fetching a kernel for ${architecture}`);
  return fetchKernel(architecture, { onProgress: say });
}
