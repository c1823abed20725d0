// The prover on redirects of the entry way: it proves those that keep everything, and finds what wrong ones break. (Of the
// stock kernels every function is proven in test/entry-proof.test.ts.)

import { describe, expect, it } from 'vitest';
import type { IslandWord, Stub } from '../arch/arch.ts';
import { entryWay } from '../arch/arm/entry-redirect.ts';
import { encode } from '../arch/arm/instructions.ts';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import { R_ARM_JUMP24 } from '../arch/arm/relocations.ts';
import type { ProofFacts } from '../arch/machine.ts';
import { entryWay as ppc64le } from '../arch/ppc64le/entry-redirect.ts';
import { makeStub } from '../arch/ppc64le/ftrace-redirect.ts';
import { proofFacts as ppc64leFacts } from '../arch/ppc64le/proof-facts.ts';
import { type Hook, proveRedirect, type Redirect } from './redirect.ts';

/** A kernel without ftrace: there is no hook that anything could lead through. */
const noHook: Hook = { entry: 0n, handlerCall: 0n, word: () => undefined };

const SP = 13;
const LR = 14;
const PC = 15;
const push = encode('PUSH', { register_list: 0x4010 });

const direct: Redirect = {
  prologue: Uint32Array.of(push),
  island: entryWay.island,
  stub: { words: new Uint32Array(), relocations: [] },
};
const byIsland = (...words: IslandWord[]): Redirect => ({ ...direct, island: { words, always: false } });
const byStub = (...words: number[]): Redirect => ({
  ...direct,
  stub: {
    words: Uint32Array.of(...words, encode('B', { imm24: 0xfffffe })),
    relocations: [{ offset: 4 * words.length, type: R_ARM_JUMP24, symbol: 'new-function', addend: -8n }],
  },
});
const word = (value: number): IslandWord => ({ word: value, text: '' });
const [jump, literal] = entryWay.island.words as [IslandWord, IslandWord];

function judge(redirect: Redirect, facts: ProofFacts = proofFacts): string[] {
  const verdict = proveRedirect(facts, noHook, redirect);
  if (verdict.verdict === 'unknown') return ['unknown', ...verdict.reasons];
  if (verdict.verdict === 'proven') return ['proven', `${verdict.paths}`];
  return [...new Set(verdict.failures.map(({ obligation, what }) => `${obligation}: ${what}`))];
}

describe('what is proven', () => {
  it('is the branch to the new function, whether it reaches it or takes the island', () => {
    expect(judge(direct)).toEqual(['proven', '2']);
  });

  it('is a stub that keeps everything', () => {
    expect(judge(byStub(encode('NOP', {})))).toEqual(['proven', '2']);
  });
});

describe('what is refuted', () => {
  it('is a stub that loses an argument or a register of the caller’s', () => {
    expect(judge(byStub(encode('MOV (immediate)', { S: 0, Rd: 1, imm12: 7 })))).toContain('arguments: r1');
    expect(judge(byStub(encode('MOV (immediate)', { S: 0, Rd: 4, imm12: 7 })))).toContain('callee-saved: r4');
  });

  it('is one that undoes a prologue which has not run', () => {
    const pop = encode('LDR (immediate), post-indexed', { Rn: SP, Rt: LR, U: 1, imm12: 4 });
    expect(judge(byStub(pop)).join()).toMatch(/return-address|stack-pointer|stack-arguments/);
  });

  it('is an island that changes a register on its way', () => {
    const moves = word(encode('MOV (immediate)', { S: 0, Rd: 0, imm12: 1 }));
    expect(judge(byIsland(moves, jump, literal))).toContain('arguments: r0');
  });

  it('is an island that leads elsewhere', () => {
    expect(judge(byIsland(jump, word(0), literal)).join()).toMatch(/^way|unknown/);
    const half: IslandWord = { ...literal, field: { from: 0, width: 31, to: 0 } };
    expect(judge(byIsland(jump, half)).join()).toMatch(/^way|unknown/);
    const ofSp = word(encode('LDR (immediate)', { Rn: SP, Rt: PC, U: 1, imm12: 0 }));
    expect(judge(byIsland(ofSp, literal)).join()).toMatch(/^way|unknown/);
  });
});

it('what an island is given to run is not known', () => {
  expect(judge(byIsland(literal, jump))[0]).toBe('unknown');
});

describe('on ppc64le', () => {
  const setUp = [0x3c4c0113, 0x38420000];
  const ofStub = ({ words, relocations }: Stub) => ({
    words: Uint32Array.from(words, (each) => each.word),
    relocations,
  });
  const callee = { stackArguments: 0, usesParameterArea: false, siblingCalls: false };
  const right: Redirect = {
    prologue: Uint32Array.of(...setUp, 0x7c0802a6),
    island: ppc64le.island,
    stub: ofStub(makeStub(0, true)),
    ...callee,
  };
  const withIsland = (words: readonly IslandWord[], always = true): Redirect => ({
    ...right,
    island: { words, always },
  });
  const without = (n: number) => withIsland(ppc64le.island.words.filter((_, i) => i !== n));
  const judgePpc = (redirect: Redirect) => judge(redirect, ppc64leFacts);

  it('the branch, island and stub are proven for callers of both entries, and for a function that has one', () => {
    expect(judgePpc(right)[0]).toBe('proven');
    expect(judgePpc({ ...right, prologue: Uint32Array.of(0x7c0802a6) })[0]).toBe('proven');
    expect(judgePpc({ ...right, stub: ofStub(makeStub(3, true)), stackArguments: 3, usesParameterArea: true })[0]).toBe(
      'proven',
    );
  });

  it.each([0, 1, 4, 5])('an island without its word %i is not', (n) => {
    expect(judgePpc(without(n)).join()).toMatch(/^(way|unknown)/);
  });

  it('an island that takes fewer bits of the address is: for others the core makes none (core/islands.c)', () => {
    expect(judgePpc(without(2))[0]).toBe('proven');
    expect(judgePpc(without(3))[0]).toBe('proven');
  });

  it('a branch that goes to the stub without the island is refuted: the stub would not know where it is', () => {
    expect(judgePpc(withIsland(ppc64le.island.words, false)).join()).toMatch(/^way/);
  });

  it('an island that changes r2, LR or an argument on its way is refuted', () => {
    for (const [word, broken] of [
      [0x38400000, /toc/], // li r2,0
      [0x7c0803a6, /return-address|back-chain/], // mtlr r0
      [0x38600000, /arguments: r3/], // li r3,0
    ] as const)
      expect(judgePpc(withIsland([{ word, text: '' }, ...ppc64le.island.words])).join()).toMatch(broken);
  });

  it('a stub that gives r2 back to nobody is refuted', () => {
    const { words, relocations } = makeStub(0, true);
    const lost = words.map((each) =>
      (each.word & 0xffff0003) >>> 0 === 0xe8410000 ? { word: 0x60000000, text: '' } : each,
    );
    expect(judgePpc({ ...right, stub: ofStub({ words: lost, relocations }) }).join()).toMatch(/toc/);
  });
});
