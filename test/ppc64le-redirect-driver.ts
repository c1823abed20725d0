// A stage for one redirect on a real (emulated) ppc64le: a caller, the old function, a hook, the stub under test and a
// new function, in one program without a C library. The program writes down what the new function finds when it is
// entered and what the caller finds when it is back; the test compares that with what the ABI promises.
//
// Nothing in it trusts the stub: the new function uses up everything that the ABI lets a function use up, its caller's
// parameter area and its caller's TOC slot included, and the hook leaves less than the kernel's does: r0 is destroyed, and
// nothing stands at 16(r1).

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stub } from '../src/arch/arch.ts';
import { platform } from '../src/arch/ppc64le/platform.ts';
import { run } from '../src/host/run.ts';

/** What the caller puts into places that must survive, or that must arrive. */
export const marks = {
  /** r3 and the following: `argument(1)` to `argument(8)`, then the stack. */
  argument: (n: number) => 0x100n + BigInt(n),
  /** r14 to r31. */
  saved: (register: number) => 0x5000n + BigInt(register),
  threadPointer: 0x1313n,
  staticChain: 0x1111n,
  callersToc: 0x2222n,
  newToc: 0x3333n,
  callersTocSlot: 0x2424n,
  results: [0x7003n, 0x7004n],
  /** CR2–CR4 are 0xa, 5 and 6: the fields that belong to the caller. */
  conditions: 0x00a5_6000n,
  floatArgument: 0x4000_0000_0000_0000n,
  floatSaved: 0x4100_0000_0000_0000n,
  floatResult: 0x4200_0000_0000_0000n,
} as const;

export interface Stage {
  /** `local`: called at the local entry, with the old function's TOC in r2; `module`: called through its global entry. */
  readonly caller: 'local' | 'module';
  /** Whether the old function sets up a TOC pointer. */
  readonly tocSetUp: boolean;
  /** Arguments that the caller leaves on the stack. */
  readonly stackArguments: number;
  readonly stub: Stub;
}

/** Registers and memory as one side saw them. `r` has all 32 general registers. */
export interface Seen {
  readonly r: readonly bigint[];
  readonly lr: bigint;
  readonly cr: bigint;
  readonly f1: bigint;
  readonly f14: bigint;
}

export interface Landing {
  readonly newFunction: Seen & {
    readonly stackArguments: readonly bigint[];
    /** Frames that the back chain leads through, from the new function's caller on, with the LR save of each. */
    readonly frames: readonly { readonly sp: bigint; readonly lr: bigint }[];
  };
  readonly caller: Seen & { readonly tocSlot: bigint; readonly locals: readonly bigint[] };
  /** Addresses in the program. */
  readonly at: {
    readonly newFunction: bigint;
    readonly afterCall: bigint;
    readonly stub: bigint;
    readonly stubEnd: bigint;
  };
  readonly callersSp: bigint;
  readonly oldToc: bigint;
}

/** Bytes of each frame on the stage, and where it keeps what it saw. */
const callersFrame = 4096;
const seenAt = 1024;
/** r0–r31, LR, CR, f1, f14. */
const seenSize = 8 * 36;
const localsAt = 2048;
const locals = 16;
/** The old function's TOC pointer is its address plus this. */
const oldTocOffset = 0x10100n;

/** Stores everything at `seenAt` above r1. r0 is destroyed. */
const see = [
  ...Array.from({ length: 32 }, (_, r) => `std ${r}, ${seenAt + 8 * r}(1)`),
  'mflr 0',
  `std 0, ${seenAt + 8 * 32}(1)`,
  'mfcr 0',
  `std 0, ${seenAt + 8 * 33}(1)`,
  `stfd 1, ${seenAt + 8 * 34}(1)`,
  `stfd 14, ${seenAt + 8 * 35}(1)`,
];

const load = (register: number, value: bigint) => [
  `lis ${register}, ${Number(value >> 16n) & 0xffff}`,
  `ori ${register}, ${register}, ${value & 0xffffn}`,
];

/** A number whose upper eight bits alone are not zero. */
const loadFloat = (register: number, value: bigint) => [
  `li 0, ${value >> 56n}`,
  'sldi 0, 0, 56',
  'std 0, 1000(1)',
  `lfd ${register}, 1000(1)`,
];

const write = (base: string, size: number) => [`mr 4, ${base}`, 'li 0, 4', 'li 3, 1', `li 5, ${size}`, 'sc'];

function program({ caller, tocSetUp, stackArguments, stub }: Stage): string {
  const registers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const relocation = new Map(stub.relocations.map((r) => [r.offset, r]));
  return [
    '.abiversion 2',
    '.text',
    '.globl _start',
    '_start:',
    `stdu 1, -${callersFrame}(1)`,
    // The caller's own: what nobody may touch.
    ...registers(0, locals - 1).flatMap((i) => [...load(0, marks.saved(i)), `std 0, ${localsAt + 8 * i}(1)`]),
    ...load(0, marks.callersTocSlot),
    'std 0, 24(1)',
    ...registers(1, stackArguments).flatMap((i) => [
      ...load(0, marks.argument(8 + i)),
      `std 0, ${96 + 8 * (i - 1)}(1)`,
    ]),
    ...loadFloat(1, marks.floatArgument),
    ...loadFloat(14, marks.floatSaved),
    ...load(0, marks.conditions),
    'mtcrf 255, 0',
    ...registers(3, 10).flatMap((r) => load(r, marks.argument(r - 2))),
    ...load(11, marks.staticChain),
    ...load(13, marks.threadPointer),
    ...registers(14, 31).flatMap((r) => load(r, marks.saved(r))),
    ...load(2, marks.callersToc),
    'lis 12, old_function@ha',
    'addi 12, 12, old_function@l',
    ...(caller === 'module'
      ? ['mtctr 12', 'bctrl']
      : [...(tocSetUp ? ['addis 2, 12, 1', 'addi 2, 2, 256'] : []), ...load(12, 0xdeadn), 'bl old_function_local']),
    'after_call:',
    ...see,
    // Everything is in the frame now, so registers are free.
    'lis 31, seen_by_new@ha',
    'addi 31, 31, seen_by_new@l',
    ...write('31', newSize(stackArguments)),
    `addi 31, 1, ${seenAt}`,
    ...write('31', seenSize),
    'addi 31, 1, 24',
    ...write('31', 8),
    `addi 31, 1, ${localsAt}`,
    ...write('31', 8 * locals),
    'lis 31, addresses@ha',
    'addi 31, 31, addresses@l',
    'std 1, 0(31)',
    ...write('31', 8 * 6),
    'li 0, 1',
    'li 3, 0',
    'sc',

    '.balign 16',
    'old_function:',
    ...(tocSetUp ? ['addis 2, 12, 1', 'addi 2, 2, 256'] : []),
    'old_function_local:',
    'mflr 0',
    'bl hook',
    'trap',

    // What arch/powerpc/kernel/trace/ftrace_mprofile.S leaves, and less.
    'hook:',
    'stdu 1, -528(1)',
    'std 11, 200(1)',
    'std 12, 208(1)',
    'mtlr 0',
    'li 0, 256',
    'mtctr 0',
    'addi 12, 1, -2600',
    'li 11, -1',
    '1: stdu 11, 8(12)',
    'bdnz 1b',
    'mtcrf 0xc7, 11',
    'mtxer 11',
    'lis 11, stub@ha',
    'addi 11, 11, stub@l',
    'mtctr 11',
    'ld 11, 200(1)',
    'ld 12, 208(1)',
    'li 0, -1',
    'addi 1, 1, 528',
    'bctr',

    '.balign 16',
    'stub:',
    ...stub.words.flatMap(({ word }, i) => {
      const r = relocation.get(4 * i);
      const name = r && { 250: 'R_PPC64_REL16_LO', 252: 'R_PPC64_REL16_HA' }[r.type];
      if (r && !name) throw new Error(`the driver has no name for relocation ${r.type}`);
      return [...(r ? [`.reloc ., ${name}, new_function + ${r.addend}`] : []), `.long 0x${word.toString(16)}`];
    }),
    'stub_end:',

    // Far enough for the upper half of its distance to matter.
    '.space 0x28000',
    '.balign 16',
    'new_function:',
    `stdu 1, -${callersFrame}(1)`,
    ...see,
    'mflr 0',
    `std 0, ${callersFrame + 16}(1)`,
    'lis 31, seen_by_new@ha',
    'addi 31, 31, seen_by_new@l',
    ...copy(seenAt, 0, seenSize / 8),
    ...copy(callersFrame + 96, seenSize, stackArguments),
    // The back chain, three frames up.
    'ld 30, 0(1)',
    ...registers(0, 1).flatMap((i) => {
      const at = seenSize + 8 * stackArguments + 16 * i;
      return [`std 30, ${at}(31)`, 'ld 29, 16(30)', `std 29, ${at + 8}(31)`, 'ld 30, 0(30)'];
    }),
    // Use up what a function may use up, memory of its caller's frame included: the CR save, the TOC slot (as a tail call
    // through a loader's stub does), the parameter area.
    'li 0, -1',
    `std 0, ${callersFrame + 8}(1)`,
    `std 0, ${callersFrame + 24}(1)`,
    ...registers(0, 7 + stackArguments).map((i) => `std 0, ${callersFrame + 32 + 8 * i}(1)`),
    'mtcrf 0xc7, 0',
    'mtxer 0',
    'mtctr 0',
    ...registers(5, 12).map((r) => `li ${r}, -1`),
    ...loadFloat(1, marks.floatResult),
    ...registers(29, 31).flatMap((r) => load(r, marks.saved(r))),
    ...load(2, marks.newToc),
    ...load(3, marks.results[0]!),
    ...load(4, marks.results[1]!),
    `ld 0, ${callersFrame + 16}(1)`,
    'mtlr 0',
    'li 0, -1',
    `addi 1, 1, ${callersFrame}`,
    'blr',

    '.data',
    '.balign 8',
    'addresses: .quad 0, new_function, after_call, stub, stub_end, old_function',
    '.bss',
    '.balign 8',
    `seen_by_new: .space ${newSize(stackArguments)}`,
    '',
  ].join('\n');
}

const newSize = (stackArguments: number) => seenSize + 8 * stackArguments + 32;

/** Copies doublewords from above r1 to above r31, through r0. */
const copy = (from: number, to: number, count: number) =>
  Array.from({ length: count }, (_, i) => [`ld 0, ${from + 8 * i}(1)`, `std 0, ${to + 8 * i}(31)`]).flat();

/** Plays one stage in `folder`. Undefined when the program did not come to its end: it crashed, or ran wild. */
export async function play(stage: Stage, folder: string): Promise<Landing | undefined> {
  const [source, binary] = [join(folder, 'stage.S'), join(folder, 'stage')];
  await writeFile(source, program(stage));
  await run(`${platform.cross.prefix}gcc`, ['-nostdlib', '-static', '-no-pie', '-o', binary, source]);
  const { status, stdout } = spawnSync('qemu-ppc64le', [binary], {
    timeout: 10_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return undefined;

  const view = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  let at = 0;
  const next = () => {
    at += 8;
    return view.getBigUint64(at - 8, true);
  };
  const several = (count: number) => Array.from({ length: count }, next);
  const seen = (): Seen => ({ r: several(32), lr: next(), cr: next(), f1: next(), f14: next() });

  const newFunction = {
    ...seen(),
    stackArguments: several(stage.stackArguments),
    frames: [0, 1].map(() => ({ sp: next(), lr: next() })),
  };
  const caller = { ...seen(), tocSlot: next(), locals: several(locals) };
  const [callersSp, newAt, afterCall, stub, stubEnd, oldFunction] = several(6) as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return {
    newFunction,
    caller,
    at: { newFunction: newAt, afterCall, stub, stubEnd },
    callersSp,
    oldToc: oldFunction + oldTocOffset,
  };
}
