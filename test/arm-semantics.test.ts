// What a proof says is worth what the semantics are worth. So each row of the table runs on numbers and under QEMU, many
// times with random fields, registers and flags, and registers, flags, memory and the next pc have to be the same.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decode, type Encoding, encodings } from '../src/arch/arm/instructions.ts';
import { fieldWidths, PC } from '../src/arch/arm/row.ts';
import { instructionSet } from '../src/arch/arm/semantics.ts';
import { disassemble } from '../src/arch/arm/syntax.ts';
import { type InstructionSet, type Machine, NotUnderstood } from '../src/arch/machine.ts';
import { ConcreteMachine } from '../src/symbolic/concrete.ts';
import {
  type Case,
  code,
  type Outcome,
  placeOf,
  scratch,
  singleStep,
  threadRegister,
} from './support/arm-single-step.ts';
import { randomNumbers } from './support/random.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-semantics-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const random = randomNumbers(0x5075e);
const oneOf = <T>(of: readonly T[]): T => of[random(of.length)]!;
const anyWord = (): number => (random(0x10000) * 0x10000 + random(0x10000)) >>> 0;

const pattern = Uint8Array.from({ length: scratch.size }, () => random(256));
const middle = scratch.address + scratch.size / 2;

const edges = [0, 1, 2, 31, 32, 33, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff];
/** Numbers at which carries and shifts turn, small distances, anything, and addresses that can be loaded from. */
const anyNumber = (): number =>
  oneOf([() => oneOf(edges), () => random(64), anyWord, () => middle - 64 + random(128)])() >>> 0;

/** Fields that lead an address far away in most of their values, kept small in most cases. */
const smaller: Partial<Record<string, () => number>> = {
  imm12: () => random(64),
  imm4H: () => random(4),
  imm5: () => oneOf([0, 0, 1, 2, 3, 31, random(32)]),
  imm24: () => (random(14) - 8) & 0xffffff,
  Rn: () => oneOf([13, 13, random(16)]),
  register_list: () => oneOf([1 << random(16), random(0x10000), random(0x10000)]),
  cond: () => oneOf([14, 14, random(15)]),
  coproc: () => 15,
  opc1: () => 0,
  CRn: () => 13,
  CRm: () => 0,
  opc2: () => 3,
  R: () => 0,
  mask: () => 8,
};

function wordOf({ fields, value }: Encoding): number {
  let word = value;
  for (const { name, shift } of fields) {
    const small = random(8) === 0 ? undefined : smaller[name];
    word |= (small?.() ?? random(2 ** fieldWidths[name])) << shift;
  }
  return word >>> 0;
}

const touchesMemory = ({ section, name }: Encoding): boolean =>
  /^(LDR|STR|LDM|STM|PUSH|POP)/.test(name) && section !== '';

function makeCase(encoding: Encoding): Case {
  const word = wordOf(encoding);
  const registers = Array.from({ length: 15 }, anyNumber);
  const status = (0x10 | (random(16) << 28)) >>> 0;
  const fields = decode(word)?.fields ?? {};
  const give = (register: number | undefined, value: number): void => {
    if (register !== undefined && register !== PC) registers[register] = value >>> 0;
  };
  give(13, middle + 4 * random(8));
  if (touchesMemory(encoding)) {
    give(fields.Rm, random(4) === 0 ? -random(64) : random(16));
    give(fields.Rn, middle + 4 * random(8) + (random(4) === 0 ? random(4) : 0));
  }
  // Somewhere to jump to, but not onto another case's instruction.
  if (/^BL?X/.test(encoding.name)) give(fields.Rm, code.address + code.slot * random(100) + 4 * random(8));
  return { word, registers, status };
}

class OutsideMemory extends Error {}

/** Our own outcome of the n-th case. Throws `NotUnderstood` and `OutsideMemory`. */
function ours(set: InstructionSet, { word, registers, status }: Case, n: number): Outcome {
  const memory = Uint8Array.from(pattern);
  const at = placeOf(n);
  const wordAt = (address: number): number => (address === at ? word : 0xe7f000f0);
  const inSlot = (address: number): boolean => Math.floor((address - code.address) / code.slot) === n;
  const place = (address: bigint): number => {
    const offset = Number(address) - scratch.address;
    if (offset < 0 || offset >= scratch.size) throw new OutsideMemory();
    return offset;
  };
  const machine = new ConcreteMachine(
    set,
    {
      byte: (address) => {
        const a = Number(address);
        return inSlot(a) ? (wordAt(a & ~3) >>> (8 * (a & 3))) & 0xff : memory[place(address)]!;
      },
      setByte: (address, value) => {
        memory[place(address)] = value;
      },
    },
    [
      ...registers.map(BigInt),
      ...[31, 30, 29, 28].map((bit) => BigInt((status >>> bit) & 1)),
      BigInt(status & 0x0fffffff),
      BigInt(threadRegister),
    ],
    BigInt(at),
  );
  machine.step();
  const state = machine.registers.map(Number);
  return {
    signal: 4,
    registers: state.slice(0, 15),
    status: [31, 30, 29, 28].reduce((sum, bit, i) => sum + state[15 + i]! * 2 ** bit, state[19]!),
    pc: Number(machine.pc),
    memory,
  };
}

const hex = (n: number): string => `0x${n.toString(16)}`;

/** What differs, in words. An instruction fetch that faults has jumped all the same. */
function differences(expected: Outcome, found: Outcome): string[] {
  const jumped = found.signal === 11 && found.pc === expected.pc;
  return [
    ...expected.registers.flatMap((value, n) =>
      value === found.registers[n] ? [] : [`r${n}: ${hex(value)} here, ${hex(found.registers[n]!)} in QEMU`],
    ),
    ...(expected.pc === found.pc ? [] : [`pc: ${hex(expected.pc)} here, ${hex(found.pc)} in QEMU`]),
    ...(expected.status === found.status ? [] : [`CPSR: ${hex(expected.status)} here, ${hex(found.status)} in QEMU`]),
    ...(expected.memory.every((byte, i) => byte === found.memory[i]) ? [] : ['memory']),
    ...(found.signal === 4 || jumped ? [] : [`signal ${found.signal} in QEMU`]),
  ];
}

/** How often each row has to run. */
const timesEach = 120;
/** It always traps. */
const refused = ['UDF'];

/** Cases that can be run here, `timesEach` of each row as far as there are so many. */
function makeCases(): { cases: Case[]; counts: Map<string, number>; refusals: number } {
  const cases: Case[] = [];
  const counts = new Map<string, number>();
  let refusals = 0;
  for (const encoding of encodings) {
    let count = 0;
    for (let tries = 0; tries < 40 * timesEach && count < timesEach; tries++) {
      const one = makeCase(encoding);
      if (decode(one.word)?.encoding !== encoding) continue;
      try {
        // A jump to itself would never end.
        if (ours(instructionSet, one, cases.length).pc === placeOf(cases.length)) continue;
        cases.push(one);
        count++;
      } catch (error) {
        if (!(error instanceof NotUnderstood || error instanceof OutsideMemory)) throw error;
        refusals++;
      }
    }
    counts.set(encoding.name, count);
  }
  return { cases, counts, refusals };
}

let cases: Case[];
let outcomes: Outcome[];

/** Whether a case comes out otherwise than in QEMU. Refusing it is otherwise, too. */
function differs(set: InstructionSet, n: number): boolean {
  try {
    return differences(ours(set, cases[n]!, n), outcomes[n]!).length > 0;
  } catch {
    return true;
  }
}

test('Every row does here what it does in QEMU, to registers, flags, memory and pc', async () => {
  const made = makeCases();
  cases = made.cases;
  const few = [...made.counts].filter(([name, count]) => count < timesEach && !refused.includes(name));
  expect(few).toEqual([]);
  outcomes = await singleStep(folder, cases, pattern);
  expect(outcomes).toHaveLength(cases.length);
  const wrong = cases.flatMap((one, n) => {
    const what = differences(ours(instructionSet, one, n), outcomes[n]!);
    return what.length > 0 ? [`${hex(one.word)} ${disassemble(one.word)}: ${what.join('; ')}`] : [];
  });
  console.log(
    `${cases.length} cases of ${made.counts.size} rows, ${made.refusals} others refused here, ${wrong.length} wrong`,
  );
  expect(wrong.slice(0, 20)).toEqual([]);
});

test('A row that does nothing is noticed, whichever it is', () => {
  const idle: InstructionSet = { ...instructionSet, execute: () => {} };
  const noticed = new Set(cases.flatMap(({ word }, n) => (differs(idle, n) ? [decode(word)!.encoding.name] : [])));
  const unnoticed = encodings.map(({ name }) => name).filter((name) => !noticed.has(name));
  // Two do nothing indeed; the others refuse, so that only cases whose condition fails ran here.
  expect(unnoticed).toEqual(['MOV (register), nop', 'NOP', 'UDF', 'MCR']);
});

/** Ways in which a machine can be wrong: what is done with one part of the interface. */
const faults: Record<string, <V>(m: Machine<V>) => Partial<Machine<V>>> = {
  'the PC read one word early': (m) => ({ pc: m.apply('subtract', m.pc, m.constant(4)) }),
  'jumps that do not happen': () => ({ jump: () => {} }),
  'conditions turned over': (m) => ({ decide: (condition) => !m.decide(condition) }),
  'loads of bytes for halfwords': (m) => ({ load: (address, size) => m.load(address, size === 2 ? 1 : size) }),
  'stores of halfwords for words': (m) => ({
    store: (address, size, value) => m.store(address, size === 4 ? 2 : size, value),
  }),
  'shifts without a sign': (m) => ({
    apply: (operation, a, b) => m.apply(operation === 'shiftRightSigned' ? 'shiftRight' : operation, a, b),
  }),
  'shifts by the amount modulo 32': (m) => ({
    apply: (operation, a, b) =>
      m.apply(operation, a, operation === 'shiftLeft' ? m.apply('and', b, m.constant(31)) : b),
  }),
  'comparisons that see signs': (m) => ({
    apply: (operation, a, b) => m.apply(operation === 'lessUnsigned' ? 'lessSigned' : operation, a, b),
  }),
  'borrows where equal': (m) => ({
    apply: (operation, a, b) =>
      operation === 'lessUnsigned'
        ? m.apply('equal', m.apply('lessUnsigned', b, a), m.constant(0))
        : m.apply(operation, a, b),
  }),
  ...Object.fromEntries(
    ['N', 'Z', 'C', 'V', 'psr'].map((name) => [
      `${name} never written`,
      <V>(m: Machine<V>): Partial<Machine<V>> => ({
        write: (register, value) =>
          instructionSet.registers[register] === name ? undefined : m.write(register, value),
      }),
    ]),
  ),
};

test.each(Object.entries(faults))('Semantics with %s are noticed', (_, fault) => {
  const execute: InstructionSet['execute'] = (machine, word) => {
    const part = fault(machine);
    const whole = new Proxy(machine, {
      get: (target, name) => {
        const found = Reflect.get(part, name) ?? Reflect.get(target, name);
        return typeof found === 'function' ? found.bind(target) : found;
      },
    });
    instructionSet.execute(whole, word);
  };
  expect(cases.some((_, n) => differs({ ...instructionSet, execute }, n))).toBe(true);
});
