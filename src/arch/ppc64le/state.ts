// The state that semantics read and write, under the manual's names, and what several instructions share.

import { type Machine, NotUnderstood, withNumber } from '../machine.ts';
import type { Operands } from './row.ts';

// Numbers of registers beyond the general ones, r0 to r31. The current instruction's address is the machine's own.

/** The link and the count register (Book I, section 2.3.2 and 2.3.3). */
export const LR = 32;
export const CTR = 33;
/** The condition register's eight fields of four bits, one register each (section 2.3.1). */
export const CR0 = 34;
export const conditionFields = 8;
/** Of XER, what instructions set and ask one by one (section 3.2.2): the summary overflow, overflow and carry, the last
 * two also for the lower 32 bits. */
export const SO = 42;
export const OV = 43;
export const CA = 44;
export const OV32 = 45;
export const CA32 = 46;
/** The other bits of XER, in their places. */
export const XER = 47;
/** The machine state register, of which nothing is known but that it can be read (Book III, section 4.2.1). */
export const MSR = 48;

const numbered = (count: number, name: string): string[] => Array.from({ length: count }, (_, n) => `${name}${n}`);

export const stateNames = [
  ...numbered(32, 'r'),
  'lr',
  'ctr',
  ...numbered(conditionFields, 'cr'),
  ...['so', 'ov', 'ca', 'ov32', 'ca32', 'xer', 'msr'],
] as const;

/** The bits that XER's own registers have in it, counted from the lowest (section 3.2.2). */
export const xerBits: readonly (readonly [register: number, bit: number])[] = [
  [SO, 31],
  [OV, 30],
  [CA, 29],
  [OV32, 19],
  [CA32, 18],
];

/** The registers that are narrower than others. */
export const stateWidths: ReadonlyMap<number, number> = new Map([
  ...numbered(conditionFields, 'cr').map((_, n) => [CR0 + n, 4] as const),
  ...xerBits.map(([register]) => [register, 1] as const),
]);

/** `(RA|0)`: the register, or the number 0 where the field is 0. */
export const readOrZero = <V>(m: Machine<V>, register: number): V =>
  register === 0 ? m.constant(0) : m.read(register);

/** The lowest 32 bits, with zeros above them. */
export const lowWord = <V>(m: Machine<V>, value: V): V => withNumber(m, 'and', value, 0xffffffff);

/** A condition field of LT, GT and EQ, with the summary overflow in its place (section 2.3.1). */
export function setConditionField<V>(m: Machine<V>, field: number, less: V, greater: V, equal: V): void {
  const bits = [less, greater, equal, m.read(SO)];
  m.write(
    CR0 + field,
    bits.reduce((sum, bit, i) => m.apply('or', sum, withNumber(m, 'shiftLeft', bit, 3 - i)), m.constant(0)),
  );
}

/** What Rc asks for: CR0 from a result, as a signed number beside 0. */
export function record<V>(m: Machine<V>, result: V): void {
  const zero = m.constant(0);
  setConditionField(
    m,
    0,
    m.apply('lessSigned', result, zero),
    m.apply('lessSigned', zero, result),
    m.apply('equal', result, zero),
  );
}

/** A bit of the condition register by its number in the whole of it, 0 the leftmost, as a truth value. */
export function conditionBit<V>(m: Machine<V>, bit: number): V {
  const lowered = withNumber(m, 'shiftRight', m.read(CR0 + (bit >> 2)), 3 - (bit & 3));
  return withNumber(m, 'and', lowered, 1);
}

export function setConditionBit<V>(m: Machine<V>, bit: number, value: V): void {
  const field = CR0 + (bit >> 2);
  const place = 3 - (bit & 3);
  const others = withNumber(m, 'and', m.read(field), 0xf & ~(1 << place));
  m.write(field, m.apply('or', others, withNumber(m, 'shiftLeft', value, place)));
}

/** Where OE asks for it and nothing here says what overflows. */
export function refuseOverflow(f: Operands): void {
  if (f('OE')) throw new NotUnderstood('what of it overflows is not known here');
}
