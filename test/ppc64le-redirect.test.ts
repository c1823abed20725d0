// Why: a stub is right when an emulated machine says so, not when its assembly reads well. Each case runs a whole
// redirect under QEMU and holds both ends of it against the ELFv2 ABI; then every word of the stub is taken out in turn,
// and the same checks must notice.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stub } from '../src/arch/arch.ts';
import { encode } from '../src/arch/ppc64le/instructions.ts';
import { ppc64le } from '../src/arch/ppc64le/ppc64le.ts';
import { linkAddress } from '../src/elf/units.ts';
import { type Landing, marks, play, type Stage } from './ppc64le-redirect-driver.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-redirect-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The stub that `build` would make for an old function with this prologue and a new one that reads so many arguments. */
function stubFor(tocSetUp: boolean, stackArguments: number): Stub {
  const toc = [encode('addis', { RT: 2, 'RA|0': 12, SI: 1 }), encode('addi', { RT: 2, 'RA|0': 2, SI: 256 })];
  const prologue = [...(tocSetUp ? toc : []), encode('mfspr', { RT: 0, spr: 8 }), encode('bl', { LI: 0x100 })];
  const old = { name: 'old_function', address: linkAddress(0x1000n), words: Uint32Array.from(prologue) };
  const site = linkAddress(0x1000n + BigInt(4 * (prologue.length - 1)));
  const reads = stackArguments === 0 ? [] : [encode('ld', { RT: 3, 'RA|0': 1, DS: 96 + 8 * (stackArguments - 1) })];
  const replacement = Uint32Array.from([...reads, encode('bclr', { BO: 20, BI: 0, BH: 0 })]);
  return ppc64le.ftraceStub(old, site, replacement);
}

/** Everything that the ABI promises, as a list of what is broken. */
function broken(landing: Landing | undefined, stage: Omit<Stage, 'stub'>): string[] {
  if (!landing) return ['the program did not come to its end'];
  const { newFunction, caller, at, callersSp, oldToc } = landing;
  const faults: string[] = [];
  const check = (what: string, holds: boolean) => {
    if (!holds) faults.push(what);
  };
  // How the new function is entered.
  for (let n = 1; n <= 8; n++) check(`argument ${n} at the new function`, newFunction.r[n + 2] === marks.argument(n));
  for (let n = 1; n <= stage.stackArguments; n++) {
    check(`argument ${8 + n}, on the stack`, newFunction.stackArguments[n - 1] === marks.argument(8 + n));
  }
  check('the static chain in r11', newFunction.r[11] === marks.staticChain);
  check('r12 is the new function’s global entry', newFunction.r[12] === at.newFunction);
  check('r13 at the new function', newFunction.r[13] === marks.threadPointer);
  check('the floating-point argument', newFunction.f1 === marks.floatArgument);
  for (let r = 14; r <= 31; r++) check(`r${r} at the new function`, newFunction.r[r] === marks.saved(r));
  const [stubFrame, callerFrame] = newFunction.frames as [{ sp: bigint; lr: bigint }, { sp: bigint; lr: bigint }];
  check('16-byte alignment of the stack', stubFrame.sp % 16n === 0n);
  check('the new function returns into the stub', at.stub < newFunction.lr && newFunction.lr < at.stubEnd);
  check('a walkable back chain', stubFrame.lr === newFunction.lr && callerFrame.sp === callersSp);
  check('the return address in the caller’s frame', callerFrame.lr === at.afterCall);
  // How the caller gets its machine back.
  check('r3 as returned', caller.r[3] === marks.results[0]);
  check('r4 as returned', caller.r[4] === marks.results[1]);
  check('the floating-point result', caller.f1 === marks.floatResult);
  check('the stack pointer', caller.r[1] === callersSp);
  check('r13 at the caller', caller.r[13] === marks.threadPointer);
  for (let r = 14; r <= 31; r++) check(`r${r} at the caller`, caller.r[r] === marks.saved(r));
  check('f14', caller.f14 === marks.floatSaved);
  check('CR2 to CR4', (caller.cr & 0xfff000n) === marks.conditions);
  check('the caller’s TOC slot', caller.tocSlot === marks.callersTocSlot);
  caller.locals.forEach((value, i) => {
    check(`local ${i} of the caller`, value === marks.saved(i));
  });
  const toc = stage.tocSetUp ? oldToc : marks.callersToc;
  check('r2 at the caller', caller.r[2] === toc);
  return faults;
}

describe('a redirect by way of ftrace', () => {
  const cases = [
    { title: 'a local caller, which relies on r2', caller: 'local', tocSetUp: true, stackArguments: 0 },
    { title: 'a caller in another module', caller: 'module', tocSetUp: true, stackArguments: 0 },
    { title: 'a leaf that sets up no TOC', caller: 'local', tocSetUp: false, stackArguments: 0 },
    { title: 'one stack argument', caller: 'local', tocSetUp: true, stackArguments: 1 },
    { title: 'twelve arguments', caller: 'local', tocSetUp: true, stackArguments: 4 },
    { title: 'an odd number, from another module', caller: 'module', tocSetUp: true, stackArguments: 13 },
    { title: 'as many as a stub copies', caller: 'local', tocSetUp: false, stackArguments: 64 },
  ] as const;
  it.each(cases)('keeps the ABI for $title', async ({ title: _, ...stage }) => {
    const stub = stubFor(stage.tocSetUp, stage.stackArguments);
    expect(broken(await play({ ...stage, stub }, folder), stage)).toEqual([]);
  });

  it('would lose r2 in the TOC slot of its own frame, where a tail call of the new function puts another', async () => {
    const stage = { caller: 'local', tocSetUp: true, stackArguments: 0 } as const;
    const stub = stubFor(stage.tocSetUp, stage.stackArguments);
    const inTocSlot = stub.words.map(({ word, text }) => ({
      word: /r2,96\(r1\)/.test(text) ? word - 96 + 24 : word,
      text,
    }));
    const landing = await play({ ...stage, stub: { ...stub, words: inTocSlot } }, folder);
    expect(broken(landing, stage)).toEqual(['r2 at the caller']);
  });

  it('breaks the ABI without any one of the stub’s words', async () => {
    const stage = { caller: 'local', tocSetUp: true, stackArguments: 2 } as const;
    const stub = stubFor(stage.tocSetUp, stage.stackArguments);
    const NOP = 0x60000000;
    const unnoticed: string[] = [];
    for (const [missing, { text }] of stub.words.entries()) {
      const words = stub.words.map((word, i) => (i === missing ? { word: NOP, text: 'nop' } : word));
      const relocations = stub.relocations.filter((r) => r.offset !== 4 * missing);
      if (broken(await play({ ...stage, stub: { words, relocations } }, folder), stage).length === 0)
        unnoticed.push(text);
    }
    expect(unnoticed).toEqual([]);
  });
});
