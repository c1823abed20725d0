// Book I, sections 3.3.9 to 3.3.12: fixed-point arithmetic, comparing, trapping, choosing.
//
// Every addition and subtraction is one sum of two numbers and a carry: subtracting is adding the number with every bit
// turned over, and one. What the machine has no operation for, divisions and the upper halves of products, is known by
// name.

import { type Machine, NotUnderstood, not, signExtend, withNumber } from '../machine.ts';
import { type Computation, type Operands, type Row, refuse, type Semantics } from './row.ts';
import {
  CA,
  CA32,
  conditionBit,
  lowWord,
  OV,
  OV32,
  readOrZero,
  record,
  refuseOverflow,
  SO,
  setConditionField,
} from './state.ts';

const ra: Computation = (m, f) => m.read(f('RA'));
const rb: Computation = (m, f) => m.read(f('RB'));
const si: Computation = (m, f) => m.constant(f('SI'));
const carry: Computation = (m) => m.read(CA);
const notRa: Computation = (m, f) => not(m, m.read(f('RA')));
const number =
  (value: number): Computation =>
  (m) =>
    m.constant(value);

const bitOf = <V>(m: Machine<V>, value: V, bit: number): V =>
  withNumber(m, 'and', withNumber(m, 'shiftRight', value, bit), 1);

interface Effects {
  readonly setsCarry?: boolean;
  /** Whether the word has OE and Rc. */
  readonly hasForms?: boolean;
  readonly records?: boolean;
}

/** RT = a + b + c. CA and OV are the carry out of the sum, and out of its sign; CA32 and OV32 those of the low half. */
const sum =
  (a: Computation, b: Computation, c: Computation, effects: Effects): Semantics =>
  (m, f) => {
    const [x, y, carryIn] = [a(m, f), b(m, f), c(m, f)];
    const result = m.apply('add', m.apply('add', x, y), carryIn);
    m.write(f('RT'), result);
    if (effects.setsCarry) {
      // Each bit's carry out: both have it, or one has it and the sum has not.
      const either = m.apply('and', m.apply('or', x, y), not(m, result));
      const carries = m.apply('or', m.apply('and', x, y), either);
      m.write(CA, bitOf(m, carries, 63));
      m.write(CA32, bitOf(m, carries, 31));
    }
    if (effects.hasForms && f('OE')) {
      // The sum's sign is neither one's.
      const overflows = m.apply('and', m.apply('xor', x, result), m.apply('xor', y, result));
      const overflow = bitOf(m, overflows, 63);
      m.write(OV, overflow);
      m.write(OV32, bitOf(m, overflows, 31));
      m.write(SO, m.apply('or', m.read(SO), overflow));
    }
    if (effects.records || (effects.hasForms && f('Rc'))) record(m, result);
  };

const plain: Effects = { hasForms: true };
const carrying: Effects = { hasForms: true, setsCarry: true };

const product =
  (result: Computation): Semantics =>
  (m, f) => {
    refuseOverflow(f);
    const value = result(m, f);
    m.write(f('RT'), value);
    if (f('Rc')) record(m, value);
  };

const signedWord = <V>(m: Machine<V>, value: V): V => signExtend(m, value, 32);

const division = refuse('divisions are beyond the machine');
const upperHalf = refuse('the upper half of a product is beyond the machine');
const undefinedHalf = refuse('what the upper half of its result holds is not defined');

/** The two that are compared, in 64 bits; L is 0 for words. */
const compared =
  (extend: <V>(m: Machine<V>, value: V) => V, right: Computation) =>
  <V>(m: Machine<V>, f: Operands): readonly [V, V] => {
    const [a, b] = [m.read(f('RA')), right(m, f)];
    return f('L') ? [a, b] : [extend(m, a), extend(m, b)];
  };

const compare =
  (less: 'lessSigned' | 'lessUnsigned', right: Computation): Semantics =>
  (m, f) => {
    const [a, b] = compared(less === 'lessSigned' ? signedWord : lowWord, right)(m, f);
    // Words are equal whichever way they are extended.
    const [x, y] = compared(lowWord, right)(m, f);
    setConditionField(m, f('BF'), m.apply(less, a, b), m.apply(less, b, a), m.apply('equal', x, y));
  };

const ui: Computation = (m, f) => m.constant(f('UI'));

/** TO's bits, from the left: less, greater, equal, less as unsigned, greater as unsigned. */
const trap =
  (extends_: boolean, right: Computation): Semantics =>
  (m, f) => {
    const [a, b] = extends_ ? [signedWord(m, m.read(f('RA'))), signedWord(m, right(m, f))] : [ra(m, f), right(m, f)];
    const conditions = [
      m.apply('lessSigned', a, b),
      m.apply('lessSigned', b, a),
      m.apply('equal', a, b),
      m.apply('lessUnsigned', a, b),
      m.apply('lessUnsigned', b, a),
    ];
    const always = 31;
    const traps = f('TO') === always || conditions.some((holds, i) => f('TO') & (16 >> i) && m.decide(holds));
    if (traps) throw new NotUnderstood('it traps');
  };

// biome-ignore format: a table
export const arithmetic: readonly Row[] = [
  ['addi RT,RA|0,SI',        '14@0:5 RT RA|0 SI',                             'I 3.3.9', (m, f) => m.write(f('RT'), withNumber(m, 'add', readOrZero(m, f('RA|0')), f('SI')))],
  ['addis RT,RA|0,SI',       '15@0:5 RT RA|0 SI',                             'I 3.3.9', (m, f) => m.write(f('RT'), withNumber(m, 'add', readOrZero(m, f('RA|0')), f('SI') * 0x10000))],
  ['addpcis RT,DX',          '19@0:5 RT DX 2@26:30',                          'I 3.3.9', (m, f) => m.write(f('RT'), withNumber(m, 'add', m.pc, 4 + f('DX') * 0x10000))],
  ['addic RT,RA,SI',         '12@0:5 RT RA SI',                               'I 3.3.9', sum(ra, si, number(0), { setsCarry: true })],
  ['addic. RT,RA,SI',        '13@0:5 RT RA SI',                               'I 3.3.9', sum(ra, si, number(0), { setsCarry: true, records: true })],
  ['subfic RT,RA,SI',        '8@0:5 RT RA SI',                                'I 3.3.9', sum(notRa, si, number(1), { setsCarry: true })],
  ['mulli RT,RA,SI',         '7@0:5 RT RA SI',                                'I 3.3.9', (m, f) => m.write(f('RT'), withNumber(m, 'multiply', ra(m, f), f('SI')))],
  ['add[o][.] RT,RA,RB',     '31@0:5 RT RA RB 266@22:30',                     'I 3.3.9', sum(ra, rb, number(0), plain)],
  ['addc[o][.] RT,RA,RB',    '31@0:5 RT RA RB 10@22:30',                      'I 3.3.9', sum(ra, rb, number(0), carrying)],
  ['adde[o][.] RT,RA,RB',    '31@0:5 RT RA RB 138@22:30',                     'I 3.3.9', sum(ra, rb, carry, carrying)],
  ['addme[o][.] RT,RA',      '31@0:5 RT RA 234@22:30',                        'I 3.3.9', sum(ra, number(-1), carry, carrying)],
  ['addze[o][.] RT,RA',      '31@0:5 RT RA 202@22:30',                        'I 3.3.9', sum(ra, number(0), carry, carrying)],
  ['subf[o][.] RT,RA,RB',    '31@0:5 RT RA RB 40@22:30',                      'I 3.3.9', sum(notRa, rb, number(1), plain)],
  ['subfc[o][.] RT,RA,RB',   '31@0:5 RT RA RB 8@22:30',                       'I 3.3.9', sum(notRa, rb, number(1), carrying)],
  ['subfe[o][.] RT,RA,RB',   '31@0:5 RT RA RB 136@22:30',                     'I 3.3.9', sum(notRa, rb, carry, carrying)],
  ['subfme[o][.] RT,RA',     '31@0:5 RT RA 232@22:30',                        'I 3.3.9', sum(notRa, number(-1), carry, carrying)],
  ['subfze[o][.] RT,RA',     '31@0:5 RT RA 200@22:30',                        'I 3.3.9', sum(notRa, number(0), carry, carrying)],
  ['neg[o][.] RT,RA',        '31@0:5 RT RA 104@22:30',                        'I 3.3.9', sum(notRa, number(0), number(1), plain)],
  ['mullw[o][.] RT,RA,RB',   '31@0:5 RT RA RB 235@22:30',                     'I 3.3.9', product((m, f) => m.apply('multiply', signedWord(m, ra(m, f)), signedWord(m, rb(m, f))))],
  ['mulhw[.] RT,RA,RB',      '31@0:5 RT RA RB 75@22:30',                      'I 3.3.9', undefinedHalf],
  ['mulhwu[.] RT,RA,RB',     '31@0:5 RT RA RB 11@22:30',                      'I 3.3.9', undefinedHalf],
  ['divw[o][.] RT,RA,RB',    '31@0:5 RT RA RB 491@22:30',                     'I 3.3.9', division],
  ['divwu[o][.] RT,RA,RB',   '31@0:5 RT RA RB 459@22:30',                     'I 3.3.9', division],
  ['divwe[o][.] RT,RA,RB',   '31@0:5 RT RA RB 427@22:30',                     'I 3.3.9', division],
  ['divweu[o][.] RT,RA,RB',  '31@0:5 RT RA RB 395@22:30',                     'I 3.3.9', division],
  ['modsw RT,RA,RB',         '31@0:5 RT RA RB 779@21:30',                     'I 3.3.9', division],
  ['moduw RT,RA,RB',         '31@0:5 RT RA RB 267@21:30',                     'I 3.3.9', division],
  ['mulld[o][.] RT,RA,RB',   '31@0:5 RT RA RB 233@22:30',                     'I 3.3.9.1', product((m, f) => m.apply('multiply', ra(m, f), rb(m, f)))],
  ['mulhd[.] RT,RA,RB',      '31@0:5 RT RA RB 73@22:30',                      'I 3.3.9.1', upperHalf],
  ['mulhdu[.] RT,RA,RB',     '31@0:5 RT RA RB 9@22:30',                       'I 3.3.9.1', upperHalf],
  ['maddhd RT,RA,RB,RC',     '4@0:5 RT RA RB RC 48@26:31',                    'I 3.3.9.1', upperHalf],
  ['maddhdu RT,RA,RB,RC',    '4@0:5 RT RA RB RC 49@26:31',                    'I 3.3.9.1', upperHalf],
  ['maddld RT,RA,RB,RC',     '4@0:5 RT RA RB RC 51@26:31',                    'I 3.3.9.1', (m, f) => m.write(f('RT'), m.apply('add', m.apply('multiply', ra(m, f), rb(m, f)), m.read(f('RC'))))],
  ['divd[o][.] RT,RA,RB',    '31@0:5 RT RA RB 489@22:30',                     'I 3.3.9.1', division],
  ['divdu[o][.] RT,RA,RB',   '31@0:5 RT RA RB 457@22:30',                     'I 3.3.9.1', division],
  ['divde[o][.] RT,RA,RB',   '31@0:5 RT RA RB 425@22:30',                     'I 3.3.9.1', division],
  ['divdeu[o][.] RT,RA,RB',  '31@0:5 RT RA RB 393@22:30',                     'I 3.3.9.1', division],
  ['modsd RT,RA,RB',         '31@0:5 RT RA RB 777@21:30',                     'I 3.3.9.1', division],
  ['modud RT,RA,RB',         '31@0:5 RT RA RB 265@21:30',                     'I 3.3.9.1', division],
  // Comparing, trapping, choosing.
  ['cmpi BF,L,RA,SI',        '11@0:5 BF L RA SI',                             'I 3.3.10', compare('lessSigned', si)],
  ['cmp BF,L,RA,RB',         '31@0:5 BF L RA RB 0@21:30',                     'I 3.3.10', compare('lessSigned', rb)],
  ['cmpli BF,L,RA,UI',       '10@0:5 BF L RA UI',                             'I 3.3.10', compare('lessUnsigned', ui)],
  ['cmpl BF,L,RA,RB',        '31@0:5 BF L RA RB 32@21:30',                    'I 3.3.10', compare('lessUnsigned', rb)],
  ['twi TO,RA,SI',           '3@0:5 TO RA SI',                                'I 3.3.11', trap(true, si)],
  ['tw TO,RA,RB',            '31@0:5 TO RA RB 4@21:30',                       'I 3.3.11', trap(true, rb)],
  ['tdi TO,RA,SI',           '2@0:5 TO RA SI',                                'I 3.3.11', trap(false, si)],
  ['td TO,RA,RB',            '31@0:5 TO RA RB 68@21:30',                      'I 3.3.11', trap(false, rb)],
  ['isel RT,RA|0,RB,BC',     '31@0:5 RT RA|0 RB BC 15@26:30',                 'I 3.3.12', (m, f) => m.write(f('RT'), m.decide(conditionBit(m, f('BC'))) ? readOrZero(m, f('RA|0')) : rb(m, f))],
];
