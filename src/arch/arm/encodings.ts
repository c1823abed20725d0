// The A32 instructions that Suture knows, one row an encoding: the manual's name and section (ARM DDI 0406C, the
// ARMv7-A architecture), its syntax, and its encoding diagram.
//
// A row serves both directions and the printer. The diagram is the manual's, read from bit 31 down: digits are fixed
// bits, names are fields, whose widths stand in `fieldWidths`. The syntax is the manual's too, and is what gets
// printed (`syntax.ts` says how each `<placeholder>` is written); where objdump's manner differs it has objdump's,
// for example `LDRD<c> <Rt>, …` without the second register. Addressing forms that the manual folds into the P and W
// bits of one diagram are rows of their own here, so that each row means one thing.
//
// Where a row's `unless` holds, the manual sends the reader elsewhere or calls the encoding UNPREDICTABLE; such a
// word is not this instruction. Bits that the manual shows in parentheses (should be zero, should be one) are fixed
// bits here: with another value the encoding is UNPREDICTABLE as well. The first row that fits a word is the one.

/** How many bits each field of the diagrams has. */
export const fieldWidths = {
  cond: 4,
  S: 1,
  U: 1,
  W: 1,
  R: 1,
  Rn: 4,
  Rd: 4,
  Rm: 4,
  Rs: 4,
  Rt: 4,
  type: 2,
  imm4: 4,
  imm4H: 4,
  imm4L: 4,
  imm5: 5,
  imm12: 12,
  imm24: 24,
  register_list: 16,
  mask: 4,
  coproc: 4,
  opc1: 3,
  opc2: 3,
  CRn: 4,
  CRm: 4,
} as const;

export type FieldName = keyof typeof fieldWidths;

/** The fields of one instruction word, by the names of the diagram. */
export type Fields = Readonly<Partial<Record<FieldName, number>>>;

export interface Row {
  /** The manual's title; forms of one title are told apart by what follows the comma. */
  readonly name: string;
  readonly section: string;
  readonly syntax: string;
  readonly diagram: string;
  readonly unless?: (fields: Required<Fields>) => boolean;
}

const SP = 13;
const LR = 14;
const PC = 15;

const registerCount = (list: number): number => {
  let count = 0;
  for (let rest = list; rest !== 0; rest &= rest - 1) count++;
  return count;
};
const inList = (register: number, list: number): boolean => (list & (1 << register)) !== 0;

const row = (
  name: string,
  section: string,
  syntax: string,
  diagram: string,
  unless?: (fields: Required<Fields>) => boolean,
): Row => ({ name, section, syntax, diagram, ...(unless && { unless }) });

// Section A5.2: data processing. Three forms each: a modified immediate (A5.2.4), a register shifted by an immediate
// (A8.4.1), a register shifted by a register. With S and Rd = PC they are exception returns (B9.3.20), not these.

const exceptionReturn = (f: Required<Fields>): boolean => f.S === 1 && f.Rd === PC;

/** AND, EOR, SUB, …: a destination and a first operand. */
function threeOperands(name: string, opcode: string, sections: readonly [string, string, string]): Row[] {
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}{S}<c> <Rd>, <Rn>, #<const>`,
      `cond 001 ${opcode} S Rn Rd imm12`,
      exceptionReturn,
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}{S}<c> <Rd>, <Rn>, <Rm>{, <shift>}`,
      `cond 000 ${opcode} S Rn Rd imm5 type 0 Rm`,
      exceptionReturn,
    ),
    row(
      `${name} (register-shifted register)`,
      sections[2],
      `${name}{S}<c> <Rd>, <Rn>, <Rm>, <type> <Rs>`,
      `cond 000 ${opcode} S Rn Rd Rs 0 type 1 Rm`,
      (f) => f.Rd === PC || f.Rn === PC || f.Rm === PC || f.Rs === PC,
    ),
  ];
}

/** TST, TEQ, CMP, CMN: flags are all that they give. */
function comparison(name: string, opcode: string, sections: readonly [string, string, string]): Row[] {
  return [
    row(`${name} (immediate)`, sections[0], `${name}<c> <Rn>, #<const>`, `cond 001 ${opcode} 1 Rn 0000 imm12`),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rn>, <Rm>{, <shift>}`,
      `cond 000 ${opcode} 1 Rn 0000 imm5 type 0 Rm`,
    ),
    row(
      `${name} (register-shifted register)`,
      sections[2],
      `${name}<c> <Rn>, <Rm>, <type> <Rs>`,
      `cond 000 ${opcode} 1 Rn 0000 Rs 0 type 1 Rm`,
      (f) => f.Rn === PC || f.Rm === PC || f.Rs === PC,
    ),
  ];
}

/** LSL, LSR, ASR, ROR: moves of a shifted register. An immediate of 0 means 32 for LSR and ASR, RRX for ROR. */
function shift(name: string, type: string, sections: readonly [string, string]): Row[] {
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}{S}<c> <Rd>, <Rm>, #<imm5>`,
      `cond 0001101 S 0000 Rd imm5 ${type} 0 Rm`,
      (f) => exceptionReturn(f) || (f.imm5 === 0 && (type === '00' || type === '11')),
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}{S}<c> <Rd>, <Rm>, <Rs>`,
      `cond 0001101 S 0000 Rd Rs 0 ${type} 1 Rm`,
      (f) => f.Rd === PC || f.Rm === PC || f.Rs === PC,
    ),
  ];
}

const dataProcessing: Row[] = [
  ...threeOperands('AND', '0000', ['A8.8.13', 'A8.8.14', 'A8.8.15']),
  ...threeOperands('EOR', '0001', ['A8.8.46', 'A8.8.47', 'A8.8.48']),
  ...threeOperands('SUB', '0010', ['A8.8.222', 'A8.8.223', 'A8.8.224']),
  ...threeOperands('RSB', '0011', ['A8.8.152', 'A8.8.153', 'A8.8.154']),
  ...threeOperands('ADD', '0100', ['A8.8.5', 'A8.8.7', 'A8.8.8']),
  ...threeOperands('ADC', '0101', ['A8.8.1', 'A8.8.2', 'A8.8.3']),
  ...threeOperands('SBC', '0110', ['A8.8.161', 'A8.8.162', 'A8.8.163']),
  ...threeOperands('RSC', '0111', ['A8.8.155', 'A8.8.156', 'A8.8.157']),
  ...comparison('TST', '1000', ['A8.8.240', 'A8.8.241', 'A8.8.242']),
  ...comparison('TEQ', '1001', ['A8.8.237', 'A8.8.238', 'A8.8.239']),
  ...comparison('CMP', '1010', ['A8.8.37', 'A8.8.38', 'A8.8.39']),
  ...comparison('CMN', '1011', ['A8.8.34', 'A8.8.35', 'A8.8.36']),
  ...threeOperands('ORR', '1100', ['A8.8.122', 'A8.8.123', 'A8.8.124']),
  row('MOV (immediate)', 'A8.8.102', 'MOV{S}<c> <Rd>, #<const>', 'cond 0011101 S 0000 Rd imm12', exceptionReturn),
  // Before v6T2 the assembler's nop was this move, and objdump still writes it so.
  row('MOV (register), nop', 'A8.8.104', 'NOP', '1110 00011010 0000 0000 00000000 0000'),
  row('MOV (register)', 'A8.8.104', 'MOV{S}<c> <Rd>, <Rm>', 'cond 0001101 S 0000 Rd 00000000 Rm', exceptionReturn),
  ...shift('LSL', '00', ['A8.8.94', 'A8.8.95']),
  ...shift('LSR', '01', ['A8.8.96', 'A8.8.97']),
  ...shift('ASR', '10', ['A8.8.16', 'A8.8.17']),
  ...shift('ROR', '11', ['A8.8.149', 'A8.8.150']),
  row('RRX', 'A8.8.151', 'RRX{S}<c> <Rd>, <Rm>', 'cond 0001101 S 0000 Rd 00000110 Rm', exceptionReturn),
  ...threeOperands('BIC', '1110', ['A8.8.21', 'A8.8.22', 'A8.8.23']),
  row('MVN (immediate)', 'A8.8.115', 'MVN{S}<c> <Rd>, #<const>', 'cond 0011111 S 0000 Rd imm12', exceptionReturn),
  row(
    'MVN (register)',
    'A8.8.116',
    'MVN{S}<c> <Rd>, <Rm>{, <shift>}',
    'cond 0001111 S 0000 Rd imm5 type 0 Rm',
    exceptionReturn,
  ),
  row(
    'MVN (register-shifted register)',
    'A8.8.117',
    'MVN{S}<c> <Rd>, <Rm>, <type> <Rs>',
    'cond 0001111 S 0000 Rd Rs 0 type 1 Rm',
    (f) => f.Rd === PC || f.Rm === PC || f.Rs === PC,
  ),
  row('MOV (immediate), wide', 'A8.8.102', 'MOVW<c> <Rd>, #<imm16>', 'cond 00110000 imm4 Rd imm12', (f) => f.Rd === PC),
  row('MOVT', 'A8.8.106', 'MOVT<c> <Rd>, #<imm16>', 'cond 00110100 imm4 Rd imm12', (f) => f.Rd === PC),
];

// Section A5.3: loads and stores of words and bytes, with an immediate of 12 bits or a shifted register.
// U says whether the offset is added or subtracted.

/** Writing back to the base that is also loaded or stored, or to the PC, is UNPREDICTABLE. */
const badWriteBack = (f: Required<Fields>): boolean => f.Rn === PC || f.Rn === f.Rt;

function loadOrStore(
  name: string,
  byte: '0' | '1',
  load: '0' | '1',
  sections: readonly [immediate: string, register: string],
): Row[] {
  const bits = (p: string, w: string): string => `${p} U ${byte} ${w} ${load} Rn Rt`;
  const badByte = (f: Required<Fields>): boolean => byte === '1' && f.Rt === PC;
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>{, #+/-<imm12>}]`,
      `cond 010 ${bits('1', '0')} imm12`,
      badByte,
    ),
    row(
      `${name} (immediate), pre-indexed`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>, #+/-<imm12>]!`,
      `cond 010 ${bits('1', '1')} imm12`,
      (f) => badByte(f) || badWriteBack(f),
    ),
    row(
      `${name} (immediate), post-indexed`,
      sections[0],
      `${name}<c> <Rt>, [<Rn>], #+/-<imm12>`,
      `cond 010 ${bits('0', '0')} imm12`,
      (f) => badByte(f) || badWriteBack(f),
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>, +/-<Rm>{, <shift>}]`,
      `cond 011 ${bits('1', '0')} imm5 type 0 Rm`,
      (f) => badByte(f) || f.Rm === PC,
    ),
    row(
      `${name} (register), pre-indexed`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>, +/-<Rm>{, <shift>}]!`,
      `cond 011 ${bits('1', '1')} imm5 type 0 Rm`,
      (f) => badByte(f) || f.Rm === PC || badWriteBack(f),
    ),
    row(
      `${name} (register), post-indexed`,
      sections[1],
      `${name}<c> <Rt>, [<Rn>], +/-<Rm>{, <shift>}`,
      `cond 011 ${bits('0', '0')} imm5 type 0 Rm`,
      (f) => badByte(f) || f.Rm === PC || badWriteBack(f),
    ),
  ];
}

// Section A5.2.8: extra loads and stores, of halfwords, signed bytes and doublewords: an immediate of 8 bits in two
// halves, or a plain register.

function extraLoadOrStore(
  name: string,
  load: '0' | '1',
  op2: '01' | '10' | '11',
  sections: readonly [immediate: string, register: string],
): Row[] {
  const dual = name.endsWith('D');
  const second = dual ? '{, <Rt2>}' : '';
  const bits = (p: string, immediate: '0' | '1', w: string): string => `${p} U ${immediate} ${w} ${load} Rn Rt`;
  // A doubleword takes an even register and the one after it, not the PC.
  const badTarget = (f: Required<Fields>): boolean => (dual ? f.Rt % 2 === 1 || f.Rt === LR : f.Rt === PC);
  const badPair = (f: Required<Fields>): boolean => badWriteBack(f) || (dual && f.Rn === f.Rt + 1);
  const badOffset = (f: Required<Fields>): boolean =>
    f.Rm === PC || (dual && load === '1' && (f.Rm === f.Rt || f.Rm === f.Rt + 1));
  return [
    row(
      `${name} (immediate)`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>{, #+/-<imm8>}]`,
      `cond 000 ${bits('1', '1', '0')} imm4H 1 ${op2} 1 imm4L`,
      badTarget,
    ),
    row(
      `${name} (immediate), pre-indexed`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>, #+/-<imm8>]!`,
      `cond 000 ${bits('1', '1', '1')} imm4H 1 ${op2} 1 imm4L`,
      (f) => badTarget(f) || badPair(f),
    ),
    row(
      `${name} (immediate), post-indexed`,
      sections[0],
      `${name}<c> <Rt>${second}, [<Rn>], #+/-<imm8>`,
      `cond 000 ${bits('0', '1', '0')} imm4H 1 ${op2} 1 imm4L`,
      (f) => badTarget(f) || badPair(f),
    ),
    row(
      `${name} (register)`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>, +/-<Rm>]`,
      `cond 000 ${bits('1', '0', '0')} 0000 1 ${op2} 1 Rm`,
      (f) => badTarget(f) || badOffset(f),
    ),
    row(
      `${name} (register), pre-indexed`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>, +/-<Rm>]!`,
      `cond 000 ${bits('1', '0', '1')} 0000 1 ${op2} 1 Rm`,
      (f) => badTarget(f) || badOffset(f) || badPair(f),
    ),
    row(
      `${name} (register), post-indexed`,
      sections[1],
      `${name}<c> <Rt>${second}, [<Rn>], +/-<Rm>`,
      `cond 000 ${bits('0', '0', '0')} 0000 1 ${op2} 1 Rm`,
      (f) => badTarget(f) || badOffset(f) || badPair(f),
    ),
  ];
}

const loadsAndStores: Row[] = [
  // PUSH and POP of one register are these forms of STR and LDR: `push {lr}` before every call of mcount is one.
  row(
    'PUSH, one register',
    'A8.8.133',
    'PUSH<c> <{Rt}>',
    'cond 010 1 0 0 1 0 1101 Rt 000000000100',
    (f) => f.Rt === SP,
  ),
  row('POP, one register', 'A8.8.132', 'POP<c> <{Rt}>', 'cond 010 0 1 0 0 1 1101 Rt 000000000100', (f) => f.Rt === SP),
  ...loadOrStore('STR', '0', '0', ['A8.8.204', 'A8.8.205']),
  ...loadOrStore('LDR', '0', '1', ['A8.8.63', 'A8.8.66']),
  ...loadOrStore('STRB', '1', '0', ['A8.8.207', 'A8.8.208']),
  ...loadOrStore('LDRB', '1', '1', ['A8.8.68', 'A8.8.70']),
  ...extraLoadOrStore('STRH', '0', '01', ['A8.8.217', 'A8.8.218']),
  ...extraLoadOrStore('LDRH', '1', '01', ['A8.8.80', 'A8.8.82']),
  ...extraLoadOrStore('LDRSB', '1', '10', ['A8.8.84', 'A8.8.86']),
  ...extraLoadOrStore('LDRSH', '1', '11', ['A8.8.88', 'A8.8.90']),
  ...extraLoadOrStore('LDRD', '0', '10', ['A8.8.72', 'A8.8.74']),
  ...extraLoadOrStore('STRD', '0', '11', ['A8.8.210', 'A8.8.211']),
];

// Section A5.5: block transfers. The lowest register always has the lowest address. A list of one register on SP! is
// not PUSH or POP but the plain form, which objdump calls by its stack name.

const badBlock = (f: Required<Fields>): boolean => f.Rn === PC || f.register_list === 0;
const badBlockLoad = (f: Required<Fields>): boolean => badBlock(f) || (f.W === 1 && inList(f.Rn, f.register_list));
/**
 * Storing the base after it was changed stores an UNKNOWN value: only the lowest register of the list is stored
 * before.
 */
const badBlockStore = (f: Required<Fields>): boolean =>
  badBlock(f) || (f.W === 1 && inList(f.Rn, f.register_list & (f.register_list - 1)));
const isOne = (f: Required<Fields>): boolean => registerCount(f.register_list) === 1;
const isNotOne = (f: Required<Fields>): boolean => !isOne(f);
const tooFew = (f: Required<Fields>): boolean => registerCount(f.register_list) < 2;

const blockTransfers: Row[] = [
  row(
    'PUSH',
    'A8.8.133',
    'PUSH<c> <registers>',
    'cond 100 1 0 0 1 0 1101 register_list',
    (f) => tooFew(f) || inList(SP, f.register_list & (f.register_list - 1)),
  ),
  row(
    'POP',
    'A8.8.132',
    'POP<c> <registers>',
    'cond 100 0 1 0 1 1 1101 register_list',
    (f) => tooFew(f) || inList(SP, f.register_list),
  ),
  row('STMDB, PUSH', 'A8.8.201', 'STMFD<c> SP!, <registers>', 'cond 100 1 0 0 1 0 1101 register_list', isNotOne),
  row(
    'LDM, POP',
    'A8.8.58',
    'LDMFD<c> SP!, <registers>',
    'cond 100 0 1 0 1 1 1101 register_list',
    (f) => isNotOne(f) || inList(SP, f.register_list),
  ),
  row('STM', 'A8.8.199', 'STM<c> <Rn>, <registers>', 'cond 100 0 1 0 0 0 Rn register_list', badBlock),
  row(
    'STM, write-back',
    'A8.8.199',
    'STMIA<c> <Rn>!, <registers>',
    'cond 100 0 1 0 1 0 Rn register_list',
    (f) => badBlock(f) || inList(f.Rn, f.register_list & (f.register_list - 1)),
  ),
  row('STMDA', 'A8.8.200', 'STMDA<c> <Rn>{!}, <registers>', 'cond 100 0 0 0 W 0 Rn register_list', badBlockStore),
  row('STMDB', 'A8.8.201', 'STMDB<c> <Rn>{!}, <registers>', 'cond 100 1 0 0 W 0 Rn register_list', badBlockStore),
  row('STMIB', 'A8.8.202', 'STMIB<c> <Rn>{!}, <registers>', 'cond 100 1 1 0 W 0 Rn register_list', badBlockStore),
  row('LDM', 'A8.8.58', 'LDM<c> <Rn>{!}, <registers>', 'cond 100 0 1 0 W 1 Rn register_list', badBlockLoad),
  row('LDMDA', 'A8.8.59', 'LDMDA<c> <Rn>{!}, <registers>', 'cond 100 0 0 0 W 1 Rn register_list', badBlockLoad),
  row('LDMDB', 'A8.8.60', 'LDMDB<c> <Rn>{!}, <registers>', 'cond 100 1 0 0 W 1 Rn register_list', badBlockLoad),
  row('LDMIB', 'A8.8.61', 'LDMIB<c> <Rn>{!}, <registers>', 'cond 100 1 1 0 W 1 Rn register_list', badBlockLoad),
];

// Sections A5.5 and A5.2.12: branches, hints, status registers. Section A5.6: coprocessor moves, of the coprocessors
// that are the system's own (14 and 15; 10 and 11 are VFP, whose moves are other instructions). p15, 0, c13, c0, 3
// is TPIDRURO, where the kernel keeps `current`, to which the stack protector's canary belongs.
const notSystem = (f: Required<Fields>): boolean => f.coproc < 14;

const others: Row[] = [
  row('B', 'A8.8.18', 'B<c> <label>', 'cond 1010 imm24'),
  row('BL', 'A8.8.25', 'BL<c> <label>', 'cond 1011 imm24'),
  row('BLX (register)', 'A8.8.26', 'BLX<c> <Rm>', 'cond 00010010 111111111111 0011 Rm', (f) => f.Rm === PC),
  row('BX', 'A8.8.27', 'BX<c> <Rm>', 'cond 00010010 111111111111 0001 Rm'),
  // objdump adds the number of the hint.
  row('NOP', 'A8.8.119', 'NOP<c> {0}', 'cond 00110010 0000 1111 0000 00000000'),
  row('UDF', 'A8.8.247', 'UDF #<imm12:imm4>', '1110 01111111 imm12 1111 imm4'),
  row('MRS', 'A8.8.109', 'MRS<c> <Rd>, <spec_reg>', 'cond 00010 R 00 1111 Rd 000000000000', (f) => f.Rd === PC),
  row(
    'MSR (register)',
    'A8.8.112',
    'MSR<c> <spec_reg>_<mask>, <Rm>',
    'cond 00010 R 10 mask 1111 00000000 Rm',
    (f) => f.mask === 0 || f.Rm === PC,
  ),
  row(
    'MRC',
    'A8.8.107',
    'MRC<c> <coproc>, <opc1>, <Rt>, <CRn>, <CRm>{, <opc2>}',
    'cond 1110 opc1 1 CRn Rt coproc opc2 1 CRm',
    notSystem,
  ),
  row(
    'MCR',
    'A8.8.98',
    'MCR<c> <coproc>, <opc1>, <Rt>, <CRn>, <CRm>{, <opc2>}',
    'cond 1110 opc1 0 CRn Rt coproc opc2 1 CRm',
    (f) => notSystem(f) || f.Rt === PC,
  ),
];

export const rows: readonly Row[] = [...dataProcessing, ...loadsAndStores, ...blockTransfers, ...others];
