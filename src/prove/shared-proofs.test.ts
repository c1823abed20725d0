// Two threads prove one kernel. What one of them has proven the other must not prove again, and what one has only begun must not
// be waited for in vain.

import { expect, test } from 'vitest';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import { proofKey, type Redirect } from './redirect.ts';
import { SharedProofs, type ToldProof } from './shared-proofs.ts';

/** Of a hook that is nowhere nothing is known, and that soon. */
const hook = { entry: 0n, handlerCall: 0n, word: () => undefined };

const redirect = (prologue: readonly number[], stub: readonly number[]): Redirect => ({
  prologue: Uint32Array.from(prologue),
  stub: { words: Uint32Array.from(stub), relocations: [] },
});
/** Prologues that are no instructions: what they do is unknown. */
const [one, other] = [redirect([0xffffffff, 0], [2]), redirect([0xfffffffe, 0], [2])];
/** `andeq r0, r0, r1`, and then into a hook that nobody has. */
const wrong = redirect([1, 0], [2]);
const keyOf = (each: Redirect): string => proofKey(proofFacts, each);

/** A prover, what it tells, and what it will hear. */
function prover() {
  const [told, coming]: [ToldProof[], ToldProof[]] = [[], []];
  const proofs = new SharedProofs(proofFacts, hook, {
    tell: (each) => void told.push(each),
    heard: () => coming.splice(0),
  });
  return { proofs, told, coming };
}

test('a verdict that was told is the answer, and only what was asked for is counted', () => {
  const { proofs, told, coming } = prover();
  const verdict = { verdict: 'proven', paths: 77 } as const;
  coming.push({ key: keyOf(one) }, { key: keyOf(one), verdict }, { key: keyOf(other), verdict });
  expect(proofs.prove(one)).toBe(verdict);
  expect(told).toEqual([]);
  expect(proofs.keys).toEqual([keyOf(one)]);
});

test('others are told of each proof before and after it, once', () => {
  const { proofs, told } = prover();
  const [verdict] = proofs.proveAll([one, one]);
  proofs.prove(one);
  expect(verdict).toMatchObject({ verdict: 'unknown' });
  expect(told).toEqual([{ key: keyOf(one) }, { key: keyOf(one), verdict }]);
});

test('a counterexample stays where it was found', () => {
  const { proofs, told } = prover();
  expect(proofs.prove(wrong)).toMatchObject({ verdict: 'refuted' });
  expect(told).toEqual([{ key: keyOf(wrong) }]);
});

test('what others have begun comes last, and is proven here if they say no more of it', () => {
  const { proofs, told, coming } = prover();
  coming.push({ key: keyOf(one) });
  const [first, second] = proofs.proveAll([one, other]);
  expect(told).toEqual([
    { key: keyOf(other) },
    { key: keyOf(other), verdict: second },
    { key: keyOf(one) },
    { key: keyOf(one), verdict: first },
  ]);
});

test('no two redirects have one key because of where one part ends and the next begins', () => {
  const some = [redirect([1, 2, 0], [3]), redirect([1, 0], [2, 3]), redirect([1, 0], [2]), redirect([0], [1, 2])];
  const long = redirect([...new Array<number>(70_000).fill(0xdc00d800), 0], [3]);
  expect(new Set([...some, long].map(keyOf)).size).toBe(some.length + 1);
});
