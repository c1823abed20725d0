// The modules of a kernel in the cache.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredKernel } from '../../src/host/kernel-store.ts';

/** The paths of all modules, in a fixed order. */
export function moduleFiles(kernel: StoredKernel): string[] {
  return readdirSync(kernel.modules, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ko'))
    .sort()
    .map((file) => join(kernel.modules, file));
}
