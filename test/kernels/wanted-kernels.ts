// The kernels that the tests of this folder are about, and how to get them: no test builds one.

import { describe } from 'vitest';
import { findKernel } from '../../src/host/kernel-store.ts';

/** Built by a recipe, but for the last one, which Debian ships. */
const howToGet = {
  'ppc64le-livepatch': 'npm run kernels -- ppc64le-livepatch',
  'arm-frame-pointer': 'npm run kernels -- arm-frame-pointer',
  'arm-thumb2': 'npm run kernels -- arm-thumb2',
  'arm-no-ftrace': 'npm run kernels -- arm-no-ftrace',
  '6.1.0-50-marvell': 'bin/suture kernel fetch linux-image-6.1.0-50-marvell:armel',
} as const;

type WantedKernel = keyof typeof howToGet;

/** Tests of one kernel. They are skipped, and it is said how to get the kernel, if the cache does not have it. */
export async function describeKernel(name: WantedKernel, tests: () => void): Promise<void> {
  const isThere = (await findKernel(name)) !== undefined;
  const title = isThere ? name : `${name}: NOT TESTED, since it is not in the cache; get it with \`${howToGet[name]}\``;
  describe.skipIf(!isThere)(title, tests);
}
