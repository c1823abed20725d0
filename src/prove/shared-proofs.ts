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

  /** How many different redirects have been proven. */
  get size(): number {
    return this.#verdicts.size;
  }

  /** A text that only redirects of the same verdict have. */
  keyOf(redirect: Redirect): string {
    return proofKey(this.#facts, redirect);
  }

  prove(redirect: Redirect): Verdict {
    const key = this.keyOf(redirect);
    const verdict = this.#verdicts.get(key) ?? proveRedirect(this.#facts, this.#hook, redirect);
    this.#verdicts.set(key, verdict);
    return verdict;
  }
}
