// Book I, section 2.4, branches; section 2.5, logic on the condition register; section 2.7, system calls.

import { type Machine, NotUnderstood, withNumber } from '../machine.ts';
import { type Computation, type Operands, type Row, refuse, type Semantics } from './row.ts';
import { CR0, CTR, conditionBit, LR, setConditionBit } from './state.ts';

const link = <V>(m: Machine<V>): void => m.write(LR, withNumber(m, 'add', m.pc, 4));

/** From a register: the two lowest bits do not count. */
const fromRegister = <V>(m: Machine<V>, register: number): V => withNumber(m, 'and', m.read(register), -4);

/**
 * BO (figure 40), from the left: 16 asks no condition; 8 says which way the condition must be; 4 leaves CTR alone; 2
 * branches when CTR has come to 0. What is left are hints, `at` or `t`, and bits that must be 0, `z`.
 */
function isInvalid(bo: number): boolean {
  const z = (bo & 0b10100) === 0b10100 ? 0b01011 : (bo & 0b10100) === 0 ? 0b00001 : 0;
  return (bo & z) !== 0;
}

/** Whether a conditional branch is taken; CTR is counted down on the way. */
function isTaken<V>(m: Machine<V>, f: Operands): boolean {
  const bo = f('BO');
  if (isInvalid(bo)) throw new NotUnderstood('an invalid form: bits of BO that must be 0 are not');
  if ((bo & 4) === 0) {
    const count = withNumber(m, 'subtract', m.read(CTR), 1);
    m.write(CTR, count);
    if (m.decide(m.apply('equal', count, m.constant(0))) !== ((bo & 2) !== 0)) return false;
  }
  return (bo & 16) !== 0 || m.decide(conditionBit(m, f('BI'))) === ((bo & 8) !== 0);
}

const branch =
  (target: Computation, links: boolean): Semantics =>
  (m, f) => {
    const to = target(m, f);
    if (links) link(m);
    m.jump(to);
  };

/** LR is set whether the branch is taken or not. */
const conditional =
  (target: Computation, links: boolean): Semantics =>
  (m, f) => {
    const to = target(m, f);
    const taken = isTaken(m, f);
    if (links) link(m);
    if (taken) m.jump(to);
  };

const relative: Computation = (m, f) => withNumber(m, 'add', m.pc, f('LI'));
const absolute: Computation = (m, f) => m.constant(f('LIA'));
const relativeShort: Computation = (m, f) => withNumber(m, 'add', m.pc, f('BD'));
const absoluteShort: Computation = (m, f) => m.constant(f('BDA'));
const toLr: Computation = (m) => fromRegister(m, LR);
const toCtr: Computation = (m, f) => {
  if ((f('BO') & 4) === 0) throw new NotUnderstood('an invalid form: it counts down the register that it branches to');
  return fromRegister(m, CTR);
};

/** Logic on two bits of the condition register. */
const logic =
  (result: <V>(m: Machine<V>, a: V, b: V) => V): Semantics =>
  (m, f) =>
    setConditionBit(m, f('BT'), withNumber(m, 'and', result(m, conditionBit(m, f('BA')), conditionBit(m, f('BB'))), 1));

const turned = <V>(m: Machine<V>, bit: V): V => withNumber(m, 'xor', bit, 1);

// biome-ignore format: a table
export const branches: readonly Row[] = [
  ['b LI',                   '18@0:5 LI 0@30 0@31',                           'I 2.4',   branch(relative, false)],
  ['bl LI',                  '18@0:5 LI 0@30 1@31',                           'I 2.4',   branch(relative, true)],
  ['ba LIA',                 '18@0:5 LIA 1@30 0@31',                          'I 2.4',   branch(absolute, false)],
  ['bla LIA',                '18@0:5 LIA 1@30 1@31',                          'I 2.4',   branch(absolute, true)],
  ['bc BO,BI,BD',            '16@0:5 BO BI BD 0@30 0@31',                     'I 2.4',   conditional(relativeShort, false)],
  ['bcl BO,BI,BD',           '16@0:5 BO BI BD 0@30 1@31',                     'I 2.4',   conditional(relativeShort, true)],
  ['bca BO,BI,BDA',          '16@0:5 BO BI BDA 1@30 0@31',                    'I 2.4',   conditional(absoluteShort, false)],
  ['bcla BO,BI,BDA',         '16@0:5 BO BI BDA 1@30 1@31',                    'I 2.4',   conditional(absoluteShort, true)],
  ['bclr BO,BI,BH',          '19@0:5 BO BI BH 16@21:30 0@31',                 'I 2.4',   conditional(toLr, false)],
  ['bclrl BO,BI,BH',         '19@0:5 BO BI BH 16@21:30 1@31',                 'I 2.4',   conditional(toLr, true)],
  ['bcctr BO,BI,BH',         '19@0:5 BO BI BH 528@21:30 0@31',                'I 2.4',   conditional(toCtr, false)],
  ['bcctrl BO,BI,BH',        '19@0:5 BO BI BH 528@21:30 1@31',                'I 2.4',   conditional(toCtr, true)],
  ['crand BT,BA,BB',         '19@0:5 BT BA BB 257@21:30',                     'I 2.5.1', logic((m, a, b) => m.apply('and', a, b))],
  ['crandc BT,BA,BB',        '19@0:5 BT BA BB 129@21:30',                     'I 2.5.1', logic((m, a, b) => m.apply('and', a, turned(m, b)))],
  ['creqv BT,BA,BB',         '19@0:5 BT BA BB 289@21:30',                     'I 2.5.1', logic((m, a, b) => turned(m, m.apply('xor', a, b)))],
  ['crnand BT,BA,BB',        '19@0:5 BT BA BB 225@21:30',                     'I 2.5.1', logic((m, a, b) => turned(m, m.apply('and', a, b)))],
  ['crnor BT,BA,BB',         '19@0:5 BT BA BB 33@21:30',                      'I 2.5.1', logic((m, a, b) => turned(m, m.apply('or', a, b)))],
  ['cror BT,BA,BB',          '19@0:5 BT BA BB 449@21:30',                     'I 2.5.1', logic((m, a, b) => m.apply('or', a, b))],
  ['crorc BT,BA,BB',         '19@0:5 BT BA BB 417@21:30',                     'I 2.5.1', logic((m, a, b) => m.apply('or', a, turned(m, b)))],
  ['crxor BT,BA,BB',         '19@0:5 BT BA BB 193@21:30',                     'I 2.5.1', logic((m, a, b) => m.apply('xor', a, b))],
  ['mcrf BF,BFA',            '19@0:5 BF BFA 0@21:30',                         'I 2.5.2', (m, f) => m.write(CR0 + f('BF'), m.read(CR0 + f('BFA')))],
  ['sc LEV',                 '17@0:5 LEV 1@30',                               'I 2.7',   refuse('it calls the system')],
  ['rfid',                   '19@0:5 18@21:30',                               'III 3.3.1', refuse('it returns from an interrupt')],
  ['hrfid',                  '19@0:5 274@21:30',                              'III 3.3.1', refuse('it returns from an interrupt')],
];
