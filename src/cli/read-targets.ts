// The modules that a patch changes or refers to: those that the user gives with --module, and otherwise the kernel's own.

import { basename, join } from 'node:path';
import { readInput } from '../host/files.ts';
import { type LoadedKernel, moduleFiles } from '../host/read-kernel.ts';
import { readTargetModule, type TargetModule } from '../kernel/target-module.ts';
import { coreModule } from '../link/bind-symbols.ts';
import { reasonError } from '../reason.ts';

/** Finds the modules of some names, as far as they are to be had. */
export type FindTargets = (names: readonly string[]) => Promise<ReadonlyMap<string, TargetModule>>;

/**
 * The modules of these names, as far as they are to be had. `given` are paths of `.ko` files. Throws `usage` for two that are
 * the same module, `file-missing`, `fix-unsupported` for the core, and what `readTargetModule` throws.
 */
export async function readTargets(
  kernel: LoadedKernel,
  given: readonly string[],
  names: readonly string[],
): Promise<Map<string, TargetModule>> {
  const { stored, arch, abi } = kernel;
  const targets = new Map<string, TargetModule>();
  const read = async (file: string) => readTargetModule(await readInput(file), file, arch, abi);
  for (const file of given) {
    const target = await read(file);
    if (targets.has(target.name)) {
      throw reasonError('usage', file, `the module ${target.name} is given twice`, 'give each module once');
    }
    targets.set(target.name, target);
  }
  if (targets.has(coreModule) || names.includes(coreModule)) {
    throw reasonError(
      'fix-unsupported',
      coreModule,
      'the core patches functions, and cannot be patched by itself',
      'load a mended core instead, when no patch is there',
    );
  }
  const missing = names.filter((name) => !targets.has(name));
  if (missing.length === 0) return targets;
  // `rtc-pl031.ko` is the module `rtc_pl031`.
  const own = new Map(
    (await moduleFiles(stored)).map((file) => [basename(file, '.ko').replaceAll('-', '_'), file] as const),
  );
  for (const name of missing) {
    const file = own.get(name);
    if (file !== undefined) targets.set(name, await read(join(stored.modules, file)));
  }
  return targets;
}

/** The option of every command that takes targets, for commander: it may be repeated. */
export const moduleOption = {
  flags: '--module <file.ko>',
  description: 'a module that the patch changes and no kernel package holds; may be repeated',
  collect: (file: string, before: readonly string[]): readonly string[] => [...before, file],
} as const;
