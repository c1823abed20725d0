// The kernels that the tests of this folder are about. Fetched once into the cache, as `suture kernel fetch` would.

import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { findKernel, type StoredKernel } from '../src/host/kernel-store.ts';

export const stockKernels = [
  { name: '6.1.0-50-armmp', architecture: 'arm', package: 'linux-image-6.1.0-50-armmp:armhf' },
  { name: '6.1.0-50-powerpc64le', architecture: 'ppc64le', package: 'linux-image-6.1.0-50-powerpc64le:ppc64el' },
] as const;

/** One that preempts its own code, for what depends on where a task may be switched out. */
export const preemptibleKernel = {
  name: '6.1.0-50-rt-armmp',
  architecture: 'arm',
  package: 'linux-image-6.1.0-50-rt-armmp:armhf',
} as const;

/** Sees that a kernel is in the cache. */
export const fetchOnce = async (kernel: { name: string; package: string }): Promise<StoredKernel> =>
  (await findKernel(kernel.name)) ?? (await fetchKernel(kernel.package));

/** Sees that every stock kernel is in the cache. */
export async function fetchStockKernels(): Promise<StoredKernel[]> {
  const kernels: StoredKernel[] = [];
  for (const kernel of stockKernels) kernels.push(await fetchOnce(kernel));
  return kernels;
}
