// Whether the emulator executes text that another processor has written: what a count of calls that saw half a patch is worth on
// a kernel that writes text while it runs (docs/stress.md). No patch and no core of ours takes part.

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCore } from '../compile/core-module.ts';
import { compileSelftestModules } from '../compile/selftest-modules.ts';
import { loadKernel } from '../host/read-kernel.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { withGuest } from '../lab/guest.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { reasonError } from '../reason.ts';

export interface StaleCode {
  readonly armed: number;
  /** How often fifty calls in a row did not reach a callback that was armed. */
  readonly missed: number;
}

/**
 * Runs `stale-code.c` of a folder (test/stress) in a guest with a kernel of the cache, its two processors in a thread of the
 * emulator each, or both in one. Throws what compiling and booting throw, and `tool-failed` if the module says nothing.
 */
export async function staleCode(name: string, folder: string, arms: number, oneThread: boolean): Promise<StaleCode> {
  const { stored } = await loadKernel(name);
  const core = await buildCore(stored);
  return withTemporaryFolder(async (sources) => {
    await copyFile(join(folder, 'stale-code.c'), join(sources, 'stale_code.c'));
    const [module] = await compileSelftestModules(stored, core, [sources]);
    if (!module?.ko) throw reasonError('tool-failed', 'stale-code.c', module?.complaints.join('\n') ?? '', '');
    const files = [{ path: '/stale_code.ko', bytes: module.ko }];
    return withGuest(guestKernel(stored), { files, cpus: 2, ...(oneThread && { icount: 0 }) }, async (guest) => {
      await guest.succeed(`insmod /stale_code.ko arms=${arms}`, { timeout: 1800 });
      const told = /stale-code: armed (\d+), fifty calls missed (\d+)/.exec(await guest.succeed('dmesg'));
      if (!told) throw reasonError('tool-failed', 'stale-code.c', 'it has not said what it found', '');
      return { armed: Number(told[1]), missed: Number(told[2]) };
    });
  });
}
