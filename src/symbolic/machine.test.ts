// The symbolic machine says what code does to every number at once. Here it says so about short pieces of ARM code, and is
// held against the machine that computes with numbers: whatever the registers and the stack hold, one path of the
// symbolic run is the one taken, and all that it claims to know is so.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decode, encode } from '../arch/arm/instructions.ts';
import type { Fields } from '../arch/arm/row.ts';
import { instructionSet } from '../arch/arm/semantics.ts';
import { NotUnderstood } from '../arch/machine.ts';
import { ConcreteMachine } from './concrete.ts';
import { type End, explore } from './explore.ts';
import { SymbolicMachine } from './machine.ts';
import { type Atom, type Term, Terms } from './terms.ts';

const SP = 13;
const LR = 14;
const origin = 0xc0300000;

function machineFor(): SymbolicMachine {
  const terms = new Terms(32);
  return new SymbolicMachine({
    set: instructionSet,
    terms,
    pc: terms.constant(origin),
    registers: new Map([
      [SP, terms.initial('sp', 3)],
      [LR, terms.initial('lr', 2)],
    ]),
    stackReach: 4096,
  });
}

/** Runs words from the origin until the pc leaves them. */
function runAll(words: readonly number[], limits = { steps: 1000, paths: 32 }): End[] {
  return explore(
    machineFor(),
    (machine) => {
      const word = machine.pc.base ? undefined : words[(Number(machine.pc.plus) - origin) / 4];
      if (word === undefined) return false;
      machine.execute(word);
      return true;
    },
    limits,
  );
}

const at = (name: string, fields: Fields): number => encode(name, fields);
const push = (...registers: number[]): number =>
  registers.length === 1
    ? at('PUSH, one register', { Rt: registers[0]! })
    : at('PUSH', { register_list: registers.reduce((list, n) => list | (1 << n), 0) });
const moveSp = (name: 'ADD' | 'SUB', bytes: number): number =>
  at(`${name} (immediate)`, { S: 0, Rn: SP, Rd: SP, imm12: bytes });
const load = (Rt: number, Rn: number, imm12: number): number => at('LDR (immediate)', { Rt, Rn, U: 1, imm12 });
const store = (Rt: number, Rn: number, imm12: number): number => at('STR (immediate)', { Rt, Rn, U: 1, imm12 });
const compareWithZero = (Rn: number): number => at('CMP (immediate)', { Rn, imm12: 0 });

/** The one path's machine, with what a register holds as text. */
function onlyPath(words: readonly number[]) {
  const ends = runAll(words);
  expect(ends.map(({ unknown }) => unknown)).toEqual([undefined]);
  const { machine } = ends[0]!;
  return { machine, register: (n: number): string => machine.terms.describe(machine.read(n)) };
}
const unknowns = (words: readonly number[]): (string | undefined)[] => runAll(words).map(({ unknown }) => unknown);

describe('The symbolic machine', () => {
  test('follows a prologue and its undoing', () => {
    const { machine, register } = onlyPath([push(4, 5, LR), moveSp('SUB', 20), load(LR, SP, 28), moveSp('ADD', 32)]);
    expect(register(SP)).toBe('sp');
    expect(register(LR)).toBe('lr');
    expect(machine.describeStack()).toEqual([]);
  });

  test('reads the caller’s stack by name, byte by byte', () => {
    const byte = (Rt: number, imm12: number): number => at('LDRB (immediate)', { Rt, Rn: SP, U: 1, imm12 });
    const { register } = onlyPath([
      load(0, SP, 8),
      byte(1, 9),
      push(0),
      at('LDRH (immediate)', { Rt: 2, Rn: SP, U: 1, imm4H: 0, imm4L: 2 }),
    ]);
    expect([0, 1, 2].map(register)).toEqual(['[sp + 8]', '[sp + 9]', '[sp + 0xa]']);
  });

  test('trusts nothing below the stack pointer, not even what was just there', () => {
    const { register } = onlyPath([push(4), moveSp('ADD', 4), moveSp('SUB', 4), load(0, SP, 0), load(1, SP, 0)]);
    expect(register(0)).toBe('unknown (the stack where nothing was stored)');
    const below = at('LDR (immediate)', { Rt: 0, Rn: SP, U: 0, imm12: 4 });
    expect(onlyPath([push(4), moveSp('ADD', 4), below]).register(0)).toBe(
      'unknown (the stack below the stack pointer)',
    );
  });

  test('does not take for the caller’s any more what the stack pointer has been above', () => {
    const { register } = onlyPath([moveSp('ADD', 8), moveSp('SUB', 8), load(0, SP, 4), load(1, SP, 8)]);
    expect([0, 1].map(register)).toEqual(['unknown (the stack where nothing was stored)', '[sp + 8]']);
  });

  test('loses what lies below the stack pointer where a function is called, and finds it again where that is undone', () => {
    const machine = machineFor();
    machine.execute(push(4));
    const [sp, word] = [machine.read(SP), machine.read(4)];
    const below = machine.apply('add', sp, machine.constant(-4));
    machine.step('a call', () => {
      machine.store(below, 4, word);
      machine.loseBelowStackPointer();
    });
    expect(machine.terms.describe(machine.load(sp, 4))).toBe('r4');
    expect(machine.terms.describe(machine.load(below, 4))).toContain('unknown');
    const broken = (): void =>
      machine.step('a call that comes to nothing', () => {
        machine.write(SP, machine.apply('add', sp, machine.constant(4)));
        machine.loseBelowStackPointer();
        throw new NotUnderstood('nothing');
      });
    expect(broken).toThrow('nothing');
    expect(machine.terms.describe(machine.load(sp, 4))).toBe('r4');
  });

  test('ends as unknown at a store that may hit anything', () => {
    expect(unknowns([store(0, 1, 4)])).toEqual(['it stores to r1 + 4, which may be anything’s']);
    // So far from where the stack begins it may be anybody's, too.
    const farAbove = at('ADD (immediate)', { S: 0, Rn: SP, Rd: 1, imm12: 0xa01 });
    expect(unknowns([farAbove, store(0, 1, 0)])).toEqual(['it stores to sp + 0x1000, which may be anything’s']);
  });

  test('ends as unknown where it does not know the stack pointer any more', () => {
    expect(unknowns([at('MOV (register)', { S: 0, Rd: SP, Rm: 0 })])).toEqual([
      'where the stack pointer points is not known any more',
    ]);
  });

  test('ends as unknown at what it does not understand', () => {
    expect(unknowns([0xf57ff05f])).toEqual(['it is not in the table of instructions']); // dmb
    expect(unknowns([0xe8bd2010])).toEqual(['UNPREDICTABLE']); // pop {r4, sp}
    expect(unknowns([0xe7f000f0])).toEqual(['it traps']);
  });

  test('undoes what it did of an instruction that it breaks off', () => {
    // The base is written back before it turns out that the loaded pc may be Thumb code, or no multiple of 4.
    const ends = runAll([at('POP, one register', { Rt: 15 })]);
    expect(ends.map(({ machine, unknown }) => [machine.terms.describe(machine.read(SP)), unknown])).toEqual([
      ['sp', 'it goes on in Thumb code'],
      ['sp', 'UNPREDICTABLE: it jumps to no multiple of 4'],
      ['sp + 4', undefined],
    ]);
    const [end] = runAll([push(4), at('STR (immediate), pre-indexed', { Rt: 1, Rn: 0, U: 1, imm12: 4 })]);
    expect(end!.machine.terms.describe(end!.machine.read(0))).toBe('r0');
    expect(end!.machine.describeStack()).toEqual(['[sp - 4] = r4']);
  });

  test('goes both ways where a condition can go both ways, and stays with its answer', () => {
    const words = [
      compareWithZero(0),
      at('MOV (immediate)', { cond: 0, S: 0, Rd: 1, imm12: 1 }),
      at('MOV (immediate)', { cond: 1, S: 0, Rd: 1, imm12: 2 }),
      compareWithZero(0),
      at('MOV (immediate)', { cond: 0, S: 0, Rd: 2, imm12: 3 }),
    ];
    const seen = runAll(words).map(({ machine, unknown }) => ({
      unknown,
      because: machine.assumed.map(({ condition, holds }) => `${machine.terms.describe(condition)}: ${holds}`),
      registers: [1, 2].map((n) => machine.terms.describe(machine.read(n))),
    }));
    expect(seen).toEqual([
      { unknown: undefined, because: ['(r0 == 0): true'], registers: ['1', '3'] },
      { unknown: undefined, because: ['(r0 == 0): false'], registers: ['2', 'r2'] },
    ]);
  });

  test('asks for the comparison, not for the flag that it left', () => {
    // CS is: not less, as unsigned.
    const ends = runAll([
      at('CMP (register)', { Rn: 0, Rm: 1, imm5: 0, type: 0 }),
      at('MOV (immediate)', { cond: 2, S: 0, Rd: 2, imm12: 1 }),
    ]);
    const seen = ends.map(({ machine }) => [
      ...machine.assumed.map(({ condition, holds }) => `${machine.terms.describe(condition)}: ${holds}`),
      machine.terms.describe(machine.read(2)),
    ]);
    expect(seen).toEqual([
      ['(r0 < r1): true', 'r2'],
      ['(r0 < r1): false', '1'],
    ]);
  });

  test('remembers its answers on each of its ways', () => {
    const isZero = (n: number) => [compareWithZero(n), at('MOV (immediate)', { cond: 0, S: 0, Rd: 11, imm12: n })];
    expect(runAll([...isZero(0), ...isZero(1), ...isZero(0), ...isZero(1)].flat())).toHaveLength(4);
  });

  test('does not ask what is settled', () => {
    expect(
      runAll([at('MOV (immediate)', { S: 0, Rd: 0, imm12: 0 }), compareWithZero(0), at('B', { cond: 0, imm24: 4 })]),
    ).toHaveLength(1);
    // The stack pointer is a multiple of 8.
    expect(runAll([at('TST (immediate)', { Rn: SP, imm12: 7 }), at('B', { cond: 0, imm24: 4 })])).toHaveLength(1);
  });

  test('keeps within its bounds', () => {
    const forever = runAll([at('B', { imm24: 0xfffffe })], { steps: 100, paths: 8 });
    expect(forever.map(({ unknown }) => unknown)).toEqual(['more than 100 steps']);
    const manyWays = Array.from({ length: 10 }, (_, n) => [
      compareWithZero(n),
      at('MOV (immediate)', { cond: 0, S: 0, Rd: 11, imm12: n }),
    ]).flat();
    const ends = runAll(manyWays, { steps: 10_000, paths: 8 });
    expect(ends).toHaveLength(8);
    expect(ends.some(({ unknown }) => unknown === 'more than 8 paths')).toBe(true);
  });

  test('stays quick where code doubles a number again and again', () => {
    const square = [
      at('EOR (register)', { S: 0, Rn: 0, Rd: 1, imm5: 1, type: 0, Rm: 0 }),
      at('ADD (register)', { S: 0, Rn: 1, Rd: 0, imm5: 3, type: 1, Rm: 1 }),
    ];
    const { machine } = onlyPath(Array.from({ length: 200 }, () => square).flat());
    expect(machine.terms.describe(machine.read(0)).length).toBeLessThan(10_000);
  });

  test('asks about a loaded number once, though it runs the load again for each answer', () => {
    const jump = at('LDR (immediate)', { Rn: 0, Rt: 15, U: 1, imm12: 0 });
    expect(unknowns([jump])).toEqual([
      ...['its address may be no multiple of 4', 'it goes on in Thumb code'],
      ...['UNPREDICTABLE: it jumps to no multiple of 4', undefined],
    ]);
  });

  test('knows that a flag is 0 or 1', () => {
    const machine = machineFor();
    for (const flag of instructionSet.widths.keys())
      expect(machine.terms.describe(machine.apply('shiftRight', machine.read(flag), machine.constant(1)))).toBe('0');
  });

  test('remembers what led to a state', () => {
    const { machine } = onlyPath([push(4), moveSp('ADD', 4)]);
    const { terms, trace } = machine;
    const writes = trace!.writes.map(
      ({ at: where, value }) => `${instructionSet.registers[where]} = ${terms.describe(value)}`,
    );
    expect([trace!.what, terms.describe(trace!.pc), writes]).toEqual([moveSp('ADD', 4), '0xc0300004', ['sp = sp']]);
    expect(trace!.before!.what).toBe(push(4));
    expect(trace!.before!.before).toBeUndefined();
  });
});

describe('Beside the machine that computes with numbers', () => {
  /** How far above the initial stack pointer is compared. */
  const span = 64;

  /** Words that are instructions, of those that move stacks and flags about more than of others. */
  const words = fc
    .array(
      fc.oneof(
        fc.integer({ min: 0, max: 0xffff }).map((list) => ((0xe92d0000 | list) & ~0x8000) >>> 0),
        fc.integer({ min: 0, max: 0x1fff }).map((list) => (0xe8bd0000 | list) >>> 0),
        fc
          .tuple(
            fc.constantFrom(0xe28d, 0xe24d, 0xe58d, 0xe59d, 0xe5cd, 0xe5dd),
            fc.integer({ min: 0, max: 11 }),
            fc.integer({ min: 0, max: 63 }),
          )
          .map(([op, Rd, imm]) => (op * 0x10000 + Rd * 0x1000 + imm) >>> 0),
        fc.integer({ min: 0, max: 0x0fffffff }).map((low) => (0xe0000000 | (low & 0x03ffffff)) >>> 0),
        fc.integer({ min: 0, max: 0xffffffff }).map((word) => (word & 0x13ffffff) >>> 0),
      ),
      { minLength: 1, maxLength: 8 },
    )
    .map((all) => all.filter((word) => decode(word)));
  const numbers = fc.array(
    fc.oneof(fc.constantFrom(0n, 1n, 0xffffffffn, 0x80000000n), fc.bigInt({ min: 0n, max: 0xffffffffn })),
    {
      minLength: 13,
      maxLength: 13,
    },
  );
  const spAt = 0x80000000n;

  test('each claim is so, on exactly one path', () => {
    let compared = 0;
    fc.assert(
      fc.property(words, numbers, fc.integer({ min: 0, max: 15 }), (code, values, flags) => {
        const initial = [
          ...values,
          spAt,
          0xc0123454n,
          ...[3, 2, 1, 0].map((bit) => BigInt((flags >> bit) & 1)),
          0x10n,
          0n,
        ];
        const byteAt = (address: bigint): number => Number((address * 0x9e3779b1n) % 251n);
        const stored = new Map<bigint, number>();
        const concrete = new ConcreteMachine(
          instructionSet,
          {
            byte: (address) => {
              const index = Number(address) - origin;
              const word = code[Math.floor(index / 4)];
              if (word !== undefined && index >= 0) return (word >>> (8 * (index & 3))) & 0xff;
              return stored.get(address) ?? byteAt(address);
            },
            setByte: (address, value) => stored.set(address, value),
          },
          initial,
          BigInt(origin),
        );
        const unknownAtom = new Error('not known');
        const number = ({ origin: from }: Atom): bigint => {
          if (from.kind === 'initial') return initial[instructionSet.registers.indexOf(from.name)]!;
          if (from.kind !== 'memory') throw unknownAtom;
          const address = terms!.evaluate(from.address, number);
          return Array.from(
            { length: from.size },
            (_, i) => BigInt(byteAt(address + BigInt(i))) << BigInt(8 * i),
          ).reduce((a, b) => a | b);
        };
        let terms: Terms | undefined;
        const valueIn = (term: Term): bigint | undefined => {
          try {
            return terms!.evaluate(term, number);
          } catch (error) {
            if (error === unknownAtom) return undefined;
            throw error;
          }
        };
        const ends = runAll(code, { steps: 200, paths: 64 });
        terms = ends[0]!.machine.terms;
        // A path whose conditions are not known may be taken or not.
        const holding = ends.filter(({ machine }) =>
          machine.assumed.every(({ condition, holds }) => {
            const value = valueIn(condition);
            return value === undefined || (value !== 0n) === holds;
          }),
        );
        expect(holding.length).toBeGreaterThan(0);
        const certain =
          holding.length === 1 &&
          holding[0]!.machine.assumed.every(({ condition }) => valueIn(condition) !== undefined);
        if (!certain || holding[0]!.unknown !== undefined) return;
        const { machine } = holding[0]!;
        let steps = 0;
        for (let trace = machine.trace; trace; trace = trace.before) steps++;
        try {
          for (let i = 0; i < steps; i++) concrete.step();
        } catch (error) {
          if (error instanceof NotUnderstood) expect.unreachable('only one of the two can run it');
          throw error;
        }
        const wrong: string[] = [];
        const compare = (name: string, claim: Term, found: bigint): void => {
          const claimed = valueIn(claim);
          if (claimed === undefined) return;
          compared++;
          if (claimed !== found) wrong.push(`${name}: ${terms!.describe(claim)} is ${claimed}, not ${found}`);
        };
        compare('pc', machine.pc, concrete.pc);
        instructionSet.registers.forEach((name, n) => {
          compare(name, machine.read(n), concrete.read(n));
        });
        const sp = Number(valueIn(machine.read(SP))! - spAt);
        for (let distance = sp; distance < span; distance++) {
          const place = terms.apply('add', terms.initial('sp', 3), terms.constant(distance));
          compare(`[sp + ${distance}]`, machine.load(place, 1), concrete.load(spAt + BigInt(distance), 1));
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 1500, seed: 4 },
    );
    expect(compared).toBeGreaterThan(10_000);
  }, 60_000);
});
