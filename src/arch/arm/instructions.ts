// Instruction words to instructions and back, from the one table in `encodings.ts`.

import { reasonError } from '../../reason.ts';
import { type FieldName, type Fields, fieldWidths, type Row, rows } from './encodings.ts';

/** A row made ready: which bits of a word are fixed, and where its fields are. */
export interface Encoding extends Row {
  readonly mask: number;
  readonly value: number;
  readonly fields: readonly { readonly name: FieldName; readonly shift: number; readonly width: number }[];
}

/** One instruction: the row that it is, and what stands in the row's fields. */
export interface Instruction {
  readonly encoding: Encoding;
  readonly fields: Fields;
}

/** The condition that always holds; 15 is not a condition but another part of the instruction set (section A5.7). */
export const always = 14;
const unconditional = 15;

function readDiagram(row: Row): Encoding {
  const fields: { name: FieldName; shift: number; width: number }[] = [];
  let mask = 0;
  let value = 0;
  let shift = 32;
  for (const part of row.diagram.split(' ')) {
    if (/^[01]+$/.test(part)) {
      shift -= part.length;
      mask |= ((2 ** part.length - 1) << shift) >>> 0;
      value |= Number.parseInt(part, 2) << shift;
    } else {
      const name = part as FieldName;
      shift -= fieldWidths[name];
      fields.push({ name, shift, width: fieldWidths[name] });
    }
  }
  if (shift !== 0) throw reasonError('bug', row.name, `its diagram has ${32 - shift} bits`);
  return { ...row, mask: mask >>> 0, value: value >>> 0, fields };
}

/** The table, made ready. */
export const encodings: readonly Encoding[] = rows.map(readDiagram);

const byName = new Map(encodings.map((encoding) => [encoding.name, encoding]));

/** Bits 27–20 tell almost everything apart, so the rows are laid out by them. */
const byOpcode: readonly (readonly Encoding[])[] = Array.from({ length: 256 }, (_, opcode) =>
  encodings.filter(({ mask, value }) => (((opcode << 20) ^ value) & mask & 0x0ff00000) === 0),
);

/** The instruction that a 32-bit word is, or undefined where the table says nothing. */
export function decode(word: number): Instruction | undefined {
  for (const encoding of byOpcode[(word >>> 20) & 0xff]!) {
    if ((word & encoding.mask) >>> 0 !== encoding.value) continue;
    const fields: Partial<Record<FieldName, number>> = {};
    for (const { name, shift, width } of encoding.fields) fields[name] = (word >>> shift) & (2 ** width - 1);
    if (fields.cond === unconditional || encoding.unless?.(fields as Required<Fields>)) continue;
    return { encoding, fields };
  }
  return undefined;
}

/** The word of an instruction. Every field of the row must be there and fit; `cond` is `always` when left out. */
export function encode(name: string, given: Fields): number {
  const encoding = byName.get(name);
  if (!encoding) throw reasonError('bug', name, 'no such row in the table of ARM instructions');
  const values: Fields = { cond: always, ...given };
  let word = encoding.value;
  for (const { name: field, shift, width } of encoding.fields) {
    const value = values[field];
    if (value === undefined || !Number.isInteger(value) || value < 0 || value >= 2 ** width)
      throw reasonError('bug', name, `field ${field} cannot be ${value}`);
    word |= value << shift;
  }
  if (encoding.unless?.(values as Required<Fields>)) throw reasonError('bug', name, 'not this instruction');
  return word >>> 0;
}

/** A modified immediate (section A5.2.4): eight bits, rotated right by twice the upper four. */
export function expandImmediate(imm12: number): number {
  const byte = imm12 & 0xff;
  const rotation = 2 * (imm12 >>> 8);
  return rotation === 0 ? byte : ((byte >>> rotation) | (byte << (32 - rotation))) >>> 0;
}

/** The modified immediate of a value with the smallest rotation, as assemblers choose it, or undefined. */
export function modifiedImmediate(value: number): number | undefined {
  for (let rotation = 0; rotation < 32; rotation += 2) {
    const byte = rotation === 0 ? value >>> 0 : ((value << rotation) | (value >>> (32 - rotation))) >>> 0;
    if (byte <= 0xff) return ((rotation / 2) << 8) | byte;
  }
  return undefined;
}

/** How far the PC, read as an operand or as a branch's origin, is ahead of the instruction in A32 (section A2.3). */
export const pcAhead = 8;

/** The target of B or BL with this imm24 at a 32-bit address. */
export const branchTarget = (imm24: number, address: number): number =>
  (address + pcAhead + (((imm24 << 8) >> 8) << 2)) >>> 0;
