// From a standard livepatch module to one that a kernel without LIVEPATCH loads: read, find its targets, link, sign. The way
// of the data in one function.

import type { CoreModule } from '../compile/core-module.ts';
import { readElf } from '../elf/elf.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { signModule } from '../kernel/module-signature.ts';
import { adaptForLivepatch } from '../link/adapt-for-livepatch.ts';
import { type AdaptedModule, adaptModule, checkAdaptable, neededModules } from '../link/adapt-module.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { readKlpPatch } from '../link/klp-patch.ts';
import type { FindTargets } from './read-targets.ts';

export interface AdaptedPatch extends AdaptedModule {
  /** Whether it is a live patch; any other module is only bound and signed. */
  readonly isPatch: boolean;
}

/**
 * Adapts a module in memory; `file` is what messages call it. There is no `core` for a kernel with livepatch of its own. `targetsNamed` finds the modules that it patches or refers to.
 * Throws `ReasonError`: whatever reading, binding and linking throw.
 */
export async function adaptPatch(
  kernel: LoadedKernel,
  core: CoreModule | undefined,
  bytes: Uint8Array,
  file: string,
  targetsNamed: FindTargets,
  wanted?: WantedWay,
): Promise<AdaptedPatch> {
  const { arch, abi, image, callSites, selfModified, furtherSymbols } = kernel;
  // Sections are views of the file's bytes, and linking writes into them.
  const module = readElf(bytes.slice(), file);
  checkAdaptable(module, arch, abi, file);
  const patch = core && readKlpPatch(module, arch, core.klp, file);
  const targets = await targetsNamed(neededModules(module, patch));
  const way = chooseWay(kernel, wanted);
  const sources = { image, core: core?.exportedCrcs ?? new Map(), furtherSymbols };
  const adapt = core ? adaptModule : adaptForLivepatch;
  const linked = adapt({ arch, abi, callSites, selfModified, sources, module, file, patch, targets, way });
  // What is made may be proven here, before anybody gets it: `linked.bytes` is the whole module.
  return { ...linked, bytes: await signModule(linked.bytes), isPatch: core === undefined || patch !== undefined };
}
