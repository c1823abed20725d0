// Single Power instructions under qemu-user: each from a state of our own, and the whole state behind it.
//
// As for ARM (`arm-single-step.ts`): every word of the program that is not an instruction under test is 0, which is no
// instruction. So whatever one does, the next one traps, and the kernel's signal frame has the registers as they are
// then. The handler writes them down, puts the next case's into the frame and returns into the next instruction. XER is
// read and set in the handler itself, since QEMU 7.2 keeps only a part of it in the frame.

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { platform } from '../../src/arch/ppc64le/platform.ts';
import { run } from '../../src/host/run.ts';

/** Memory that instructions may use; each case finds the same bytes there. */
export const scratch = { address: 0x20000000, size: 256 } as const;
/** Where the instructions stand, one in the middle of each slot. */
export const code = { address: 0x30000000, slot: 64, at: 32 } as const;

/** The address of the n-th case's instruction. */
export const placeOf = (n: number): number => code.address + n * code.slot + code.at;

export interface State {
  /** r0–r31. */
  readonly registers: readonly bigint[];
  readonly ctr: bigint;
  readonly lr: bigint;
  readonly xer: bigint;
  /** CR. */
  readonly condition: bigint;
}

export interface Case extends State {
  readonly word: number;
}

export interface Outcome extends State {
  readonly pc: bigint;
  /** 4 (SIGILL) where the instruction ran; 11, 7 and 5 where it faulted or trapped. */
  readonly signal: number;
  /** The scratch memory. */
  readonly memory: Uint8Array;
}

const stateWords = 32 + 5;
const outcomeWords = 1 + stateWords + scratch.size / 8;
/** From `struct ucontext` to its general registers: behind flags, link, stack, mask and the head of the sigcontext. */
const registersAt = 8 + 8 + 24 + 128 + 64;
/** Places among them (arch/powerpc/include/uapi/asm/ptrace.h). */
const place = { nip: 32, ctr: 35, lr: 36, xer: 37, ccr: 38 } as const;

const address = (register: number, symbol: string): string =>
  `  lis ${register}, ${symbol}@ha\n  addi ${register}, ${register}, ${symbol}@l`;

const program = `
.abiversion 2
.text
.globl _start
_start:
  li 0, 185                     # sigaltstack
${address(3, 'alternate')}
  li 4, 0
  sc
.irp signal, 4, 5, 7, 11        # SIGILL, SIGTRAP, SIGBUS, SIGSEGV
  li 0, 173                     # rt_sigaction
  li 3, \\signal
${address(4, 'action')}
  li 5, 0
  li 6, 8
  sc
.endr
  .long 0

handler:                        # r3: signal, r5: struct ucontext
  mfxer 14
  addi 5, 5, ${registersAt}
${address(6, 'next_input')}
  ld 7, 0(6)
${address(8, 'next_output')}
  ld 9, 0(8)
${address(10, 'inputs')}
  cmpd 7, 10
  beq prepare                   # the trap of _start
  std 3, 0(9)
.irp n, ${Array.from({ length: 33 }, (_, n) => n).join(', ')}
  ld 10, 8*\\n(5)
  std 10, 8+8*\\n(9)
.endr
  ld 10, ${8 * place.ctr}(5)
  std 10, ${8 * 34}(9)
  ld 10, ${8 * place.lr}(5)
  std 10, ${8 * 35}(9)
  std 14, ${8 * 36}(9)
  ld 10, ${8 * place.ccr}(5)
  std 10, ${8 * 37}(9)
  addi 9, 9, ${8 * (1 + stateWords)}
${address(11, 'scratch_memory')}
  li 10, ${scratch.size / 8}
  mtctr 10
1:ld 10, 0(11)
  std 10, 0(9)
  addi 11, 11, 8
  addi 9, 9, 8
  bdnz 1b
  std 9, 0(8)
prepare:
${address(10, 'inputs_end')}
  cmpd 7, 10
  beq done
.irp n, ${Array.from({ length: 33 }, (_, n) => n).join(', ')}
  ld 10, 8*\\n(7)
  std 10, 8*\\n(5)
.endr
  ld 10, ${8 * 33}(7)
  std 10, ${8 * place.ctr}(5)
  ld 10, ${8 * 34}(7)
  std 10, ${8 * place.lr}(5)
  ld 14, ${8 * 35}(7)
  std 14, ${8 * place.xer}(5)
  ld 10, ${8 * 36}(7)
  std 10, ${8 * place.ccr}(5)
  addi 7, 7, ${8 * stateWords}
  std 7, 0(6)
${address(11, 'scratch_memory')}
${address(7, 'pattern')}
  li 10, ${scratch.size / 8}
  mtctr 10
1:ld 10, 0(7)
  std 10, 0(11)
  addi 11, 11, 8
  addi 7, 7, 8
  bdnz 1b
  mtxer 14
  blr                           # to the trampoline of the signal frame
done:
${address(14, 'outputs')}
  sub 15, 9, 14
1:li 0, 4                       # write
  li 3, 1
  mr 4, 14
  mr 5, 15
  sc
  cmpdi 3, 0
  ble 2f
  add 14, 14, 3
  sub. 15, 15, 3
  bne 1b
2:li 0, 1                       # exit
  li 3, 0
  sc

.data
.balign 8
action: .quad handler, 0x08000004, 0, 0  # SA_ONSTACK, SA_SIGINFO
alternate: .quad stack, 0, 65536
next_input: .quad inputs
next_output: .quad outputs
inputs: .incbin "inputs"
inputs_end:
pattern: .incbin "pattern"
.section .code, "ax", %progbits
.incbin "code"
.section .scratch, "aw", %progbits
scratch_memory: .incbin "pattern"
.bss
.balign 16
stack: .skip 65536
outputs: .skip OUTPUTS
`;

/** The bytes at the code addresses. */
function codeBytes(cases: readonly Case[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(cases.length * code.slot));
  cases.forEach(({ word }, n) => {
    view.setUint32(placeOf(n) - code.address, word, true);
  });
  return new Uint8Array(view.buffer);
}

function inputBytes(cases: readonly Case[]): Uint8Array {
  const values = cases.flatMap(({ registers, ctr, lr, xer, condition }, n) => [
    ...registers,
    BigInt(placeOf(n)),
    ...[ctr, lr, xer, condition],
  ]);
  const view = new DataView(new ArrayBuffer(8 * values.length));
  values.forEach((value, i) => {
    view.setBigUint64(8 * i, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** Runs each case; `pattern` is what the scratch memory holds before each. */
export async function singleStep(folder: string, cases: readonly Case[], pattern: Uint8Array): Promise<Outcome[]> {
  const path = (name: string): string => join(folder, name);
  await writeFile(path('step.s'), program.replace('OUTPUTS', String(8 * outcomeWords * cases.length)));
  await writeFile(path('pattern'), pattern);
  await writeFile(path('code'), codeBytes(cases));
  await writeFile(path('inputs'), inputBytes(cases));
  const places = [`.code=0x${code.address.toString(16)}`, `.scratch=0x${scratch.address.toString(16)}`];
  const sections = places.map((each) => `-Wl,--section-start=${each}`);
  const options = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-o', 'step', 'step.s'];
  await run(`${platform.cross.prefix}gcc`, [...sections, ...options], { cwd: folder });
  const { stdout, error } = spawnSync('qemu-ppc64le', [path('step')], { maxBuffer: 1 << 28, timeout: 60_000 });
  if (error) throw error;
  const view = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  return Array.from({ length: Math.floor(stdout.length / (8 * outcomeWords)) }, (_, n) => {
    const start = 8 * outcomeWords * n;
    const word = (i: number): bigint => view.getBigUint64(start + 8 * i, true);
    return {
      signal: Number(word(0)),
      registers: Array.from({ length: 32 }, (_, register) => word(1 + register)),
      pc: word(33),
      ctr: word(34),
      lr: word(35),
      xer: word(36),
      condition: word(37),
      memory: Uint8Array.from(stdout.subarray(start + 8 * (1 + stateWords), start + 8 * outcomeWords)),
    };
  });
}
