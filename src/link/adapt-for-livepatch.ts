// A standard livepatch module for a kernel that has livepatch: it is loaded as it is, but for symbols that the kernel does not
// export. The kernel's build system leaves those undefined (`make KBUILD_MODPOST_WARN=1`), and the loader would refuse the
// module; here they become symbols that the kernel's livepatch binds.

import { findSection, writeElf } from '../elf/elf.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import { moduleNameOf } from '../kernel/target-module.ts';
import { collectReasons, reasonError, throwReasons } from '../reason.ts';
import {
  type AdaptedModule,
  type AdaptInput,
  checkWhole,
  dropDebugInformation,
  exportsOfOthers,
  otherVersions,
  replaceVersions,
} from './adapt-module.ts';
import { bindSymbols, unsupportedRelocations } from './bind-symbols.ts';
import { addLooseSymbols } from './finish-module.ts';
import { checkLateSymbols, leaveToLivepatch } from './klp-relocations.ts';
import { readVersions } from './module-sections.ts';

/**
 * Adapts the module, whose `patch` does not matter; the core has nothing to do with it. Throws `ReasonError` with every reason
 * found: `not-a-patch-module` for a module without `livepatch=Y`, which may have no such symbols.
 */
export function adaptForLivepatch({ arch, abi, module, file, targets, ...input }: AdaptInput): AdaptedModule {
  const { reasons, attempt } = collectReasons();
  const info = readModinfo(findSection(module, '.modinfo')?.data ?? new Uint8Array());
  if (!info.some(([key, value]) => key === 'livepatch' && value === 'Y')) {
    throw reasonError(
      'not-a-patch-module',
      file,
      'its modinfo has no livepatch=Y, by which the kernel’s own livepatch knows its modules',
      'such a module needs no adapting: load it as it is',
    );
  }
  dropDebugInformation(module);
  const known = readVersions(arch, findSection(module, '__versions')?.data ?? new Uint8Array());
  const late = checkLateSymbols(module, targets, attempt);
  const sources = { ...input.sources, core: new Map(), otherModules: exportsOfOthers(module, known) };
  const bound = bindSymbols(module, arch, sources, late, attempt);
  reasons.push(...unsupportedRelocations(module, arch, bound), ...otherVersions(bound, known, file));
  throwReasons(reasons);

  leaveToLivepatch(module, arch, sources.image, attempt);
  throwReasons(reasons);
  replaceVersions({ ...input, arch, abi, module, file, targets }, bound);
  addLooseSymbols(module);
  checkWhole(module, file);
  return { name: moduleNameOf(module, abi) ?? '', bytes: writeElf(module), bound };
}
