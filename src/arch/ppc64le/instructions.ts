// Instruction words to instructions and back, from the one table in `encodings.ts`.

import { rows } from './encodings.ts';
import { type FieldName, field, fieldBits, fieldMask, isFieldName, printField } from './fields.ts';

import type { Row, Semantics } from './row.ts';

export { type FieldName, field, fieldIn } from './fields.ts';

/** One encoding. */
export interface Encoding {
  /** Its place in `encodings`. */
  readonly index: number;
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
): Omit<Encoding, 'index'> {
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
function expand([syntax, layout, section, does]: Row): Omit<Encoding, 'index'>[] {
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

export const encodings: readonly Encoding[] = rows.flatMap(expand).map((row, index) => ({ index, ...row }));

const byName = new Map(encodings.map((e) => [e.name, e]));

/** What words are compared with, by the encodings' places: typed arrays, because whole kernels are decoded. */
const masks = Int32Array.from(encodings, ({ mask }) => mask);
const values = Int32Array.from(encodings, ({ value }) => value);
const updates = Uint8Array.from(encodings, ({ update }) => Number(update));

/** The encodings that a word may be, by the bits that are looked at. */
const candidates = (word: number, bits: number): readonly Encoding[] =>
  encodings.filter(({ mask, value }) => ((word ^ value) & mask & bits) === 0);

/** By the primary opcode, bits 0 to 5 of a word (Book I, section 1.6). */
const byPrimary = Array.from({ length: 64 }, (_, opcode) => candidates(opcode << 26, 0xfc000000));
const withSeveral = byPrimary.filter(({ length }) => length > 1);

/** How many extended opcodes a word can have: most are in bits 21 to 30, those of ld and std in the last two, and Rc is bit 31. */
const extended = 1 << 11;

/**
 * By the primary opcode: the place of the one encoding that a word may be, or -1; or behind the number of encodings, where its extended
 * opcodes begin in `byExtended`. Both are small, because whole kernels are decoded and they are to stay at hand.
 */
const first = Int32Array.from(byPrimary, (found) =>
  found.length > 1 ? encodings.length + extended * withSeveral.indexOf(found) : (found[0]?.index ?? -1),
);
/** The same by extended opcodes: behind the number of encodings, which of `lists` has several; -1 where nobody has looked yet. */
const byExtended = new Int16Array(extended * withSeveral.length).fill(-1);
const lists: Uint16Array[] = [];

/** What `byExtended` has of a word, found out. */
function findExtended(word: number, at: number): number {
  const found = candidates(word, 0xfc0007ff);
  if (found.length !== 1) lists.push(Uint16Array.from(found, ({ index }) => index));
  byExtended[at] = found.length === 1 ? found[0]!.index : encodings.length + lists.length - 1;
  return byExtended[at]!;
}

/** Of accesses that update RA the forms that sections 3.3.2 and 3.3.3 call invalid: an update of r0, or of the register that is being loaded. */
function isInvalidForm({ fields }: Encoding, word: number): boolean {
  return field('RA', word) === 0 || (fields.includes('RT') && field('RA', word) === field('RT', word));
}

/** The place in `encodings` of what a word is, or -1 if the table does not claim it: `decode` for whoever goes through many. */
export function encodingIndex(word: number): number {
  let index = first[word >>> 26]!;
  if (index >= encodings.length) {
    const at = index - encodings.length + (word & (extended - 1));
    const known = byExtended[at]!;
    index = known < 0 ? findExtended(word, at) : known;
    if (index >= encodings.length) index = chosenFrom(lists[index - encodings.length]!, word);
  }
  if (index < 0 || (word & masks[index]!) !== values[index]) return -1;
  return updates[index] !== 0 && isInvalidForm(encodings[index]!, word) ? -1 : index;
}

/** Of several encodings the one that a word is, or -1. */
function chosenFrom(list: Uint16Array, word: number): number {
  for (let at = 0; at < list.length; at++) if ((word & masks[list[at]!]!) === values[list[at]!]) return list[at]!;
  return -1;
}

/** The instruction that a word is, or undefined if the table does not claim it. */
export function decode(word: number): Instruction | undefined {
  const encoding = encodings[encodingIndex(word)];
  return encoding && { encoding, word: word >>> 0 };
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
