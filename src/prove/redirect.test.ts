// The prover on a hook small enough to be read here. (test/arm-prove.test.ts has the one of a stock kernel.)

import { describe, expect, test } from 'vitest';
import { encode } from '../arch/arm/instructions.ts';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import { R_ARM_JUMP24 } from '../arch/arm/relocations.ts';
import type { Fields } from '../arch/arm/row.ts';
import { type Hook, proveRedirect, type Redirect } from './redirect.ts';

const [FP, IP] = [11, 12];
const SP = 13;
const LR = 14;
const PC = 15;
const entry = 0xc0300000n;
const allOfThem = 0x1fff;

const at = (name: string, fields: Fields): number => encode(name, fields);

/** Where handlers' ops are. */
const ops = 0x40;

const callHandler = at('BL', { imm24: 0x1000 });

/** Behind the call site's `push {lr}; bl`; the saved registers at sp, up to that `lr`. */
const rightHook = [
  at('STR (immediate), pre-indexed', { Rn: SP, Rt: LR, U: 0, imm12: 8 }), // str lr, [sp, #-8]!: the pc
  at('SUB (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 60 }),
  at('STM', { Rn: SP, register_list: allOfThem }), // stm sp, {r0-r12}
  at('MOV (register)', { S: 0, Rd: 3, Rm: SP }),
  at('SUB (immediate)', { S: 0, Rn: LR, Rd: 0, imm12: 4 }),
  at('LDR (immediate)', { Rn: SP, Rt: 1, U: 1, imm12: 68 }), // what the call site pushed
  at('STR (immediate)', { Rn: SP, Rt: 1, U: 1, imm12: 56 }), // lr
  at('ADD (immediate)', { S: 0, Rn: SP, Rd: 2, imm12: 72 }),
  at('STR (immediate)', { Rn: SP, Rt: 2, U: 1, imm12: 52 }), // sp
  at('MOV (immediate)', { S: 0, Rd: 2, imm12: ops }),
  at('LDR (immediate)', { Rn: 2, Rt: 2, U: 1, imm12: 0 }),
  callHandler,
  at('LDM', { Rn: SP, W: 0, register_list: allOfThem }),
  at('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 60 }),
  at('LDR (immediate)', { Rn: SP, Rt: LR, U: 1, imm12: 8 }), // what the call site pushed
  at('LDR (immediate), post-indexed', { Rn: SP, Rt: PC, U: 1, imm12: 12 }), // ldr pc, [sp], #12
];
const [move3, tellSite, tellCaller, loadOps, handlerCall, loadAll, dropFrame, loadLr] = [3, 4, 5, 10, 11, 12, 13, 14];

const hookOf = (words: readonly number[]): Hook => ({
  entry,
  handlerCall: entry + BigInt(4 * words.indexOf(callHandler)),
  ops: BigInt(ops),
  word: (address) => words[Number(address - entry) / 4],
});

const pushLr = at('PUSH, one register', { Rt: LR });
const branch = at('B', { imm24: 0xfffffe });

/** A function without a prologue: there is nothing for the stub to undo. */
const redirect = (...stub: number[]): Redirect => ({
  prologue: Uint32Array.of(pushLr, 0),
  stub: {
    words: Uint32Array.of(...stub, branch),
    relocations: [{ offset: 4 * stub.length, type: R_ARM_JUMP24, symbol: 'new-function', addend: -8n }],
  },
});

/** `proven`, or what is broken, or why it is not known. */
function judge(words: readonly number[], what = redirect()): string[] {
  const verdict = proveRedirect(proofFacts, hookOf(words), what);
  if (verdict.verdict === 'unknown') return [...verdict.reasons];
  if (verdict.verdict === 'proven') return ['proven'];
  return [...new Set(verdict.failures.map(({ obligation, what: place }) => `${obligation}: ${place}`))];
}

/** The right hook with one word changed. */
const changed = (index: number, word: number): number[] => rightHook.map((old, i) => (i === index ? word : old));

describe('The prover', () => {
  test('proves a hook that keeps everything, on the way that redirects and on the other', () => {
    expect(proveRedirect(proofFacts, hookOf(rightHook), redirect())).toEqual({ verdict: 'proven', paths: 2 });
  });

  test('proves nothing by instructions that processors of the kernel may not have', () => {
    /** The right hook with one more word, which changes r1 before what handlers are told is put there. */
    const ofVersion = (version: string, ...more: number[]): string => {
      const words = rightHook.toSpliced(tellCaller, 0, ...more);
      const facts = proofFacts.forKernel!(`6.1.0 mod_unload ${version} p2v8 `);
      const verdict = proveRedirect(facts, hookOf(words), redirect());
      return verdict.verdict === 'unknown' ? verdict.reasons.join() : verdict.verdict;
    };
    const wide = at('MOV (immediate), wide', { Rd: 1, imm4: 0, imm12: 1 });
    const unaligned = at('LDR (immediate)', { Rn: SP, Rt: 1, U: 1, imm12: 2 });
    for (const version of ['ARMv5', 'ARMv6', 'ARMv7', '']) expect(ofVersion(version)).toBe('proven');
    for (const version of ['ARMv5', 'ARMv6', '']) expect(ofVersion(version, wide)).toMatch(/may not have this/);
    for (const version of ['ARMv5', '']) expect(ofVersion(version, unaligned)).toMatch(/may be no multiple of 4/);
    for (const word of [wide, unaligned]) expect(ofVersion('ARMv7', word)).toBe('proven');
    expect(ofVersion('ARMv6', unaligned)).toBe('proven');
  });

  test('refutes a hook that loses a register, for the new code and for the old', () => {
    const withoutR6 = at('LDM', { Rn: SP, W: 0, register_list: allOfThem & ~(1 << 6) });
    // The words behind it come one register too early.
    expect(judge(changed(loadAll, withoutR6))).toContain('callee-saved: r7');
    const wrongFirst = changed(2, at('STM', { Rn: SP, register_list: allOfThem & ~1 }));
    expect(judge(wrongFirst)).toEqual(expect.arrayContaining(['arguments: r0', 'old-code: r0']));
  });

  test('refutes a hook that tells the handler another address', () => {
    expect(judge(changed(tellSite, at('MOV (register)', { S: 0, Rd: 0, Rm: LR })))).toEqual([
      'site-address: the site’s address',
    ]);
  });

  test('refutes a hook that calls the handler otherwise than the ABI and ftrace’s contract have it', () => {
    const move = (Rd: number, Rm: number): number => at('MOV (register)', { S: 0, Rd, Rm });
    expect(judge(changed(tellCaller, move(1, LR)))).toEqual([
      'handler-call: where the function returns to',
      'handler-call: lr among the saved registers',
    ]);
    expect(judge(changed(loadOps, move(2, 0)))).toEqual(['handler-call: what handlers are called with']);
    // Four bytes further down nothing is lost, but the stack pointer is a multiple of 8 where functions are called.
    const unaligned = [...rightHook];
    const moveSp = (name: 'ADD' | 'SUB'): number => at(`${name} (immediate)`, { S: 0, Rn: SP, Rd: SP, imm12: 4 });
    unaligned.splice(handlerCall, 1, moveSp('SUB'), callHandler, moveSp('ADD'));
    expect(judge(unaligned)).toEqual(['handler-call: sp']);
    // The registers lie below the stack pointer, where an interrupt may be, or above, in the site's own frame.
    expect(judge(changed(move3, at('SUB (immediate)', { S: 0, Rn: SP, Rd: 3, imm12: 4 })))).toContain(
      'handler-call: where the saved registers are',
    );
    expect(judge(changed(move3, at('ADD (immediate)', { S: 0, Rn: SP, Rd: 3, imm12: 4 })))).toContain(
      'handler-call: where the saved registers are',
    );
    // What a handler finds among them is what the site's registers held.
    const withoutIp = changed(2, at('STM', { Rn: SP, register_list: allOfThem & ~(1 << 12) }));
    expect(judge(withoutIp)).toContain('handler-call: ip among the saved registers');
  });

  test('has a function with a frame pointer return by what the graph tracer has put into its frame', () => {
    // As `__ftrace_graph_regs_caller` with UNWINDER_FRAME_POINTER: whether or not the handler redirects.
    const tracer = entry + 0x8000n;
    const nop = at('MOV (register)', { S: 0, Rd: 0, Rm: 0 });
    const hook = [...rightHook];
    hook.splice(handlerCall + 1, 0, nop);
    const goesTo = hook.length;
    const to = (from: number, target: number): number => (target - from - 2) & 0xffffff;
    hook.push(
      at('SUB (immediate)', { S: 0, Rn: FP, Rd: 0, imm12: 4 }),
      at('LDR (immediate)', { Rn: SP, Rt: 1, U: 1, imm12: 60 }),
      at('SUB (immediate)', { S: 0, Rn: 1, Rd: 1, imm12: 4 }),
      at('MOV (register)', { S: 0, Rd: 2, Rm: FP }),
      at('ADD (immediate)', { S: 0, Rn: SP, Rd: 3, imm12: 72 }),
      at('BL', { imm24: to(goesTo + 5, 0x8000 / 4) }),
      at('B', { imm24: to(goesTo + 6, loadAll + 1) }),
    );
    const graph = { site: entry + BigInt(4 * (handlerCall + 1)), goesTo: entry + BigInt(4 * goesTo), callee: tracer };
    const prologue = Uint32Array.of(
      at('MOV (register)', { S: 0, Rd: IP, Rm: SP }),
      at('PUSH', { register_list: (1 << FP) | (1 << IP) | (1 << LR) | (1 << PC) }),
      at('SUB (immediate)', { S: 0, Rn: IP, Rd: FP, imm12: 4 }),
      pushLr,
      0,
    );
    const load = (Rt: number, from: number): number => at('LDR (immediate)', { Rn: SP, Rt, U: 1, imm12: from });
    const raiseSp = at('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 16 });
    const judgeStub = (...stub: number[]) => {
      const verdict = proveRedirect(proofFacts, { ...hookOf(hook), graph }, { ...redirect(...stub), prologue });
      return verdict.verdict === 'refuted'
        ? [...new Set(verdict.failures.map(({ obligation, what }) => `${obligation}: ${what}`))]
        : verdict;
    };
    expect(judgeStub(load(FP, 0), load(LR, 8), raiseSp)).toMatchObject({ verdict: 'proven' });
    // A stub that goes by what lr holds: the tracer waits for a return that never comes to it.
    expect(judgeStub(load(FP, 0), raiseSp)).toEqual(['return-address: where it returns to']);
  });

  test('refutes a hook that ignores where the handler sends it', () => {
    // It takes the pc from what it saved of lr for itself, and not from what the handler changed.
    const fromR4 = [
      ...rightHook.slice(0, loadLr + 1),
      at('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 12 }),
      at('BX', { Rm: LR }),
    ];
    expect(judge(fromR4)).toContain('way: the next instruction');
  });

  test('refutes what keeps its data below the stack pointer', () => {
    const early = [...rightHook];
    // The stack pointer goes up before the registers are read back.
    [early[loadAll], early[dropFrame]] = [
      rightHook[dropFrame]!,
      at('LDMDB', { Rn: SP, W: 0, register_list: allOfThem }),
    ];
    expect(judge(early)).toContain('callee-saved: r4');
  });

  test('refutes a stub whose stack pointer is for a moment where an interrupt does harm', () => {
    const moveSp = (name: 'ADD' | 'SUB', imm12: number): number =>
      at(`${name} (immediate)`, { S: 0, Rn: SP, Rd: SP, imm12 });
    expect(judge(rightHook, redirect(moveSp('SUB', 8), moveSp('ADD', 8)))).toEqual(['proven']);
    // Above the caller's it has what the caller keeps there overwritten.
    expect(judge(rightHook, redirect(moveSp('ADD', 8), moveSp('SUB', 8)))).toContain(
      'stack-pointer: sp at every moment',
    );
    // At no multiple of 4 it faults where the kernel saves its registers, and again in the handler of that fault.
    expect(judge(rightHook, redirect(moveSp('SUB', 2), moveSp('ADD', 2)))).toEqual(['alignment: sp at every moment']);
    expect(judge(rightHook, redirect(moveSp('SUB', 4), moveSp('ADD', 4)))).toEqual(['proven']);
  });

  const branchTo = (from: number, to: number, cond?: number): number =>
    at('B', { ...(cond !== undefined && { cond }), imm24: (to - from - 2) & 0xffffff });

  test('refutes a hook that never asks the handler', () => {
    expect(judge(changed(move3, branchTo(move3, loadAll)))).toEqual([
      'way: that a handler is asked',
      'way: that any path reaches the new function',
    ]);
  });

  test('refutes a hook that asks the handler for some callers only, or more than once', () => {
    const unlessNull = [...rightHook];
    const compare = at('CMP (immediate)', { Rn: 0, imm12: 0 });
    unlessNull.splice(move3, 0, compare, branchTo(move3 + 1, loadAll + 2, 0));
    expect(judge(unlessNull)).toEqual(['way: that a handler is asked']);
    expect(judge(changed(loadAll, branchTo(loadAll, move3)))).toContain('handler-call: what has run before it');
  });

  test('refutes a stub that writes to what is the caller’s', () => {
    const storeAbove = at('STR (immediate)', { Rn: SP, Rt: 0, U: 1, imm12: 64 });
    expect(judge(rightHook, redirect(storeAbove))).toEqual([
      'stack-arguments: stack argument 17',
      'callers-stack: the caller’s stack at sp + 64',
    ]);
  });

  test('refutes what is wrong for one number alone, and names it', () => {
    const compare = at('CMP (immediate)', { Rn: 0, imm12: 7 });
    const loseR1 = at('MOV (immediate)', { cond: 0, S: 0, Rd: 1, imm12: 0 });
    const verdict = proveRedirect(proofFacts, hookOf(rightHook), redirect(compare, loseR1));
    if (verdict.verdict !== 'refuted') return expect.unreachable(verdict.verdict);
    const [{ machine, example, obligation }] = verdict.failures as [(typeof verdict.failures)[0]];
    const r0 = machine.terms.evaluate(machine.read(0), (atom) => example!.get(atom)!);
    expect([obligation, r0]).toEqual(['arguments', 7n]);
  });

  test('refutes nothing on a path that no number takes', () => {
    const isIt = (imm12: number): number => at('CMP (immediate)', { Rn: 0, imm12 });
    const overTwo = at('B', { cond: 1, imm24: 1 });
    const loseR1 = at('MOV (immediate)', { cond: 0, S: 0, Rd: 1, imm12: 0 });
    // r0 would have to be 7 and 8. To see that it cannot be is beyond the machine; to make an example of it, too.
    expect(judge(rightHook, redirect(isIt(7), overTwo, isIt(8), loseR1))).toEqual([
      'arguments: whether r1 is kept cannot be told',
    ]);
  });

  test('does not take a load for harmless: where nobody knows of any memory it may trap', () => {
    const load = at('LDR (immediate)', { Rn: 0, Rt: 12, U: 1, imm12: 0 });
    expect(judge(rightHook, redirect(load))).toEqual(['at stub: it loads from r0, where there may be no memory']);
    const constant = [
      at('MOV (immediate)', { S: 0, Rd: 12, imm12: 0x10 }),
      at('LDR (immediate)', { Rn: 12, Rt: 12, U: 1, imm12: 0 }),
    ];
    const through = (isThere: boolean): unknown =>
      proveRedirect(proofFacts, { ...hookOf(rightHook), isThere: () => isThere }, redirect(...constant)).verdict;
    expect([true, false].map(through)).toEqual(['proven', 'unknown']);
  });

  test('does not take what memory may hold for an example', () => {
    const address = at('MOV (immediate)', { S: 0, Rd: 12, imm12: 0x10 });
    const load = at('LDR (immediate)', { Rn: 12, Rt: 1, U: 1, imm12: 0 });
    expect(judge(rightHook, redirect(address, load))).toEqual(['arguments: whether r1 is kept cannot be told']);
    // It may be the new function's address that lies there.
    const jump = at('LDR (immediate)', { Rn: 12, Rt: PC, U: 1, imm12: 0 });
    expect(judge(rightHook, redirect(address, jump))).toContain(
      'way: whether the next instruction is kept cannot be told',
    );
    // On the caller's stack lies what the caller likes.
    const jumpToArgument = at('LDR (immediate)', { Rn: SP, Rt: PC, U: 1, imm12: 0 });
    expect(judge(rightHook, redirect(jumpToArgument))).toEqual(['way: the next instruction']);
  });

  test('stops at what it does not understand, and says where', () => {
    expect(judge(changed(move3, 0xf57ff05f))).toEqual(['at 0xc030000c: it is not in the table of instructions']);
  });

  test('ends where code never ends', () => {
    expect(judge(changed(move3, branch))).toEqual(['at 0xc030000c: more than 5000 steps']);
  });

  test('gives an example of what it refutes: numbers for which the two differ', () => {
    const verdict = proveRedirect(
      proofFacts,
      hookOf(rightHook),
      redirect(at('MOV (immediate)', { S: 0, Rd: 1, imm12: 0 })),
    );
    if (verdict.verdict !== 'refuted') return expect.unreachable(verdict.verdict);
    const [failure] = verdict.failures;
    const { terms } = failure!.machine;
    expect([failure!.obligation, terms.describe(failure!.expected), terms.describe(failure!.found)]).toEqual([
      'arguments',
      'r1',
      '0',
    ]);
    const numbers = failure!.example!;
    const value = terms.evaluate(failure!.expected, (atom) => numbers.get(atom)!);
    expect(value).not.toBe(0n);
  });
});
