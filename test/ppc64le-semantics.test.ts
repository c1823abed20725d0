// What a proof says is worth what the semantics are worth. So each row of the table runs on numbers and under QEMU, many
// times with random operands and registers, and registers, memory and the next pc have to be the same.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type InstructionSet, type Machine, NotUnderstood } from '../src/arch/machine.ts';
import { type FieldName, fieldBits, fieldMask } from '../src/arch/ppc64le/fields.ts';
import { decode, type Encoding, encodings, field, print } from '../src/arch/ppc64le/instructions.ts';
import { instructionSet } from '../src/arch/ppc64le/semantics.ts';
import { CR0, CTR, conditionFields, LR, stateNames, XER, xerBits } from '../src/arch/ppc64le/state.ts';
import { ConcreteMachine } from '../src/symbolic/concrete.ts';
import { type Case, code, type Outcome, placeOf, scratch, singleStep } from './support/ppc64le-single-step.ts';
import { randomNumbers } from './support/random.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-semantics-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const random = randomNumbers(0x5075e);
const oneOf = <T>(of: readonly T[]): T => of[random(of.length)]!;
const anyWord = (): bigint => BigInt(random(0x10000)) * 0x10000n + BigInt(random(0x10000));
const anyDoubleword = (): bigint => (anyWord() << 32n) | anyWord();

const pattern = Uint8Array.from({ length: scratch.size }, () => random(256));
const middle = BigInt(scratch.address + scratch.size / 2);

const edges = [0, 1, 2, 31, 32, 33, 63, 64, 127, 128, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff];
const wideEdges = [1n << 63n, (1n << 63n) - 1n, (1n << 64n) - 1n, (1n << 64n) - 2n, 0xffffffff80000000n, 1n << 32n];
/** Numbers at which carries, signs and shifts turn, small distances, anything, and addresses that can be loaded from. */
const anyNumber = (): bigint =>
  oneOf([
    () => BigInt(oneOf(edges)),
    () => oneOf(wideEdges),
    () => BigInt(random(128)),
    anyWord,
    anyDoubleword,
    () => middle - 64n + BigInt(random(128)),
  ])();

/** Fields that lead an address far away in most of their values, kept small in most cases. */
const smaller: Partial<Record<FieldName, () => number>> = {
  D: () => random(96) - 48,
  DS: () => 4 * (random(24) - 12),
  LI: () => 4 * (random(14) - 8),
  BD: () => 4 * (random(14) - 8),
  spr: () => oneOf([1, 8, 9]),
  BO: () => oneOf([20, 0, 2, 4, 8, 10, 12, 16, 18, 6, 7, 14, 15, 24, 25, 26, 27]),
  TO: () => random(31),
  // The other ones came with 3.1, and are no instructions to an older QEMU.
  L8: () => 0,
  SC: () => 0,
};
function wordOf({ fields, value }: Encoding): number {
  let word = value;
  for (const name of fields) {
    const small = random(8) === 0 && name !== 'L8' && name !== 'SC' ? undefined : smaller[name];
    word |= small ? fieldBits(name, small()) : Number(anyWord()) & fieldMask(name);
  }
  return word >>> 0;
}

const touchesMemory = ({ section, name }: Encoding): boolean =>
  (/^(l|st)/.test(name) && /^(I 3\.3\.[2-6]|II 4\.6\.2)/.test(section)) || /^(icbi|dcbst|dcbf)$/.test(name);

function makeCase(encoding: Encoding): Case {
  const word = wordOf(encoding);
  const registers = Array.from({ length: 32 }, anyNumber);
  if (touchesMemory(encoding)) {
    const base = field('RA', word);
    const byRegister = encoding.fields.includes('RB');
    registers[base] = middle + BigInt(oneOf([8 * random(4), random(32)]));
    if (byRegister && base === 0) registers[field('RB', word)] = middle + BigInt(8 * random(4));
    else if (byRegister && field('RB', word) === base) registers[base] = middle / 2n;
    else if (byRegister) registers[field('RB', word)] = BigInt.asUintN(64, BigInt(8 * (random(12) - 6)));
  }
  // Somewhere to jump to, but not onto another case's instruction.
  const target = (): bigint => BigInt(code.address + code.slot * random(100) + random(32));
  const isJump = (name: string): boolean => encoding.name.startsWith(name);
  return {
    word,
    registers,
    lr: isJump('bclr') ? target() : anyNumber(),
    ctr: isJump('bcctr') ? target() : random(2) === 0 ? 1n : anyNumber(),
    xer: xerBits.reduce((sum, [, bit]) => sum | (BigInt(random(2)) << BigInt(bit)), BigInt(random(128))),
    condition: anyWord(),
  };
}

class OutsideMemory extends Error {}

const bitsOf = ({ xer, condition }: Case): [register: number, value: bigint][] => [
  ...Array.from({ length: conditionFields }, (_, n): [number, bigint] => [
    CR0 + n,
    (condition >> BigInt(28 - 4 * n)) & 0xfn,
  ]),
  ...xerBits.map(([register, bit]): [number, bigint] => [register, (xer >> BigInt(bit)) & 1n]),
  [XER, xer & 0x7fn],
];

/** Our own outcome of the n-th case. Throws `NotUnderstood` and `OutsideMemory`. */
function ours(set: InstructionSet, one: Case, n: number): Outcome {
  const memory = Uint8Array.from(pattern);
  const at = placeOf(n);
  const place = (address: bigint): number => {
    const offset = Number(address) - scratch.address;
    if (offset < 0 || offset >= scratch.size) throw new OutsideMemory();
    return offset;
  };
  const state: bigint[] = [...one.registers];
  state[LR] = one.lr;
  state[CTR] = one.ctr;
  for (const [register, value] of bitsOf(one)) state[register] = value;
  const machine = new ConcreteMachine(
    set,
    {
      byte: (address) => {
        const distance = Number(address) - at;
        return distance >= 0 && distance < 4 ? (one.word >>> (8 * distance)) & 0xff : memory[place(address)]!;
      },
      setByte: (address, value) => {
        memory[place(address)] = value;
      },
    },
    state,
    BigInt(at),
  );
  machine.step();
  const after = machine.registers;
  return {
    signal: 4,
    registers: after.slice(0, 32),
    lr: after[LR]!,
    ctr: after[CTR]!,
    xer: xerBits.reduce((sum, [register, bit]) => sum | (after[register]! << BigInt(bit)), after[XER]!),
    condition: Array.from({ length: conditionFields }, (_, i) => after[CR0 + i]!).reduce(
      (sum, value) => (sum << 4n) | value,
      0n,
    ),
    pc: machine.pc,
    memory,
  };
}

const hex = (n: bigint | number): string => `0x${n.toString(16)}`;

/** What differs, in words. An instruction fetch that faults has jumped all the same. */
function differences(expected: Outcome, found: Outcome): string[] {
  const jumped = found.signal === 11 && found.pc === expected.pc;
  const compare = (what: string, here: bigint, there: bigint): string[] =>
    here === there ? [] : [`${what}: ${hex(here)} here, ${hex(there)} in QEMU`];
  return [
    ...expected.registers.flatMap((value, n) => compare(`r${n}`, value, found.registers[n]!)),
    ...(['pc', 'lr', 'ctr', 'xer', 'condition'] as const).flatMap((name) => compare(name, expected[name], found[name])),
    ...(expected.memory.every((byte, i) => byte === found.memory[i]) ? [] : ['memory']),
    ...(found.signal === 4 || jumped ? [] : [`signal ${found.signal} in QEMU`]),
  ];
}

/** How often each row has to run. */
const timesEach = 120;

/** Known by name alone: what they do is beyond the machine, is not defined, or is not a user's to do. */
const refused =
  /^(sc|h?rfid|[ls]t?f[sd]|st[bhwd]cx\.|mulh[wd]u?\.?|div[wd]e?u?o?\.?|mod[su][wd]|mull[wd]o\.?|maddhdu?|cnt[lt]z[wd]\.?|cmpb|popcnt[bwd]|mfocrf|mtmsrd?|dcbz)$/;
/** Understood, but privileged in QEMU's user mode, or a wait for an interrupt. */
const notForUsers = ['mfmsr', 'wait'];

/** Cases that can be run here, `timesEach` of each row as far as there are so many. */
function makeCases(): { cases: Case[]; counts: Map<string, number>; refusals: number } {
  const cases: Case[] = [];
  const counts = new Map<string, number>();
  let refusals = 0;
  for (const encoding of encodings) {
    if (notForUsers.includes(encoding.name)) continue;
    let count = 0;
    for (let tries = 0; tries < 40 * timesEach && count < timesEach; tries++) {
      const one = makeCase(encoding);
      if (decode(one.word)?.encoding !== encoding) continue;
      try {
        // A jump to itself would never end.
        if (ours(instructionSet, one, cases.length).pc === BigInt(placeOf(cases.length))) continue;
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

test('Every row does here what it does in QEMU, to registers, memory and pc', async () => {
  const made = makeCases();
  cases = made.cases;
  const few = [...made.counts].filter(([name, count]) => count < timesEach && !refused.test(name));
  expect(few).toEqual([]);
  outcomes = await singleStep(folder, cases, pattern);
  expect(outcomes).toHaveLength(cases.length);
  const wrong = cases.flatMap((one, n) => {
    const what = differences(ours(instructionSet, one, n), outcomes[n]!);
    return what.length > 0
      ? [`${hex(one.word)} ${print(decode(one.word)!, BigInt(placeOf(n)))}: ${what.join('; ')}`]
      : [];
  });
  const rows = [...made.counts].filter(([, count]) => count > 0).length;
  console.log(`${cases.length} cases of ${rows} rows, ${made.refusals} others refused here, ${wrong.length} wrong`);
  expect(wrong.slice(0, 40)).toEqual([]);
});

test('A row that does nothing is noticed, whichever it is', () => {
  const idle: InstructionSet = { ...instructionSet, execute: () => {} };
  const noticed = new Set(cases.flatMap(({ word }, n) => (differs(idle, n) ? [decode(word)!.encoding.name] : [])));
  const ran = new Set(cases.map(({ word }) => decode(word)!.encoding.name));
  // Barriers and hints do nothing indeed; traps ran only where they do not trap.
  expect([...ran].filter((name) => !noticed.has(name))).toEqual([
    ...['twi', 'tw', 'tdi', 'td'],
    ...['icbi', 'dcbt', 'dcbtst', 'dcbst', 'dcbf', 'isync', 'sync', 'eieio'],
  ]);
});

/** Ways in which a machine can be wrong: what is done with one part of the interface. */
const faults: Record<string, <V>(m: Machine<V>) => Partial<Machine<V>>> = {
  'jumps that do not happen': () => ({ jump: () => {} }),
  'conditions turned over': (m) => ({ decide: (condition) => !m.decide(condition) }),
  'loads of halfwords for words': (m) => ({ load: (address, size) => m.load(address, size === 4 ? 2 : size) }),
  'stores of words for doublewords': (m) => ({
    store: (address, size, value) => m.store(address, size === 8 ? 4 : size, value),
  }),
  'shifts without a sign': (m) => ({
    apply: (operation, a, b) => m.apply(operation === 'shiftRightSigned' ? 'shiftRight' : operation, a, b),
  }),
  'shifts by the amount modulo 64': (m) => ({
    apply: (operation, a, b) =>
      m.apply(operation, a, operation === 'shiftLeft' ? m.apply('and', b, m.constant(63)) : b),
  }),
  'comparisons that see signs': (m) => ({
    apply: (operation, a, b) => m.apply(operation === 'lessUnsigned' ? 'lessSigned' : operation, a, b),
  }),
  ...Object.fromEntries(
    stateNames
      .filter((name) => name !== 'msr')
      .map((name) => [
        `${name} never written`,
        <V>(m: Machine<V>): Partial<Machine<V>> => ({
          write: (register, value) => (stateNames[register] === name ? undefined : m.write(register, value)),
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
