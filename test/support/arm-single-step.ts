// Single ARM instructions under qemu-user: each from a state of our own, and the whole state behind it.
//
// Every word of the program that is not an instruction under test is UDF. So whatever an instruction does, the next one
// traps, and the kernel's signal frame has all registers as they are then. The handler writes them down, puts the next
// case's registers into the frame and returns into the next instruction.

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { platform } from '../../src/arch/arm/platform.ts';
import { run } from '../../src/host/run.ts';

/** Memory that instructions may use; each case finds the same bytes there. */
export const scratch = { address: 0x20000000, size: 256 } as const;
/** Where the instructions stand, one in the middle of each slot. */
export const code = { address: 0x10000000, slot: 64, at: 32 } as const;
/** What TPIDRURO holds. */
export const threadRegister = 0x76543210;
const trap = 0xe7f000f0;

/** The address of the n-th case's instruction. */
export const placeOf = (n: number): number => code.address + n * code.slot + code.at;

export interface State {
  /** r0–r14. */
  readonly registers: readonly number[];
  /** CPSR; of a case only the flags count. */
  readonly status: number;
}

export interface Case extends State {
  readonly word: number;
}

export interface Outcome extends State {
  readonly pc: number;
  /** 4 (SIGILL) where the instruction ran; 11 and 7 where it faulted. */
  readonly signal: number;
  /** The scratch memory. */
  readonly memory: Uint8Array;
}

const stateWords = 17;
const outcomeWords = 1 + stateWords + scratch.size / 4;

const program = `
.syntax unified
.arm
.text
.globl _start
_start:
  mov r7, #0xf0000
  add r7, r7, #5                @ __ARM_NR_set_tls
  ldr r0, =${threadRegister}
  svc #0
  mov r7, #186                  @ sigaltstack
  ldr r0, =alternate
  mov r1, #0
  svc #0
.irp signal, 4, 7, 11           @ SIGILL, SIGBUS, SIGSEGV
  mov r7, #174                  @ rt_sigaction
  mov r0, #\\signal
  ldr r1, =action
  mov r2, #0
  mov r3, #8
  svc #0
.endr
  udf #0

handler:                        @ r0: signal, r2: struct ucontext, r0 of its sigcontext at 32
  add r2, r2, #32
  ldr r4, =next_input
  ldr r5, [r4]
  ldr r6, =next_output
  ldr r8, [r6]
  ldr r9, =inputs
  cmp r5, r9
  beq prepare                   @ the trap of _start
  str r0, [r8], #4
  mov r9, #${stateWords}
1:ldr r10, [r2], #4
  str r10, [r8], #4
  subs r9, r9, #1
  bne 1b
  sub r2, r2, #${4 * stateWords}
  ldr r3, =${scratch.address}
  mov r9, #${scratch.size / 4}
1:ldr r10, [r3], #4
  str r10, [r8], #4
  subs r9, r9, #1
  bne 1b
  str r8, [r6]
prepare:
  ldr r9, =inputs_end
  cmp r5, r9
  beq done
  mov r9, #${stateWords}
1:ldr r10, [r5], #4
  str r10, [r2], #4
  subs r9, r9, #1
  bne 1b
  str r5, [r4]
  ldr r3, =${scratch.address}
  ldr r1, =pattern
  mov r9, #${scratch.size / 4}
1:ldr r10, [r1], #4
  str r10, [r3], #4
  subs r9, r9, #1
  bne 1b
  bx lr                         @ to the restorer
restorer:
  mov r7, #173                  @ rt_sigreturn
  svc #0
done:
  ldr r1, =outputs
  sub r2, r8, r1
1:mov r7, #4                    @ write
  mov r0, #1
  svc #0
  cmp r0, #0
  ble 2f
  add r1, r1, r0
  subs r2, r2, r0
  bne 1b
2:mov r7, #1                    @ exit
  mov r0, #0
  svc #0
.ltorg

.data
.align 2
action: .word handler, 0x0c000004, restorer, 0, 0  @ SA_ONSTACK, SA_RESTORER, SA_SIGINFO
alternate: .word stack, 0, 65536
next_input: .word inputs
next_output: .word outputs
inputs: .incbin "inputs"
inputs_end:
pattern: .incbin "pattern"
.section .code, "ax", %progbits
.incbin "code"
.section .scratch, "aw", %progbits
.incbin "pattern"
.bss
.align 3
stack: .skip 65536
outputs: .skip OUTPUTS
`;

const bytesOf = (words: readonly number[]): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return new Uint8Array(view.buffer);
};

/** The bytes at the code addresses. */
export function codeBytes(cases: readonly Case[]): Uint8Array {
  const words = Array.from({ length: (cases.length * code.slot) / 4 }, () => trap);
  cases.forEach(({ word }, n) => {
    words[(placeOf(n) - code.address) / 4] = word;
  });
  return bytesOf(words);
}

/** Runs each case; `pattern` is what the scratch memory holds before each. */
export async function singleStep(folder: string, cases: readonly Case[], pattern: Uint8Array): Promise<Outcome[]> {
  const path = (name: string): string => join(folder, name);
  await writeFile(path('step.s'), program.replace('OUTPUTS', String(4 * outcomeWords * cases.length)));
  await writeFile(path('pattern'), pattern);
  await writeFile(path('code'), codeBytes(cases));
  const inputs = cases.flatMap(({ registers, status }, n) => [...registers, placeOf(n), status]);
  await writeFile(path('inputs'), bytesOf(inputs));
  const places = [`.code=0x${code.address.toString(16)}`, `.scratch=0x${scratch.address.toString(16)}`];
  const options = ['-march=armv7-a', '-nostdlib', '-static', '-Wl,--build-id=none', '-o', 'step', 'step.s'];
  const sections = places.map((place) => `-Wl,--section-start=${place}`);
  await run(`${platform.cross.prefix}gcc`, [...sections, ...options], { cwd: folder });
  const { stdout, error } = spawnSync('qemu-arm', [path('step')], { maxBuffer: 1 << 28, timeout: 60_000 });
  if (error) throw error;
  const view = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  return Array.from({ length: Math.floor(stdout.length / (4 * outcomeWords)) }, (_, n) => {
    const start = 4 * outcomeWords * n;
    const word = (i: number): number => view.getUint32(start + 4 * i, true);
    return {
      signal: word(0),
      registers: Array.from({ length: 15 }, (_, register) => word(1 + register)),
      pc: word(16),
      status: word(17),
      memory: Uint8Array.from(stdout.subarray(start + 4 * (1 + stateWords), start + 4 * outcomeWords)),
    };
  });
}
