// A kernel has thirty thousand functions and few different redirects: what is the same must not be proven again, and what is
// different must never share a verdict.

import { expect, test } from 'vitest';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import type { Redirect } from './redirect.ts';
import { SharedProofs } from './shared-proofs.ts';

/** Of a hook that is nowhere nothing is known, and that soon. */
const hook = { entry: 0n, handlerCall: 0n, word: () => undefined };

const redirect = (prologue: readonly number[], stub: readonly number[]): Redirect => ({
  prologue: Uint32Array.from(prologue),
  stub: { words: Uint32Array.from(stub), relocations: [] },
});

test('redirects that are the same share one verdict, and others do not', () => {
  const proofs = new SharedProofs(proofFacts, hook);
  // A prologue that is no instruction: what it does is unknown.
  const verdict = proofs.prove(redirect([0xffffffff, 0], [2]));
  expect(verdict).toMatchObject({ verdict: 'unknown' });
  expect(proofs.prove(redirect([0xffffffff, 0], [2]))).toBe(verdict);
  expect(proofs.size).toBe(1);
  // `andeq r0, r0, r1`, and then into a hook that nobody has.
  expect(proofs.prove(redirect([1, 0], [2]))).toMatchObject({ verdict: 'refuted' });
  expect(proofs.size).toBe(2);
});

test('no two redirects have one key because of where one part ends and the next begins', () => {
  const proofs = new SharedProofs(proofFacts, hook);
  const some = [redirect([1, 2, 0], [3]), redirect([1, 0], [2, 3]), redirect([1, 0], [2]), redirect([0], [1, 2])];
  const long = redirect([...new Array<number>(70_000).fill(0xdc00d800), 0], [3]);
  expect(new Set([...some, long].map((each) => proofs.keyOf(each))).size).toBe(some.length + 1);
});
