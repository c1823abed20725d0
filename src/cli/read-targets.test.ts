// The core refuses to be patched by itself; whoever builds such a patch is told before.

import { expect, test } from 'vitest';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { readTargets } from './read-targets.ts';

test('the core is no target', async () => {
  await expect(readTargets({} as LoadedKernel, [], ['suture'])).rejects.toMatchObject({
    reasons: [{ code: 'fix-unsupported', place: 'suture' }],
  });
});
