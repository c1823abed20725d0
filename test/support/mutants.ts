// Wrong redirects by the thousand: a hook or a stub with one thing changed.

import type { ProofFacts } from '../../src/arch/machine.ts';
import { type Hook, proveRedirect, type Redirect } from '../../src/prove/redirect.ts';
import { faultOf, type Random } from './redirect-run.ts';

/** What mutants are made of. */
export interface Originals {
  readonly facts: ProofFacts;
  readonly hook: Hook;
  /** The addresses of the hook's words. */
  readonly hookWords: readonly bigint[];
  readonly redirects: readonly { readonly name: string; readonly redirect: Redirect }[];
  /** An instruction that does nothing. */
  readonly nop: number;
  /** How many of a word's bits may be flipped, from the lowest on. */
  readonly bits: number;
  /** How many words at a stub's end stay as they are. */
  readonly stubEnd: number;
}

/** The addresses of words from one on up to another. */
export const wordsBetween = (start: bigint, end: bigint): bigint[] =>
  Array.from({ length: Number(end - start) / 4 }, (_, i) => start + BigInt(4 * i));

export interface Mutant {
  readonly name: string;
  readonly hook: Hook;
  readonly redirect: Redirect;
}

/** Bits flipped, words dropped, doubled, swapped; the number of words stays. */
function mutate(words: readonly number[], count: number, { nop, bits }: Originals, random: Random): number[] {
  const at = random(count);
  const other = random(count);
  const mutant = [...words];
  switch (random(5)) {
    case 0:
      mutant[at] = nop;
      break;
    case 1:
      [mutant[at], mutant[other]] = [words[other]!, words[at]!];
      break;
    case 2:
      mutant[at] = words[other]!;
      break;
    default:
      mutant[at] = (words[at]! ^ (2 ** random(bits))) >>> 0;
  }
  return mutant;
}

/** So many mutants, of stub and hook in turn. */
export function* mutants(originals: Originals, count: number, random: Random): Iterable<Mutant> {
  const { hook, hookWords: addresses, redirects, stubEnd } = originals;
  for (let n = 0; n < count; n++) {
    const { name, redirect } = redirects[random(redirects.length)]!;
    const { words } = redirect.stub;
    if (n % 2 === 0 && words.length > stubEnd) {
      const changed = mutate([...words], words.length - stubEnd, originals, random);
      yield { name, hook, redirect: { ...redirect, stub: { ...redirect.stub, words: Uint32Array.from(changed) } } };
    } else {
      const changed = mutate(
        addresses.map((address) => hook.word(address)!),
        addresses.length,
        originals,
        random,
      );
      const at = new Map(addresses.map((address, i) => [address, changed[i]!]));
      yield { name, redirect, hook: { ...hook, word: (address) => at.get(address) ?? hook.word(address) } };
    }
  }
}

export interface Tally {
  proven: number;
  refuted: number;
  unknown: number;
  /** Of those that no run showed to be wrong. */
  readonly right: { proven: number; refuted: number; unknown: number };
  /** Shown to be wrong by runs on our own machine alone, and under QEMU alone. */
  readonly seenBy: { both: number; ours: number; qemu: number };
  /** Called proven and seen to be wrong. */
  readonly wrong: string[];
}

/** What the prover says of mutants, beside what is seen when they run; `byQemu` has what was wrong with each there. */
export function judgeMutants(
  originals: Originals,
  all: readonly Mutant[],
  random: Random,
  byQemu: readonly (string | undefined)[],
): Tally {
  const tally: Tally = {
    ...{ proven: 0, refuted: 0, unknown: 0 },
    right: { proven: 0, refuted: 0, unknown: 0 },
    seenBy: { both: 0, ours: 0, qemu: 0 },
    wrong: [],
  };
  for (const [n, { name, hook, redirect }] of all.entries()) {
    const { verdict } = proveRedirect(originals.facts, hook, redirect);
    tally[verdict]++;
    const [ours, qemus] = [faultOf(originals.facts, hook, redirect, random), byQemu[n]];
    const fault = ours ?? qemus;
    if (fault === undefined) tally.right[verdict]++;
    else tally.seenBy[ours === undefined ? 'qemu' : qemus === undefined ? 'ours' : 'both']++;
    if (fault !== undefined && verdict === 'proven') tally.wrong.push(`${name}, mutant ${n}: ${fault}`);
  }
  return tally;
}
