// One kernel as shipped, looked through once: its image, its call sites, the words that it rewrites itself, and what its
// loader expects of a module.

import type { Architecture, CallSite, SelfModified } from '../arch/arch.ts';
import { type KernelImage, readKernelImage } from './image.ts';
import { learnModuleAbi, type ModuleAbi } from './module-abi.ts';

/** What the image by itself tells. */
export interface KernelCode {
  /** For the instruction set that its code is of. */
  readonly arch: Architecture;
  readonly image: KernelImage;
  /** In address order. */
  readonly callSites: readonly CallSite[];
  readonly selfModified: SelfModified;
}

export interface Kernel extends KernelCode {
  readonly abi: ModuleAbi;
}

/**
 * Reads a kernel from the bytes of its image and of a handful of its modules (they must agree). `name` is for messages.
 * Throws `image-unreadable`, `kallsyms-unreadable`, `module-abi-unknown`, `elf-malformed`.
 */
export async function readKernel(
  platform: Architecture,
  image: Uint8Array,
  modules: Iterable<{ readonly name: string; readonly bytes: Uint8Array }>,
  name: string,
): Promise<Kernel> {
  const code = await readKernelCode(platform, image, name);
  return { ...code, abi: learnModuleAbi(modules, code.arch) };
}

/** Reads what the bytes of an image tell. Throws `image-unreadable`, `kallsyms-unreadable`. */
export async function readKernelCode(platform: Architecture, image: Uint8Array, name: string): Promise<KernelCode> {
  const read = await readKernelImage(image, name, platform);
  const { arch } = read;
  return { arch, image: read, callSites: arch.findCallSites(read), selfModified: arch.selfModified(read) };
}
