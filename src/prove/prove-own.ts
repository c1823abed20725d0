// Proofs of somebody's own hook or stub: on the kernel's functions, or on the one call site that comes with it.

import type { Callee } from '../arch/machine.ts';
import type { LinkAddress } from '../elf/units.ts';
import { wordsOf } from '../kernel/old-function.ts';
import { ReasonError } from '../reason.ts';
import type { OwnRedirect } from './own-redirect.ts';
import { factsOf, kernelHook, type ProofKernel, prologueOf, textOf } from './prove-kernel.ts';
import type { Hook, Verdict } from './redirect.ts';
import { SharedProofs } from './shared-proofs.ts';

/** A function with a call site. */
export interface OwnFunction {
  readonly name: string;
  readonly address: LinkAddress;
  readonly site: LinkAddress;
}

/** Functions that share a verdict, because they are the same but for addresses. None where a file brought its call site. */
export interface OwnProof {
  readonly functions: readonly OwnFunction[];
  readonly verdict: Verdict;
}

/**
 * Proves a redirect, as `readOwnRedirect` gives it, on functions of a kernel; on its own call site alone if it has one. The new
 * functions are taken to be as the old ones: what these tell of themselves holds beside what the file says.
 * Throws `proof-unknown` for a kernel on which nothing can be proven.
 */
export function proveOwnRedirect(
  kernel: ProofKernel,
  own: OwnRedirect,
  functions: readonly OwnFunction[],
  progress: (done: number) => void = () => {},
): OwnProof[] {
  const facts = factsOf(kernel);
  const { tracesReturns } = own;
  const kernels = kernelHook(kernel);
  const proofs = new SharedProofs(facts, { ...(own.hook ? inKernel(own.hook, kernels) : kernels), tracesReturns });
  const { stub, callSite } = own;
  if (callSite) {
    const verdict = proofs.prove({ prologue: callSite, stub, ...own.callee, oldFunction: own.callee });
    return [{ functions: [], verdict }];
  }
  const word = textOf(kernel);
  const judge = (each: OwnFunction): Verdict => {
    try {
      const prologue = prologueOf(kernel, word, each);
      const callee = calleeOf(facts.readCallee(codeOf(kernel, each)), own.callee);
      return proofs.prove({ prologue, stub, ...callee, oldFunction: callee });
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      return { verdict: 'unknown', reasons: [error.message] };
    }
  };
  const shared = new Map<Verdict, OwnFunction[]>();
  functions.forEach((each, i) => {
    const verdict = judge(each);
    const same = shared.get(verdict);
    if (same) same.push(each);
    else shared.set(verdict, [each]);
    if ((i + 1) % progressEvery === 0) progress(i + 1);
  });
  return [...shared].map(([verdict, same]) => ({ functions: same, verdict }));
}

const progressEvery = 4096;

/** Somebody's own hook in place of the kernel's: beside what it brings, what is there is the kernel's. */
const inKernel = (own: Hook, { ops, enabled, symbol, isThere }: Hook): Hook => ({
  ops,
  enabled,
  symbol,
  ...own,
  isThere: (address, size) => own.isThere!(address, size) || isThere!(address, size),
});

/** No fewer stack arguments than the code tells of, or the file. Whether a new function ends in a sibling call no old one tells. */
const calleeOf = (told: Callee, said: Callee): Callee => ({
  stackArguments:
    told.stackArguments === undefined ? said.stackArguments : Math.max(told.stackArguments, said.stackArguments ?? 0),
  usesParameterArea:
    told.usesParameterArea === undefined
      ? said.usesParameterArea
      : told.usesParameterArea || (said.usesParameterArea ?? false),
  siblingCalls: said.siblingCalls,
});

function codeOf({ image }: ProofKernel, { address }: OwnFunction): Uint32Array {
  const end = image.enclosing(address)?.end ?? address;
  return wordsOf(image.bytes(address, Number(end - address) & ~3) ?? new Uint8Array());
}
