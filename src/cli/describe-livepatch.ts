// What a module for a kernel's own livepatch does, as `suture build` and `suture info` show it.

import { architectureOfModule } from '../arch/architectures.ts';
import { findSection, readElf } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { symbolsNamed } from '../kernel/old-function.ts';
import { readKlpPatch } from '../link/klp-patch.ts';
import { lateSymbol, vmlinux } from '../link/late-symbols.ts';
import type { Replacement } from '../link/link-patch.ts';
import { shownKlpLayout } from '../link/shown-klp-layout.ts';
import { type Reason, reasonError } from '../reason.ts';

/** Said of a kernel that has livepatch, and of modules for it: what Suture proves, its own redirects, is not there. */
export const ownLivepatch = (name: string): Reason => ({
  code: 'own-livepatch',
  place: name,
  message: 'the kernel redirects with live patching of its own, and Suture proves its own redirects',
  remedy: 'for a proof take a kernel without CONFIG_LIVEPATCH, or a hook of your own with --redirect',
});

/** What stands in a result in the place of the proof. */
export const notProven = (name: string) => ({ proven: false, unproven: [ownLivepatch(name)] });

/**
 * What such a module's own bytes say, for --json; `place` names the file. Addresses are not in it: the kernel finds everything by
 * name. Throws `elf-unsupported`, `klp-patch-unknown`.
 */
export function describeLivepatchModule(model: ElfModel, place: string) {
  const info = readModinfo(findSection(model, '.modinfo')?.data ?? new Uint8Array());
  const of = (key: string) => info.find(([each]) => each === key)?.[1] ?? '';
  const vermagic = of('vermagic');
  const arch = architectureOfModule(model.header, vermagic);
  if (!arch)
    throw reasonError(
      'elf-unsupported',
      place,
      `machine ${model.header.machine} is not one that Suture knows`,
      'name a module of an architecture that it knows',
    );
  const { objects = [] } = readKlpPatch(model, arch, shownKlpLayout(model, arch, place), place) ?? {};
  const late = model.symbols.flatMap(({ name }) => lateSymbol(name) ?? []);
  const used = (of: (object: string) => boolean) => late.filter(({ object }) => of(object));
  return {
    name: of('name'),
    architecture: arch.platform.name,
    /** The release of the kernel that it is for. */
    kernel: vermagic.split(' ')[0]!,
    vermagic,
    depends: of('depends').split(',').filter(Boolean),
    /** The modules that it waits for, if they are not there yet. */
    modules: objects.flatMap(({ module: name, funcs }) =>
      name === undefined ? [] : [{ name, redirects: funcs.length, symbols: used((object) => object === name).length }],
    ),
    redirects: objects.flatMap(({ module = null, funcs }) =>
      funcs.map(({ oldName, sympos, newFunction }) => ({
        ...{ module, oldName, oldSympos: sympos, newName: newFunction.name },
        way: 'livepatch' as const,
      })),
    ),
    /** What the kernel binds by name: of modules once they are there, of the kernel itself as the module is loaded. */
    recipes: used((object) => object !== vmlinux).map(({ object, name }) => ({ module: object, symbol: name })),
    unexported: used((object) => object === vmlinux).map(({ name }) => ({ name })),
  };
}

/** The part of the result that a patch for Suture's core tells from its table. Addresses are the kernel's run-time addresses. */
export async function describeLivepatch(
  { image }: Pick<Kernel, 'image'>,
  { name, bytes, replacements }: { name: string; bytes: Uint8Array; replacements: readonly Replacement[] },
) {
  const { module } = await checkSignature(bytes);
  const late = readElf(module, name).symbols.flatMap((symbol) => lateSymbol(symbol.name) ?? []);
  return {
    redirects: replacements.map(({ oldName, newName, sympos, module: object = '' }) => {
      const oldAddress = symbolsNamed(image.kallsyms, oldName)[Math.max(0, sympos - 1)]?.address;
      return {
        module: object === '' ? null : object,
        oldName,
        ...(object === '' && oldAddress !== undefined ? { oldAddress } : {}),
        way: 'livepatch',
        newName,
      };
    }),
    recipes: late.flatMap(({ object, name }) => (object === vmlinux ? [] : [{ module: object, symbol: name }])),
    ...notProven(name),
  };
}
