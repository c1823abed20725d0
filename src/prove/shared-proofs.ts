// Proofs of many redirects through one hook. Those that are the same but for addresses share one.

import type { ProofFacts } from '../arch/machine.ts';
import { type Hook, proofKey, proveRedirect, type Redirect, type Verdict } from './redirect.ts';

export class SharedProofs {
  readonly #facts: ProofFacts;
  readonly #hook: Hook;
  readonly #verdicts = new Map<string, Verdict>();

  constructor(facts: ProofFacts, hook: Hook) {
    this.#facts = facts;
    this.#hook = hook;
  }

  /** The keys of the different redirects that have been run so far. */
  get keys(): string[] {
    return [...this.#verdicts.keys()];
  }

  prove(redirect: Redirect): Verdict {
    const key = proofKey(this.#facts, redirect);
    const known = this.#verdicts.get(key);
    if (known) return known;
    const verdict = proveRedirect(this.#facts, this.#hook, redirect);
    this.#verdicts.set(key, verdict);
    return verdict;
  }
}
