// The prover on redirects in Thumb-2 code: a pointer has a bit that the code's address has not, and an island that loses it, or
// is made of A32 code, is no way to the new function.

import { expect, it } from 'vitest';
import type { IslandWord } from '../arch/arch.ts';
import { arm } from '../arch/arm/arm.ts';
import type { ProofFacts } from '../arch/machine.ts';
import { type Hook, proveRedirect } from './redirect.ts';

const thumb = arm.otherSet!;
const facts = thumb.proofFacts!;
const island = thumb.entryWay!.island;
const [load, literal] = island.words as [IslandWord, IslandWord];
const noHook: Hook = { entry: 0n, handlerCall: 0n, word: () => undefined };

const judge = (words: readonly IslandWord[], known: ProofFacts = facts) =>
  proveRedirect(known, noHook, {
    // push {r4, lr}; push {lr}
    prologue: Uint32Array.of(0xb500b510),
    island: { words, always: false },
    stub: { words: new Uint32Array(), relocations: [] },
  });
const reasons = (...args: Parameters<typeof judge>) => {
  const verdict = judge(...args);
  return verdict.verdict === 'unknown' ? verdict.reasons.join('; ') : verdict.verdict;
};

it('the branch is proven, and the island that it takes where it does not reach', () => {
  expect(judge(island.words)).toEqual({ verdict: 'proven', paths: 2 });
});

it('an island whose word is the address without the bit would go on in A32 code', () => {
  const { codeBit: _, ...withoutBit } = facts.instructionSet;
  expect(reasons(island.words, { ...facts, instructionSet: withoutBit })).toMatch(/it goes on in A32 code/);
});

it('an island of A32 code is none', () => {
  expect(reasons(arm.entryWay!.island.words)).toMatch(/not among the Thumb-2 instructions/);
});

it('nor is one that loads another word, or only a part of the address', () => {
  const elsewhere = { ...load, word: 0xf004f8df };
  expect(reasons([elsewhere, literal])).not.toBe('proven');
  const part: IslandWord = { ...literal, field: { from: 1, width: 31, to: 0 } };
  expect(reasons([load, part])).not.toBe('proven');
});

it('nor is one with an instruction that is not run', () => {
  expect(reasons([{ word: 0x46c046c0, text: 'mov r8, r8' }, load, literal])).toMatch(
    /not among the Thumb-2 instructions/,
  );
});
