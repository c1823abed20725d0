// Test-only modules, built by the kernel's own Kbuild from test/support/in-guest: with the core's sources beside them, of which
// they take what they need, and bound to the kernel as the core is.

import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coreSources } from '../../src/compile/core-module.ts';
import { kbuild } from '../../src/compile/kbuild.ts';
import { readElf } from '../../src/elf/elf.ts';
import type { LoadedKernel } from '../../src/host/read-kernel.ts';
import { run } from '../../src/host/run.ts';
import { withTemporaryFolder } from '../../src/host/temporary.ts';
import { signModule } from '../../src/kernel/module-signature.ts';
import { bindCore } from '../../src/link/bind-core.ts';

const sources = fileURLToPath(new URL('in-guest', import.meta.url));

/**
 * Builds modules, each of its source in test/support/in-guest and of further objects: those of the core, and `test-NAME` for
 * NAME.c of that folder. Returns them by name, ready to be loaded.
 */
export function guestModules<Name extends string>(
  kernel: LoadedKernel,
  modules: Readonly<Record<Name, readonly string[]>>,
): Promise<Record<Name, Uint8Array>> {
  const names = Object.keys(modules) as Name[];
  return withTemporaryFolder(async (folder) => {
    await cp(coreSources(), folder, { recursive: true });
    for (const file of (await readdir(sources)).filter((name) => name.endsWith('.c'))) {
      await cp(join(sources, file), join(folder, `test-${file}`));
    }
    const rules = [`obj-m := ${names.map((name) => `${name}.o`).join(' ')}`];
    for (const name of names) {
      rules.push(`${name}-y := ${[`test-${name}`, ...modules[name]].map((object) => `${object}.o`).join(' ')}`);
    }
    const own = (await readFile(join(folder, 'Kbuild'), 'utf8')).replace(/^obj-m[\s\S]*/m, '');
    await writeFile(join(folder, 'Kbuild'), `${own}${rules.join('\n')}\n`);
    const { stderr } = await kbuild(kernel.stored, kernel.arch.platform, folder, ['KCFLAGS=-g0', 'modules']);
    if (stderr !== '') throw new Error(stderr);
    const built = names.map(async (name) => {
      const ko = new Uint8Array(await readFile(join(folder, `${name}.ko`)));
      return [name, await signModule(bindCore(ko, kernel.arch, kernel.image))] as const;
    });
    return Object.fromEntries(await Promise.all(built)) as Record<Name, Uint8Array>;
  });
}

/** A program of one source in test/support/in-guest, without a C library. */
export function guestProgram(kernel: LoadedKernel, name: string): Promise<Uint8Array> {
  return withTemporaryFolder(async (folder) => {
    const output = join(folder, name);
    const flags = ['-O1', '-Wall', '-Werror', '-nostdlib', '-static', '-fno-stack-protector', '-fomit-frame-pointer'];
    // Its system calls are written for ARM's A32 instructions.
    if (kernel.arch.platform.name === 'arm') flags.push('-marm');
    await run(`${kernel.stored.crossPrefix}gcc`, [...flags, '-o', output, join(sources, `${name}.c`)]);
    return new Uint8Array(await readFile(output));
  });
}

/** How many bytes each function of a module has. */
export function functionSizes(ko: Uint8Array): Map<string, bigint> {
  return new Map(readElf(ko, 'module').symbols.map(({ name, size }) => [name, size]));
}
