// Instruction words to instructions and back, from the one table in `encodings.ts`.

import { rows } from './encodings.ts';
import { type FieldName, field, fieldBits, fieldMask, isFieldName, printField } from './fields.ts';

import type { Row, Semantics } from './row.ts';

export { type FieldName, field } from './fields.ts';

/** One encoding. */
export interface Encoding {
  /** The basic mnemonic, `stdu` or `add.`. */
  readonly name: string;
  /** The operands as the manual writes them, `RS,DS(RA)`. */
  readonly syntax: string;
  /** The fields of the word that are operands. */
  readonly fields: readonly FieldName[];
  /** A word is this instruction when its bits under the mask are the value. */
  readonly mask: number;
  readonly value: number;
  /** Whether it writes the address that it forms back to RA. */
  readonly update: boolean;
  /** Book and section of the Power ISA. */
  readonly section: string;
  readonly does: Semantics;
}

/** A decoded word. Its operands are `field('RA', instruction.word)` and so on for the names in `encoding.fields`. */
export interface Instruction {
  readonly encoding: Encoding;
  readonly word: number;
}

/** `266@22:30` as mask and value. */
function constant(part: string): { mask: number; value: number } {
  const match = /^(\d+)@(\d+)(?::(\d+))?$/.exec(part);
  if (!match) throw new Error(`neither a field nor a number at its bits: ${part}`);
  const first = Number(match[2]);
  const last = Number(match[3] ?? first);
  return { mask: ((2 ** (last - first + 1) - 1) << (31 - last)) >>> 0, value: (Number(match[1]) << (31 - last)) >>> 0 };
}

function encoding(
  name: string,
  operands: string,
  layout: readonly string[],
  section: string,
  does: Semantics,
): Encoding {
  const fields = layout.filter(isFieldName);
  const fixed = layout.filter((part) => !isFieldName(part)).map(constant);
  const operandBits = fields.reduce((bits, f) => bits | fieldMask(f), 0);
  return {
    name,
    syntax: operands,
    fields,
    mask: ~operandBits >>> 0,
    value: fixed.reduce((bits, f) => bits | f.value, 0) >>> 0,
    update: /^(l|st)[bhwd][az]?ux?$/.test(name),
    section,
    does,
  };
}

/** One row of the table as its encodings: `add[o][.]` is four. */
function expand([syntax, layout, section, does]: Row): Encoding[] {
  const [name, operands = ''] = syntax.split(' ') as [string, string?];
  let variants = [{ name, layout: layout.split(' ') }];
  for (const [mark, letter, bit] of [
    ['[o]', 'o', '1@21'],
    ['[.]', '.', '1@31'],
  ] as const) {
    if (!name.includes(mark)) continue;
    variants = variants.flatMap((v) => [
      { name: v.name.replace(mark, ''), layout: v.layout },
      { name: v.name.replace(mark, letter), layout: [...v.layout, bit] },
    ]);
  }
  return variants.map((v) => encoding(v.name, operands, v.layout, section, does));
}

export const encodings: readonly Encoding[] = rows.flatMap(expand);

const byName = new Map(encodings.map((e) => [e.name, e]));

/**
 * The encodings of the words that have the same bits 0 to 5, the primary opcode, and 21 to 30, where most extended opcodes are
 * (Book I, section 1.6). Whole kernels are decoded, so each such list is made once.
 */
const byOpcodes: (readonly Encoding[] | undefined)[] = Array.from({ length: 1 << 16 });

function candidates(word: number): readonly Encoding[] {
  const opcodes = ((word >>> 26) << 10) | ((word >>> 1) & 0x3ff);
  const known = byOpcodes[opcodes];
  if (known) return known;
  const bits = 0xfc0007fe;
  const found = encodings.filter(({ mask, value }) => ((word ^ value) & mask & bits) === 0);
  byOpcodes[opcodes] = found;
  return found;
}

/** The forms that sections 3.3.2 and 3.3.3 call invalid: an update of r0, or of the register that is being loaded. */
function isInvalidForm({ update, fields }: Encoding, word: number): boolean {
  return update && (field('RA', word) === 0 || (fields.includes('RT') && field('RA', word) === field('RT', word)));
}

/** Instructions that were decoded last, by some bits of the word: a few words make up most of a kernel. */
const decoded: (Instruction | undefined)[] = Array.from({ length: 1 << 14 });

/** The instruction that a word is, or undefined if the table does not claim it. */
export function decode(word: number): Instruction | undefined {
  const slot = (word ^ (word >>> 14) ^ (word >>> 21)) & (decoded.length - 1);
  const known = decoded[slot];
  if (known?.word === word >>> 0) return known;
  const instruction = find(word);
  decoded[slot] = instruction;
  return instruction;
}

function find(word: number): Instruction | undefined {
  for (const encoding of candidates(word)) {
    if ((word & encoding.mask) >>> 0 !== encoding.value) continue;
    return isInvalidForm(encoding, word) ? undefined : { encoding, word: word >>> 0 };
  }
  return undefined;
}

/**
 * The word of an instruction, from exactly the operands that its row has. Displacements are in bytes.
 * Throws `RangeError` for a value that does not fit, an unknown mnemonic, or missing or foreign operands.
 */
export function encode(name: string, operands: Partial<Record<FieldName, number>> = {}): number {
  const row = byName.get(name);
  if (!row) throw new RangeError(`no encoding of ${name}`);
  for (const given of Object.keys(operands)) {
    if (!row.fields.includes(given as FieldName)) throw new RangeError(`${name} has no operand ${given}`);
  }
  return (
    row.fields.reduce((word, f) => {
      const value = operands[f];
      if (value === undefined) throw new RangeError(`${name} needs its operand ${f}`);
      return word | fieldBits(f, value);
    }, row.value) >>> 0
  );
}

const operandNames = /([A-Za-z]\w*(?:\|0)?)/;

/** Each syntax taken apart once, `D(RA|0)` as D, `(`, RA|0, `)`. */
const syntaxParts = new Map(encodings.map(({ syntax }) => [syntax, syntax.split(operandNames)]));

/** The instruction as objdump prints it with `-M power10,raw`, without the name of a branch's target. */
export function print({ encoding: { name, syntax }, word }: Instruction, address: bigint): string {
  const parts = syntaxParts.get(syntax)!;
  const operands = parts.map((part) => (isFieldName(part) ? printField(part, word, address) : part)).join('');
  return operands === '' ? name : `${name} ${operands}`;
}
