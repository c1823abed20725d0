// From a folder of C files to modules that a guest loads: one that is patched, and patches of it written for mainline's livepatch.

import type { CoreModule } from '../compile/core-module.ts';
import { compileSelftestModules } from '../compile/selftest-modules.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { readTargetModule } from '../kernel/target-module.ts';
import type { WantedWay } from '../link/choose-way.ts';
import { reasonError } from '../reason.ts';
import { adaptPatch } from './adapt-patch.ts';

/**
 * Compiles every C file of a folder as a module of its own, and adapts them all to a kernel, redirected as is `wanted`;
 * `target` is the name of the one that the others patch. Returns the `.ko`s by the modules' names. Throws `tool-failed` with
 * the compiler's words, and what adapting throws.
 */
export async function adaptFolder(
  kernel: LoadedKernel,
  core: CoreModule,
  folder: string,
  target: string,
  wanted?: WantedWay,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const compiled = new Map<string, Uint8Array>();
  for (const { name, ko, complaints } of await compileSelftestModules(kernel.stored, core, [folder])) {
    if (!ko) throw reasonError('tool-failed', name, complaints.join('\n'), 'mend the source');
    compiled.set(name, ko);
  }
  const patched = readTargetModule(compiled.get(target)!, `${target}.ko`, kernel.arch, kernel.abi);
  const targets = new Map([[patched.name, patched]]);
  const adapted = new Map<string, Uint8Array>();
  for (const [name, ko] of compiled) {
    adapted.set(name, (await adaptPatch(kernel, core, ko, `${name}.ko`, async () => targets, wanted)).bytes);
  }
  return adapted;
}
