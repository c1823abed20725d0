// Proofs that a second thread makes while the first one reads on (prove-together.ts). Each different redirect is asked for once; what
// the second has not begun when all have been asked for the first proves, from the last one on.

import type { MessagePort } from 'node:worker_threads';
import type { Prover } from '../prove/prove-module.ts';
import type { Redirect, Verdict } from '../prove/redirect.ts';

/** What the second thread is asked. */
export interface AskedProof {
  readonly index: number;
  readonly redirect: Redirect;
}

/** Its answer; no verdict where that cannot be handed over. */
export interface ToldProof {
  readonly index: number;
  readonly verdict: Verdict | undefined;
}

/** The way to it. */
export interface SecondProver {
  readonly port: Pick<MessagePort, 'postMessage'>;
  /** By indexes, whether either thread has begun with a proof. */
  readonly taken: Int32Array;
}

/** Whether the proof of an index is nobody's yet, and is the caller's from now on. */
export const takeProof = (taken: Int32Array, index: number): boolean =>
  index < taken.length && Atomics.compareExchange(taken, index, 0, 1) === 0;

export class AskedProofs {
  readonly #prover: Prover;
  readonly #second: SecondProver | undefined;
  readonly #indexes = new Map<string, number>();
  readonly #redirects: Redirect[] = [];
  readonly #verdicts: (Verdict | undefined)[] = [];
  /** Those that the second thread has answered, with a verdict or without. */
  readonly #told = new Set<number>();

  constructor(prover: Prover, second: SecondProver | undefined) {
    this.#prover = prover;
    this.#second = second;
  }

  /** How many different redirects have been asked for. */
  get size(): number {
    return this.#redirects.length;
  }

  /** Asks for a proof; its number, which redirects of the same verdict share. */
  ask(redirect: Redirect): number {
    const key = this.#prover.keyOf(redirect);
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    const index = this.size;
    const own = copied(redirect);
    this.#indexes.set(key, index);
    this.#redirects.push(own);
    this.#second?.port.postMessage({ index, redirect: own } satisfies AskedProof);
    return index;
  }

  /** Notes what the second thread says. */
  note({ index, verdict }: ToldProof): void {
    this.#told.add(index);
    this.#verdicts[index] ??= verdict;
  }

  /** Proves what nobody has begun, each time it is asked for another one; all else has the second thread taken. */
  *theRest(): Generator<void> {
    for (let index = this.size - 1; index >= 0; index--) {
      const isShared = this.#second && index < this.#second.taken.length;
      if (isShared && !takeProof(this.#second.taken, index)) continue;
      this.verdict(index);
      yield;
    }
  }

  /** Whether there is an answer to all. */
  get isDone(): boolean {
    return this.#redirects.every((_, index) => this.#verdicts[index] !== undefined || this.#told.has(index));
  }

  /** The verdict of a number: proven now, if nobody has told. */
  verdict(index: number): Verdict {
    this.#verdicts[index] ??= this.#prover.prove(this.#redirects[index]!);
    return this.#verdicts[index];
  }
}

/** A redirect by itself: lists of words are parts of whole modules, and would be handed over, and kept, with these. */
function copied({ prologue, stub, ...rest }: Redirect): Redirect {
  return {
    ...rest,
    prologue: prologue.slice(),
    stub: { words: stub.words.slice(), relocations: stub.relocations },
  };
}
