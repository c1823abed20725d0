// Guests whose time follows their instructions: what takes a nanosecond there is one instruction, whatever this machine does.
//
// The modules are those of bench/guest: one with a thousand functions, patches of the first so and so many of them, and one that
// writes down how long the machine is stopped. Where only functions of the kernel itself can be redirected, the patches are of those.

import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { adaptFolder } from '../src/cli/adapt-folder.ts';
import { buildCore } from '../src/compile/core-module.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { packageFile } from '../src/host/package-file.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import type { Way } from '../src/kernel/patch-module.ts';
import { type Guest, type GuestOptions, withGuest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import type { GuestFile } from '../src/lab/initramfs.ts';
import { hasLivepatch } from '../src/link/link-for-livepatch.ts';
import { ReasonError } from '../src/reason.ts';
import type { Row } from './bench.ts';
import { kernelPatches } from './kernel-patches.ts';

/** How many functions are patched: there is a patch bench_N of each (bench/guest/bench_N.c). */
export const patchSizes = [1, 16, 256, 1000] as const;

const sources = packageFile('bench/guest');

/** What redirects: one of our ways, or the kernel's own livepatch. */
export type Means = Way | 'livepatch';

/** What can redirect the functions of bench/guest, which are a module's. */
export const meansOfModules = ({ arch, image }: LoadedKernel): readonly Means[] =>
  hasLivepatch(image) ? ['livepatch'] : arch.entryWay?.ofModules ? ['ftrace', 'entry'] : ['ftrace'];

/** What can redirect some functions: those of bench/guest, or of the kernel itself in their place (bench/kernel-patches.ts). */
export const meansOfAny = (kernel: LoadedKernel): readonly Means[] =>
  entersKernelOnly(kernel) ? [...meansOfModules(kernel), 'entry'] : meansOfModules(kernel);

const entersKernelOnly = ({ arch, image }: LoadedKernel): boolean =>
  !hasLivepatch(image) && arch.entryWay !== undefined && !arch.entryWay.ofModules;

/**
 * The rows of a bench: of kernels of the cache by their names, each of some means. What `measure` gives gets both in
 * front; where something is refused, a row says why.
 */
export async function byMeans(
  kernels: readonly string[],
  meansOf: (kernel: LoadedKernel) => readonly Means[],
  measure: (kernel: LoadedKernel, means: Means) => Promise<Row[]>,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of kernels) {
    const kernel = await loadKernel(name);
    for (const means of meansOf(kernel)) {
      const title = `${name}, ${means}`;
      try {
        rows.push(...(await measure(kernel, means)).map((row) => ({ ...row, what: `${title}: ${row.what}` })));
      } catch (error) {
        if (!(error instanceof ReasonError)) throw error;
        rows.push({ what: title, figures: {}, missing: error.message.split('\n')[0]! });
      }
    }
  }
  return rows;
}

/** A guest with one processor, whose every instruction takes a nanosecond. */
export const measuredGuest = (files: readonly GuestFile[], memoryMegabytes: number): GuestOptions => ({
  files,
  cpus: 1,
  memoryMegabytes,
  icount: 0,
  bootTimeout: 600,
});

/**
 * Boots a kernel with one processor, whose every instruction takes a nanosecond, loads the core, if it needs one, and the
 * patched module, and runs a task in it. The patches lie in its root folder. Throws what building and booting throw.
 */
export async function inMeasuredGuest<T>(
  kernel: LoadedKernel,
  means: Means,
  memoryMegabytes: number,
  task: (guest: Guest) => Promise<T>,
): Promise<T> {
  const modules = means === 'livepatch' ? await plainModules(kernel) : await ourModules(kernel, means);
  const files = [...modules].map(([module, bytes]) => ({ path: `/${module}.ko`, bytes }));
  return withGuest(guestKernel(kernel.stored), measuredGuest(files, memoryMegabytes), async (guest) => {
    for (const module of ['suture', 'bench_target'])
      if (modules.has(module)) await guest.succeed(`insmod /${module}.ko`);
    return task(guest);
  });
}

async function ourModules(kernel: LoadedKernel, way: Way): Promise<ReadonlyMap<string, Uint8Array>> {
  if (way === 'entry' && entersKernelOnly(kernel)) {
    return new Map([...(await ourModules(kernel, 'ftrace')), ...(await kernelPatches(kernel, patchSizes))]);
  }
  const core = await buildCore(kernel.stored);
  const modules = await adaptFolder(kernel, core, sources, 'bench_target', way);
  return new Map([['suture', new Uint8Array(await readFile(core.ko))], ...modules]);
}

/** As the kernel's own build makes them: what they patch is in a module, so its livepatch needs nothing else. */
const plainModules = ({ stored, arch }: LoadedKernel): Promise<ReadonlyMap<string, Uint8Array>> =>
  withTemporaryFolder(async (folder) => {
    const files = await readdir(sources);
    for (const file of files) await copyFile(join(sources, file), join(folder, file));
    const modules = files.filter((file) => file.endsWith('.c')).map((file) => basename(file, '.c'));
    await writeFile(join(folder, 'Kbuild'), `obj-m := ${modules.map((module) => `${module}.o`).join(' ')}\n`);
    await kbuild(stored, arch.platform, folder, ['KCFLAGS=-g0', 'modules']);
    return new Map(
      await Promise.all(
        modules.map(async (module) => [module, new Uint8Array(await readFile(join(folder, `${module}.ko`)))] as const),
      ),
    );
  });

/** Loads the patch of so many functions and waits until it is in force. */
export const load = (size: number): string =>
  `insmod /bench_${size}.ko; ${until(size, '[ "$(cat $p/transition)" = 0 ]')}`;

/** Takes it back. */
export const unload = (size: number): string =>
  `echo 0 > /sys/kernel/livepatch/bench_${size}/enabled; ${until(size, '[ ! -e $p ]')}; rmmod bench_${size}`;

const until = (size: number, holds: string): string =>
  `p=/sys/kernel/livepatch/bench_${size}; until ${holds}; do :; done`;
