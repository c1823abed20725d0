// A proof of one redirect. Of the ftrace way: from the old function's entry through its own prologue, the kernel's hook as
// it stands in the image, the handler as the ABI allows it to be, and the stub, to the new function's entry; and from the
// new function's return, wherever that leads, back to the caller.
//
// Of the entry way: from the old function's entry to the word that is a branch, by it or by way of an island to the stub or to
// the new function, and back to the caller. There is no handler, and no old code that goes on.
//
// Where things are does not matter to it: the function, the stub and the new function stand at addresses that are
// terms, so it holds wherever a module is loaded and for every function of the same prologue. Only the hook is where the
// image has it.
//
// The handler may change all that a call may change, and sends the hook to the stub or back to where it was called from:
// both ways are gone. Where it may ask to be told of the return, both ways are gone, too. The new function, and the old
// one behind its call site, do what the ABI allows them (`callee.ts`).
//
// What is taken for granted: a module is small enough for its own relocations; what stands in the image stands in memory;
// and a stub cannot be unwound where a tracer would have to unwind it (`prove-module.ts` looks at the unwind tables).

import type { EntryBranch, Stub } from '../arch/arch.ts';
import { ByWords } from '../arch/by-words.ts';
import { type Callee, NotUnderstood, type ProofFacts } from '../arch/machine.ts';
import type { Failure } from './obligations.ts';
import { runScene } from './run.ts';
import { entriesOf, Scene } from './scene.ts';

export { type Failure, type Obligation, obligations } from './obligations.ts';

/** `unknown` lists the reasons, where in the code and why. */
export type Verdict =
  | { readonly verdict: 'proven'; readonly paths: number }
  | { readonly verdict: 'refuted'; readonly failures: readonly Failure[] }
  | { readonly verdict: 'unknown'; readonly reasons: readonly string[] };

/** One redirect, from artifacts: words of the image and of the module, and nothing that the builder remembers. */
export interface Redirect extends Callee {
  /** The old function's words from its entry up to and with the call site, or with the word that becomes a branch. */
  readonly prologue: Uint32Array;
  /** In the entry way: what the branch takes where it does not reach. */
  readonly island?: EntryBranch['island'] | undefined;
  /** What the handler sends the hook to, or the branch leads to; without words, that is the new function itself. */
  readonly stub: Pick<Stub, 'relocations'> & { readonly words: Uint32Array };
  /** What is known of the old function, where the new one's is in the redirect itself. */
  readonly oldFunction?: Callee;
}

/** The kernel's hook: where it is and what stands there. */
export interface Hook {
  readonly entry: bigint;
  readonly handlerCall: bigint;
  /** The word at an address of the kernel's text. */
  readonly word: (address: bigint) => number | undefined;
  /** Whether there is memory at an address of the kernel's, as far as is known; without it, there is everywhere. */
  readonly isThere?: (address: bigint, size: number) => boolean;
  /** The address of a symbol of the kernel; one that is not known is any. */
  readonly symbol?: ((name: string) => bigint | undefined) | undefined;
  /** The address of `function_trace_op`, whose value handlers are called with. */
  readonly ops?: bigint | undefined;
  /** Where in the processor's area the byte is that is 0 while no handler may be asked; without it, there is none. */
  readonly enabled?: number | undefined;
  /** Whether handlers ask to be told of returns; without it, they do where the hook lets them. */
  readonly tracesReturns?: boolean;
  /** Where the function graph tracer changes the hook; then it is proven in both forms (`ProofFacts.hook.graph`). */
  readonly graph?: { readonly site: bigint; readonly goesTo: bigint; readonly callee: bigint };
}

/**
 * A text that only redirects of the same verdict have: what does not enter into a proof is left out, the call's target
 * and what a TOC pointer is set up to.
 */
export function proofKey({ convention }: ProofFacts, redirect: Redirect): string {
  const { prologue, stub, oldFunction, island } = redirect;
  const setUp = convention.toc?.setUpWords(prologue) ?? 0;
  const known = ({ stackArguments, usesParameterArea, siblingCalls }: Callee): string =>
    `${stackArguments},${usesParameterArea},${siblingCalls}`;
  let places = '';
  for (const { offset, type, addend } of stub.relocations) places += `${offset}:${type}:${addend},`;
  // In the entry way the last word is not run either.
  const through = island ? textOfIsland(island) : 'ftrace';
  const code = `${through};${setUp}:${textOf(prologue.subarray(setUp, -1))}${textOf(stub.words)}${places}`;
  return `${code};${known(redirect)};${known(oldFunction ?? {})}`;
}

/** As many halves of words as may be arguments of one call. */
const mostHalves = 4096;

/** A kernel's prologues and stubs are few, and short. */
const texts = new ByWords<string>(1 << 15);

/** A text that only these words have, whatever comes behind it. */
const textOf = (words: Uint32Array): string => texts.of(words, makeText);

/** How many they are, and their halves. Not one to read. */
function makeText(words: Uint32Array): string {
  const halves = new Uint16Array(words.buffer, words.byteOffset, 2 * words.length);
  let text = `${words.length}:`;
  for (let at = 0; at < halves.length; at += mostHalves)
    text += String.fromCharCode(...halves.subarray(at, at + mostHalves));
  return text;
}

const islands = new WeakMap<EntryBranch['island'], string>();

/** The same for an island, of which a module has one for all its redirects. */
function textOfIsland(island: EntryBranch['island']): string {
  const text = islands.get(island) ?? `entry ${JSON.stringify(island)}`;
  islands.set(island, text);
  return text;
}

/**
 * Proves one redirect. It never throws for what it reads: code that it does not understand makes the verdict unknown.
 */
export function proveRedirect(facts: ProofFacts, hook: Hook, redirect: Redirect): Verdict {
  const reasons: string[] = [];
  const failures: Failure[] = [];
  let paths = 0;
  for (const entry of entriesOf(facts, hook, redirect)) {
    try {
      const shown = runScene(new Scene(facts, hook, redirect, entry));
      reasons.push(...shown.reasons);
      failures.push(...shown.failures);
      paths += shown.paths;
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      reasons.push(error.message);
    }
  }
  const refuted = failures.filter(({ example }) => example);
  if (refuted.length > 0) return { verdict: 'refuted', failures: refuted };
  const unclear = failures.map(({ obligation, what }) => `${obligation}: whether ${what} is kept cannot be told`);
  if (reasons.length + unclear.length > 0)
    return { verdict: 'unknown', reasons: [...new Set([...reasons, ...unclear])] };
  return { verdict: 'proven', paths };
}
