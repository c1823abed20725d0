// From a compiled fix to a module for the kernel's own livepatch: the same object as for Suture's core, without anything of
// Suture in it. The kernel makes the redirects, and binds what is not exported by its name (klp-relocations.ts).

import type { Architecture } from '../arch/arch.ts';
import { STT_FUNC } from '../elf/constants.ts';
import { isSection, writeElf } from '../elf/elf.ts';
import type { KernelImage } from '../kernel/image.ts';
import { findOldFunction } from '../kernel/old-function.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { findTargetFunction } from '../kernel/target-module.ts';
import { collectReasons, reasonError, throwReasons } from '../reason.ts';
import { bindSymbols, unsupportedRelocations } from './bind-symbols.ts';
import { checkFix } from './check-fix.ts';
import { finishModule, thisModuleSymbol } from './finish-module.ts';
import { checkLateSymbols, leaveToLivepatch } from './klp-relocations.ts';
import { targetOf } from './late-symbols.ts';
import {
  type LinkedPatch,
  nameSymbolsOfTargets,
  type PatchInput,
  type Replacement,
  stripObject,
} from './link-patch.ts';

/** Whether a kernel has live patching of its own, by what it exports (kernel/livepatch/core.c, Linux 6.1). */
export const hasLivepatch = ({ exports }: Pick<KernelImage, 'exports'>): boolean => exports.has('klp_enable_patch');

/** What `module_is_livepatch` goes by, and nothing to depend on. */
const modinfo = [
  ['depends', ''],
  ['livepatch', 'Y'],
] as const;

/**
 * Links the patch for a kernel that `hasLivepatch`; there are no stubs, so `redirects` is empty. Throws `ReasonError` with every
 * reason found.
 */
export function linkForLivepatch(input: PatchInput): LinkedPatch {
  const { arch, object } = input;
  const sources = { ...input.sources, core: new Map<string, number | undefined>() };
  const targets = input.targets ?? new Map();
  const { reasons, attempt } = collectReasons();
  if (!arch.elf.rela) throw withoutAddends(arch, input.name);

  stripObject(object);
  reasons.push(...checkFix(object));
  nameSymbolsOfTargets({ ...input, sources }, attempt);
  for (const each of input.replacements) attempt(() => checkReplacement({ ...input, sources }, each));
  const late = checkLateSymbols(object, targets, attempt);
  const bound = bindSymbols(object, arch, sources, [thisModuleSymbol, ...late], attempt);
  reasons.push(...unsupportedRelocations(object, arch, bound));
  throwReasons(reasons);

  finishModule(object, input.name, arch, input.abi, sources.image, bound, modinfo);
  leaveToLivepatch(object, arch, sources.image, attempt);
  throwReasons(reasons);
  return { bytes: writeElf(object), redirects: [], bound };
}

/** Sees that both functions are there, and that ftrace knows the old one. */
function checkReplacement(input: PatchInput, { oldName, newName, sympos, module = '', isSameCopy }: Replacement): void {
  const refusal = refusalByName(oldName, isSameCopy);
  if (refusal) throw refusal;
  const { sources, callSites, object } = input;
  // Which words the kernel rewrites matters to nobody: its own livepatch compares none.
  if (module === '') findOldFunction(sources.image, callSites, { words: [], unknown: [] }, oldName, sympos);
  else findTargetFunction(targetOf(module, input.targets ?? new Map()), oldName, sympos);
  if (!object.symbols.some(({ name, type, place }) => name === newName && type === STT_FUNC && isSection(place))) {
    throw reasonError('compile-failed', newName, 'the compiled fix does not hold this function');
  }
}

const withoutAddends = ({ platform }: Architecture, name: string) =>
  reasonError(
    'kernel-unsupported',
    name,
    `modules of ${platform.name} have no relocations with addends, which the kernel's livepatch applies`,
    'no kernel of this architecture is known to have LIVEPATCH',
  );
