// From a fix to a patch module: compile, bind, link. The way of the data in one function.

import { basename } from 'node:path';
import { compileFix } from '../compile/compile-fix.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { signModule } from '../kernel/module-signature.ts';
import { isFunction, symbolsNamed } from '../kernel/old-function.ts';
import { coreModule } from '../link/bind-symbols.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import type { LinkedPatch, Replacement } from '../link/link-patch.ts';
import { reasonError } from '../reason.ts';
import { linkerFor } from './linker-for.ts';
import { type FindTargets, readTargets } from './read-targets.ts';

export interface BuiltPatch extends LinkedPatch {
  readonly name: string;
  /** What the compiler said, and what a person should know. */
  readonly remarks: readonly string[];
  /** Functions of the fix that are not static and yet replace nothing. */
  readonly idle: readonly string[];
  /** What it was linked of. */
  readonly replacements: readonly Replacement[];
}

/**
 * The name of the patch module when the user gives none, after kpatch-build: `livepatch_` and what its file is called, or for want of
 * such a name the fix. So no patch has the name of what it patches, and two files made of one fix can be loaded together.
 */
export function patchName(fix: string, file?: string): string {
  const named = file?.endsWith('.ko') ? file : fix;
  const name = basename(named)
    .replace(/\.[^.]*$/, '')
    .replace(/[^A-Za-z0-9_]/g, '_');
  return (name.startsWith(prefix) ? name : `${prefix}${name}`).slice(0, 48);
}

const prefix = 'livepatch_';

/** Refuses what no patch module can be called: `usage`. */
export function checkPatchName(name: string): void {
  if (!/^[A-Za-z][A-Za-z0-9_]{0,47}$/.test(name)) {
    throw reasonError(
      'usage',
      name,
      'a module name has letters, digits and underscores only, 48 at most',
      'use --name',
    );
  }
  if (name === coreModule) {
    throw reasonError('usage', name, 'that is the name of the core, which a patch stands beside', 'use --name');
  }
}

/** Builds a patch in memory; `targetsNamed` finds the modules whose functions it replaces. Throws `ReasonError`: whatever compiling, binding and linking throw. */
export async function buildPatch(
  kernel: LoadedKernel,
  fix: string,
  name: string,
  progress: (text: string) => void,
  targetsNamed: FindTargets = (names) => readTargets(kernel, [], names),
  way?: WantedWay,
): Promise<BuiltPatch> {
  checkPatchName(name);
  const { arch, stored } = kernel;
  const { link, core } = await linkerFor(kernel, progress);
  progress(`compiling ${fix}`);
  const compiled = await compileFix(stored, arch, fix, name, (wanted) => {
    return symbolsNamed(kernel.image.kallsyms, wanted).some(isFunction);
  });
  const targets = await targetsNamed(compiled.replacements.flatMap(({ module }) => (module === '' ? [] : [module])));
  progress('linking');
  const linked = link({
    arch,
    abi: kernel.abi,
    callSites: kernel.callSites,
    selfModified: kernel.selfModified,
    sources: { image: kernel.image, core, furtherSymbols: kernel.furtherSymbols },
    object: compiled.object,
    name,
    replacements: compiled.replacements,
    targets,
    way: chooseWay(kernel, way),
  });
  const { idle, replacements } = compiled;
  const replacesNothing = idle.map(
    (each) => `${each} replaces nothing: the kernel has no function of that name (a helper should be static)`,
  );
  const warnings = compiled.warnings === '' ? [] : [compiled.warnings.trimEnd()];
  return {
    ...linked,
    bytes: await signModule(linked.bytes),
    name,
    remarks: [...warnings, ...replacesNothing],
    idle,
    replacements,
  };
}
