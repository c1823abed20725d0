// Instruction fields. The Power ISA gives every part of an instruction word a name that always means the same bits
// (Power ISA 3.0B, Book I, section 1.6.1, "Split Field Notation", and the list of fields after the formats), so a field
// is a property of the word, not of one instruction: `field('RA', word)` has a value for any word.
//
// The manual numbers bits from the left: bit 0 is the most significant one of the 32.

/** How a field is written: a register, a condition bit or field, a number, or the address that it leads to. */
type Kind = 'gpr' | 'gpr-or-0' | 'fpr' | 'crf' | 'crbit' | 'unsigned' | 'signed' | 'relative' | 'absolute';

interface Field {
  readonly kind: Kind;
  /** Ranges of bits [first, last], the most significant part of the value first. */
  readonly bits: readonly (readonly [first: number, last: number])[];
  /** What the bits count: 4 for a branch's words and the DS form's words, else 1. */
  readonly scale: number;
}

const at = (kind: Kind, first: number, last: number, scale = 1): Field => ({ kind, bits: [[first, last]], scale });

/**
 * The fields by the manual's names. `RA|0` is RA where the manual's text has `(RA|0)`: a zero there is the number 0 and
 * not register 0. `FXM`, `TO`, `BO` and the like are masks and codes, printed as numbers. An absolute branch's `LI` and
 * `BD` are `LIA` and `BDA` here, because they print another way.
 */
const fields = {
  RT: at('gpr', 6, 10),
  RS: at('gpr', 6, 10),
  RA: at('gpr', 11, 15),
  'RA|0': at('gpr-or-0', 11, 15),
  RB: at('gpr', 16, 20),
  RC: at('gpr', 21, 25),
  FRT: at('fpr', 6, 10),
  FRS: at('fpr', 6, 10),
  BT: at('crbit', 6, 10),
  BA: at('crbit', 11, 15),
  BB: at('crbit', 16, 20),
  BC: at('crbit', 21, 25),
  BF: at('crf', 6, 8),
  BFA: at('crf', 11, 13),
  BO: at('unsigned', 6, 10),
  BI: at('crbit', 11, 15),
  BH: at('unsigned', 19, 20),
  BD: at('relative', 16, 29, 4),
  BDA: at('absolute', 16, 29, 4),
  LI: at('relative', 6, 29, 4),
  LIA: at('absolute', 6, 29, 4),
  D: at('signed', 16, 31),
  DS: at('signed', 16, 29, 4),
  SI: at('signed', 16, 31),
  UI: at('unsigned', 16, 31),
  /** The DX form's displacement d0 || d1 || d2. */
  DX: {
    kind: 'signed',
    bits: [
      [16, 25],
      [11, 15],
      [31, 31],
    ],
    scale: 1,
  },
  SH: at('unsigned', 16, 20),
  MB: at('unsigned', 21, 25),
  ME: at('unsigned', 26, 30),
  sh: {
    kind: 'unsigned',
    bits: [
      [30, 30],
      [16, 20],
    ],
    scale: 1,
  },
  mb: {
    kind: 'unsigned',
    bits: [
      [26, 26],
      [21, 25],
    ],
    scale: 1,
  },
  me: {
    kind: 'unsigned',
    bits: [
      [26, 26],
      [21, 25],
    ],
    scale: 1,
  },
  /** A special purpose register's number, its two halves swapped in the word. */
  spr: {
    kind: 'unsigned',
    bits: [
      [16, 20],
      [11, 15],
    ],
    scale: 1,
  },
  /** Whether overflow is noted, and whether the result is compared with 0. */
  OE: at('unsigned', 21, 21),
  Rc: at('unsigned', 31, 31),
  FXM: at('unsigned', 12, 19),
  TO: at('unsigned', 6, 10),
  TH: at('unsigned', 6, 10),
  /** L of a compare: 1 for doublewords. */
  L: at('unsigned', 10, 10),
  /** L of sync and dcbf, three bits since 3.1. */
  L8: at('unsigned', 8, 10),
  SC: at('unsigned', 14, 15),
  /** L of mtmsrd. */
  L15: at('unsigned', 15, 15),
  WC: at('unsigned', 9, 10),
  PL: at('unsigned', 14, 15),
  EH: at('unsigned', 31, 31),
  LEV: at('unsigned', 20, 26),
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof fields;

export const isFieldName = (name: string): name is FieldName => Object.hasOwn(fields, name);

const isSigned = (kind: Kind) => kind === 'signed' || kind === 'relative' || kind === 'absolute';

/** The bits of the word that a field takes, as a mask. */
export function fieldMask(name: FieldName): number {
  let mask = 0;
  for (const [first, last] of fields[name].bits) mask |= (2 ** (last - first + 1) - 1) << (31 - last);
  return mask >>> 0;
}

/** How many bits a field has. */
const widthOf = ({ bits }: Field): number => bits.reduce((width, [first, last]) => width + last - first + 1, 0);

/** A function that takes one field out of a word. */
function readerOf(field: Field): (word: number) => number {
  const { bits, scale } = field;
  const [[first, last], ...others] = bits as readonly [readonly [number, number], ...(readonly [number, number])[]];
  if (others.length === 0) {
    const [left, right] = [first, 31 - last + first];
    return isSigned(field.kind)
      ? (word) => ((word << left) >> right) * scale
      : (word) => ((word << left) >>> right) * scale;
  }
  const parts = bits.map(([first, last]) => ({ shift: 31 - last, size: 2 ** (last - first + 1) }));
  const range = 2 ** widthOf(field);
  const half = isSigned(field.kind) ? range / 2 : range;
  return (word) => {
    let value = 0;
    for (const { shift, size } of parts) value = value * size + ((word >>> shift) & (size - 1));
    return (value >= half ? value - range : value) * scale;
  };
}

/** `field` by name, for whoever goes through whole kernels. */
export const fieldIn = Object.fromEntries(
  Object.entries(fields).map(([name, field]: [string, Field]) => [name, readerOf(field)]),
) as Record<FieldName, (word: number) => number>;

/** The field's value in a word: sign-extended and scaled, so that a displacement is in bytes. */
export const field = (name: FieldName, word: number): number => fieldIn[name](word);

/** The word's bits for a field's value. Throws `RangeError` for a value that the field cannot hold. */
export function fieldBits(name: FieldName, value: number): number {
  const { kind, bits, scale } = fields[name] as Field;
  const width = widthOf(fields[name]);
  const [low, high] = isSigned(kind) ? [-(2 ** (width - 1)), 2 ** (width - 1) - 1] : [0, 2 ** width - 1];
  let rest = value / scale;
  if (!Number.isInteger(rest) || rest < low || rest > high) {
    throw new RangeError(
      `${name} cannot hold ${value}: it takes ${low * scale} to ${high * scale} in steps of ${scale}`,
    );
  }
  let word = 0;
  for (const [first, last] of bits.toReversed()) {
    const size = last - first + 1;
    const part = ((rest % 2 ** size) + 2 ** size) % 2 ** size;
    word |= part << (31 - last);
    rest = Math.floor(rest / 2 ** size);
  }
  return word >>> 0;
}

const conditions = ['lt', 'gt', 'eq', 'so'];

/** The field as binutils writes it; `address` is the instruction's own, for what is relative to it. */
export function printField(name: FieldName, word: number, address: bigint): string {
  const value = field(name, word);
  switch (fields[name].kind) {
    case 'gpr':
      return `r${value}`;
    case 'gpr-or-0':
      return value === 0 ? '0' : `r${value}`;
    case 'fpr':
      return `f${value}`;
    case 'crf':
      return `cr${value}`;
    case 'crbit':
      return value < 4 ? conditions[value]! : `4*cr${value >> 2}+${conditions[value & 3]}`;
    case 'relative':
      return `0x${BigInt.asUintN(64, address + BigInt(value)).toString(16)}`;
    case 'absolute':
      return `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
    default:
      return String(value);
  }
}
