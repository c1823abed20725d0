// Patches of the examples, built in memory, for tests that change them or load them.

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPatch, patchName } from '../../src/cli/build-patch.ts';
import { buildCore, coreSources } from '../../src/compile/core-module.ts';
import { kbuild } from '../../src/compile/kbuild.ts';
import type { LoadedKernel } from '../../src/host/read-kernel.ts';
import { signModule } from '../../src/kernel/module-signature.ts';
import { bindCore } from '../../src/link/bind-core.ts';
import type { WantedWay } from '../../src/link/choose-way.ts';

export const coreOf = async (kernel: LoadedKernel): Promise<Uint8Array> =>
  new Uint8Array(await readFile((await buildCore(kernel.stored)).ko));

/** A core that runs out of memory when it is told to (core/test.c). */
export async function faultyCoreOf({ stored, arch, image }: LoadedKernel): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'suture-test-faulty-'));
  try {
    await cp(coreSources(), folder, { recursive: true });
    await kbuild(stored, arch.platform, folder, ['KCFLAGS=-g0', 'SUTURE_TEST=y', 'modules']);
    return await signModule(bindCore(new Uint8Array(await readFile(join(folder, 'suture.ko'))), arch, image));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The signed module of a fix. */
export async function patchOf(
  kernel: LoadedKernel,
  fix: string,
  name = patchName(fix),
  way: WantedWay = 'auto',
): Promise<Uint8Array> {
  return (await buildPatch(kernel, fix, name, () => {}, undefined, way)).bytes;
}
