// The prover on redirects of the entry way: it proves those that keep everything, and finds what wrong ones break. (Of the
// stock kernels every function is proven in test/entry-proof.test.ts.)

import { describe, expect, it } from 'vitest';
import type { IslandWord } from '../arch/arch.ts';
import { entryWay } from '../arch/arm/entry-redirect.ts';
import { encode } from '../arch/arm/instructions.ts';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import { R_ARM_JUMP24 } from '../arch/arm/relocations.ts';
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
const byIsland = (...words: IslandWord[]): Redirect => ({ ...direct, island: { words } });
const byStub = (...words: number[]): Redirect => ({
  ...direct,
  stub: {
    words: Uint32Array.of(...words, encode('B', { imm24: 0xfffffe })),
    relocations: [{ offset: 4 * words.length, type: R_ARM_JUMP24, symbol: 'new-function', addend: -8n }],
  },
});
const word = (value: number): IslandWord => ({ word: value, text: '' });
const [jump, literal] = entryWay.island.words as [IslandWord, IslandWord];

function judge(redirect: Redirect): string[] {
  const verdict = proveRedirect(proofFacts, noHook, redirect);
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
