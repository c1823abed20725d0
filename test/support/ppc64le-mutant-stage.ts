// The ppc64le program for `qemu-redirects.ts`.

import { decode, encode, field } from '../../src/arch/ppc64le/instructions.ts';
import { platform } from '../../src/arch/ppc64le/platform.ts';
import { proofFacts } from '../../src/arch/ppc64le/proof-facts.ts';
import { R_PPC64_REL16_HA } from '../../src/arch/ppc64le/relocations.ts';
import { CR0, LR } from '../../src/arch/ppc64le/state.ts';
import { mostEvents, room, type Stage, stack, stateFields, states, stops } from './qemu-redirects.ts';

const at = {
  text: 0x40000000,
  hook: 0x41000000,
  old: 0x41800000,
  stub: 0x42000000,
  area: 0x43000000,
  stack: 0x50000000,
};
const sp = at.stack + 0x8000;
/** r0–r31, LR and CR. */
const registers = [...Array.from({ length: 32 }, (_, n) => n), LR, CR0];
const [lrAt, crAt] = [8 * 32, 8 * 33];
const savedAt = 8 * stateFields;
const setSize = 8 * registers.length;
const [handlerSet, functionSet] = [savedAt + setSize, savedAt + 2 * setSize];
const memoryAt = savedAt + 3 * setSize;
const stateSize = memoryAt + stack.set;
const codeSize = 4 * (room.hook + room.stub + room.old);
const caseSize = codeSize + states * stateSize;
const event = 8 * (1 + registers.length) + stack.below + stack.above;
const block = 8 * 4 + mostEvents * event;
/** PACA_FTRACE_ENABLED and PACATOC as the stock hook has them, and where that finds function_trace_op. */
const flagAt = 2580;
const tocAt = 16;
const areaAfter = at.area + 2048;
/** Where the area has the ops, and what they are. */
const opsAt = 3072;
const ops = 0x600df00d0badcafen;
const toc = at.area + opsAt - ((346 << 16) - 1424);

const address = (register: number, symbol: string): string =>
  `  lis ${register}, ${symbol}@ha\n  addi ${register}, ${register}, ${symbol}@l`;
const each = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Writes down where it is. r31 is behind it the place; r0 and r3 to r7 are used up, r8 is the return address. */
const snapshot = (id: number): string => `
  mtctr 31
${address(31, 'next_event')}
  ld 31, 0(31)
${each(0, 30)
  .map((n) => `  std ${n}, ${8 * (1 + n)}(31)`)
  .join('\n')}
  mfctr 0
  std 0, ${8 * 32}(31)
  mflr 8
  std 8, ${8 + lrAt}(31)
  mfcr 0
  std 0, ${8 + crAt}(31)
  li 0, ${id}
  std 0, 0(31)
  lis 4, ${(sp - stack.below) >> 16}
  ori 4, 4, ${(sp - stack.below) & 0xffff}
  addi 4, 4, -8
  addi 5, 31, ${event - stack.below - stack.above - 8}
  li 0, ${(stack.below + stack.above) / 8}
  mtctr 0
1:ldu 0, 8(4)
  stdu 0, 8(5)
  bdnz 1b
${address(5, 'next_event')}
  addi 4, 31, ${event}
  std 4, 0(5)
${address(5, 'block')}
  ld 4, 24(5)
  addi 4, 4, 1
  std 4, 24(5)
  cmpdi 4, ${mostEvents}
  bgt give_up`;

/** What any call does to the stack: r4, r5 and r6 are used up, r6 is what is written. */
const useStack = `
  addi 4, 1, -704
  li 5, 176
  mtctr 5
  lis 6, 0x5a5a
1:stw 6, 0(4)
  addi 4, 4, 4
  bdnz 1b
  std 6, 8(1)
  std 6, 16(1)`;

/** The registers that calls change, from r9 on, and on to r8. */
const changeRegisters = `
  mtctr 8
  ld 0, ${crAt}(9)
  mtcrf 0xc7, 0
  ld 0, ${lrAt}(9)
  mtlr 0
${[0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 9].map((n) => `  ld ${n}, ${8 * n}(9)`).join('\n')}
  bctr`;

/** Whoever has slept may be on another processor. */
const otherArea = `  lis 13, ${areaAfter >> 16}\n  ori 13, 13, ${areaAfter & 0xffff}`;

const currentState = `${address(9, 'state')}\n  ld 9, 0(9)`;

const program = `
.abiversion 2
.text
.globl _start, new_function, old_code, back, tracer, handler
handler:                        # r3: what it is told, r6: the saved registers
${snapshot(stops.handler)}
  ld 3, ${8 * (1 + 3)}(31)
  ld 6, ${8 * (1 + 6)}(31)
  ld 31, ${8 * 32}(31)
${currentState}
${address(7, 'block')}
  std 3, 8(7)
  ld 5, 8(9)
  cmpdi 5, 0
  beq 2f
  std 5, 256(6)                 # nip
2:ld 5, 16(9)
  cmpdi 5, 0
  beq 2f
  std 5, 288(6)                 # link
2:
${useStack}
  addi 9, 9, ${handlerSet}
${changeRegisters}

new_function:
${snapshot(stops.newFunction)}
${currentState}
${useStack}
  ld 5, 40(9)
  cmpdi 5, 0
  beq 2f
  std 6, 24(1)                  # a sibling call
2:ld 5, 32(9)
  cmpdi 5, 0
  beq 2f
  addi 4, 1, 32
  add 5, 1, 5
1:std 6, 0(4)
  addi 4, 4, 8
  cmpld 4, 5
  blt 1b
2:addi 9, 9, ${functionSet}
  ld 31, ${8 * 32}(31)          # as it was
${otherArea}
${changeRegisters}

old_code:
${snapshot(stops.oldCode)}
${currentState}
  ld 5, ${8 * 3}(31)            # r2 it keeps
  std 5, ${functionSet + 16}(9)
  lis 1, ${sp >> 16}
  ori 1, 1, ${sp & 0xffff}
${useStack}
  ld 0, ${savedAt + crAt}(9)
  mtcrf 255, 0
${each(13, 31)
  .map((n) => `  ld ${n}, ${savedAt + 8 * n}(9)`)
  .join('\n')}
  addi 9, 9, ${functionSet}
${otherArea}
${changeRegisters}

back:
${snapshot(stops.back)}
  b next_state
tracer:
${snapshot(stops.tracer)}
  ld 3, ${8 * (1 + 3)}(31)
  ld 4, ${8 * (1 + 4)}(31)
  ld 2, ${8 * (1 + 2)}(31)
  ld 0, ${8 + crAt}(31)          # what it gives back
  mtcrf 255, 0
  ld 31, ${8 * 32}(31)
  lis 0, 0x5a5a                 # and what it does not
${[5, 6, 7, 8, 9, 10, 11, 12].map((n) => `  mr ${n}, 0`).join('\n')}
  mtctr 0
  mtlr 0
  b back

give_up:
  li 0, 1
  li 3, 1
  sc

_start:
${address(14, 'cases')}
${address(15, 'cases_end')}
  li 16, 0                      # the number of the next state
next_case:
  cmpld 14, 15
  bge done
  li 0, 2                       # fork
  sc
  cmpdi 3, 0
  beq child
  li 0, 114                     # wait4
  li 3, -1
  li 4, 0
  li 5, 0
  li 6, 0
  sc
  addi 14, 14, ${caseSize & 0x7fff}
  addis 14, 14, ${(caseSize - (caseSize & 0x7fff)) >> 16}
  addi 16, 16, ${states}
  b next_case
done:
  li 0, 1                       # exit
  li 3, 0
  sc

child:
  li 0, 104                     # setitimer
  li 3, 0
${address(4, 'limit')}
  li 5, 0
  sc
  mr 3, 14
${(
  [
    ['hook_text', room.hook],
    ['stub_text', room.stub],
    ['old_text', room.old],
  ] as const
)
  .map(
    ([symbol, words]) => `${address(4, symbol)}
  li 5, ${words}
  mtctr 5
1:lwz 6, 0(3)
  stw 6, 0(4)
  addi 3, 3, 4
  addi 4, 4, 4
  bdnz 1b`,
  )
  .join('\n')}
${address(4, 'state')}
  std 3, 0(4)
${address(4, 'number')}
  std 16, 0(4)
${address(4, 'left')}
  li 5, ${states}
  std 5, 0(4)

run_state:
${currentState}
${address(4, 'block')}
${address(5, 'number')}
  ld 5, 0(5)
  std 5, 0(4)
  li 5, 0
  std 5, 8(4)
  std 5, 16(4)
  std 5, 24(4)
  addi 5, 4, 32
${address(6, 'next_event')}
  std 5, 0(6)
${address(4, 'area')}
  ld 5, 48(9)                   # a mutant may look at another byte
  addi 4, 4, ${tocAt + 7}
  li 6, 3000
  mtctr 6
1:stbu 5, 1(4)
  bdnz 1b
  addi 4, 9, ${memoryAt}
  lis 5, ${sp >> 16}
  ori 5, 5, ${sp & 0xffff}
  li 6, ${stack.set / 8}
  mtctr 6
1:ld 6, 0(4)
  std 6, 0(5)
  addi 4, 4, 8
  addi 5, 5, 8
  bdnz 1b
  ld 0, 0(9)
  mtctr 0
  addi 9, 9, ${savedAt}
  ld 0, ${lrAt}(9)
  mtlr 0
  ld 0, ${crAt}(9)
  mtcrf 255, 0
${each(0, 31)
  .filter((n) => n !== 9)
  .map((n) => `  ld ${n}, ${8 * n}(9)`)
  .join('\n')}
  ld 9, 72(9)
  bctr

next_state:
  li 0, 4                       # write
  li 3, 1
${address(4, 'block')}
  li 5, ${block}
  sc
${address(4, 'number')}
  ld 5, 0(4)
  addi 5, 5, 1
  std 5, 0(4)
${address(4, 'state')}
  ld 5, 0(4)
  addi 5, 5, ${stateSize}
  std 5, 0(4)
${address(4, 'left')}
  ld 5, 0(4)
  addi 5, 5, -1
  std 5, 0(4)
  cmpdi 5, 0
  bne run_state
  b done

.data
.balign 8
limit: .quad 0, 0, 2, 0         # two seconds
state: .quad 0
number: .quad 0
left: .quad 0
next_event: .quad 0
block: .space ${block + event}
cases: .incbin "cases"
cases_end:
.section .hook, "awx", %progbits
hook_text: .space ${4 * room.hook}
.section .old, "awx", %progbits
old_text: .space ${4 * room.old}
.section .stubs, "awx", %progbits
stub_text: .space ${4 * room.stub}
.section .area, "aw", %progbits
area: .space ${tocAt}
.quad ${toc}
.space ${opsAt - tocAt - 8}
.quad ${ops}
.space 2048
.section .stackmemory, "aw", %progbits
.space 65536
`;

const low = (value: number): number => value & 0xffff;

export const ppc64leStage: Stage = {
  facts: proofFacts,
  platform,
  qemu: 'qemu-ppc64le',
  program,
  sections: {
    '.text': at.text,
    '.hook': at.hook,
    '.old': at.old,
    '.stubs': at.stub,
    '.area': at.area,
    '.stackmemory': at.stack,
  },
  compilerFlags: [],
  registers,
  places: {
    old: BigInt(at.old),
    stub: BigInt(at.stub),
    sp: BigInt(sp),
    area: BigInt(at.area),
    areaAfter: BigInt(areaAfter),
    toc: BigInt(toc),
    ops,
  },
  hookAt: BigInt(at.hook),
  hook({ hook }, symbols) {
    const call = Number(hook.handlerCall - hook.entry);
    return Array.from({ length: room.hook }, (_, i) => {
      if (4 * i === call) return encode('bl', { LI: Number(symbols.get('handler')!) - at.hook - call });
      const word = hook.word(hook.entry + BigInt(4 * i)) ?? 0;
      // Not for users; any number does.
      return decode(word)?.encoding.name === 'mfmsr'
        ? encode('addi', { RT: field('RT', word), 'RA|0': 0, SI: 7 })
        : word;
    });
  },
  old({ redirect }, symbols) {
    const words = [...redirect.prologue];
    const site = at.old + 4 * (words.length - 1);
    words[words.length - 1] = encode('bl', { LI: at.hook - site });
    return [...words, encode('b', { LI: Number(symbols.get('old_code')!) - site - 4 })];
  },
  stub({ redirect }, newFunction) {
    const words = [...redirect.stub.words];
    for (const { offset, type, addend } of redirect.stub.relocations) {
      const value = Number(newFunction + addend) - at.stub - offset;
      const half = type === R_PPC64_REL16_HA ? (value + 0x8000) >> 16 : value;
      words[offset / 4] = ((words[offset / 4]! & 0xffff0000) | low(half)) >>> 0;
    }
    return words;
  },
  flagAt,
};
