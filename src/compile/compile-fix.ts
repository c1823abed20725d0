// From a FIX.c to the object of a live patch, through the kernel's own Kbuild.
//
// The fix is compiled twice: first as it is, to learn from the compiler which functions it defines and to show its errors
// in the user's own terms, then together with the few lines that make a livepatch module of it.

import { copyFile, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Architecture } from '../arch/arch.ts';
import { readElf } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import type { RunResult } from '../host/run.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { reasonError } from '../reason.ts';
import { coreSources } from './core-module.ts';
import {
  declaredReplacements,
  definedFunctions,
  frameSource,
  patchSource,
  type Replacement,
  replacementsOf,
} from './fix-source.ts';
import { kbuild } from './kbuild.ts';

export interface CompiledFix {
  readonly object: ElfModel;
  readonly replacements: readonly Replacement[];
  /** Functions that are not static and yet replace nothing. */
  readonly idle: readonly string[];
  /** What the compiler remarked, in the user's file names; empty if nothing. */
  readonly warnings: string;
}

/** The fix as the compiler sees it. No module is called so: their names have no hyphen. */
const source = 'the-fix.c';
/** Links in the folder where Kbuild runs: make and the shell split the real paths at blanks and expand what is in them. */
const [besideFix, coreInclude] = ['beside-fix', 'core-include'];
/** What the compiler says of the fix's functions (fix-source.ts). */
const auxFile = 'the-fix.aux';

/**
 * Compiles a fix. `isKernelFunction` says whether vmlinux has a function of a name.
 * Throws `compile-failed` with the compiler's own words, `nothing-to-patch`, `file-missing`.
 */
export function compileFix(
  kernel: StoredKernel,
  arch: Architecture,
  fix: string,
  moduleName: string,
  isKernelFunction: (name: string) => boolean,
): Promise<CompiledFix> {
  return withTemporaryFolder(async (folder) => {
    await copyFile(fix, join(folder, source)).catch((error: Error) => {
      throw reasonError('file-missing', fix, `it cannot be read: ${error.message}`);
    });
    await symlink(dirname(resolve(fix)), join(folder, besideFix));
    await symlink(join(coreSources(), 'include'), join(folder, coreInclude));
    const plainObject = source.replace('.c', '.o');
    const object = `${moduleName}.o`;
    await writeFile(join(folder, 'Kbuild'), kbuildFile(arch, plainObject, object));

    const translate = (text: string) =>
      text
        .replaceAll(join(folder, source), fix)
        .replaceAll(join(folder, besideFix), dirname(fix))
        .replaceAll(`${folder}/`, '')
        .replaceAll(source, basename(fix));
    const first = await kbuild(kernel, arch.platform, folder, [plainObject], [0, 2]);
    if (first.status !== 0) throw compileFailed(fix, translate, first);
    const aux = await readFile(join(folder, auxFile), 'utf8');
    const plain = readElf(new Uint8Array(await readFile(join(folder, plainObject))), fix);
    const declared = plain.sections.find((section) => section.name === '.suture.replaces')?.data ?? new Uint8Array();
    const { replacements, idle } = replacementsOf(
      definedFunctions(aux, join(folder, source)),
      declaredReplacements(declared),
      isKernelFunction,
    );
    if (replacements.length === 0) {
      throw reasonError(
        'nothing-to-patch',
        fix,
        `none of the functions that it defines has the name of a function of the kernel${idle.length > 0 ? `: ${idle.join(', ')}` : ''}`,
        'check the spelling; give the function the name of the one that it replaces, or say so with SUTURE_REPLACES of <suture/fix.h>',
      );
    }

    await writeFile(join(folder, `${moduleName}.c`), patchSource(source, replacements));
    const second = await kbuild(kernel, arch.platform, folder, [object], [0, 2]);
    if (second.status !== 0) throw compileFailed(fix, translate, second);
    return {
      object: readElf(new Uint8Array(await readFile(join(folder, object))), object),
      replacements,
      idle,
      warnings: translate(second.stderr),
    };
  });
}

/**
 * Compiles the lines that make a livepatch module of functions that are compiled elsewhere: `replacements` have their names in
 * C, `objects` the modules that the patch has to do with. Throws `tool-missing`, `tool-failed`.
 */
export function compileFrame(
  kernel: StoredKernel,
  arch: Architecture,
  moduleName: string,
  replacements: readonly Replacement[],
  objects: readonly string[],
): Promise<ElfModel> {
  return withTemporaryFolder(async (folder) => {
    await symlink(join(coreSources(), 'include'), join(folder, coreInclude));
    const object = `${moduleName}.o`;
    await writeFile(join(folder, 'Kbuild'), kbuildFile(arch, '', object));
    await writeFile(join(folder, `${moduleName}.c`), frameSource(replacements, objects));
    await kbuild(kernel, arch.platform, folder, [object]);
    return readElf(new Uint8Array(await readFile(join(folder, object))), object);
  });
}

function kbuildFile(arch: Architecture, plainObject: string, object: string): string {
  return `obj-m := ${plainObject} ${object}
# Our <linux/livepatch.h> must be found before the kernel's own.
LINUXINCLUDE := -I$(src)/${coreInclude} $(LINUXINCLUDE)
# Files that the fix includes by "..." lie beside it. No path of the build may get into the module; the last map wins.
ccflags-y += -iquote $(src)/${besideFix} -ffile-prefix-map=$(src)/= -ffile-prefix-map=$(src)/${besideFix}/=
ccflags-y += ${arch.platform.fixFlags.join(' ')}
${plainObject === '' ? '' : `CFLAGS_${plainObject} += -aux-info $(src)/${auxFile} -Wno-unused-function`}
`;
}

function compileFailed(fix: string, translate: (text: string) => string, result: RunResult) {
  const lines = translate(result.stderr)
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('make['));
  return reasonError(
    'compile-failed',
    fix,
    lines.join('\n') || `make ended with status ${result.status}`,
    'mend the fix; it is compiled as a module of this kernel, with the headers of its package',
  );
}
