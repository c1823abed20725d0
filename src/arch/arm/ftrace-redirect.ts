// The ftrace way on ARM: the stub that undoes a function's prologue and enters the new function.
//
// What the stub finds. The call site's `push {lr}; bl` has gone to `ftrace_regs_caller`
// (arch/arm/kernel/entry-ftrace.S, Linux 6.1), the handler has put the stub's address where the hook keeps the saved
// pc, and the hook ends with
//
//     pop {r0-r11, ip, lr}      restore r0 through r12
//     ldr lr, [sp], #4          what the call site pushed: lr as the prologue left it
//     ldr pc, [sp], #12         to the stub; drops PSR, OLD_R0 (the place of the pushed lr)
//
// So at the stub all of r0–r12, sp and lr are as they were before the call site's `push {lr}`: as the prologue left
// them. The flags are lost, which nobody misses: they are no part of a call (AAPCS, section 5.1.1).
//
// What the stub must give the new function: what the caller gave the old one. That is r0–r3, sp with the caller's
// stack arguments above it, r4–r11, and the return address in lr. r12 (ip) is not kept on purpose: veneers may
// change it between a call and its target (AAPCS, section 5.3.1.1), so no function can rely on it.
//
// So every register that the prologue changed is loaded from where the prologue saved it, sp goes back up, and a
// branch leaves. Most prologues only save (`push`) and make room (`sub sp`): the registers still hold what was
// saved, and one `add sp` undoes it all. A load never reaches below sp, where interrupts write.
//
// function_graph does not change that: it replaces a return address only where it can unwind from the saved pc, and
// from a stub it cannot (`stub-section.ts`). With frame pointers (UNWINDER_FRAME_POINTER) it unwinds nothing: it replaces
// the return address at fp - 4, where the frame keeps it, whether or not the hook goes to a stub
// (`prepare_ftrace_return`, arch/arm/kernel/ftrace.c). The new function must then return by what stands there, or its
// return would be waited for in vain: where a frame keeps lr at fp - 4 the stub loads lr from it.

import type { LinkAddress } from '../../elf/units.ts';
import { reasonError } from '../../reason.ts';
import type { FunctionText, Stub, StubWord } from '../arch.ts';
import { pushLr } from './call-sites.ts';
import { encode, modifiedImmediate } from './instructions.ts';
import { LR, type PrologueState, runPrologue, SP } from './prologue.ts';
import { R_ARM_JUMP24 } from './relocations.ts';
import { disassemble, registerNames } from './syntax.ts';

const FP = 11;
const IP = 12;

/** How far above its base a load reaches (LDR, immediate: section A8.8.63). */
const longestReach = 4095;

/** r0–r11 and lr; sp is treated by itself. */
const kept = registerNames.map((_, register) => register).filter((register) => register < IP || register === LR);

const stubWord = (word: number): StubWord => ({ word, text: disassemble(word)!.replace('\t', ' ') });

/**
 * `add sp, sp, #…`, as many as it takes: a modified immediate holds eight bits at an even position (section A5.2.4).
 */
function raiseSp(bytes: number): StubWord[] {
  const words: StubWord[] = [];
  for (let rest = bytes; rest !== 0; ) {
    // The lowest bits that one immediate can hold.
    const position = (31 - Math.clz32(rest & -rest)) & ~1;
    const part = rest & (0xff << position);
    words.push(stubWord(encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: modifiedImmediate(part)! })));
    rest -= part;
  }
  return words;
}

/**
 * Where the prologue saved what a register held at the entry: the slot's distance from the entry's sp, at or above
 * `lowest`.
 */
function savedAt({ stack }: PrologueState, register: number, lowest: number): number | undefined {
  for (const [distance, value] of stack)
    if (distance >= lowest && value?.register === register && value.plus === 0) return distance;
  return undefined;
}

/** Where a frame of the kind that frame pointers make keeps the return address: 4 bytes below fp; undefined if it has none. */
function framesReturnAddress({ registers, stack }: PrologueState): number | undefined {
  const frame = registers[FP];
  if (frame?.register !== SP) return undefined;
  const value = stack.get(frame.plus - 4);
  return value?.register === LR && value.plus === 0 ? frame.plus - 4 : undefined;
}

/**
 * The stub for one function. `site` is the `bl`'s address. `replacement` does not matter here: sp is the caller's again
 * when the new function is entered, so its stack arguments are where they were.
 * Throws `prologue-unknown`.
 */
export function ftraceStub(old: FunctionText, site: LinkAddress, _replacement: Uint32Array): Stub {
  const place = (offset: number): string => `${old.name}+0x${offset.toString(16)}`;
  const unknown = (message: string): Error =>
    reasonError('prologue-unknown', place(offset), message, 'patch its callers instead');
  const offset = Number(site - old.address);
  const push = offset / 4 - 1;
  if (old.words[push] !== pushLr) throw unknown('this is no call site: no `push {lr}` stands before it');

  const state = runPrologue(old, push);
  const sp = state.registers[SP];
  if (sp?.register !== SP || sp.plus > 0) throw unknown('the prologue leaves sp where it cannot be followed');

  const returnAddress = framesReturnAddress(state);
  const loads = kept
    .filter((register) => {
      const value = state.registers[register];
      const isTraced = register === LR && returnAddress !== undefined;
      return isTraced || value?.register !== register || value.plus !== 0;
    })
    .map((register) => {
      const from = register === LR && returnAddress !== undefined ? returnAddress : savedAt(state, register, sp.plus);
      if (from === undefined) throw unknown(`the prologue changes ${registerNames[register]} and saves it nowhere`);
      return { register, from };
    })
    .sort((a, b) => a.from - b.from);

  // The lowest slot first: so sp can go up on the way, where a slot is out of a load's reach, and never passes one.
  const words: StubWord[] = [];
  let reached = sp.plus;
  for (const { register, from } of loads) {
    if (from - reached > longestReach) {
      words.push(...raiseSp(from - reached));
      reached = from;
    }
    words.push(stubWord(encode('LDR (immediate)', { Rn: SP, Rt: register, U: 1, imm12: from - reached })));
  }
  words.push(...raiseSp(-reached));
  // b new_function. The addend of R_ARM_JUMP24 stands in the branch itself: -8, for the PC is ahead by 8.
  const branch: StubWord = { word: encode('B', { imm24: 0xfffffe }), text: 'b new_function' };
  return {
    words: [...words, branch],
    relocations: [{ offset: 4 * words.length, type: R_ARM_JUMP24, symbol: 'new-function', addend: -8n }],
  };
}
