// What a call of a function of the kernel itself costs in the entry way, in guest instructions, beside a plain call of the new
// function: where the entry way takes no functions of modules, `calls` cannot tell it.
//
// Patched beside it are functions that nothing calls in the guest: of platforms that it is not, of security modules that another
// one has kept from starting.

import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adaptFolder } from '../src/cli/adapt-folder.ts';
import { proveFunctions } from '../src/cli/prove-functions.ts';
import { buildCore } from '../src/compile/core-module.ts';
import { packageFile } from '../src/host/package-file.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { withGuest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { enteredFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import type { Bench, Row } from './bench.ts';
import { load, measuredGuest, patchSizes, unload } from './measured-guest.ts';

const sources = ['guest-kernel', 'guest'].map((folder) => packageFile(`bench/${folder}`));

/** pSeries guests are no PowerNV machines; AppArmor comes before SELinux and keeps it out (CONFIG_LSM); nobody opens MPTCP sockets. */
const uncalled = /^(opal|pnv|selinux|sel|avc|avtab|sidtab|policydb|mls|cond|ebitmap|mptcp)_\w+$/;

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
  const modules = await patches(kernel, uncalledFunctions(kernel));
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

/** The names of as many functions as the largest patch needs beside the one that is called. */
function uncalledFunctions(kernel: LoadedKernel): string[] {
  const names = new Map<string, number>();
  for (const { name } of kernel.image.kallsyms) names.set(name, (names.get(name) ?? 0) + 1);
  const wanted = enteredFunctions(kernel).filter(({ name }) => uncalled.test(name) && names.get(name) === 1);
  const proven = proveFunctions(kernel, new Prover(kernel), wanted, () => {}, 'entry')
    .filter(({ code }) => code === 'proven')
    .map(({ name }) => name);
  const most = Math.max(...patchSizes) - 1;
  if (proven.length < most) throw new Error(`${proven.length} functions that nothing calls, ${most} are wanted`);
  return proven.slice(0, most);
}

const patches = (kernel: LoadedKernel, others: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> =>
  withTemporaryFolder(async (folder) => {
    const [own, shared] = sources as [string, string];
    for (const header of ['measure.h', 'patch-module.h']) await copyFile(join(shared, header), join(folder, header));
    for (const file of await readdir(own)) await copyFile(join(own, file), join(folder, file));
    for (const size of patchSizes) {
      const list = others.slice(0, size - 1).map((name) => `FUNCTION(${name})`);
      await writeFile(join(folder, `bench_${size}.c`), `#define OTHERS ${list.join(' \\\n\t')}\n#include "patch.h"\n`);
    }
    const core = await buildCore(kernel.stored);
    const modules = await adaptFolder(kernel, core, folder, 'bench_caller', 'entry');
    return new Map([['suture', new Uint8Array(await readFile(core.ko))], ...modules]);
  });
