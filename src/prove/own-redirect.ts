// Somebody's own hook or stub, read from an assembled file: what people do who design such code.
//
// The file defines one or more of
//
//     ftrace_regs_caller    a whole hook, in place of the kernel's; it calls `ftrace_handler` once
//     redirect              a stub, at which the hook resumes; without it, the handler sends the hook to the new function
//     call_site             a function's instructions from its entry up to and with the call of the hook, in place of
//                           those of the kernel's functions
//
// and each lasts until the next of them or the end of its section. It may say what it is for by absolute symbols:
//
//     stack_arguments       the new function and the old one have so many arguments on the stack at most
//     parameter_area        0: neither uses the places that its caller reserves for arguments in registers
//     sibling_calls         0: neither ends in a sibling call to another module
//     traces_returns        0: nobody asks to be told of returns, as the function graph tracer does
//
// The hook is read as linked, since it is a part of the kernel and stands at one address; the stub as assembled, with its
// relocations, since it stands anywhere.

import type { Architecture } from '../arch/arch.ts';
import type { Callee } from '../arch/machine.ts';
import { SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import { isSection, readElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { wordsOf } from '../kernel/old-function.ts';
import { reasonError } from '../reason.ts';
import type { Hook, Redirect } from './redirect.ts';

export interface OwnRedirect {
  readonly hook: Hook | undefined;
  /** Without words where it has none. */
  readonly stub: Redirect['stub'];
  readonly callSite: Uint32Array | undefined;
  /** Whether handlers may ask to be told of returns. */
  readonly tracesReturns: boolean;
  /** What it says of the functions; what it does not say is undefined. */
  readonly callee: Callee;
}

const parts = ['ftrace_regs_caller', 'redirect', 'call_site'] as const;
type Part = (typeof parts)[number];

const handler = 'ftrace_handler';
const newFunction = 'new_function';

const instructionSize = 4;
/** Of one part. Nobody's is as long, and a proof has an end. */
const mostWords = 4096;

/**
 * Reads such a file. `object` is as the assembler made it, `linked` with all its symbols at addresses; `file` is what errors call
 * it. Throws `redirect-unusable`, and what `readElf` throws.
 */
export function readOwnRedirect(object: Uint8Array, linked: Uint8Array, arch: Architecture, file: string): OwnRedirect {
  const model = readElf(object, file);
  const refuse = (message: string) =>
    reasonError('redirect-unusable', file, message, 'docs/proof.md says what such a file defines');
  if (model.header.machine !== arch.elf.machine || model.header.class !== arch.elf.class)
    throw refuse(`it is not for ${arch.platform.name}`);

  const symbolOf = (name: string): (ElfSymbol & { place: Section }) | undefined => {
    const symbol = model.symbols.find((each) => each.name === name);
    return symbol && isSection(symbol.place) ? { ...symbol, place: symbol.place } : undefined;
  };
  if (symbolOf(newFunction) || symbolOf(handler))
    throw refuse(`it defines ${symbolOf(handler) ? handler : newFunction}, which stands for what is outside`);
  if (!parts.some(symbolOf)) throw refuse(`it defines none of ${parts.join(', ')}`);

  /** Where a part is in its section. */
  const extentOf = (name: Part): { section: Section; start: number; end: number } | undefined => {
    const symbol = symbolOf(name);
    if (!symbol) return undefined;
    const { place: section } = symbol;
    if ((section.flags & SHF_ALLOC) === 0n || (section.flags & SHF_EXECINSTR) === 0n)
      throw refuse(`${name} is in ${section.name}, which is not executable`);
    const start = Number(symbol.value);
    const others = parts.flatMap((part) => {
      const other = symbolOf(part);
      return other?.place === section && other.value > symbol.value ? [Number(other.value)] : [];
    });
    const end = Math.min(section.data.length, ...others);
    if (start % instructionSize !== 0 || end - start < instructionSize)
      throw refuse(`${name} has no instructions, or does not begin where one can`);
    if (end - start > mostWords * instructionSize) throw refuse(`${name} is longer than ${mostWords} instructions`);
    return { section, start, end };
  };

  const hookOf = (): Hook | undefined => {
    const symbol = symbolOf('ftrace_regs_caller');
    if (!symbol) return undefined;
    const entry = addressIn(readElf(linked, file), 'ftrace_regs_caller');
    const calls = symbol.place.relocations.filter((each) => each.symbol?.name === handler);
    const [call] = calls;
    if (!call || calls.length > 1 || entry === undefined)
      throw refuse(`its hook calls ${handler} ${calls.length} times, and must call it once`);
    // The handler is run in its place: one that asks a condition, or that does not come back, would be taken for a call.
    if (!isPlainCall(arch, symbol.place, call))
      throw refuse(`its hook reaches ${handler} by another word than a plain call`);
    const { sections } = readElf(linked, file);
    return {
      entry,
      handlerCall: entry + BigInt(call.offset) - symbol.value,
      word: wordReader(sections),
      isThere: (address, size) => inSection(sections, SHF_ALLOC, address, size) !== undefined,
    };
  };

  const stubOf = (): Redirect['stub'] => {
    const extent = extentOf('redirect');
    if (!extent) return { words: new Uint32Array(), relocations: [] };
    const { section, start, end } = extent;
    const inside = section.relocations.filter(({ offset }) => offset >= start && offset < end);
    const foreign = inside.find(({ symbol }) => symbol?.name !== newFunction || symbol.place !== 'undefined');
    if (foreign) throw refuse(`redirect refers to ${foreign.symbol?.name || 'something'} beside ${newFunction}`);
    return {
      words: wordsOf(section.data.subarray(start, end)),
      relocations: inside.map(({ offset, type, addend = 0n }) => ({
        offset: offset - start,
        type,
        symbol: 'new-function',
        addend,
      })),
    };
  };

  const numberOf = (name: string): number | undefined => {
    const symbol = model.symbols.find((each) => each.name === name && each.place === 'absolute');
    return symbol && Number(symbol.value);
  };
  const truthOf = (name: string): boolean | undefined => {
    const number = numberOf(name);
    return number === undefined ? undefined : number !== 0;
  };

  /** A call site's words. The call itself is not run: the proof has it reach the hook. */
  const callSiteOf = (): Uint32Array | undefined => {
    const extent = extentOf('call_site');
    if (!extent) return undefined;
    const { section, start, end } = extent;
    const words = wordsOf(section.data.subarray(start, end));
    const inside = section.relocations.filter(({ offset }) => offset >= start && offset < end);
    const last = end - instructionSize;
    const call = inside.find(({ offset }) => offset === last);
    const hook = symbolOf('ftrace_regs_caller');
    const { hook: known, convention } = arch.proofFacts!;
    const distance = isCall(arch, words.at(-1)!) ? arch.objectCode.branch(words.at(-1)!)?.distance : undefined;
    // Where both are in one section, the assembler may have filled in the distance.
    const reaches = call
      ? isPlainCall(arch, section, call) && [known.entry, arch.objectCode.mcount].includes(call.symbol?.name ?? '')
      : distance !== undefined && hook?.place === section && last + distance === Number(hook.value);
    if (!reaches) throw refuse(`call_site does not end in a plain call of ${known.entry} or ${arch.objectCode.mcount}`);
    const setUp = start + instructionSize * (convention.toc?.setUpWords(words) ?? 0);
    const filled = inside.find((each) => each !== call && each.offset >= setUp);
    if (filled)
      throw refuse(`call_site refers to ${filled.symbol?.name || 'something'}, and what that makes of it is not read`);
    return words;
  };

  const callee = {
    stackArguments: numberOf('stack_arguments'),
    usesParameterArea: truthOf('parameter_area'),
    siblingCalls: truthOf('sibling_calls'),
  };
  // The arguments on the stack lie in that area, behind the places of those in registers.
  if (callee.usesParameterArea === false && callee.stackArguments !== 0)
    throw refuse('it says that parameter_area is 0, and not that stack_arguments is: these lie there');
  return {
    tracesReturns: truthOf('traces_returns') ?? true,
    callee,
    hook: hookOf(),
    stub: stubOf(),
    callSite: callSiteOf(),
  };
}

/** Whether a word is the call that ftrace writes at a site, wherever it leads. */
function isCall({ proofFacts, objectCode }: Architecture, word: number): boolean {
  const { siteWord } = proofFacts!.hook;
  const { mask } = objectCode.branch(siteWord)!;
  return (word & ~mask) === (siteWord & ~mask);
}

/** Whether a relocation makes a word such a call of its symbol, and not of a place beside it. */
function isPlainCall(arch: Architecture, { data }: Section, { offset, addend }: Relocation): boolean {
  const word = wordsOf(data.subarray(offset, offset + instructionSize))[0] ?? 0;
  // With REL the addend is in the word: a call of itself is one of the symbol.
  return isCall(arch, word) && (addend === undefined ? word === arch.proofFacts!.hook.siteWord : addend === 0n);
}

const addressIn = ({ symbols }: ElfModel, name: string): bigint | undefined =>
  symbols.find((symbol) => symbol.name === name && isSection(symbol.place))?.value;

/** The section with this flag that has so many bytes at an address. */
const inSection = (sections: readonly Section[], flag: bigint, address: bigint, size: number): Section | undefined =>
  sections.find(
    (each) =>
      (each.flags & flag) !== 0n &&
      address >= each.address &&
      address + BigInt(size) <= each.address + BigInt(each.data.length),
  );

/** The words of a linked file's executable sections, by address. */
function wordReader(sections: readonly Section[]): Hook['word'] {
  return (address) => {
    const section = inSection(sections, SHF_EXECINSTR, address, instructionSize);
    const offset = section && Number(address - section.address);
    if (offset === undefined || offset % instructionSize !== 0) return undefined;
    return new DataView(section!.data.buffer, section!.data.byteOffset).getUint32(offset, true);
  };
}
