// Sections A5.5 and A5.2.12: branches, hints, status registers. Section A5.6: coprocessor moves, of the coprocessors
// that are the system's own (14 and 15; 10 and 11 are VFP, whose moves are other instructions).

import { bit, NotUnderstood, withNumber } from '../machine.ts';
import { type AllFields, PC, type Row, row, type Semantics } from './row.ts';
import { branchExchange, C, link, N, PSR, pcAhead, readRegister, TPIDRURO, V, Z } from './state.ts';

/** From the instruction to a branch's target. */
export const branchDistance = (imm24: number): number => pcAhead + (((imm24 << 8) >> 8) << 2);

const branch: Semantics = (m, f) => m.jump(withNumber(m, 'add', m.pc, branchDistance(f.imm24)));

/** The flags' places in the CPSR (section B1.3.3). */
const flagBits = [
  [N, 31],
  [Z, 30],
  [C, 29],
  [V, 28],
] as const;
/** Q, saturation, belongs to the same byte. */
const qBit = 0x08000000;
/** The field mask of the byte of the flags. */
const flagsField = 8;

const readStatus: Semantics = (m, f) => {
  if (f.R) throw new NotUnderstood('the SPSR is an exception handler’s');
  m.write(
    f.Rd,
    flagBits.reduce(
      (status, [flag, at]) => m.apply('or', status, withNumber(m, 'shiftLeft', m.read(flag), at)),
      m.read(PSR),
    ),
  );
};

const writeStatus: Semantics = (m, f) => {
  if (f.R || f.mask !== flagsField) throw new NotUnderstood('it changes more of the processor’s mode than its flags');
  const value = m.read(f.Rm);
  for (const [flag, at] of flagBits) m.write(flag, bit(m, value, at));
  const q = withNumber(m, 'and', value, qBit);
  m.write(PSR, m.apply('or', withNumber(m, 'and', m.read(PSR), ~qBit), q));
};

/** p15, 0, c13, c0, 3 is TPIDRURO, to which the stack protector's canary belongs. */
const readSystem: Semantics = (m, f) => {
  const isThread = f.coproc === 15 && f.opc1 === 0 && f.CRn === 13 && f.CRm === 0 && f.opc2 === 3 && f.Rt !== PC;
  if (!isThread) throw new NotUnderstood('what this coprocessor register holds is not known');
  m.write(f.Rt, m.read(TPIDRURO));
};

const refuse =
  (why: string): Semantics =>
  () => {
    throw new NotUnderstood(why);
  };

const notSystem = (f: AllFields): boolean => f.coproc < 14;

export const branchesAndStatus: readonly Row[] = [
  row('B', 'A8.8.18', 'B<c> <label>', 'cond 1010 imm24', branch),
  row('BL', 'A8.8.25', 'BL<c> <label>', 'cond 1011 imm24', (m, f) => {
    link(m);
    branch(m, f);
  }),
  row(
    'BLX (register)',
    'A8.8.26',
    'BLX<c> <Rm>',
    'cond 00010010 111111111111 0011 Rm',
    (m, f) => {
      const target = m.read(f.Rm);
      link(m);
      branchExchange(m, target);
    },
    { unpredictable: (f) => f.Rm === PC },
  ),
  row('BX', 'A8.8.27', 'BX<c> <Rm>', 'cond 00010010 111111111111 0001 Rm', (m, f) =>
    branchExchange(m, readRegister(m, f.Rm)),
  ),
  // objdump adds the number of the hint.
  row('NOP', 'A8.8.119', 'NOP<c> {0}', 'cond 00110010 0000 1111 0000 00000000', () => {}),
  row('UDF', 'A8.8.247', 'UDF #<imm12:imm4>', '1110 01111111 imm12 1111 imm4', refuse('it traps')),
  row('MRS', 'A8.8.109', 'MRS<c> <Rd>, <spec_reg>', 'cond 00010 R 00 1111 Rd 000000000000', readStatus, {
    unpredictable: (f) => f.Rd === PC,
  }),
  row(
    'MSR (register)',
    'A8.8.112',
    'MSR<c> <spec_reg>_<mask>, <Rm>',
    'cond 00010 R 10 mask 1111 00000000 Rm',
    writeStatus,
    { unpredictable: (f) => f.mask === 0 || f.Rm === PC },
  ),
  row(
    'MRC',
    'A8.8.107',
    'MRC<c> <coproc>, <opc1>, <Rt>, <CRn>, <CRm>{, <opc2>}',
    'cond 1110 opc1 1 CRn Rt coproc opc2 1 CRm',
    readSystem,
    { unless: notSystem },
  ),
  row(
    'MCR',
    'A8.8.98',
    'MCR<c> <coproc>, <opc1>, <Rt>, <CRn>, <CRm>{, <opc2>}',
    'cond 1110 opc1 0 CRn Rt coproc opc2 1 CRm',
    refuse('what writing this coprocessor register does is not known'),
    { unless: notSystem, unpredictable: (f) => f.Rt === PC },
  ),
];
