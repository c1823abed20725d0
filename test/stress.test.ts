// A short form of `npm run stress`: while patches come and go and tracers are switched on and off, no call sees half a patch,
// the kernel complains of nothing, and gives everything back. And the count by which that is known is not always 0.

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { stressModules } from '../src/cli/stress.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import type { GuestKernel } from '../src/lab/guest-kernel.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stress, stressForced } from '../src/lab/stress.ts';
import { stockKernels } from './stock-kernels.ts';

const sources = fileURLToPath(new URL('stress', import.meta.url));

const ways = ['ftrace', 'entry'] as const;
const runs = stockKernels.flatMap(({ name }) => ways.map((way) => ({ name, way })));

describe.each(runs)('under stress, $name, patches of the way $way', ({ name, way }) => {
  let plan: Awaited<ReturnType<typeof stressModules>>;
  let kernel: GuestKernel;

  beforeAll(async () => {
    plan = await stressModules(name, sources, way);
    kernel = guestKernel(await openKernel(name));
  });

  it('shows no call half a patch, and holds nothing afterwards that it did not hold before', async () => {
    const [alone, ...phases] = await stress(kernel, { ...plan, cycles: 10 });
    expect(alone).toMatchObject({ name: 'tracers alone', cycles: 0, changes: 0, leaks: [], alarms: [] });
    expect(phases.map((phase) => phase.name)).toEqual(['enable and disable', 'atomic replace']);
    for (const phase of phases) {
      expect(phase).toMatchObject({ cycles: 10, mixed: 0, leaks: [], alarms: [] });
      expect(phase.changes).toBeGreaterThanOrEqual(10);
      // Whoever is to be disturbed was there, and so were the disturbers.
      expect(phase.blocked).toBeGreaterThan(0);
      expect(phase.waited).toBeGreaterThan(0);
      expect(phase.reads).toBeGreaterThan(0);
      expect(phase.tracings).toBeGreaterThan(0);
      expect(phase.probed).toBeGreaterThan(0);
    }
  });

  it('shows calls half a patch when a transition is forced, so the count is worth something', async () => {
    expect(await stressForced(kernel, plan)).toBeGreaterThan(0);
  });
});
