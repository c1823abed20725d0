// The ARM program for `qemu-redirects.ts`. The kernel's hook is where the kernel has it.

import { encode } from '../../src/arch/arm/instructions.ts';
import { platform } from '../../src/arch/arm/platform.ts';
import { proofFacts } from '../../src/arch/arm/proof-facts.ts';
import { N } from '../../src/arch/arm/state.ts';
import type { Hook } from '../../src/prove/redirect.ts';
import { mostEvents, room, type Stage, stack, stateFields, states, stops } from './qemu-redirects.ts';

const at = { text: 0xbf800000, old: 0xc0800000, stub: 0xbf000000, stack: 0xc5000000 };
const sp = at.stack + 0x8000;
/** What handlers are called with. */
const ops = 0x600df00d;
/** r0–r14, and the flags. */
const registers = [...Array.from({ length: 15 }, (_, n) => n), N];
const [SP, LR] = [13, 14];
const savedAt = 4 * stateFields;
const setSize = 4 * registers.length;
const [handlerSet, functionSet] = [savedAt + setSize, savedAt + 2 * setSize];
const memoryAt = savedAt + 3 * setSize;
const stateSize = memoryAt + stack.set;
const caseSize = 4 * (room.hook + room.stub + room.old) + states * stateSize;
const event = 4 * (1 + registers.length) + stack.below + stack.above;
const block = 4 * 4 + mostEvents * event;

/** Writes down where it is. r0 to r2 and ip are used up; r3 is behind it the place. */
const snapshot = (id: number): string => `
  vmov s0, ip
  ldr ip, =next_event
  ldr ip, [ip]
  add ip, ip, #4
  stmia ip!, {r0-r11}
  vmov r0, s0
  str r0, [ip], #4
  str sp, [ip], #4
  str lr, [ip], #4
  mrs r0, cpsr
  str r0, [ip], #4
  ldr r0, =${sp - stack.below}
  mov r1, #${(stack.below + stack.above) / 4}
1:ldr r2, [r0], #4
  str r2, [ip], #4
  subs r1, r1, #1
  bne 1b
  ldr r0, =next_event
  ldr r3, [r0]
  str ip, [r0]
  ldr r0, =block
  ldr r1, [r0, #12]
  add r1, r1, #1
  str r1, [r0, #12]
  cmp r1, #${mostEvents}
  bgt give_up
  mov r0, #${id}
  str r0, [r3]`;

/** What any call does to the stack; r0 to r2 are used up, r2 is what is written. */
const useStack = `
  sub r0, sp, #704
  mov r1, #176
  ldr r2, =0x5a5a5a5a
1:str r2, [r0], #4
  subs r1, r1, #1
  bne 1b`;

/** The registers that calls change, from r3 on, and on to where lr led. */
const changeRegisters = `
  str lr, return_to
  ldr r0, [r3, #${4 * 15}]
  msr cpsr_f, r0
  ldr lr, [r3, #${4 * LR}]
  ldr ip, [r3, #48]
  ldmia r3, {r0-r3}
  ldr pc, return_to`;

const currentState = '  ldr r3, =state\n  ldr r3, [r3]';

/** The loop that copies so many words to a section. */
const copy = (symbol: string, words: number): string => `
  ldr r1, =${symbol}
  mov r2, #${words}
1:ldr r3, [r0], #4
  str r3, [r1], #4
  subs r2, r2, #1
  bne 1b`;

const programFor = (graphSite: number): string => `
.syntax unified
.arm
.fpu vfp
.section .stage, "awx", %progbits
.globl _start, new_function, old_code, back, tracer, handler
handler:                        @ r0: what it is told, r3: the saved registers
${snapshot(stops.handler)}
  ldr ip, [r3, #16]
  ldr r0, [r3, #4]
  ldr r1, =block
  str r0, [r1, #4]
${currentState}
  ldr r1, [r3, #4]
  cmp r1, #0
  strne r1, [ip, #60]           @ pc
${useStack}
  add r3, r3, #${handlerSet}
${changeRegisters}
return_to: .word 0

graph_tracer:                   @ r0: where the return address is, r1: what it is told
${snapshot(stops.graphTracer)}
  ldr r0, [r3, #4]
  ldr r1, [r3, #8]
  ldr r2, =block
  str r1, [r2, #8]
${currentState}
  ldr r1, [r3, #12]
  cmp r1, #0
  strne r1, [r0]
${useStack}
  add r3, r3, #${handlerSet}
${changeRegisters}
.ltorg

new_function:
${snapshot(stops.newFunction)}
${currentState}
${useStack}
  ldr r1, [r3, #16]
  mov r0, sp
  add r1, r0, r1
1:cmp r0, r1
  bhs 2f
  str r2, [r0], #4
  b 1b
2:add r3, r3, #${functionSet}
${changeRegisters}
.ltorg

old_code:
${snapshot(stops.oldCode)}
${currentState}
  ldr sp, =${sp}
${useStack}
  add r0, r3, #${savedAt + 16}
  ldmia r0, {r4-r11}
  add r3, r3, #${functionSet}
${changeRegisters}
.ltorg

back:
${snapshot(stops.back)}
  b next_state
.ltorg
tracer:
${snapshot(stops.tracer)}
  add r3, r3, #4                @ what it gives back, and of ip and lr nothing
  ldmia r3, {r0-r3}
  ldr ip, =0x5a5a5a5a
  mov lr, ip
  b back
.ltorg

give_up:
  mov r7, #1
  mov r0, #1
  svc #0
.ltorg

_start:
  ldr r8, =cases
  mov r9, #0                    @ the number of the next state
next_case:
  ldr r0, =cases_end
  cmp r8, r0
  bhs done
  mov r7, #2                    @ fork
  svc #0
  cmp r0, #0
  beq child
  mov r7, #114                  @ wait4
  mvn r0, #0
  mov r1, #0
  mov r2, #0
  mov r3, #0
  svc #0
  ldr r0, =${caseSize}
  add r8, r8, r0
  add r9, r9, #${states}
  b next_case
done:
  mov r7, #1                    @ exit
  mov r0, #0
  svc #0

child:
  mov r7, #104                  @ setitimer
  mov r0, #0
  ldr r1, =limit
  mov r2, #0
  svc #0
  mov r0, r8
${copy('hook_text', room.hook)}
${copy('stub_text', room.stub)}
${copy('old_text', room.old)}
  ldr r1, =state
  str r0, [r1]
  ldr r1, =number
  str r9, [r1]
  ldr r1, =left
  mov r2, #${states}
  str r2, [r1]

run_state:
${currentState}
  ldr r0, =block
  ldr r1, =number
  ldr r1, [r1]
  str r1, [r0]
  mov r1, #0
  str r1, [r0, #4]
  str r1, [r0, #8]
  str r1, [r0, #12]
  add r1, r0, #16
  ldr r2, =next_event
  str r1, [r2]
  ldr r0, =${graphSite}
  ldr r1, [r3, #28]
  str r1, [r0]
  add r0, r3, #${memoryAt & 0xff}
  add r0, r0, #${memoryAt & ~0xff}
  ldr r1, =${sp}
  mov r2, #${stack.set / 4}
1:ldr r4, [r0], #4
  str r4, [r1], #4
  subs r2, r2, #1
  bne 1b
  ldr r0, [r3]
  str r0, start_at
  add ip, r3, #${savedAt}
  ldr r0, [ip, #${4 * 15}]
  msr cpsr_f, r0
  ldr lr, [ip, #${4 * LR}]
  ldr sp, [ip, #${4 * SP}]
  ldmia ip, {r0-r11}
  ldr ip, [ip, #48]
  ldr pc, start_at
start_at: .word 0

next_state:
  mov r7, #4                    @ write
  mov r0, #1
  ldr r1, =block
  ldr r2, =${block}
  svc #0
  ldr r0, =number
  ldr r1, [r0]
  add r1, r1, #1
  str r1, [r0]
  ldr r0, =state
  ldr r1, [r0]
  ldr r2, =${stateSize}
  add r1, r1, r2
  str r1, [r0]
  ldr r0, =left
  ldr r1, [r0]
  subs r1, r1, #1
  str r1, [r0]
  bne run_state
  b done
.ltorg

.data
.align 3
limit: .word 0, 0, 2, 0         @ two seconds
state: .word 0
number: .word 0
left: .word 0
next_event: .word 0
block: .space ${block + event}
cases: .incbin "cases"
cases_end:
.section .hook, "awx", %progbits
hook_text: .space ${4 * room.hook}
.section .tracer, "awx", %progbits
  b graph_tracer
.section .old, "awx", %progbits
old_text: .space ${4 * room.old}
.section .stubs, "awx", %progbits
stub_text: .space ${4 * room.stub}
.section .trace_op, "aw", %progbits
.word ${ops}
.section .stackmemory, "aw", %progbits
.space 65536
`;

const branch = (name: 'B' | 'BL', from: number, to: number): number =>
  encode(name, { imm24: ((to - from - 8) >> 2) & 0xffffff });

/** The stage for one kernel's hook. */
export function armStage(hook: Hook): Stage {
  const entry = Number(hook.entry);
  const { site, goesTo, callee } = hook.graph!;
  return {
    facts: proofFacts,
    platform,
    qemu: 'qemu-arm',
    program: programFor(Number(site)),
    sections: {
      '.stage': at.text,
      '.hook': entry,
      '.tracer': Number(callee),
      '.old': at.old,
      '.stubs': at.stub,
      '.trace_op': Number(hook.ops),
      '.stackmemory': at.stack,
    },
    compilerFlags: ['-march=armv7-a'],
    registers,
    places: {
      old: BigInt(at.old),
      stub: BigInt(at.stub),
      sp: BigInt(sp),
      area: 0n,
      areaAfter: 0n,
      toc: 0n,
      ops: BigInt(ops),
    },
    hookAt: hook.entry,
    hook(mutant, symbols) {
      return Array.from({ length: room.hook }, (_, i) => {
        const address = mutant.hook.entry + BigInt(4 * i);
        if (address === mutant.hook.handlerCall) return branch('BL', Number(address), Number(symbols.get('handler')!));
        return mutant.hook.word(address) ?? 0;
      });
    },
    old({ redirect }, symbols) {
      const words = [...redirect.prologue];
      const call = at.old + 4 * (words.length - 1);
      words[words.length - 1] = branch('BL', call, entry);
      return [...words, branch('B', call + 4, Number(symbols.get('old_code')!))];
    },
    stub({ redirect }, newFunction) {
      const words = [...redirect.stub.words];
      for (const { offset } of redirect.stub.relocations)
        words[offset / 4] = branch('B', at.stub + offset, Number(newFunction));
      return words;
    },
    graphWord: (mutant, graph) => (graph ? branch('B', Number(site), Number(goesTo)) : mutant.hook.word(site)!),
  };
}
