// Patches of functions of the kernel itself, in the entry way, and the modules that a bench needs beside them
// (bench/guest-kernel/). One function, int_pow(), is called in the guest.
//
// The others are functions that nothing calls there: of platforms that it is not, of security modules that another one has kept
// from starting.

import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adaptFolder } from '../src/cli/adapt-folder.ts';
import { proveFunctions } from '../src/cli/prove-functions.ts';
import { buildCore } from '../src/compile/core-module.ts';
import { packageFile } from '../src/host/package-file.ts';
import type { LoadedKernel } from '../src/host/read-kernel.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { enteredFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';

/** pSeries guests are no PowerNV machines; AppArmor comes before SELinux and keeps it out (CONFIG_LSM); nobody opens MPTCP sockets. */
const uncalled = /^(opal|pnv|selinux|sel|avc|avtab|sidtab|policydb|mls|cond|ebitmap|mptcp)_\w+$/;

/** What these sources share with those of bench/guest. */
const sharedHeaders = ['measure.h', 'patch-module.h'];

/**
 * A patch `bench_N` of each of some numbers of functions, `bench_caller` and `bench_plain`, and the core: the `.ko`s by the
 * modules' names. Throws what building and proving throw, and an `Error` if too few functions are proven.
 */
export async function kernelPatches(
  kernel: LoadedKernel,
  sizes: readonly number[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const others = uncalledFunctions(kernel, Math.max(...sizes) - 1);
  return withTemporaryFolder(async (folder) => {
    const own = packageFile('bench/guest-kernel');
    for (const file of sharedHeaders) await copyFile(packageFile(`bench/guest/${file}`), join(folder, file));
    for (const file of await readdir(own)) await copyFile(join(own, file), join(folder, file));
    for (const size of sizes) {
      const list = others.slice(0, size - 1).map((name) => `FUNCTION(${name})`);
      await writeFile(join(folder, `bench_${size}.c`), `#define OTHERS ${list.join(' \\\n\t')}\n#include "patch.h"\n`);
    }
    const core = await buildCore(kernel.stored);
    const modules = await adaptFolder(kernel, core, folder, 'bench_caller', 'entry');
    return new Map([['suture', new Uint8Array(await readFile(core.ko))], ...modules]);
  });
}

/** The names of as many functions as the largest patch needs beside the one that is called. */
function uncalledFunctions(kernel: LoadedKernel, most: number): string[] {
  const names = new Map<string, number>();
  for (const { name } of kernel.image.kallsyms) names.set(name, (names.get(name) ?? 0) + 1);
  const wanted = enteredFunctions(kernel).filter(({ name }) => uncalled.test(name) && names.get(name) === 1);
  const proven = proveFunctions(kernel, new Prover(kernel), wanted, () => {}, 'entry')
    .filter(({ code }) => code === 'proven')
    .map(({ name }) => name);
  if (proven.length < most) throw new Error(`${proven.length} functions that nothing calls, ${most} are wanted`);
  return proven.slice(0, most);
}
