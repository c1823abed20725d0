// Which linker makes a patch for a kernel, and what it has to know of the core: a kernel with live patching of its own needs no core.

import { buildCore } from '../compile/core-module.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { hasLivepatch, linkForLivepatch } from '../link/link-for-livepatch.ts';
import { type LinkedPatch, linkPatch, type PatchInput } from '../link/link-patch.ts';

/** A linker, and what the core exports, by name with the CRC. */
interface Linker {
  readonly link: (input: PatchInput) => LinkedPatch;
  readonly core: ReadonlyMap<string, number | undefined>;
}

/** The linker for a kernel; builds its core unless the kernel has livepatch. Throws what `buildCore` throws. */
export async function linkerFor(kernel: LoadedKernel, progress: (text: string) => void): Promise<Linker> {
  if (hasLivepatch(kernel.image)) return { link: linkForLivepatch, core: new Map() };
  progress(`building the core for ${kernel.stored.name}`);
  return { link: linkPatch, core: (await buildCore(kernel.stored)).exportedCrcs };
}
