// Section A5.3, loads and stores of words and bytes, and section A5.2.8, those of halfwords, signed bytes and
// doublewords. U says whether the offset is added or subtracted. Three forms each: the address is base plus offset; the
// same, and written back to the base (pre-indexed); the address is the base, to which base plus offset is then written
// (post-indexed).
//
// Words and halfwords may lie anywhere (section A3.2.1: SCTLR.A is 0 in Linux); doublewords and a loaded PC may not.

import { type Machine, signExtend, withNumber } from '../machine.ts';
import { shiftedByImmediate } from './data-processing.ts';
import { type AllFields, LR, PC, type Row, row, type Semantics, SP } from './row.ts';
import { checkWordAligned, readRegister, writeRegister } from './state.ts';

// What is moved, once the address is known. Loads come in two steps, since the base is written back before the PC.

/** Does the access, and returns what is left to do behind the write-back. */
type Access = <T>(m: Machine<T>, f: AllFields, address: T) => () => void;

const done = (): void => {};

const storeBytes =
  (size: 1 | 2 | 4): Access =>
  (m, f, address) => {
    m.store(address, size, readRegister(m, f.Rt));
    return done;
  };
const loadBytes =
  (size: 1 | 2 | 4, signed = false): Access =>
  (m, f, address) => {
    if (f.Rt === PC) checkWordAligned(m, address);
    const loaded = m.load(address, size);
    return () => writeRegister(m, f.Rt, signed ? signExtend(m, loaded, 8 * size) : loaded);
  };
const storeDual: Access = (m, f, address) => {
  checkWordAligned(m, address);
  m.store(address, 4, m.read(f.Rt));
  m.store(withNumber(m, 'add', address, 4), 4, m.read(f.Rt + 1));
  return done;
};
const loadDual: Access = (m, f, address) => {
  checkWordAligned(m, address);
  const [first, second] = [m.load(address, 4), m.load(withNumber(m, 'add', address, 4), 4)];
  return () => {
    m.write(f.Rt, first);
    m.write(f.Rt + 1, second);
  };
};

type Offset = <T>(m: Machine<T>, f: AllFields) => T;

const offset12: Offset = (m, f) => m.constant(f.imm12);
const offset8: Offset = (m, f) => m.constant(f.imm4H * 16 + f.imm4L);
const offsetRegister: Offset = (m, f) => m.read(f.Rm);
const offsetShifted: Offset = (m, f) => shiftedByImmediate(m, m.read(f.Rm), f.type, f.imm5).value;

type Index = 'offset' | 'pre' | 'post';

const transfer =
  (access: Access, offset: Offset, index: Index): Semantics =>
  (m, f) => {
    const base = readRegister(m, f.Rn);
    const indexed = m.apply(f.U ? 'add' : 'subtract', base, offset(m, f));
    const finish = access(m, f, index === 'post' ? base : indexed);
    if (index !== 'offset') m.write(f.Rn, indexed);
    finish();
  };

/** Writing back to the base that is also loaded or stored, or to the PC, is UNPREDICTABLE. */
const badWriteBack = (f: AllFields): boolean => f.Rn === PC || f.Rn === f.Rt;

function loadOrStore(
  name: string,
  byte: '0' | '1',
  load: '0' | '1',
  sections: readonly [immediate: string, register: string],
): Row[] {
  const bits = (p: string, w: string): string => `${p} U ${byte} ${w} ${load} Rn Rt`;
  const badByte = (f: AllFields): boolean => byte === '1' && f.Rt === PC;
  const size = byte === '1' ? 1 : 4;
  const access = load === '1' ? loadBytes(size) : storeBytes(size);
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>{, #+/-<imm12>}]`,
      `cond 010 ${bits('1', '0')} imm12`,
      transfer(access, offset12, 'offset'),
      { unpredictable: badByte },
    ),
    row(
      `${name} (immediate), pre-indexed`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>, #+/-<imm12>]!`,
      `cond 010 ${bits('1', '1')} imm12`,
      transfer(access, offset12, 'pre'),
      { unpredictable: (f) => badByte(f) || badWriteBack(f) },
    ),
    row(
      `${name} (immediate), post-indexed`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>], #+/-<imm12>`,
      `cond 010 ${bits('0', '0')} imm12`,
      transfer(access, offset12, 'post'),
      { unpredictable: (f) => badByte(f) || badWriteBack(f) },
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>, +/-<Rm>{, <shift>}]`,
      `cond 011 ${bits('1', '0')} imm5 type 0 Rm`,
      transfer(access, offsetShifted, 'offset'),
      { unpredictable: (f) => badByte(f) || f.Rm === PC },
    ),
    row(
      `${name} (register), pre-indexed`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>, +/-<Rm>{, <shift>}]!`,
      `cond 011 ${bits('1', '1')} imm5 type 0 Rm`,
      transfer(access, offsetShifted, 'pre'),
      { unpredictable: (f) => badByte(f) || f.Rm === PC || badWriteBack(f) },
    ),
    row(
      `${name} (register), post-indexed`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>], +/-<Rm>{, <shift>}`,
      `cond 011 ${bits('0', '0')} imm5 type 0 Rm`,
      transfer(access, offsetShifted, 'post'),
      { unpredictable: (f) => badByte(f) || f.Rm === PC || badWriteBack(f) },
    ),
  ];
}

/** The extra ones: an immediate of 8 bits in two halves, or a plain register. */
function extraLoadOrStore(
  name: string,
  load: '0' | '1',
  op2: '01' | '10' | '11',
  sections: readonly [immediate: string, register: string],
  access: Access,
): Row[] {
  const dual = name.endsWith('D');
  const second = dual ? '{, <Rt2>}' : '';
  const loads = name.startsWith('LDR');
  const bits = (p: string, immediate: '0' | '1', w: string): string => `${p} U ${immediate} ${w} ${load} Rn Rt`;
  // A doubleword takes an even register and the one after it, not the PC.
  const badTarget = (f: AllFields): boolean => (dual ? f.Rt % 2 === 1 || f.Rt === LR : f.Rt === PC);
  const badPair = (f: AllFields): boolean => badWriteBack(f) || (dual && f.Rn === f.Rt + 1);
  const badOffset = (f: AllFields): boolean => f.Rm === PC || (dual && loads && (f.Rm === f.Rt || f.Rm === f.Rt + 1));
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>{, #+/-<imm8>}]`,
      `cond 000 ${bits('1', '1', '0')} imm4H 1 ${op2} 1 imm4L`,
      transfer(access, offset8, 'offset'),
      { unpredictable: badTarget },
    ),
    row(
      `${name} (immediate), pre-indexed`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>, #+/-<imm8>]!`,
      `cond 000 ${bits('1', '1', '1')} imm4H 1 ${op2} 1 imm4L`,
      transfer(access, offset8, 'pre'),
      { unpredictable: (f) => badTarget(f) || badPair(f) },
    ),
    row(
      `${name} (immediate), post-indexed`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>], #+/-<imm8>`,
      `cond 000 ${bits('0', '1', '0')} imm4H 1 ${op2} 1 imm4L`,
      transfer(access, offset8, 'post'),
      { unpredictable: (f) => badTarget(f) || badPair(f) },
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>, +/-<Rm>]`,
      `cond 000 ${bits('1', '0', '0')} 0000 1 ${op2} 1 Rm`,
      transfer(access, offsetRegister, 'offset'),
      { unpredictable: (f) => badTarget(f) || badOffset(f) },
    ),
    row(
      `${name} (register), pre-indexed`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>, +/-<Rm>]!`,
      `cond 000 ${bits('1', '0', '1')} 0000 1 ${op2} 1 Rm`,
      transfer(access, offsetRegister, 'pre'),
      { unpredictable: (f) => badTarget(f) || badOffset(f) || badPair(f) },
    ),
    row(
      `${name} (register), post-indexed`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>], +/-<Rm>`,
      `cond 000 ${bits('0', '0', '0')} 0000 1 ${op2} 1 Rm`,
      transfer(access, offsetRegister, 'post'),
      { unpredictable: (f) => badTarget(f) || badOffset(f) || badPair(f) },
    ),
  ];
}

const four: Offset = (m) => m.constant(4);
const onStack =
  (access: Access, index: Index, U: 0 | 1): Semantics =>
  (m, f) =>
    transfer(access, four, index)(m, { ...f, Rn: SP, U });

export const loadsAndStores: readonly Row[] = [
  // PUSH and POP of one register are these forms of STR and LDR: `push {lr}` before every call of mcount is one.
  row(
    'PUSH, one register',
    'A8.8.133',
    'PUSH<c> <{Rt}>',
    'cond 010 1 0 0 1 0 1101 Rt 000000000100',
    onStack(storeBytes(4), 'pre', 0),
    { unpredictable: (f) => f.Rt === SP },
  ),
  row(
    'POP, one register',
    'A8.8.132',
    'POP<c> <{Rt}>',
    'cond 010 0 1 0 0 1 1101 Rt 000000000100',
    onStack(loadBytes(4), 'post', 1),
    { unpredictable: (f) => f.Rt === SP },
  ),
  ...loadOrStore('STR', '0', '0', ['A8.8.204', 'A8.8.205']),
  ...loadOrStore('LDR', '0', '1', ['A8.8.63', 'A8.8.66']),
  ...loadOrStore('STRB', '1', '0', ['A8.8.207', 'A8.8.208']),
  ...loadOrStore('LDRB', '1', '1', ['A8.8.68', 'A8.8.70']),
  ...extraLoadOrStore('STRH', '0', '01', ['A8.8.217', 'A8.8.218'], storeBytes(2)),
  ...extraLoadOrStore('LDRH', '1', '01', ['A8.8.80', 'A8.8.82'], loadBytes(2)),
  ...extraLoadOrStore('LDRSB', '1', '10', ['A8.8.84', 'A8.8.86'], loadBytes(1, true)),
  ...extraLoadOrStore('LDRSH', '1', '11', ['A8.8.88', 'A8.8.90'], loadBytes(2, true)),
  ...extraLoadOrStore('LDRD', '0', '10', ['A8.8.72', 'A8.8.74'], loadDual),
  ...extraLoadOrStore('STRD', '0', '11', ['A8.8.210', 'A8.8.211'], storeDual),
];
