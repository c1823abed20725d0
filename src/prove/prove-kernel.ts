// What a proof looks at of a kernel: its hook and its functions, all of it from the image as shipped.

import type { Architecture, CallSite, SelfModified } from '../arch/arch.ts';
import { NotUnderstood, type ProofFacts } from '../arch/machine.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { Way } from '../kernel/patch-module.ts';
import { reasonError } from '../reason.ts';
import { InstructionAddresses } from './instruction-addresses.ts';
import type { Hook } from './redirect.ts';

/** The parts of a kernel (`kernel/kernel.ts`) that a proof is about. */
export interface ProofKernel {
  readonly arch: Architecture;
  readonly image: KernelImage;
  /** In address order. */
  readonly callSites: readonly CallSite[];
  readonly selfModified: SelfModified;
}

/** What must be known of an architecture before anything is proven on it. Throws `proof-unknown`. */
export function factsOf({ arch, image }: ProofKernel): ProofFacts {
  const { proofFacts: facts } = arch;
  if (facts) return facts.forKernel?.(image.vermagic) ?? facts;
  throw reasonError(
    'proof-unknown',
    arch.platform.name,
    'what its instructions do is not written down yet, so nothing is proven on it',
    '',
  );
}

/** The kernel's own ftrace hook. Throws `proof-unknown` for a kernel that does not have it. */
export function kernelHook(kernel: ProofKernel): Hook {
  const { entry, handlerCall, graph, handlerArguments, findEnabled, withoutRegisters } = factsOf(kernel).hook;
  const addressOf = (name: string): LinkAddress => {
    const address = kernel.image.symbol(name);
    if (address !== undefined) return address;
    throw reasonError(
      'proof-unknown',
      name,
      'the kernel has no symbol of this name, or several: where its ftrace hook is cannot be told',
      'take a kernel with CONFIG_DYNAMIC_FTRACE_WITH_REGS=y',
    );
  };
  // A kernel without the graph tracer does not have these.
  const tracer = graph &&
    kernel.image.symbol(graph.site) !== undefined && {
      site: addressOf(graph.site),
      goesTo: addressOf(graph.goesTo),
      callee: addressOf(graph.callee),
    };
  const [start, call] = [addressOf(entry), addressOf(handlerCall)];
  const asShipped = (address: bigint): number | undefined => kernel.image.word(linkAddress(address));
  /** What both hooks say of a place; a hook by itself would be right whatever it says. */
  const told = <T>(find: ((word: typeof asShipped, entry: bigint, call: bigint) => T | undefined) | undefined) => {
    const [first, last] = [withoutRegisters.entry, withoutRegisters.handlerCall].map((name) =>
      kernel.image.symbol(name),
    );
    const found = find?.(asShipped, start, call);
    if (first === undefined || last === undefined || found === find?.(asShipped, first, last)) return found;
    throw reasonError(
      'proof-unknown',
      entry,
      `it looks elsewhere than ${withoutRegisters.entry} does for what handlers are called with, or whether they are`,
      'take the image as the distribution ships it',
    );
  };
  return {
    entry: start,
    handlerCall: call,
    ops: kernel.image.symbol(opsVariable) ?? told(handlerArguments.findOps),
    enabled: told(findEnabled),
    // What the tracer makes of its word is another form of the hook, and proven beside this one.
    word: textOf(kernel, tracer ? [tracer.site] : []),
    isThere: (address, size) => kernel.image.bytes(linkAddress(address), size) !== undefined,
    symbol: (name) => kernel.image.symbol(name),
    ...(tracer && { graph: tracer }),
  };
}

/** The symbols that only the hook of a kernel tells, for whoever writes another one. Throws as `kernelHook` does. */
export function symbolsOfHook(kernel: ProofKernel): Map<string, bigint> {
  const { ops } = kernelHook(kernel);
  return new Map(ops === undefined ? [] : [[opsVariable, ops]]);
}

/** The kernel's variable that its hook takes a handler's ops from (kernel/trace/ftrace.c). */
const opsVariable = 'function_trace_op';

/**
 * The words of the kernel's text, by address; undefined where there is none. A word that the kernel rewrites itself is not
 * the one that runs: whoever asks for it gets `NotUnderstood`, but for the words that are taken as the image has them, and those that do the same in each form.
 */
export function textOf(kernel: ProofKernel, asShipped: readonly LinkAddress[] = []): Hook['word'] {
  const { image, selfModified } = kernel;
  const facts = factsOf(kernel);
  const rewritten = new InstructionAddresses(image, selfModified.words);
  for (const address of asShipped) rewritten.delete(address);
  const [unclear] = selfModified.unknown;
  const isText = (address: bigint): boolean => {
    for (const { start, end } of image.textRanges) if (address >= start && address < end) return true;
    return false;
  };
  return (address) => {
    if (unclear !== undefined) throw new NotUnderstood(`which words the kernel rewrites is not known: ${unclear}`);
    const word = isText(address) ? image.word(linkAddress(address)) : undefined;
    if (rewritten.has(address) && !(word !== undefined && facts.rewrittenAlike?.(word)))
      throw new NotUnderstood('the kernel rewrites this word, so what runs here is not known');
    return word;
  };
}

const instructionSize = 4;

/**
 * A function's words from its entry up to and with its call site; `word` gives those of the kernel's text (`textOf`). Throws
 * `proof-unknown` for one that cannot be read or that the kernel rewrites itself.
 */
export function prologueOf(
  { image }: ProofKernel,
  word: Hook['word'],
  { name, address, site }: { readonly name: string; readonly address: LinkAddress; readonly site: LinkAddress },
  way: Way = 'ftrace',
): Uint32Array {
  const refuse = (offset: number, message: string) =>
    reasonError(
      'proof-unknown',
      `${name}+0x${offset.toString(16)}`,
      message,
      'take another function: what this one does before its call site is not known',
    );
  const distance = Number(site - address);
  return Uint32Array.from({ length: distance / instructionSize + 1 }, (_, i) => {
    const offset = instructionSize * i;
    const at = linkAddress(address + BigInt(offset));
    try {
      // The word at a call site is ftrace's own, and no part of the function.
      const found = at === site && way === 'ftrace' ? image.word(at) : word(at);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      throw refuse(offset, error.message);
    }
    throw refuse(offset, 'it is not in the text of the image');
  });
}
