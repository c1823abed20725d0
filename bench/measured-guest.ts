// Guests whose time follows their instructions: what takes a nanosecond there is one instruction, whatever this machine does.
//
// The modules are those of bench/guest: one with a thousand functions, patches of the first so and so many of them, and one that
// writes down how long the machine is stopped.

import { readFile } from 'node:fs/promises';
import { adaptFolder } from '../src/cli/adapt-folder.ts';
import { buildCore } from '../src/compile/core-module.ts';
import { packageFile } from '../src/host/package-file.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { type Guest, withGuest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';

/** How many functions are patched: there is a patch bench_N of each (bench/guest/bench_N.c). */
export const patchSizes = [1, 16, 256, 1000] as const;

const sources = packageFile('bench/guest');

/**
 * Boots a kernel of the cache with one processor, whose every instruction takes a nanosecond, loads the core and the patched
 * module, and runs a task in it. The patches lie in its root folder. Throws what building and booting throw.
 */
export async function inMeasuredGuest<T>(
  name: string,
  memoryMegabytes: number,
  task: (guest: Guest) => Promise<T>,
): Promise<T> {
  const kernel = await loadKernel(name);
  const core = await buildCore(kernel.stored);
  const modules = await adaptFolder(kernel, core, sources, 'bench_target');
  const files = [
    { path: '/suture.ko', bytes: new Uint8Array(await readFile(core.ko)) },
    ...[...modules].map(([module, bytes]) => ({ path: `/${module}.ko`, bytes })),
  ];
  const options = { files, cpus: 1, memoryMegabytes, icount: 0, bootTimeout: 600 };
  return withGuest(guestKernel(kernel.stored), options, async (guest) => {
    await guest.succeed('insmod /suture.ko; insmod /bench_target.ko');
    return task(guest);
  });
}

/** Loads the patch of so many functions and waits until it is in force. */
export const load = (size: number): string =>
  `insmod /bench_${size}.ko; ${until(size, '[ "$(cat $p/transition)" = 0 ]')}`;

/** Takes it back. */
export const unload = (size: number): string =>
  `echo 0 > /sys/kernel/livepatch/bench_${size}/enabled; ${until(size, '[ ! -e $p ]')}; rmmod bench_${size}`;

const until = (size: number, holds: string): string =>
  `p=/sys/kernel/livepatch/bench_${size}; until ${holds}; do :; done`;
