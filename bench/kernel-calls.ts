// What a call of a function of the kernel itself costs in the entry way, in guest instructions, beside a plain call of the new
// function: where the entry way takes no functions of modules, `calls` cannot tell it.

import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { withGuest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import type { Bench, Row } from './bench.ts';
import { kernelPatches } from './kernel-patches.ts';
import { load, measuredGuest, patchSizes, unload } from './measured-guest.ts';

export const kernelCallsBench: Bench = {
  name: 'kernel-calls',
  title: 'a call of a patched function of the kernel, entry way (issue 6: at most 20 more on ppc64le)',
  limits: { more: 20 },
  run: async ({ kernels, say }) => {
    const rows: Row[] = [];
    for (const name of kernels) {
      const kernel = await loadKernel(name);
      const way = kernel.arch.entryWay;
      if (!way || way.ofModules) continue;
      say(`calls of functions of ${name} itself`);
      rows.push(...(await measure(kernel)));
    }
    return rows;
  },
};

async function measure(kernel: LoadedKernel): Promise<Row[]> {
  const modules = await kernelPatches(kernel, patchSizes);
  const files = [...modules].map(([module, bytes]) => ({ path: `/${module}.ko`, bytes }));
  return withGuest(guestKernel(kernel.stored), measuredGuest(files, 512), async (guest) => {
    await guest.succeed('insmod /suture.ko; insmod /bench_plain.ko; insmod /bench_caller.ko');
    const rows: Row[] = [];
    const row = async (what: string): Promise<void> => {
      const text = await guest.succeed('cat /proc/suture_bench');
      const cost = (of: string): number => {
        const [, calls, instructions] = new RegExp(`^${of} (\\d+) (\\d+)$`, 'm').exec(text)!;
        // Beside the calls the clock is read, once: a thousandth of an instruction a call.
        return Math.round((10 * Number(instructions)) / Number(calls)) / 10;
      };
      const call = cost('int_pow');
      const plain = cost('bench_plain');
      rows.push({
        what: `${kernel.stored.name}: ${what}`,
        figures: { 'instructions a call': call, 'of the new function plainly': plain, more: call - plain },
      });
    };
    await row('as it is');
    for (const size of patchSizes) {
      await guest.succeed(load(size), { timeout: 600 });
      await row(`${size} patched`);
      await guest.succeed(unload(size), { timeout: 600 });
    }
    await row('as it is again');
    return rows;
  });
}
