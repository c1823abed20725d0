// Instruction words to instructions and back, from the one table in `encodings.ts`.

import { reasonError } from '../../reason.ts';
import { branchDistance } from './branches.ts';
import { rows } from './encodings.ts';
import { type AllFields, type FieldName, type Fields, fieldWidths, type Row } from './row.ts';

export { expandImmediate } from './data-processing.ts';
export { pcAhead } from './state.ts';

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

/** Bits 27–20 tell almost everything apart, so the rows are laid out by them, each list when it is asked for first. */
const byOpcode = new Array<readonly Encoding[] | undefined>(256).fill(undefined);
const withOpcode = (opcode: number): readonly Encoding[] => {
  byOpcode[opcode] ??= encodings.filter(({ mask, value }) => (((opcode << 20) ^ value) & mask & 0x0ff00000) === 0);
  return byOpcode[opcode];
};

function fieldsOf(word: number, encoding: Encoding): Fields {
  const fields: Partial<Record<FieldName, number>> = {};
  for (const { name, shift, width } of encoding.fields) fields[name] = (word >>> shift) & (2 ** width - 1);
  return fields;
}

/** The first row that a word has the fixed bits of and is not sent away from, with its fields. */
function find(word: number, takesUnpredictable: boolean): Instruction | undefined {
  for (const encoding of withOpcode((word >>> 20) & 0xff)) {
    if ((word & encoding.mask) >>> 0 !== encoding.value) continue;
    const fields = fieldsOf(word, encoding);
    if (fields.cond === unconditional || encoding.unless?.(fields as AllFields)) continue;
    if (!takesUnpredictable && encoding.unpredictable?.(fields as AllFields)) continue;
    return { encoding, fields };
  }
  return undefined;
}

/** The instruction that a 32-bit word is, or undefined where the table says nothing. */
export const decode = (word: number): Instruction | undefined => find(word, false);

/** Whether a word is nothing but an encoding that the manual calls UNPREDICTABLE. */
export const isUnpredictable = (word: number): boolean => !find(word, false) && find(word, true) !== undefined;

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
  if (encoding.unless?.(values as AllFields) || encoding.unpredictable?.(values as AllFields))
    throw reasonError('bug', name, 'not this instruction');
  return word >>> 0;
}

/** The modified immediate of a value with the smallest rotation, as assemblers choose it, or undefined. */
export function modifiedImmediate(value: number): number | undefined {
  for (let rotation = 0; rotation < 32; rotation += 2) {
    const byte = rotation === 0 ? value >>> 0 : ((value << rotation) | (value >>> (32 - rotation))) >>> 0;
    if (byte <= 0xff) return ((rotation / 2) << 8) | byte;
  }
  return undefined;
}

/** The target of B or BL with this imm24 at a 32-bit address. */
export const branchTarget = (imm24: number, address: number): number => (address + branchDistance(imm24)) >>> 0;
