// Book I, section 3.3.13, logic, and 3.3.14, rotating and shifting. RS is the source here, RA the target. Bits are
// counted from the left, 0 to 63; a word is the right half, bits 32 to 63.

import { type Machine, not, signExtend, withNumber } from '../machine.ts';
import { type Computation, type Operands, type Row, refuse, type Semantics } from './row.ts';
import { CA, CA32, lowWord, record } from './state.ts';

const rs: Computation = (m, f) => m.read(f('RS'));
const rb: Computation = (m, f) => m.read(f('RB'));
const ui: Computation = (m, f) => m.constant(f('UI'));
const upperUi: Computation = (m, f) => m.constant(f('UI') * 0x10000);

const result =
  (computation: Computation): Semantics =>
  (m, f) => {
    const value = computation(m, f);
    m.write(f('RA'), value);
    if (f('Rc')) record(m, value);
  };

/** With an immediate there is no Rc; the rows with a point always record. */
const immediate =
  (operation: 'and' | 'or' | 'xor', right: Computation): Semantics =>
  (m, f) => {
    const value = m.apply(operation, rs(m, f), right(m, f));
    m.write(f('RA'), value);
    if (operation === 'and') record(m, value);
  };

const both = (combine: <V>(m: Machine<V>, a: V, b: V) => V): Semantics =>
  result((m, f) => combine(m, rs(m, f), rb(m, f)));
const extended = (bits: number): Semantics => result((m, f) => signExtend(m, rs(m, f), bits));

const ones = (count: number): bigint => (1n << BigInt(count)) - 1n;

/** MASK(x, y): ones from bit x to bit y, around the end where x is the greater. */
function maskOf(x: number, y: number): bigint {
  const fromX = ones(64 - x);
  const toY = ones(y + 1) << BigInt(63 - y);
  return x <= y ? fromX & toY : fromX | toY;
}

/** The bits of a doubleword under a mask, rotated left before. */
function rotated<V>(m: Machine<V>, value: V, by: V, mask: bigint): V {
  const back = m.apply('subtract', m.constant(64), by);
  const left = withNumber(m, 'and', m.apply('shiftLeft', value, by), mask);
  return m.apply('or', left, withNumber(m, 'and', m.apply('shiftRight', value, back), mask));
}

/** The same of a word, which ROTL32 puts into both halves. */
function rotatedWord<V>(m: Machine<V>, value: V, by: V, mask: bigint): V {
  const word = lowWord(m, value);
  const back = m.apply('subtract', m.constant(32), by);
  const low = mask & ones(32);
  const left = withNumber(m, 'and', m.apply('shiftLeft', word, by), low);
  const half = m.apply('or', left, withNumber(m, 'and', m.apply('shiftRight', word, back), low));
  if (mask === low) return half;
  const upper = withNumber(m, 'shiftLeft', rotatedWord(m, value, by, ones(32)), 32);
  return m.apply('or', half, withNumber(m, 'and', upper, mask));
}

const wordMask = (f: Operands): bigint => maskOf(f('MB') + 32, f('ME') + 32);

const amount =
  (name: 'SH' | 'sh'): Computation =>
  (m, f) =>
    m.constant(f(name));
const lowBits =
  (mask: number): Computation =>
  (m, f) =>
    withNumber(m, 'and', rb(m, f), mask);

type MaskOf = (f: Operands) => bigint;
const word = (by: Computation): Semantics => result((m, f) => rotatedWord(m, rs(m, f), by(m, f), wordMask(f)));
const doubleword = (by: Computation, mask: MaskOf): Semantics =>
  result((m, f) => rotated(m, rs(m, f), by(m, f), mask(f)));
/** Under the mask the rotated bits, elsewhere what RA had. */
const inserted = (bits: typeof rotated, by: Computation, mask: MaskOf): Semantics =>
  result((m, f) => {
    const others = withNumber(m, 'and', m.read(f('RA')), ones(64) ^ mask(f));
    return m.apply('or', bits(m, rs(m, f), by(m, f), mask(f)), others);
  });

const signedWord: Computation = (m, f) => signExtend(m, rs(m, f), 32);

/** Shifting right with the sign: CA is set where a negative number loses ones. */
const shiftedRight =
  (value: Computation, by: Computation): Semantics =>
  (m, f) => {
    const [from, distance] = [value(m, f), by(m, f)];
    const shifted = m.apply('shiftRightSigned', from, distance);
    const isKept = m.apply('equal', m.apply('shiftLeft', shifted, distance), from);
    const carry = m.apply('and', m.apply('lessSigned', from, m.constant(0)), withNumber(m, 'xor', isKept, 1));
    m.write(CA, carry);
    m.write(CA32, carry);
    m.write(f('RA'), shifted);
    if (f('Rc')) record(m, shifted);
  };

const counting = refuse('counting bits is beyond the machine');

// biome-ignore format: a table
export const logic: readonly Row[] = [
  ['andi. RA,RS,UI',         '28@0:5 RS RA UI',                               'I 3.3.13', immediate('and', ui)],
  ['andis. RA,RS,UI',        '29@0:5 RS RA UI',                               'I 3.3.13', immediate('and', upperUi)],
  ['ori RA,RS,UI',           '24@0:5 RS RA UI',                               'I 3.3.13', immediate('or', ui)],
  ['oris RA,RS,UI',          '25@0:5 RS RA UI',                               'I 3.3.13', immediate('or', upperUi)],
  ['xori RA,RS,UI',          '26@0:5 RS RA UI',                               'I 3.3.13', immediate('xor', ui)],
  ['xoris RA,RS,UI',         '27@0:5 RS RA UI',                               'I 3.3.13', immediate('xor', upperUi)],
  ['and[.] RA,RS,RB',        '31@0:5 RS RA RB 28@21:30',                      'I 3.3.13', both((m, a, b) => m.apply('and', a, b))],
  ['andc[.] RA,RS,RB',       '31@0:5 RS RA RB 60@21:30',                      'I 3.3.13', both((m, a, b) => m.apply('and', a, not(m, b)))],
  ['nand[.] RA,RS,RB',       '31@0:5 RS RA RB 476@21:30',                     'I 3.3.13', both((m, a, b) => not(m, m.apply('and', a, b)))],
  ['or[.] RA,RS,RB',         '31@0:5 RS RA RB 444@21:30',                     'I 3.3.13', both((m, a, b) => m.apply('or', a, b))],
  ['orc[.] RA,RS,RB',        '31@0:5 RS RA RB 412@21:30',                     'I 3.3.13', both((m, a, b) => m.apply('or', a, not(m, b)))],
  ['nor[.] RA,RS,RB',        '31@0:5 RS RA RB 124@21:30',                     'I 3.3.13', both((m, a, b) => not(m, m.apply('or', a, b)))],
  ['xor[.] RA,RS,RB',        '31@0:5 RS RA RB 316@21:30',                     'I 3.3.13', both((m, a, b) => m.apply('xor', a, b))],
  ['eqv[.] RA,RS,RB',        '31@0:5 RS RA RB 284@21:30',                     'I 3.3.13', both((m, a, b) => not(m, m.apply('xor', a, b)))],
  ['extsb[.] RA,RS',         '31@0:5 RS RA 954@21:30',                        'I 3.3.13', extended(8)],
  ['extsh[.] RA,RS',         '31@0:5 RS RA 922@21:30',                        'I 3.3.13', extended(16)],
  ['extsw[.] RA,RS',         '31@0:5 RS RA 986@21:30',                        'I 3.3.13.1', extended(32)],
  ['cntlzw[.] RA,RS',        '31@0:5 RS RA 26@21:30',                         'I 3.3.13', counting],
  ['cnttzw[.] RA,RS',        '31@0:5 RS RA 538@21:30',                        'I 3.3.13', counting],
  ['cntlzd[.] RA,RS',        '31@0:5 RS RA 58@21:30',                         'I 3.3.13.1', counting],
  ['cnttzd[.] RA,RS',        '31@0:5 RS RA 570@21:30',                        'I 3.3.13.1', counting],
  ['cmpb RA,RS,RB',          '31@0:5 RS RA RB 508@21:30',                     'I 3.3.13', counting],
  ['popcntb RA,RS',          '31@0:5 RS RA 122@21:30',                        'I 3.3.13', counting],
  ['popcntw RA,RS',          '31@0:5 RS RA 378@21:30',                        'I 3.3.13', counting],
  ['popcntd RA,RS',          '31@0:5 RS RA 506@21:30',                        'I 3.3.13.1', counting],
  // Rotating and shifting.
  ['rlwimi[.] RA,RS,SH,MB,ME', '20@0:5 RS RA SH MB ME',                       'I 3.3.14.1', inserted(rotatedWord, amount('SH'), wordMask)],
  ['rlwinm[.] RA,RS,SH,MB,ME', '21@0:5 RS RA SH MB ME',                       'I 3.3.14.1', word(amount('SH'))],
  ['rlwnm[.] RA,RS,RB,MB,ME',  '23@0:5 RS RA RB MB ME',                       'I 3.3.14.1', word(lowBits(31))],
  ['rldicl[.] RA,RS,sh,mb',  '30@0:5 RS RA sh mb 0@27:29',                    'I 3.3.14.1', doubleword(amount('sh'), (f) => maskOf(f('mb'), 63))],
  ['rldicr[.] RA,RS,sh,me',  '30@0:5 RS RA sh me 1@27:29',                    'I 3.3.14.1', doubleword(amount('sh'), (f) => maskOf(0, f('me')))],
  ['rldic[.] RA,RS,sh,mb',   '30@0:5 RS RA sh mb 2@27:29',                    'I 3.3.14.1', doubleword(amount('sh'), (f) => maskOf(f('mb'), 63 - f('sh')))],
  ['rldimi[.] RA,RS,sh,mb',  '30@0:5 RS RA sh mb 3@27:29',                    'I 3.3.14.1', inserted(rotated, amount('sh'), (f) => maskOf(f('mb'), 63 - f('sh')))],
  ['rldcl[.] RA,RS,RB,mb',   '30@0:5 RS RA RB mb 8@27:30',                    'I 3.3.14.1', doubleword(lowBits(63), (f) => maskOf(f('mb'), 63))],
  ['rldcr[.] RA,RS,RB,me',   '30@0:5 RS RA RB me 9@27:30',                    'I 3.3.14.1', doubleword(lowBits(63), (f) => maskOf(0, f('me')))],
  ['slw[.] RA,RS,RB',        '31@0:5 RS RA RB 24@21:30',                      'I 3.3.14.2', result((m, f) => lowWord(m, m.apply('shiftLeft', rs(m, f), lowBits(63)(m, f))))],
  ['srw[.] RA,RS,RB',        '31@0:5 RS RA RB 536@21:30',                     'I 3.3.14.2', result((m, f) => m.apply('shiftRight', lowWord(m, rs(m, f)), lowBits(63)(m, f)))],
  ['sraw[.] RA,RS,RB',       '31@0:5 RS RA RB 792@21:30',                     'I 3.3.14.2', shiftedRight(signedWord, lowBits(63))],
  ['srawi[.] RA,RS,SH',      '31@0:5 RS RA SH 824@21:30',                     'I 3.3.14.2', shiftedRight(signedWord, amount('SH'))],
  ['sld[.] RA,RS,RB',        '31@0:5 RS RA RB 27@21:30',                      'I 3.3.14.2', result((m, f) => m.apply('shiftLeft', rs(m, f), lowBits(127)(m, f)))],
  ['srd[.] RA,RS,RB',        '31@0:5 RS RA RB 539@21:30',                     'I 3.3.14.2', result((m, f) => m.apply('shiftRight', rs(m, f), lowBits(127)(m, f)))],
  ['srad[.] RA,RS,RB',       '31@0:5 RS RA RB 794@21:30',                     'I 3.3.14.2', shiftedRight(rs, lowBits(127))],
  ['sradi[.] RA,RS,sh',      '31@0:5 RS RA sh 413@21:29',                     'I 3.3.14.2', shiftedRight(rs, amount('sh'))],
  ['extswsli[.] RA,RS,sh',   '31@0:5 RS RA sh 445@21:29',                     'I 3.3.14.2', result((m, f) => m.apply('shiftLeft', signedWord(m, f), amount('sh')(m, f)))],
];
