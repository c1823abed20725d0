// Proofs of many redirects through one hook. Those that are the same but for addresses share one; and provers that work on
// one kernel at the same time, in threads of their own, share what they find.

import type { ProofFacts } from '../arch/machine.ts';
import { type Hook, proofKey, proveRedirect, type Redirect, type Verdict } from './redirect.ts';

/** What a prover tells others on the same kernel of one redirect, by its `proofKey`: that its proof begins, or what came of it. */
export interface ToldProof {
  readonly key: string;
  readonly verdict?: Verdict | undefined;
}

/** The way between provers. What is told may come late, or never: then something is proven twice. */
export interface ProofExchange {
  tell(told: ToldProof): void;
  /** What the others have told since this was asked last. */
  heard(): Iterable<ToldProof>;
}

export class SharedProofs {
  readonly #facts: ProofFacts;
  readonly #hook: Hook;
  readonly #exchange: ProofExchange | undefined;
  /** Own ones, and what others have told. */
  readonly #verdicts = new Map<string, Verdict>();
  /** What others have begun. */
  readonly #begun = new Set<string>();
  /** What this one was asked. */
  readonly #asked = new Set<string>();

  constructor(facts: ProofFacts, hook: Hook, exchange?: ProofExchange) {
    this.#facts = facts;
    this.#hook = hook;
    this.#exchange = exchange;
  }

  /** The keys of the different redirects that have been asked for so far. */
  get keys(): string[] {
    return [...this.#asked];
  }

  prove(redirect: Redirect): Verdict {
    const [verdict] = this.proveAll([redirect]);
    return verdict!;
  }

  /** The verdicts of several redirects, in their order. What others are about to prove comes last, so that it may have been told by then. */
  proveAll(redirects: readonly Redirect[]): Verdict[] {
    const keys = redirects.map((redirect) => proofKey(this.#facts, redirect));
    redirects.forEach((redirect, i) => {
      const key = keys[i]!;
      this.#asked.add(key);
      if (!this.#isKnown(key) && !this.#begun.has(key)) this.#run(key, redirect);
    });
    return redirects.map((redirect, i) => {
      const key = keys[i]!;
      if (!this.#isKnown(key)) this.#run(key, redirect);
      return this.#verdicts.get(key)!;
    });
  }

  #isKnown(key: string): boolean {
    if (this.#verdicts.has(key)) return true;
    for (const { key: other, verdict } of this.#exchange?.heard() ?? []) {
      if (verdict) this.#verdicts.set(other, verdict);
      else this.#begun.add(other);
    }
    return this.#verdicts.has(key);
  }

  #run(key: string, redirect: Redirect): void {
    this.#exchange?.tell({ key });
    const verdict = proveRedirect(this.#facts, this.#hook, redirect);
    this.#verdicts.set(key, verdict);
    // What a counterexample refers to cannot be handed over.
    if (verdict.verdict !== 'refuted') this.#exchange?.tell({ key, verdict });
  }
}
