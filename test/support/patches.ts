// Patches of the examples, built in memory, for tests that change them or load them.

import { readFile } from 'node:fs/promises';
import { buildPatch, patchName } from '../../src/cli/build-patch.ts';
import { buildCore } from '../../src/compile/core-module.ts';
import type { LoadedKernel } from '../../src/host/read-kernel.ts';

export const coreOf = async (kernel: LoadedKernel): Promise<Uint8Array> =>
  new Uint8Array(await readFile((await buildCore(kernel.stored)).ko));

/** The signed module of a fix. */
export async function patchOf(kernel: LoadedKernel, fix: string, name = patchName(fix)): Promise<Uint8Array> {
  return (await buildPatch(kernel, fix, name, () => {})).bytes;
}
