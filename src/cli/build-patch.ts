// From a fix to a patch module: compile, bind, link. The way of the data in one function.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { compileFix } from '../compile/compile-fix.ts';
import { buildCore } from '../compile/core-module.ts';
import { readElf } from '../elf/elf.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { signModule } from '../kernel/module-signature.ts';
import { functionsNamed } from '../kernel/old-function.ts';
import { type LinkedPatch, linkPatch } from '../link/link-patch.ts';
import { reasonError } from '../reason.ts';

export interface BuiltPatch extends LinkedPatch {
  readonly name: string;
  /** What the compiler remarked. */
  readonly warnings: string;
}

/** The name of the patch module when the user gives none, after kpatch-build: `livepatch_` and the fix's name. */
export function patchName(fix: string): string {
  return `livepatch_${basename(fix).replace(/\.[^.]*$/, '')}`.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 48);
}

/** Builds a patch in memory. Throws `ReasonError`: whatever compiling, binding and linking throw. */
export async function buildPatch(
  kernel: LoadedKernel,
  fix: string,
  name: string,
  progress: (text: string) => void,
): Promise<BuiltPatch> {
  if (!/^[A-Za-z][A-Za-z0-9_]{0,47}$/.test(name)) {
    throw reasonError(
      'usage',
      name,
      'a module name has letters, digits and underscores only, 48 at most',
      'use --name',
    );
  }
  const { arch, stored } = kernel;
  progress(`building the core for ${stored.name}`);
  const core = await buildCore(stored);
  progress(`compiling ${fix}`);
  const compiled = await compileFix(stored, arch, fix, name, (wanted) => {
    return functionsNamed(kernel.image.kallsyms, wanted).length > 0;
  });
  const foreign = compiled.replacements.find((r) => r.module !== '');
  if (foreign) {
    throw reasonError(
      'name-missing',
      foreign.oldName,
      `it is a function of the module ${foreign.module}; functions of modules cannot be redirected yet`,
      'patch functions of vmlinux only',
    );
  }
  progress('linking');
  const linked = linkPatch({
    arch,
    abi: kernel.abi,
    callSites: kernel.callSites,
    selfModified: kernel.selfModified,
    sources: { image: kernel.image, core: core.exportedCrcs, furtherSymbols: await furtherSymbols(kernel) },
    object: compiled.object,
    name,
    replacements: compiled.replacements,
  });
  return { ...linked, bytes: await signModule(linked.bytes), name, warnings: compiled.warnings };
}

/** Addresses by name beyond kallsyms: from the image's own symbol table, a System.map, an unstripped vmlinux. */
async function furtherSymbols(kernel: LoadedKernel): Promise<Map<string, LinkAddress[]>> {
  const { stored, image } = kernel;
  const symbols = new Map<string, LinkAddress[]>();
  const add = (name: string, address: LinkAddress) => {
    const known = symbols.get(name);
    if (known) known.push(address);
    else symbols.set(name, [address]);
  };
  for (const { name, value } of image.symbolTable ?? []) add(name, linkAddress(value));
  if (stored.systemMap) {
    for (const line of (await readFile(stored.systemMap, 'utf8')).split('\n')) {
      const match = /^([0-9a-f]{8,16}) \S (\S+)$/.exec(line);
      if (match) add(match[2]!, linkAddress(BigInt(`0x${match[1]!}`)));
    }
  }
  if (stored.vmlinux) {
    const { symbols: all } = readElf(new Uint8Array(await readFile(stored.vmlinux)), basename(stored.vmlinux));
    for (const { name, value, place } of all) {
      if (name !== '' && place !== 'undefined') add(name, linkAddress(value));
    }
  }
  return symbols;
}
