// Section A5.2, data processing. Three forms each: a modified immediate (A5.2.4), a register shifted by an immediate
// (A8.4.1), a register shifted by a register. With S and Rd = PC they are exception returns (B9.3.20), not these.

import { bit, type Machine, not, withNumber } from '../machine.ts';
import { type AllFields, PC, type Row, row, type Semantics } from './row.ts';
import { C, N, readRegister, V, writeRegister, Z } from './state.ts';

/** A modified immediate (section A5.2.4): eight bits, rotated right by twice the upper four. */
export function expandImmediate(imm12: number): number {
  const byte = imm12 & 0xff;
  const rotation = 2 * (imm12 >>> 8);
  return rotation === 0 ? byte : ((byte >>> rotation) | (byte << (32 - rotation))) >>> 0;
}

/**
 * What an operation gives: its value and, for the flags, its carry and its overflow. An operation without overflow
 * leaves V alone.
 */
interface Result<T> {
  readonly value: T;
  readonly carry: () => T;
  readonly overflow?: () => T;
}

// The second operand, with the carry that its shift gives. One that shifts nothing gives the old carry.

type Operand = <T>(m: Machine<T>, f: AllFields) => Result<T>;

const top = 31;
const old =
  <T>(m: Machine<T>): (() => T) =>
  () =>
    m.read(C);

/** ARMExpandImm_C (section A5.2.4). */
const immediate: Operand = (m, { imm12 }) => {
  const value = m.constant(expandImmediate(imm12));
  return { value, carry: imm12 >>> 8 === 0 ? old(m) : () => bit(m, value, top) };
};

const LSL = 0;
const LSR = 1;
const ASR = 2;
const ROR = 3;

/** Shift_C (section A8.4.3) without RRX: by any amount, of which 0 gives the old carry. */
function shifted<T>(m: Machine<T>, x: T, type: number, amount: T): Result<T> {
  const lowest = (value: T): T => withNumber(m, 'and', value, 1);
  const lessOne = (): T => withNumber(m, 'subtract', amount, 1);
  const from32 = (by: T): T => m.apply('subtract', m.constant(32), by);
  const unlessNone = (carry: () => T) => (): T =>
    m.decide(m.apply('equal', amount, m.constant(0))) ? m.read(C) : carry();
  switch (type) {
    case LSL:
      return {
        value: m.apply('shiftLeft', x, amount),
        carry: unlessNone(() => lowest(m.apply('shiftRight', x, from32(amount)))),
      };
    case LSR:
      return {
        value: m.apply('shiftRight', x, amount),
        carry: unlessNone(() => lowest(m.apply('shiftRight', x, lessOne()))),
      };
    case ASR:
      return {
        value: m.apply('shiftRightSigned', x, amount),
        carry: unlessNone(() => lowest(m.apply('shiftRightSigned', x, lessOne()))),
      };
    default: {
      const by = withNumber(m, 'and', amount, 31);
      const value = m.apply('or', m.apply('shiftRight', x, by), m.apply('shiftLeft', x, from32(by)));
      return { value, carry: unlessNone(() => bit(m, value, top)) };
    }
  }
}

/** RRX: right by one, the carry comes in at the top (section A8.4.3). */
function rotatedWithCarry<T>(m: Machine<T>, x: T): Result<T> {
  const value = m.apply('or', withNumber(m, 'shiftRight', x, 1), withNumber(m, 'shiftLeft', m.read(C), top));
  return { value, carry: () => withNumber(m, 'and', x, 1) };
}

/** DecodeImmShift (section A8.4.3): 0 means 32 for LSR and ASR, and RRX for ROR. */
export function shiftedByImmediate<T>(m: Machine<T>, x: T, type: number, imm5: number): Result<T> {
  if (type === ROR && imm5 === 0) return rotatedWithCarry(m, x);
  return shifted(m, x, type, m.constant(imm5 === 0 && type !== LSL ? 32 : imm5));
}

const register: Operand = (m, f) => shiftedByImmediate(m, readRegister(m, f.Rm), f.type, f.imm5);
/** Of the register that says how far, the lowest byte counts. */
const registerShifted: Operand = (m, f) => shifted(m, m.read(f.Rm), f.type, withNumber(m, 'and', m.read(f.Rs), 0xff));
const plain: Operand = (m, f) => ({ value: readRegister(m, f.Rm), carry: old(m) });

// The operations.

type Operator = <T>(m: Machine<T>, first: T, second: Result<T>) => Result<T>;

/** AddWithCarry (section A2.2.1). A carry leaves where both operands have the bit, or one has it and the sum has not. */
function addWithCarry<T>(m: Machine<T>, x: T, y: T, carryIn: T): Result<T> {
  const value = m.apply('add', m.apply('add', x, y), carryIn);
  const both = (): T => m.apply('and', x, y);
  const either = (): T => m.apply('or', x, y);
  return {
    value,
    carry: () => bit(m, m.apply('or', both(), m.apply('and', either(), not(m, value))), top),
    overflow: () => bit(m, m.apply('and', m.apply('xor', x, value), m.apply('xor', y, value)), top),
  };
}

/** AddWithCarry(x, NOT(y), 1), said so that a reader sees what is compared: the carry is set where x >= y. */
function subtract<T>(m: Machine<T>, x: T, y: T): Result<T> {
  const value = m.apply('subtract', x, y);
  return {
    value,
    carry: () => withNumber(m, 'equal', m.apply('lessUnsigned', x, y), 0),
    overflow: () => bit(m, m.apply('and', m.apply('xor', x, y), m.apply('xor', x, value)), top),
  };
}

/** AND and its like: the carry is the second operand's. */
const logical =
  (operation: 'and' | 'or' | 'xor', turned = false): Operator =>
  (m, first, { value, carry }) => ({ value: m.apply(operation, first, turned ? not(m, value) : value), carry });

const and = logical('and');
const xor = logical('xor');
const or = logical('or');
const andNot = logical('and', true);
const sub: Operator = (m, first, { value }) => subtract(m, first, value);
const reverse: Operator = (m, first, { value }) => subtract(m, value, first);
const add: Operator = (m, first, { value }) => addWithCarry(m, first, value, m.constant(0));
const addCarry: Operator = (m, first, { value }) => addWithCarry(m, first, value, m.read(C));
const subCarry: Operator = (m, first, { value }) => addWithCarry(m, first, not(m, value), m.read(C));
const reverseCarry: Operator = (m, first, { value }) => addWithCarry(m, value, not(m, first), m.read(C));

function setFlags<T>(m: Machine<T>, { value, carry, overflow }: Result<T>): void {
  const [c, v] = [carry(), overflow?.()];
  m.write(N, bit(m, value, top));
  m.write(Z, withNumber(m, 'equal', value, 0));
  m.write(C, c);
  if (v !== undefined) m.write(V, v);
}

function finish<T>(m: Machine<T>, f: AllFields, result: Result<T>): void {
  if (f.S === 1) setFlags(m, result);
  writeRegister(m, f.Rd, result.value);
}

const calculate =
  (operator: Operator, operand: Operand): Semantics =>
  (m, f) =>
    finish(m, f, operator(m, readRegister(m, f.Rn), operand(m, f)));
const compare =
  (operator: Operator, operand: Operand): Semantics =>
  (m, f) =>
    setFlags(m, operator(m, readRegister(m, f.Rn), operand(m, f)));
const move =
  (operand: Operand): Semantics =>
  (m, f) =>
    finish(m, f, operand(m, f));
const moveNot =
  (operand: Operand): Semantics =>
  (m, f) => {
    const { value, carry } = operand(m, f);
    finish(m, f, { value: not(m, value), carry });
  };

// The rows.

const exceptionReturn = (f: AllFields): boolean => f.S === 1 && f.Rd === PC;
const unless = exceptionReturn;
const noPc = (...names: readonly ('Rd' | 'Rn' | 'Rm' | 'Rs')[]) => ({
  unpredictable: (f: AllFields): boolean => names.some((name) => f[name] === PC),
});

/** AND, EOR, SUB, …: a destination and a first operand. */
function threeOperands(
  name: string,
  opcode: string,
  sections: readonly [string, string, string],
  operator: Operator,
): Row[] {
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}{S}<c> <Rd>, <Rn>, #<const>`,
      `cond 001 ${opcode} S Rn Rd imm12`,
      calculate(operator, immediate),
      { unless },
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}{S}<c> <Rd>, <Rn>, <Rm>{, <shift>}`,
      `cond 000 ${opcode} S Rn Rd imm5 type 0 Rm`,
      calculate(operator, register),
      { unless },
    ),
    row(
      `${name} (register-shifted register)`,
      sections[2],
      `${name}{S}<c> <Rd>, <Rn>, <Rm>, <type> <Rs>`,
      `cond 000 ${opcode} S Rn Rd Rs 0 type 1 Rm`,
      calculate(operator, registerShifted),
      noPc('Rd', 'Rn', 'Rm', 'Rs'),
    ),
  ];
}

/** TST, TEQ, CMP, CMN: flags are all that they give. */
function comparison(
  name: string,
  opcode: string,
  sections: readonly [string, string, string],
  operator: Operator,
): Row[] {
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}<c> <Rn>, #<const>`,
      `cond 001 ${opcode} 1 Rn 0000 imm12`,
      compare(operator, immediate),
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rn>, <Rm>{, <shift>}`,
      `cond 000 ${opcode} 1 Rn 0000 imm5 type 0 Rm`,
      compare(operator, register),
    ),
    row(
      `${name} (register-shifted register)`,
      sections[2],
      `${name}<c> <Rn>, <Rm>, <type> <Rs>`,
      `cond 000 ${opcode} 1 Rn 0000 Rs 0 type 1 Rm`,
      compare(operator, registerShifted),
      noPc('Rn', 'Rm', 'Rs'),
    ),
  ];
}

/** LSL, LSR, ASR, ROR: moves of a shifted register. */
function shift(name: string, type: number, sections: readonly [string, string]): Row[] {
  const bits = type.toString(2).padStart(2, '0');
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}{S}<c> <Rd>, <Rm>, #<imm5>`,
      `cond 0001101 S 0000 Rd imm5 ${bits} 0 Rm`,
      move((m, f) => shiftedByImmediate(m, readRegister(m, f.Rm), type, f.imm5)),
      { unless: (f) => exceptionReturn(f) || (f.imm5 === 0 && (type === LSL || type === ROR)) },
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}{S}<c> <Rd>, <Rm>, <Rs>`,
      `cond 0001101 S 0000 Rd Rs 0 ${bits} 1 Rm`,
      move((m, f) => registerShifted(m, { ...f, type })),
      noPc('Rd', 'Rm', 'Rs'),
    ),
  ];
}

const wide = ({ imm4, imm12 }: AllFields): number => imm4 * 4096 + imm12;

export const dataProcessing: readonly Row[] = [
  ...threeOperands('AND', '0000', ['A8.8.13', 'A8.8.14', 'A8.8.15'], and),
  ...threeOperands('EOR', '0001', ['A8.8.46', 'A8.8.47', 'A8.8.48'], xor),
  ...threeOperands('SUB', '0010', ['A8.8.222', 'A8.8.223', 'A8.8.224'], sub),
  ...threeOperands('RSB', '0011', ['A8.8.152', 'A8.8.153', 'A8.8.154'], reverse),
  ...threeOperands('ADD', '0100', ['A8.8.5', 'A8.8.7', 'A8.8.8'], add),
  ...threeOperands('ADC', '0101', ['A8.8.1', 'A8.8.2', 'A8.8.3'], addCarry),
  ...threeOperands('SBC', '0110', ['A8.8.161', 'A8.8.162', 'A8.8.163'], subCarry),
  ...threeOperands('RSC', '0111', ['A8.8.155', 'A8.8.156', 'A8.8.157'], reverseCarry),
  ...comparison('TST', '1000', ['A8.8.240', 'A8.8.241', 'A8.8.242'], and),
  ...comparison('TEQ', '1001', ['A8.8.237', 'A8.8.238', 'A8.8.239'], xor),
  ...comparison('CMP', '1010', ['A8.8.37', 'A8.8.38', 'A8.8.39'], sub),
  ...comparison('CMN', '1011', ['A8.8.34', 'A8.8.35', 'A8.8.36'], add),
  ...threeOperands('ORR', '1100', ['A8.8.122', 'A8.8.123', 'A8.8.124'], or),
  row('MOV (immediate)', 'A8.8.102', 'MOV{S}<c> <Rd>, #<const>', 'cond 0011101 S 0000 Rd imm12', move(immediate), {
    unless,
  }),
  // Before v6T2 the assembler's nop was this move, and objdump still writes it so.
  row('MOV (register), nop', 'A8.8.104', 'NOP', '1110 00011010 0000 0000 00000000 0000', () => {}),
  row('MOV (register)', 'A8.8.104', 'MOV{S}<c> <Rd>, <Rm>', 'cond 0001101 S 0000 Rd 00000000 Rm', move(plain), {
    unless,
  }),
  ...shift('LSL', LSL, ['A8.8.94', 'A8.8.95']),
  ...shift('LSR', LSR, ['A8.8.96', 'A8.8.97']),
  ...shift('ASR', ASR, ['A8.8.16', 'A8.8.17']),
  ...shift('ROR', ROR, ['A8.8.149', 'A8.8.150']),
  row(
    'RRX',
    'A8.8.151',
    'RRX{S}<c> <Rd>, <Rm>',
    'cond 0001101 S 0000 Rd 00000110 Rm',
    move((m, f) => rotatedWithCarry(m, readRegister(m, f.Rm))),
    { unless },
  ),
  ...threeOperands('BIC', '1110', ['A8.8.21', 'A8.8.22', 'A8.8.23'], andNot),
  row('MVN (immediate)', 'A8.8.115', 'MVN{S}<c> <Rd>, #<const>', 'cond 0011111 S 0000 Rd imm12', moveNot(immediate), {
    unless,
  }),
  row(
    'MVN (register)',
    'A8.8.116',
    'MVN{S}<c> <Rd>, <Rm>{, <shift>}',
    'cond 0001111 S 0000 Rd imm5 type 0 Rm',
    moveNot(register),
    { unless },
  ),
  row(
    'MVN (register-shifted register)',
    'A8.8.117',
    'MVN{S}<c> <Rd>, <Rm>, <type> <Rs>',
    'cond 0001111 S 0000 Rd Rs 0 type 1 Rm',
    moveNot(registerShifted),
    noPc('Rd', 'Rm', 'Rs'),
  ),
  row(
    'MOV (immediate), wide',
    'A8.8.102',
    'MOVW<c> <Rd>, #<imm16>',
    'cond 00110000 imm4 Rd imm12',
    (m, f) => m.write(f.Rd, m.constant(wide(f))),
    noPc('Rd'),
  ),
  row(
    'MOVT',
    'A8.8.106',
    'MOVT<c> <Rd>, #<imm16>',
    'cond 00110100 imm4 Rd imm12',
    (m, f) => m.write(f.Rd, withNumber(m, 'or', withNumber(m, 'and', m.read(f.Rd), 0xffff), wide(f) * 0x10000)),
    noPc('Rd'),
  ),
];
