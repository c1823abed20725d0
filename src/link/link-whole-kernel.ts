// Patch modules that redirect every function of a kernel that can be: what a proof of the whole kernel is made on.
//
// Each is linked as a fix's is, and no other code decides which functions it can take. The new functions are the old ones'
// own words, without sibling calls, which a fix has none of: it reads the same stack arguments, and nobody will run these. A patch has so many
// redirects and no more, so there are several modules.

import type { FunctionText } from '../arch/arch.ts';
import { ET_REL, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STT_FUNC } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { Kernel, KernelCode } from '../kernel/kernel.ts';
import { bytesOf, isFunction, joinWords, symbolsNamed, wordsOf } from '../kernel/old-function.ts';
import { tableLimits, type Way } from '../kernel/patch-module.ts';
import type { Reason } from '../reason.ts';
import { linkPatch, type Replacement } from './link-patch.ts';

/** A function with the place where it is redirected: a call site of its own, or its entry. Both addresses are the image's. */
export interface TracedFunction {
  readonly name: string;
  readonly address: LinkAddress;
  readonly site: LinkAddress;
}

/** A module of redirects, and the functions that `build` would refuse. */
export interface LinkedFunctions {
  readonly bytes: Uint8Array;
  readonly linked: readonly TracedFunction[];
  readonly refused: readonly { readonly function: TracedFunction; readonly reasons: readonly Reason[] }[];
}

/** Every function that has a call site, in address order: its first one, which is the one that a redirect takes. */
export const tracedFunctions = ({ callSites }: Pick<Kernel, 'callSites'>): TracedFunction[] =>
  callSites
    .filter((site, i) => site.function !== callSites[i - 1]?.function)
    .map(({ name, function: address, address: site }) => ({ name, address, site }));

/** Every function of a kernel's text, each address once, of several names the one that ftrace shows: all that have an entry. */
export function enteredFunctions({ image }: Pick<Kernel, 'image'>): TracedFunction[] {
  const found = new Map<LinkAddress, TracedFunction>();
  for (const symbol of image.kallsyms) {
    const { name, address } = symbol;
    const inText = image.textRanges.some(({ start, end }) => address >= start && address < end);
    if (inText && isFunction(symbol) && !found.has(address)) found.set(address, { name, address, site: address });
  }
  return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

/**
 * Links modules that redirect these functions, all of them that can be. What only a name refuses (a copy that the compiler
 * made) is linked too: that is no matter of the redirect.
 */
export function* linkFunctions(
  kernel: Kernel,
  functions: readonly TracedFunction[],
  way: Way = 'ftrace',
): Generator<LinkedFunctions> {
  const compiled = compiledAsFix(kernel);
  for (let at = 0; at < functions.length; at += tableLimits.redirects) {
    yield linkSome(kernel, functions.slice(at, at + tableLimits.redirects), compiled, way);
  }
}

function linkSome(
  kernel: Kernel,
  functions: readonly TracedFunction[],
  compiled: (text: FunctionText) => Uint32Array,
  way: Way,
): LinkedFunctions {
  const { arch, image, abi, callSites, selfModified } = kernel;
  const { class: bits, machine } = arch.elf;
  const object = newModel({
    class: bits,
    machine,
    type: ET_REL,
    osAbi: 0,
    abiVersion: 0,
    entry: 0n,
    flags: abi.headerFlags,
  });
  const codes = functions.map(({ address }) => compiled(functionOf(image, address)));
  const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, bytesOf(joinWords(codes)), {
    align: instructionSize,
  });
  object.sections.push(text);

  const byNewName = new Map<string, TracedFunction>();
  let start = 0;
  const replacements = functions.map((each, i): Replacement => {
    const newName = `${each.name}_${i}`;
    byNewName.set(newName, each);
    const size = BigInt(codes[i]!.byteLength);
    object.symbols.push(newSymbol(newName, { value: BigInt(start) | arch.codeBit, size, type: STT_FUNC, place: text }));
    start += codes[i]!.byteLength;
    const sympos = symbolsNamed(image.kallsyms, each.name).findIndex(({ address }) => address === each.address) + 1;
    return { newName, oldName: each.name, sympos };
  });
  const refused: { function: TracedFunction; reasons: readonly Reason[] }[] = [];
  const { bytes } = linkPatch({
    arch,
    abi,
    callSites,
    selfModified,
    object,
    sources: { image, core: new Map(), furtherSymbols: new Map() },
    name: 'suture_proof',
    replacements,
    way,
    leaveOut: ({ newName }, reasons) => refused.push({ function: byNewName.get(newName)!, reasons }),
  });
  const left = new Set(refused.map((each) => each.function));
  return { bytes, linked: functions.filter((each) => !left.has(each)), refused };
}

/** The words of the new functions of `linkFunctions`. */
export function newFunctions(kernel: KernelCode): (old: TracedFunction) => Uint32Array {
  const compiled = compiledAsFix(kernel);
  return ({ address }) => compiled(functionOf(kernel.image, address));
}

const instructionSize = 4;

/** What a function would be as a fix, as far as that can be told from the image. */
function compiledAsFix({ arch, image }: KernelCode): (text: FunctionText) => Uint32Array {
  const functionAt = (address: LinkAddress): FunctionText | undefined => {
    const found = image.enclosing(address);
    if (!found) return undefined;
    const text = functionOf(image, found.start);
    // Entered where it begins, or behind the words that make its TOC pointer.
    const local = arch.proofFacts?.convention.toc?.setUpWords(text.words) ?? 0;
    const distance = Number(address - found.start);
    return distance === 0 || distance === instructionSize * local ? text : undefined;
  };
  return arch.siblingCallsRemover?.(functionAt) ?? (({ words }) => words);
}

/** A function from the image, up to the next symbol; at least one instruction, so that no two begin at one place. */
function functionOf(image: KernelImage, address: LinkAddress): FunctionText {
  const { end, name } = image.enclosing(address) ?? { end: address, name: '' };
  const size = Number(end - address) & ~(instructionSize - 1);
  const words = wordsOf(image.bytes(address, size) ?? new Uint8Array());
  return { name, address, words: words.length > 0 ? words : new Uint32Array(1) };
}
