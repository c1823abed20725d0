// The kernels that the tests of this folder are about. Fetched once into the cache, as `suture kernel fetch` would.

import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { findKernel, type StoredKernel } from '../src/host/kernel-store.ts';

export const stockKernels = [
  { name: '6.1.0-50-armmp', architecture: 'arm', package: 'linux-image-6.1.0-50-armmp:armhf' },
  { name: '6.1.0-50-powerpc64le', architecture: 'ppc64le', package: 'linux-image-6.1.0-50-powerpc64le:ppc64el' },
] as const;

/** Sees that every stock kernel is in the cache. */
export async function fetchStockKernels(): Promise<StoredKernel[]> {
  const kernels: StoredKernel[] = [];
  for (const { name, package: wanted } of stockKernels) {
    kernels.push((await findKernel(name)) ?? (await fetchKernel(wanted)));
  }
  return kernels;
}
