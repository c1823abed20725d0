// The stock ARM kernel's text as a program under qemu-user, so that redirects can be run as they run in the kernel:
// each old function at its own address and with its own words, the kernel's own `ftrace_regs_caller`, and stubs in
// the module area.
//
// What ftrace writes at run time is written into the copy of the text: the call sites call the hook, and the hook
// calls a handler. Ours does what a handler may do at its worst, changes all that a call may change and writes all
// over the stack below sp, and puts a stub's address where the hook keeps the pc.

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallSite, Stub } from '../../src/arch/arch.ts';
import { encode } from '../../src/arch/arm/instructions.ts';
import { platform } from '../../src/arch/arm/platform.ts';
import { run } from '../../src/host/run.ts';
import type { KernelImage } from '../../src/kernel/image.ts';
import { handlersOps } from './handlers-ops.ts';

/** What the caller puts into r0–r11, and into the words at sp and above. */
export const marks = {
  register: (register: number) => 0x5000 + register,
  stackArgument: (n: number) => 0xa000 + n,
} as const;

/** What the new function found when it was entered. */
export interface Landing {
  /** r0–r11, sp and lr. */
  readonly registers: readonly number[];
  readonly stackArguments: readonly number[];
  /** What sp and lr must be. */
  readonly callersSp: number;
  readonly returnAddress: number;
}

const stackArguments = 16;
const seenWords = 12 + 2 + stackArguments + 2;

/** Both in the module area, in reach of a branch from all of the kernel's text. */
const programAddress = 0xbe800000;
const stubsAddress = 0xbf000000;

const branch = (name: 'B' | 'BL', from: number, to: number): number =>
  encode(name, { imm24: ((to - from - 8) >> 2) & 0xffffff });

const program = (ranges: number): string => `
.syntax unified
.arm
.text
.globl _start
handler:                        @ first, so that its address is known; r3 is what the hook saved
  ldr r0, =stub
  ldr r0, [r0]
  str r0, [r3, #60]             @ S_PC
  mov r0, #0
  mov r1, #300
1:mvn r2, r1
  rsb ip, r1, #0
  str r2, [sp, ip]              @ as an interrupt would
  subs r1, r1, #4
  bne 1b
  mov r1, #1
  mov r2, #2
  mov r3, #3
  mov ip, #12
  cmp r1, r1
  bx lr

new_function:
  ldr ip, =seen
  stmia ip!, {r0-r11}
  str sp, [ip], #4
  str lr, [ip], #4
  ldr r0, =callers_sp
  ldr sp, [r0]                  @ what the stub left may be no stack at all
.irp n, ${Array.from({ length: stackArguments }, (_, n) => n).join(', ')}
  ldr r0, [sp, #4*\\n]
  str r0, [ip], #4
.endr
  ldr r0, =callers_sp
  ldr r0, [r0]
  ldr r1, =returned
  stmia ip, {r0, r1}
  b returned

_start:
  ldr r9, =cases
  ldr r10, =cases_end
next:
  cmp r9, r10
  bhs done
  ldmia r9!, {r7, r8}           @ the old function, its stub
  push {r9, r10}
  ldr r0, =stub
  str r8, [r0]
  ldr r0, =own_sp
  str sp, [r0]
  mov ip, r7
  sub sp, sp, #16384
.irp n, ${Array.from({ length: stackArguments }, (_, n) => n).join(', ')}
  ldr r0, =${marks.stackArgument(0)}+\\n
  str r0, [sp, #4*\\n]
.endr
  ldr r0, =callers_sp
  str sp, [r0]
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  ldr r\\n, =${marks.register(0)}+\\n
.endr
  ldr lr, =returned
  bx ip
returned:
  ldr r0, =own_sp
  ldr sp, [r0]
  pop {r9, r10}
  mov r7, #4                    @ write
  mov r0, #1
  ldr r1, =seen
  mov r2, #${4 * seenWords}
  svc #0
  b next
done:
  mov r7, #1                    @ exit
  mov r0, #0
  svc #0
.ltorg

.data
.align 2
cases: .incbin "cases"
cases_end:
.bss
.align 3
stub: .skip 4
own_sp: .skip 4
callers_sp: .skip 4
seen: .skip ${4 * seenWords}
.globl new_function

.section .stubs, "awx", %progbits
.incbin "stubs"
.section .hook_data, "aw", %progbits
.word 0
${Array.from({ length: ranges }, (_, i) => `.section .kernel${i}, "awx", %progbits\n.incbin "text${i}"`).join('\n')}
`;

const bytesOf = (words: readonly number[]): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return new Uint8Array(view.buffer);
};

/**
 * Calls each old function with its stub in place; `folder` is for the program. Returns what the new function found, one
 * a case; fewer if the program ended before.
 */
export async function playAll(
  folder: string,
  image: KernelImage,
  cases: readonly { readonly site: CallSite; readonly stub: Stub }[],
): Promise<Landing[]> {
  const hook = Number(image.symbol('ftrace_regs_caller'));
  const hooksCall = Number(image.symbol('ftrace_regs_call'));
  const texts = image.textRanges.map(({ start, end }) => ({
    start: Number(start),
    bytes: Uint8Array.from(image.bytes(start, Number(end - start))!),
  }));
  const poke = (address: number, word: number): void => {
    const text = texts.find(({ start, bytes }) => address >= start && address < start + bytes.length)!;
    new DataView(text.bytes.buffer).setUint32(address - text.start, word, true);
  };
  poke(hooksCall, branch('BL', hooksCall, programAddress));

  const pairs: number[] = [];
  const stubs: number[] = [];
  const branches: number[] = [];
  for (const { site, stub } of cases) {
    poke(Number(site.address), branch('BL', Number(site.address), hook));
    pairs.push(Number(site.function), stubsAddress + 4 * stubs.length);
    for (const { offset } of stub.relocations) branches.push(stubs.length + offset / 4);
    stubs.push(...stub.words.map(({ word }) => word));
  }

  const path = (name: string): string => join(folder, name);
  const pointer = Number(handlersOps(image));
  await writeFile(path('stage.s'), program(texts.length));
  await writeFile(path('cases'), bytesOf(pairs));
  for (const [i, { bytes }] of texts.entries()) await writeFile(path(`text${i}`), bytes);

  const sections = [
    `.text=0x${programAddress.toString(16)}`,
    `.stubs=0x${stubsAddress.toString(16)}`,
    `.hook_data=0x${pointer.toString(16)}`,
    ...texts.map(({ start }, i) => `.kernel${i}=0x${start.toString(16)}`),
  ];
  // Linked twice: first to learn where new_function is, then with the stubs' branches to it.
  const link = async (): Promise<void> => {
    await writeFile(path('stubs'), bytesOf(stubs));
    const options = ['-march=armv7-a', '-nostdlib', '-static', '-Wl,--build-id=none', '-o', 'stage', 'stage.s'];
    const places = sections.map((section) => `-Wl,--section-start=${section}`);
    await run(`${platform.cross.prefix}gcc`, [...places, ...options], { cwd: folder });
  };
  await link();
  const { stdout } = await run(`${platform.cross.prefix}nm`, ['stage'], { cwd: folder });
  const newFunction = Number.parseInt(/^(\w+) T new_function$/m.exec(stdout)![1]!, 16);
  for (const at of branches) stubs[at] = branch('B', stubsAddress + 4 * at, newFunction);
  await link();

  const { stdout: seen, error } = spawnSync('qemu-arm', [path('stage')], { maxBuffer: 1 << 28, timeout: 120_000 });
  if (error) throw error;
  const view = new DataView(seen.buffer, seen.byteOffset, seen.byteLength);
  const word = (i: number): number => view.getUint32(4 * i, true);
  return Array.from({ length: Math.floor(seen.length / (4 * seenWords)) }, (_, i) => {
    const words = Array.from({ length: seenWords }, (_, n) => word(i * seenWords + n));
    return {
      registers: words.slice(0, 14),
      stackArguments: words.slice(14, 14 + stackArguments),
      callersSp: words[seenWords - 2]!,
      returnAddress: words[seenWords - 1]!,
    };
  });
}
