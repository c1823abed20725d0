// Which functions the kernel's own symbol table shows to be compiled, and that nothing but compiled code calls.
//
// Of each function gcc writes the size into its symbol, and how far its local entry lies behind the global one into st_other (ELFv2
// ABI 1.5, section 3.4.1). Linux's macros for assembly (`_GLOBAL`, `_GLOBAL_TOC` in arch/powerpc/include/asm/ppc_asm.h, 6.1) write
// a type and no size; its labels and data have neither. Of Debian's 6.1.176-1 no symbol of arch/powerpc's assembly has both.
//
// A compiled function is entered as the ABI has it, whoever calls it. But what assembly calls may run where no code of a
// module can be reached: in real mode, or while an exception is on its way in or out and its translation is what the exception is about.
// So a function that a branch outside of all such functions leads to is left out, and so is what that one calls in turn, up to
// functions that ftrace traces: those run where modules are reached, since ftrace's handlers are in modules.

import { STT_FUNC } from '../../elf/constants.ts';
import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { FunctionText, KernelText } from '../arch.ts';
import { standsAsCallSite, tocSetUpWords } from './call-sites.ts';
import { objectCode } from './object-code.ts';
import { localEntryOffset } from './relocations.ts';

/** Symbols of compiled functions by address, and where assembly leads. */
interface Described {
  readonly symbols: ReadonlyMap<bigint, readonly { readonly name: string; readonly other: number }[]>;
  readonly fromAssembly: ReadonlySet<LinkAddress>;
}

const known = new WeakMap<KernelText, Described>();

/** Whether a function is one of those. An image without a symbol table shows none. */
export function isDescribed({ name, address, words }: FunctionText, kernel: KernelText): boolean {
  const described = known.get(kernel) ?? describe(kernel);
  known.set(kernel, described);
  const { symbols, fromAssembly } = described;
  const local = 4 * tocSetUpWords(words);
  const symbol = symbols.get(address)?.find((each) => each.name === name);
  if (!symbol || localEntryOffset(symbol.other) !== local) return false;
  return !fromAssembly.has(address) && !fromAssembly.has(linkAddress(address + BigInt(local)));
}

function describe(kernel: KernelText): Described {
  const symbols = new Map<bigint, { name: string; other: number }[]>();
  const ranges: { readonly start: LinkAddress; readonly end: LinkAddress }[] = [];
  for (const { name, type, value, size, other } of kernel.symbolTable ?? []) {
    if (type !== STT_FUNC || size === 0n) continue;
    const same = symbols.get(value);
    if (same) same.push({ name, other });
    else symbols.set(value, [{ name, other }]);
    ranges.push({ start: linkAddress(value), end: linkAddress(value + size) });
  }
  ranges.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const fromAssembly = new Set<LinkAddress>();
  for (const { start, end } of kernel.textRanges) {
    let at = start;
    for (const range of [...ranges.filter((each) => each.end > start && each.start < end), { start: end, end }]) {
      if (range.start > at) addTargets(at, wordsBetween(kernel, at, range.start), fromAssembly);
      if (range.end > at) at = range.end;
    }
  }
  // A set goes on to what is added to it meanwhile.
  const followed = new Set<LinkAddress>();
  for (const target of fromAssembly) {
    const callee = kernel.enclosing(target);
    if (!callee || followed.has(callee.start) || !symbols.has(callee.start)) continue;
    followed.add(callee.start);
    const words = wordsBetween(kernel, callee.start, callee.end);
    if (!words.some((_, i) => standsAsCallSite(words, i))) addTargets(callee.start, words, fromAssembly);
  }
  return { symbols, fromAssembly };
}

function wordsBetween(kernel: KernelText, start: LinkAddress, end: LinkAddress): Uint32Array {
  const bytes = kernel.bytes(start, Number(end - start) & ~3) ?? new Uint8Array();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

/** Where words at an address branch to, taken for instructions whatever they are. */
function addTargets(start: LinkAddress, words: Uint32Array, targets: Set<LinkAddress>): void {
  for (const [i, word] of words.entries()) {
    const branch = objectCode.branch(word);
    if (branch) targets.add(linkAddress(start + BigInt(4 * i + branch.distance)));
  }
}
