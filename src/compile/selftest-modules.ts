// Mainline's test modules and samples, compiled as they are for a kernel without LIVEPATCH: by the kernel's own Kbuild,
// with our <linux/livepatch.h> before its own.
//
// What comes out are standard livepatch modules, not yet loadable: they carry `livepatch=Y`, which such a kernel refuses,
// and lack the table that only Suture's linker writes.

import { existsSync } from 'node:fs';
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { architectureByName } from '../arch/architectures.ts';
import { STB_WEAK } from '../elf/constants.ts';
import { readElf } from '../elf/elf.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { type CoreModule, coreSources } from './core-module.ts';
import { kbuild } from './kbuild.ts';

export interface CompiledModule {
  /** As in /proc/modules: the file's name with underscores. */
  readonly name: string;
  /** The `.ko`; undefined if it did not compile. */
  readonly ko: Uint8Array | undefined;
  /** Symbols that neither the kernel nor the core exports, Suture's own table left out. */
  readonly undefinedSymbols: readonly string[];
  /** The compiler's errors and warnings that name this source; lines. None for what stands in a file that it includes. */
  readonly complaints: readonly string[];
}

/** What a linker or the kernel's loader makes itself: our table (core/include/suture/patch-table.h), ppc64's TOC. */
const madeWhenLinked = ['suture_patch_table', '.TOC.'];

/**
 * Compiles every C file of `folders` as a module of its own, unmodified. One that does not compile is told of and does not
 * keep the others from it. Throws `tool-missing`, `tool-failed` if Kbuild itself fails.
 */
export function compileSelftestModules(
  kernel: StoredKernel,
  core: CoreModule,
  folders: readonly string[],
): Promise<CompiledModule[]> {
  const { platform } = architectureByName(kernel.architecture);
  return withTemporaryFolder(async (folder) => {
    const sources: string[] = [];
    for (const from of folders) {
      const files = (await readdir(from)).filter((file) => /\.[ch]$/.test(file)).sort();
      for (const file of files) await copyFile(join(from, file), join(folder, file));
      sources.push(...files.filter((file) => file.endsWith('.c')).map((file) => basename(file, '.c')));
    }
    // Twice: modules are linked only when every object of the folder is there.
    await writeFile(join(folder, 'Kbuild'), kbuildFile(sources, platform.fixFlags));
    const first = await kbuild(kernel, platform, folder, ['-k', 'KCFLAGS=-g0', 'modules'], [0, 2]);
    const compiled = sources.filter((source) => existsSync(join(folder, `${source}.o`)));
    await writeFile(join(folder, 'Kbuild'), kbuildFile(compiled, platform.fixFlags));
    await kbuild(kernel, platform, folder, [
      'KCFLAGS=-g0',
      `KBUILD_EXTRA_SYMBOLS=${join(dirname(core.ko), 'Module.symvers')}`,
      // What is undefined is for Suture's linker, or a finding of ours.
      'KBUILD_MODPOST_WARN=1',
      'modules',
    ]);

    // Not asked of modpost, which names ten and then keeps silent.
    const exported = new Set([...(await exportedNames(kernel)), ...core.exportedCrcs.keys(), ...madeWhenLinked]);
    const undefinedOf = (ko: Uint8Array, source: string) =>
      readElf(ko, source)
        .symbols.filter(({ place, binding, name }) => place === 'undefined' && binding !== STB_WEAK && name !== '')
        .map(({ name }) => name)
        .filter((name) => !exported.has(name));
    const complaints = first.stderr.replaceAll(`${folder}/`, '').split('\n');
    return Promise.all(
      sources.map(async (source) => {
        const file = join(folder, `${source}.ko`);
        const ko = compiled.includes(source) ? new Uint8Array(await readFile(file)) : undefined;
        return {
          name: source.replaceAll('-', '_'),
          ko,
          undefinedSymbols: ko ? undefinedOf(ko, source) : [],
          complaints: complaints.filter((line) => line.startsWith(`${source}.c:`) && /: (error|warning):/.test(line)),
        };
      }),
    );
  });
}

/** What the kernel and its modules export: the second column of the headers' Module.symvers. */
async function exportedNames(kernel: StoredKernel): Promise<string[]> {
  const symvers = await readFile(join(kernel.headers, 'Module.symvers'), 'utf8');
  return symvers.split('\n').map((line) => line.split('\t')[1] ?? '');
}

const kbuildFile = (
  sources: readonly string[],
  flags: readonly string[],
): string => `obj-m := ${sources.map((each) => `${each}.o`).join(' ')}
# Our <linux/livepatch.h> must be found before the kernel's own.
LINUXINCLUDE := -I${coreSources()}/include $(LINUXINCLUDE)
# What replacement functions need to be compiled with, so that \`suture adapt\` can make stubs for them.
ccflags-y += -ffile-prefix-map=$(src)/= ${flags.join(' ')}
`;
