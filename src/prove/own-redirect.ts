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
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
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
    const { data } = symbol.place;
    const word = wordsOf(data.subarray(call.offset, call.offset + instructionSize))[0] ?? 0;
    const { siteWord } = arch.proofFacts!.hook;
    const mask = arch.objectCode.branch(siteWord)!.mask;
    // The handler is run in its place: one that asks a condition, or that does not come back, would be taken for a call.
    if ((word & ~mask) !== (siteWord & ~mask))
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

  const callSite = extentOf('call_site');
  return {
    tracesReturns: truthOf('traces_returns') ?? true,
    callee: {
      stackArguments: numberOf('stack_arguments'),
      usesParameterArea: truthOf('parameter_area'),
      siblingCalls: truthOf('sibling_calls'),
    },
    hook: hookOf(),
    stub: stubOf(),
    callSite: callSite && wordsOf(callSite.section.data.subarray(callSite.start, callSite.end)),
  };
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
