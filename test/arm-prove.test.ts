// The proof on the stock ARM kernel: for every function with a call site, its own prologue, the shipped hook and the stub
// that build would make. Then stubs and hooks that are wrong, each refuted by what it breaks. (test/mutants.test.ts has wrong
// ones by the thousand.)

import { beforeAll, describe, expect, test } from 'vitest';
import type { CallSite } from '../src/arch/arch.ts';
import { arm } from '../src/arch/arm/arm.ts';
import { encode } from '../src/arch/arm/instructions.ts';
import { proofFacts } from '../src/arch/arm/proof-facts.ts';
import { linkAddress } from '../src/elf/units.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { type Hook, proveRedirect, type Redirect, type Verdict } from '../src/prove/redirect.ts';
import { handlersOps } from './support/handlers-ops.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
let sites: CallSite[];
let hook: Hook;
/** One function for each prologue that there is. */
let prologues: { name: string; redirect: Redirect; functions: number }[];

beforeAll(async () => {
  image = await stockImage('6.1.0-50-armmp');
  const all = arm.findCallSites(image);
  sites = all.filter((site, i) => site.function !== all[i - 1]?.function);
  hook = {
    entry: image.symbol(proofFacts.hook.entry)!,
    handlerCall: image.symbol(proofFacts.hook.handlerCall)!,
    ops: handlersOps(image),
    word: (address) => image.word(linkAddress(address)),
    graph: {
      site: image.symbol('ftrace_graph_regs_call')!,
      goesTo: image.symbol('ftrace_graph_regs_caller')!,
      callee: image.symbol('prepare_ftrace_return')!,
    },
  };
  const byWords = new Map<string, (typeof prologues)[number]>();
  for (const site of sites) {
    const redirect = redirectOf(site);
    const key = `${redirect.prologue.slice(0, -1)};${redirect.stub.words}`;
    const known = byWords.get(key) ?? { name: site.name, redirect, functions: 0 };
    byWords.set(key, { ...known, functions: known.functions + 1 });
  }
  prologues = [...byWords.values()];
});

function redirectOf(site: CallSite): Redirect {
  const { end } = image.enclosing(site.function)!;
  const words = wordsOf(image.bytes(site.function, Number(end - site.function) & ~3)!);
  const stub = arm.ftraceStub({ name: site.name, address: site.function, words }, site.address, new Uint32Array());
  return {
    prologue: words.slice(0, Number(site.address - site.function) / 4 + 1),
    stub: { words: Uint32Array.from(stub.words, ({ word }) => word), relocations: stub.relocations },
  };
}

const prove = (redirect: Redirect, through = hook): Verdict => proveRedirect(proofFacts, through, redirect);

test('Every call site of the stock kernel is proven, functions of one prologue together', () => {
  const counts: Record<string, number> = {};
  const reasons: string[] = [];
  for (const { name, redirect, functions } of prologues) {
    const verdict = prove(redirect);
    counts[verdict.verdict] = (counts[verdict.verdict] ?? 0) + functions;
    if (verdict.verdict === 'unknown') reasons.push(`${name}: ${verdict.reasons.join(', ')}`);
  }
  console.log(`${sites.length} functions with ${prologues.length} prologues`);
  expect(reasons).toEqual([]);
  expect(counts).toEqual({ proven: 39_698 });
});

const SP = 13;
const LR = 14;

describe('Of wrong stubs and hooks', () => {
  /** A function that saves registers, makes room and has a frame pointer of its own. */
  const example = (): Redirect => {
    const push = encode('PUSH', { register_list: (1 << 4) | (1 << 11) | (1 << LR) });
    const framePointer = encode('ADD (immediate)', { S: 0, Rn: SP, Rd: 11, imm12: 8 });
    const room = encode('SUB (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 12 });
    const pushLr = encode('PUSH, one register', { Rt: LR });
    const prologue = Uint32Array.of(push, framePointer, room, pushLr, 0);
    return { prologue, stub: stubOf(loadFp, raiseSp) };
  };
  const loadFp = encode('LDR (immediate)', { Rn: SP, Rt: 11, U: 1, imm12: 16 });
  const raiseSp = encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 24 });
  const branch = encode('B', { imm24: 0xfffffe });
  const stubOf = (...words: number[]): Redirect['stub'] => ({
    words: Uint32Array.of(...words, branch),
    relocations: [{ offset: 4 * words.length, type: 29, symbol: 'new-function', addend: -8n }],
  });
  const verdictOf = (...words: number[]): unknown => {
    const verdict = prove({ ...example(), stub: stubOf(...words) });
    if (verdict.verdict === 'refuted') return [...new Set(verdict.failures.map(({ obligation }) => obligation))];
    return verdict.verdict === 'unknown' ? verdict.reasons : verdict.verdict;
  };
  const move = (Rd: number): number => encode('MOV (immediate)', { S: 0, Rd, imm12: 0 });

  test('each is refuted by what it breaks', () => {
    expect(verdictOf(loadFp, raiseSp)).toBe('proven');
    expect(verdictOf(loadFp, raiseSp, move(12))).toBe('proven');
    expect(verdictOf(loadFp, raiseSp, move(0))).toEqual(['arguments']);
    expect(verdictOf(loadFp, raiseSp, move(5))).toEqual(['callee-saved']);
    expect(verdictOf(raiseSp)).toEqual(['callee-saved']);
    expect(verdictOf(loadFp, raiseSp, move(LR))).toEqual(['return-address']);
    expect(verdictOf(loadFp)).toEqual(['stack-arguments', 'stack-pointer']);
    const raiseByOneWord = encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 4 });
    expect(verdictOf(loadFp, raiseByOneWord)).toEqual(['alignment', 'stack-arguments', 'stack-pointer']);
    // Below the stack pointer an interrupt has been.
    const loadBelow = encode('LDR (immediate)', { Rn: SP, Rt: 11, U: 0, imm12: 8 });
    expect(verdictOf(raiseSp, loadBelow)).toEqual(['callee-saved']);
    const storeAbove = encode('STR (immediate)', { Rn: SP, Rt: 0, U: 1, imm12: 0 });
    expect(verdictOf(loadFp, raiseSp, storeAbove)).toEqual(['stack-arguments', 'callers-stack']);
    // Straight back to the caller.
    expect(verdictOf(loadFp, raiseSp, encode('BX', { Rm: LR }))).toEqual(['way']);
    // A condition that holds for some callers only.
    const compare = encode('CMP (immediate)', { Rn: 0, imm12: 7 });
    const sometimes = encode('MOV (immediate)', { cond: 8, S: 0, Rd: 1, imm12: 0 });
    expect(verdictOf(loadFp, raiseSp, compare, sometimes)).toEqual(['arguments']);
  });

  test('none is judged that is not understood', () => {
    expect(verdictOf(loadFp, raiseSp, 0xe8bd2010)).toEqual(['at stub + 8: UNPREDICTABLE']);
    expect(verdictOf(loadFp, raiseSp, encode('STR (immediate)', { Rn: 0, Rt: 0, U: 1, imm12: 0 }))).toEqual([
      'at stub + 8: it stores to r0, which may be anything’s',
    ]);
    // A relocation is called by its name.
    const stub = stubOf(loadFp, raiseSp);
    const absolute = { ...stub, relocations: stub.relocations.map((each) => ({ ...each, type: 2 })) };
    expect(prove({ ...example(), stub: absolute })).toMatchObject({
      verdict: 'unknown',
      reasons: [expect.stringMatching(/R_ARM_ABS32 is of another kind than a branch’s/)],
    });
  });

  /** The verdict on the right stub through a hook of which one word is another. */
  const through = (word: number, instead: number): string[] => {
    const changed = (address: bigint): number | undefined => {
      const found = hook.word(address);
      return found === word ? instead : found;
    };
    const verdict = prove(example(), { ...hook, word: changed });
    return verdict.verdict === 'refuted'
      ? [...new Set(verdict.failures.map(({ obligation, what }) => `${obligation}: ${what}`))]
      : [];
  };

  test('a hook that is wrong is refuted on both of its ways', () => {
    // ldr pc, [sp], #12, the hook's last word, drops a word too many.
    const failures = through(0xe49df00c, 0xe49df010);
    expect(failures).toContain('stack-pointer: sp on return');
    expect(failures).toContain('old-code: sp');
  });

  test('a hook that never asks the handler is refuted', () => {
    // In place of `mov r3, sp` it goes on behind the call of the handler: ten words ahead.
    expect(through(0xe1a0300d, encode('B', { imm24: 8 }))).toEqual([
      'way: that a handler is asked',
      'way: that any path reaches the new function',
    ]);
  });
});
