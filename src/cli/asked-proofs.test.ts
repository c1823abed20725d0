// The second thread's verdicts stand in for the first one's own. Each must be of the very redirect that was asked for, and none may be missing
// because it never came.

import { expect, test } from 'vitest';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import type { Prover } from '../prove/prove-module.ts';
import type { Redirect, Verdict } from '../prove/redirect.ts';
import { SharedProofs } from '../prove/shared-proofs.ts';
import { type AskedProof, AskedProofs, takeProof } from './asked-proofs.ts';

/** Prologues that are no instructions, and a stub. */
const redirect = (prologue: number): Redirect => ({
  prologue: Uint32Array.of(prologue, 0),
  stub: { words: Uint32Array.of(2), relocations: [] },
});
const [one, other] = [redirect(0xffffffff), redirect(0xfffffffe)];
const told: Verdict = { verdict: 'proven', paths: 77 };

/** Proofs, what has been posted to the second thread, and how many the first has made itself. */
function proofs(shared = 8) {
  const posted: AskedProof[] = [];
  const own: Redirect[] = [];
  const texts = new SharedProofs(proofFacts, { entry: 0n, handlerCall: 0n, word: () => undefined });
  const prover = {
    keyOf: (each: Redirect) => texts.keyOf(each),
    prove: (each: Redirect): Verdict => {
      own.push(each);
      return { verdict: 'unknown', reasons: [`own ${own.length}`] };
    },
  } as Prover;
  const taken = new Int32Array(new SharedArrayBuffer(4 * shared));
  const asked = new AskedProofs(prover, { taken, port: { postMessage: (each: AskedProof) => void posted.push(each) } });
  return { asked, posted, own, taken };
}

test('each different redirect is asked for once, and a verdict that is told is the answer', () => {
  const { asked, posted, own, taken } = proofs();
  expect([asked.ask(one), asked.ask(other), asked.ask(one)]).toEqual([0, 1, 0]);
  expect(posted).toEqual([
    { index: 0, redirect: one },
    { index: 1, redirect: other },
  ]);
  for (const { index } of posted) expect(takeProof(taken, index)).toBe(true);
  expect([...asked.theRest()]).toEqual([]);
  expect(asked.isDone).toBe(false);
  asked.note({ index: 1, verdict: told });
  asked.note({ index: 0, verdict: told });
  expect(asked.isDone).toBe(true);
  expect([asked.verdict(0), asked.verdict(1)]).toEqual([told, told]);
  expect(own).toEqual([]);
});

test('what is handed over has lists of words of its own, not those of a whole module', () => {
  const { asked, posted } = proofs();
  const all = new Uint32Array(1000);
  asked.ask({ prologue: all.subarray(1, 3), stub: { words: all.subarray(5, 6), relocations: [] } });
  const [{ redirect: found }] = posted as [AskedProof];
  expect([found.prologue.buffer.byteLength, found.stub.words.buffer.byteLength]).toEqual([8, 4]);
});

test('what the second thread has not begun the first proves, and the second then leaves it alone', () => {
  const { asked, own, taken } = proofs();
  asked.ask(one);
  asked.ask(other);
  expect(takeProof(taken, 0)).toBe(true);
  expect([...asked.theRest()]).toHaveLength(1);
  expect(own).toEqual([other]);
  expect(takeProof(taken, 1)).toBe(false);
});

test('a verdict that cannot be handed over, or never comes, is found here', () => {
  const { asked, own, taken } = proofs();
  asked.ask(one);
  asked.ask(other);
  for (const index of [0, 1]) takeProof(taken, index);
  asked.note({ index: 0, verdict: undefined });
  expect(asked.isDone).toBe(false);
  expect(asked.verdict(0)).toMatchObject({ verdict: 'unknown' });
  expect(asked.verdict(1)).toMatchObject({ verdict: 'unknown' });
  expect(asked.verdict(1)).toBe(asked.verdict(1));
  expect(own).toEqual([one, other]);
});

test('more redirects than can be shared are proven here', () => {
  const { asked, own, taken } = proofs(1);
  asked.ask(one);
  asked.ask(other);
  expect([takeProof(taken, 0), takeProof(taken, 1)]).toEqual([true, false]);
  asked.note({ index: 0, verdict: told });
  expect([...asked.theRest()]).toHaveLength(1);
  expect(own).toEqual([other]);
  expect(asked.isDone).toBe(true);
});
