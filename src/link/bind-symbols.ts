// What the undefined symbols of a patch are bound to.
//
// Exported symbols stay undefined, with their CRC in `__versions`: the kernel's own loader finds them. Functions that are
// not exported get their absolute address from the image's kallsyms; the loader still makes the veneer or the stub that a
// call needs. Data that is not exported is not in kallsyms of these kernels (KALLSYMS_ALL=n) and is bound from the symbol
// table of the image, from a System.map or from an unstripped vmlinux. Nothing is bound to memory that the kernel has given
// back: all these still have the names of what was there.

import type { Architecture } from '../arch/arch.ts';
import { SHF_ALLOC, SHF_EXECINSTR, STB_WEAK } from '../elf/constants.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { SymbolAddresses } from '../kernel/further-symbols.ts';
import type { KernelImage } from '../kernel/image.ts';
import { isInitMemory } from '../kernel/init-memory.ts';
import { isFunction, symbolsNamed } from '../kernel/old-function.ts';
import { type Attempt, type Reason, reasonError } from '../reason.ts';

export type Binding =
  /** Left to the loader; `crc` is undefined where the kernel has no versions. */
  | { readonly kind: 'exported'; readonly crc: number | undefined; readonly namespace: string; readonly module: string }
  | { readonly kind: 'function' | 'data'; readonly address: LinkAddress };

export interface SymbolSources {
  readonly image: KernelImage;
  /** What the kernel-resident core exports, with its CRC. */
  readonly core: ReadonlyMap<string, number | undefined>;
  /** What the image's symbol table, a System.map or an unstripped vmlinux tell, code and data. */
  readonly furtherSymbols: SymbolAddresses;
  /** What modules export that are neither the kernel nor the core, with the CRC; nothing if it is left out. */
  readonly otherModules?: ReadonlyMap<string, number>;
}

/** The name of the core's module, which a patch module depends on. */
export const coreModule = 'suture';

/**
 * Binds one undefined symbol; `isCalled` if code branches to it, so that it must be a function. Throws `name-missing`,
 * `name-ambiguous`, `data-address-unknown`, `init-text`.
 */
export function bindSymbol(sources: SymbolSources, name: string, isCalled = false): Binding {
  const { core, image, furtherSymbols } = sources;
  if (core.has(name)) return { kind: 'exported', crc: core.get(name), namespace: '', module: coreModule };
  const exported = image.exports.get(name);
  if (exported) return { kind: 'exported', crc: exported.crc, namespace: exported.namespace, module: '' };

  const other = sources.otherModules?.get(name);
  if (other !== undefined) return { kind: 'exported', crc: other, namespace: '', module: '' };

  const named = symbolsNamed(image.kallsyms, name);
  // Each entry of kallsyms is a thing of its own, also two at one address; beyond it an address may be told twice.
  const told = named.map(({ address }) => address);
  const further = (furtherSymbols.get(name) ?? []).filter((address) => !told.includes(address));
  const [address, ...others] = [...told, ...new Set(further)];
  if (address === undefined) throw missing(sources, name, isCalled);
  if (others.length > 0) throw ambiguous(name, [address, ...others]);
  if (isInitMemory(address, (known) => image.symbol(known) ?? only(furtherSymbols.get(known)))) {
    throw reasonError(
      'init-text',
      name,
      `as far as can be told, the kernel gives the memory at ${hex(address)} back once it has started`,
      'put a copy of it into the fix, or reach what it does in another way',
    );
  }
  return { kind: named.some(isFunction) ? 'function' : 'data', address };
}

/** The address that is told, if it is one. */
const only = (addresses: readonly LinkAddress[] = []): LinkAddress | undefined =>
  new Set(addresses).size === 1 ? addresses[0] : undefined;

const hex = (address: LinkAddress) => `0x${address.toString(16)}`;

function ambiguous(name: string, addresses: readonly LinkAddress[]) {
  return reasonError(
    'name-ambiguous',
    name,
    `the kernel has ${addresses.length} symbols of this name: ${addresses.map(hex).join(', ')}`,
    'put a copy of the function into the fix, or reach it through another one',
  );
}

function missing(sources: SymbolSources, name: string, isCalled: boolean) {
  if (isCalled) {
    return reasonError(
      'name-missing',
      name,
      'the code calls it, and the kernel has no function of this name',
      'check the spelling, and that this configuration has it; what only a module defines cannot be bound yet',
    );
  }
  const reason: Reason =
    sources.furtherSymbols.size === 0
      ? {
          code: 'data-address-unknown',
          place: name,
          message: 'it is neither exported nor a function of vmlinux; the image has no table of other data',
          remedy: 'check the spelling; for a variable of vmlinux, import the kernel with --system-map or --vmlinux',
        }
      : {
          code: 'name-missing',
          place: name,
          message: 'the kernel has no symbol of this name',
          remedy: 'check the spelling; what modules define cannot be bound yet',
        };
  return reasonError(reason.code, reason.place, reason.message, reason.remedy);
}

/**
 * Binds every undefined symbol of an object but those that `supplied` names, which the linker makes itself. `attempt` runs
 * a step and keeps its reasons. Returns what each name was bound to.
 */
export function bindSymbols(
  object: ElfModel,
  arch: Architecture,
  sources: SymbolSources,
  supplied: readonly string[],
  attempt: Attempt,
): Map<string, Binding> {
  const bound = new Map<string, Binding>();
  const called = calledSymbols(object, arch);
  for (const symbol of object.symbols) {
    if (symbol.place !== 'undefined' || arch.loaderSymbols.includes(symbol.name)) continue;
    if (supplied.includes(symbol.name)) continue;
    // The loader takes a weak symbol that nobody exports for 0, and code that has one asks.
    const exported = sources.core.has(symbol.name) || sources.image.exports.has(symbol.name);
    if (symbol.binding === STB_WEAK && !exported) continue;
    const binding = attempt(() => bindSymbol(sources, symbol.name, called.has(symbol)));
    if (!binding) continue;
    bound.set(symbol.name, binding);
    if (binding.kind === 'exported') continue;
    symbol.value = binding.kind === 'function' ? binding.address | arch.codeBit : binding.address;
    symbol.place = binding.kind === 'function' ? arch.boundFunctionPlace : 'absolute';
  }
  return bound;
}

/** Symbols that code branches to. */
function calledSymbols(object: ElfModel, { objectCode }: Architecture): Set<ElfSymbol> {
  const called = new Set<ElfSymbol>();
  for (const { flags, data, relocations } of object.sections) {
    if ((flags & SHF_EXECINSTR) === 0n) continue;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (const { offset, symbol } of relocations) {
      if (symbol && offset + 4 <= view.byteLength && objectCode.branch(view.getUint32(offset, true)))
        called.add(symbol);
    }
  }
  return called;
}

/**
 * Code and data that nobody but the patch's own code follows. Of all else (jump tables, tracepoints, constructors, lists of
 * probes, …) the loader makes use by itself: find_module_sections in kernel/module/main.c, Linux 6.1.
 */
const ordinarySection = /^\.(text|(ro)?data|init\.(text|(ro)?data)|exit\.(text|data)|toc)(\.|$)/;

/** Every relocation must be one that the kernel's loader takes, and the loader must never follow a bound address itself. */
export function unsupportedRelocations(
  object: ElfModel,
  arch: Architecture,
  bound: ReadonlyMap<string, Binding>,
): Reason[] {
  return object.sections
    .filter((section) => (section.flags & SHF_ALLOC) !== 0n)
    .flatMap((section) =>
      section.relocations.flatMap((relocation): Reason[] => {
        const kind = arch.relocationKind(relocation.type);
        const place = `${section.name}+0x${relocation.offset.toString(16)}`;
        const name = relocation.symbol?.name ?? '';
        const binding = bound.get(name);
        if (!kind?.loadable) {
          const type = kind?.name ?? `relocation type ${relocation.type}`;
          return [
            {
              code: 'relocation-unsupported',
              place,
              message: `the kernel's module loader does not take ${type} (against ${name})`,
              remedy: "compile the fix with the kernel's own flags for modules",
            },
          ];
        }
        if (!ordinarySection.test(section.name) && binding && binding.kind !== 'exported') {
          return [
            {
              code: 'relocation-unsupported',
              place,
              message: `the kernel's loader would follow ${name} before the patch could be checked`,
              remedy: 'a jump label or a tracepoint that is not exported cannot be used in a fix',
            },
          ];
        }
        return [];
      }),
    );
}
