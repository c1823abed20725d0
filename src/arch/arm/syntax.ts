// Instructions as objdump writes them: the row's syntax with each placeholder filled in, its letters in lower case.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import { branchTarget, decode, type Encoding, encodings, expandImmediate, modifiedImmediate } from './instructions.ts';
import type { Fields } from './row.ts';

/** Registers by number, under the names of the procedure call standard (AAPCS, section 5.1). */
export const registerNames = [
  ...['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7'],
  ...['r8', 'r9', 'sl', 'fp', 'ip', 'sp', 'lr', 'pc'],
] as const;

const conditions = ['eq', 'ne', 'cs', 'cc', 'mi', 'pl', 'vs', 'vc', 'hi', 'ls', 'ge', 'lt', 'gt', 'le', ''];
const shifts = ['lsl', 'lsr', 'asr', 'ror'];

const registerList = (list: number): string =>
  `{${registerNames.filter((_, register) => list & (1 << register)).join(', ')}}`;

/** An immediate of 0 stands for 32 with LSR and ASR (section A8.4.1). */
const shiftAmount = (type: number, imm5: number): number => (imm5 === 0 && type !== 0 ? 32 : imm5);

function shiftedBy({ type, imm5 }: Required<Fields>): string {
  if (imm5 === 0 && type === 0) return '';
  if (imm5 === 0 && type === 3) return ', rrx';
  return `, ${shifts[type]} #${shiftAmount(type, imm5)}`;
}

/** objdump writes the value, and where an assembler would have chosen another rotation, byte and rotation. */
function constant({ imm12 }: Required<Fields>): string {
  const value = expandImmediate(imm12);
  return modifiedImmediate(value) === imm12 ? `${value | 0}` : `${imm12 & 0xff}, ${2 * (imm12 >>> 8)}`;
}

const sign = (f: Required<Fields>): string => (f.U ? '' : '-');
const imm8 = (f: Required<Fields>): number => f.imm4H * 16 + f.imm4L;

type Writer = (fields: Required<Fields>, address: number, encoding: Encoding) => string;

const placeholders: Record<string, Writer> = {
  '<c>': (f) => conditions[f.cond]!,
  '{S}': (f) => (f.S ? 's' : ''),
  '{!}': (f) => (f.W ? '!' : ''),
  '<{Rt}>': (f) => registerList(1 << f.Rt),
  '<const>': constant,
  '{, <shift>}': shiftedBy,
  '<type>': (f) => shifts[f.type]!,
  // The shift's type stands in the row of a plain shift, not in a field.
  '<imm5>': (f, _, { name }) => `${shiftAmount(name.startsWith('LSL') ? 0 : 1, f.imm5)}`,
  '<imm16>': (f) => `${f.imm4 * 4096 + f.imm12}`,
  '<imm12:imm4>': (f) => `${f.imm12 * 16 + f.imm4}`,
  '#+/-<imm12>': (f) => `#${sign(f)}${f.imm12}`,
  '{, #+/-<imm12>}': (f) => (f.imm12 === 0 && f.U ? '' : `, #${sign(f)}${f.imm12}`),
  '#+/-<imm8>': (f) => `#${sign(f)}${imm8(f)}`,
  '{, #+/-<imm8>}': (f) => (imm8(f) === 0 && f.U ? '' : `, #${sign(f)}${imm8(f)}`),
  '+/-': sign,
  // Left out by objdump: it is always the register after <Rt>.
  '{, <Rt2>}': () => '',
  '<label>': (f, address) => `0x${branchTarget(f.imm24, address).toString(16)}`,
  '<registers>': (f) => registerList(f.register_list),
  '<spec_reg>': (f) => (f.R ? 'SPSR' : 'CPSR'),
  '<mask>': (f) => [...'fsxc'].filter((_, bit) => f.mask & (8 >> bit)).join(''),
  '<coproc>': (f) => `${f.coproc}`,
  '<opc1>': (f) => `${f.opc1}`,
  // Reading a coprocessor into the PC's number sets the flags instead.
  '<Rt>': (f, _, { name }) => (name === 'MRC' && f.Rt === 15 ? 'APSR_nzcv' : registerNames[f.Rt]!),
  '<CRn>': (f) => `cr${f.CRn}`,
  '<CRm>': (f) => `cr${f.CRm}`,
  '{, <opc2>}': (f) => `, {${f.opc2}}`,
  '<Rn>': (f) => registerNames[f.Rn]!,
  '<Rd>': (f) => registerNames[f.Rd]!,
  '<Rm>': (f) => registerNames[f.Rm]!,
  '<Rs>': (f) => registerNames[f.Rs]!,
};

/** Longest first, so that `{, #+/-<imm12>}` is not taken for `#+/-<imm12>`. */
const placeholder = new RegExp(
  `(${Object.keys(placeholders)
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replace(/[{}+/!]/g, '\\$&'))
    .join('|')})`,
);

const templates: ReadonlyMap<Encoding, readonly (string | Writer)[]> = new Map(
  encodings.map((encoding) => [
    encoding,
    encoding.syntax
      .replace(' ', '\t')
      .split(placeholder)
      .map((part) => placeholders[part] ?? part.toLowerCase()),
  ]),
);

/**
 * The instruction in a 32-bit word as objdump prints it, mnemonic and operands with a tab between them, without its
 * remarks behind `@`. `address` is the word's own, for branches. Undefined where the table says nothing.
 */
export function disassemble(word: number, address: LinkAddress = linkAddress(0n)): string | undefined {
  const instruction = decode(word);
  if (!instruction) return undefined;
  const { encoding, fields } = instruction;
  let text = '';
  for (const part of templates.get(encoding)!)
    text += typeof part === 'string' ? part : part(fields as Required<Fields>, Number(address), encoding);
  return text;
}
