// What a patch module's own bytes say of it, as `suture build` and `suture info` show it.

import { SHN_LIVEPATCH, STT_FILE, STT_SECTION } from '../elf/constants.ts';
import type { Relocation, SymbolPlace } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import type { PatchModule, ReadRedirect } from '../kernel/read-patch-module.ts';

/** A patch module for --json. Addresses are the kernel's run-time addresses, sizes are bytes. */
export function describePatch(patch: PatchModule) {
  return {
    name: patch.name,
    architecture: patch.arch.platform.name,
    /** The release of the kernel that it is for. */
    kernel: patch.vermagic.split(' ')[0]!,
    vermagic: patch.vermagic,
    buildId: patch.buildId,
    /** The modules that it waits for, if they are not there yet. */
    modules: patch.objects.flatMap(({ module, redirects, recipes }) =>
      module ? [{ ...module, redirects: redirects.length, recipes: recipes.length }] : [],
    ),
    redirects: patch.redirects.map((redirect) => ({
      /** The module that the old function is in, null for the kernel itself. */
      module: redirect.module ?? null,
      oldName: redirect.oldName,
      oldAddress: redirect.oldAddress,
      oldSize: 4 * redirect.oldWords.length,
      /** Bytes from the function's start: the call site, or the word that becomes a branch. */
      callSite: redirect.site,
      way: redirect.way,
      newName: redirect.newFunction.name,
      maskedWords: redirect.masked.length,
      /** The stub's words, and each as objdump writes it. */
      stub: stubWords(patch, redirect),
    })),
    /** What is written into it once the module is there that the symbol is in. Places are section and offset. */
    recipes: patch.recipes.map(({ module, symbol, within, place, size }) => ({
      module: module ?? null,
      symbol: within ? `${symbol} (${within.section}+0x${within.offset.toString(16)})` : symbol,
      place: `${place.section.name}+0x${place.offset.toString(16)}`,
      size,
    })),
    /** What it uses by address, because the kernel does not export it. */
    unexported: patch.model.symbols
      .filter(({ name, type, place }) => name !== '' && type !== STT_FILE && type !== STT_SECTION && isAddress(place))
      .map(({ name, value }) => ({ name, address: linkAddress(value) })),
  };
}

/** Whether a symbol is one that the linker of patch modules bound to an address (`Architecture.boundFunctionPlace`). */
const isAddress = (place: SymbolPlace): boolean =>
  place === 'absolute' || (typeof place === 'object' && 'index' in place && place.index === SHN_LIVEPATCH);

function stubWords({ arch }: PatchModule, { stub, newFunction }: ReadRedirect): { word: number; text: string }[] {
  const names = ({ symbol }: Relocation): string =>
    symbol?.place === newFunction.section && Number(symbol.value) === newFunction.offset
      ? 'new_function'
      : (symbol?.name ?? '0');
  return Array.from(stub.words, (word, i) => {
    const offset = stub.offset + 4 * i;
    const text = arch.disassemble(word, linkAddress(BigInt(offset))) ?? '.long';
    const relocation = stub.section.relocations.find((each) => each.offset === offset);
    if (!relocation) return { word, text };
    const { name, use } = arch.relocationKind(relocation.type) ?? {
      name: `relocation ${relocation.type}`,
      use: 'data',
    };
    // The loader completes the word: where a branch leads in the file means nothing.
    const completed =
      use === 'call' ? text.replace(/\S+$/, names(relocation)) : `${text} (${name} of ${names(relocation)})`;
    return { word, text: completed };
  });
}
