// What a module for a kernel's own livepatch does, as `suture build` shows it.

import { readElf } from '../elf/elf.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { symbolsNamed } from '../kernel/old-function.ts';
import { lateSymbol, vmlinux } from '../link/late-symbols.ts';
import type { Replacement } from '../link/link-patch.ts';
import type { Reason } from '../reason.ts';

/** Said of a kernel that has livepatch, and of modules for it: what Suture proves, its own redirects, is not there. */
export const ownLivepatch = (name: string): Reason => ({
  code: 'own-livepatch',
  place: name,
  message: 'the kernel redirects with live patching of its own, and Suture proves its own redirects',
  remedy: 'for a proof take a kernel without CONFIG_LIVEPATCH, or a hook of your own with --redirect',
});

/** What stands in a result in the place of the proof. */
export const notProven = (name: string) => ({ proven: false, unproven: [ownLivepatch(name)] });

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
