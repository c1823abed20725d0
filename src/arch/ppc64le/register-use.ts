// Which general registers an instruction reads and writes, and how many bytes of memory, told from the names of its
// fields: RT is written; RA is written where it comes from RS (logic, shifts) or where an access updates it; all others
// are read. Special registers and CR are not looked at.

import { type Encoding, encodings, type FieldName, type Instruction } from './instructions.ts';

export interface Use {
  /** Bytes that a load or store moves; 0 for what is neither. */
  readonly size: number;
  readonly isStore: boolean;
  /** Whether it stores a general register, RS. */
  readonly stores: boolean;
  /** Whether it loads one, RT. */
  readonly loads: boolean;
  /** The field of an access's distance from RA; undefined for one that adds two registers. */
  readonly displacement: 'D' | 'DS' | undefined;
  readonly writes: readonly RegisterField[];
  readonly reads: readonly RegisterField[];
}

/** A field that holds a general register's number, and the place of its lowest bit in the word. */
export interface RegisterField {
  readonly name: FieldName;
  readonly shift: number;
}

const shifts: Partial<Record<FieldName, number>> = { RT: 21, RS: 21, RA: 16, 'RA|0': 16, RB: 11, RC: 6 };

const registerField = (name: FieldName): RegisterField => ({ name, shift: shifts[name]! });

/** The number in it. */
export const registerIn = ({ shift }: RegisterField, word: number): number => (word >>> shift) & 31;

const sizes: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, s: 4, d: 8 };

function accessSize(name: string): number {
  // lbz, lhau, lwbrx, ldarx, stdu, stwcx., lfd, …
  const match = /^(?:l|st)f?([bhwds])(?:a|z|br)?(?:r|c)?u?x?\.?$/.exec(name);
  return match ? sizes[match[1]!]! : 0;
}

function findUse({ name, fields, update }: Encoding): Use {
  const size = accessSize(name);
  const isStore = size > 0 && (fields.includes('RS') || fields.includes('FRS'));
  const targetIsRA = !fields.includes('RT') && fields.includes('RS') && fields.includes('RA') && !isStore;
  // An insertion keeps a part of its target.
  const insertion = name.startsWith('rlwimi') || name.startsWith('rldimi');
  return {
    size,
    isStore,
    stores: isStore && fields.includes('RS'),
    loads: size > 0 && fields.includes('RT'),
    displacement: fields.find((f) => f === 'D' || f === 'DS'),
    writes: fields.filter((f) => f === 'RT' || (f === 'RA' && (targetIsRA || update))).map(registerField),
    reads: fields
      .filter(
        (f) => f === 'RS' || f === 'RB' || f === 'RC' || f === 'RA|0' || (f === 'RA' && (!targetIsRA || insertion)),
      )
      .map(registerField),
  };
}

/** By the encodings' places. */
const uses = encodings.map(findUse);

export const useOf = ({ index }: Encoding): Use => uses[index]!;

/** The distance of an access from RA, in bytes. */
export const displacementIn = ({ displacement }: Use, word: number): number =>
  ((word & (displacement === 'DS' ? 0xfffc : 0xffff)) << 16) >> 16;

export const registersWritten = ({ encoding, word }: Instruction): number[] =>
  useOf(encoding).writes.map((f) => registerIn(f, word));

/** The registers read. Where the field is `RA|0` and holds 0 none is. */
export const registersRead = ({ encoding, word }: Instruction): number[] =>
  useOf(encoding)
    .reads.filter((f) => f.name !== 'RA|0' || registerIn(f, word) !== 0)
    .map((f) => registerIn(f, word));

/** Bit n: the field whose lowest bit is at 5·n + 6 is one of these; so no object is asked where whole kernels are gone through. */
const placesOf = (fields: readonly RegisterField[]): number =>
  fields.reduce((places, { shift }) => places | (1 << ((shift - 6) / 5)), 0);
const readPlaces = Uint8Array.from(uses, ({ reads }) => placesOf(reads));
const writtenPlaces = Uint8Array.from(uses, ({ writes }) => placesOf(writes));

/** The bit of the mask `registers` for a register field, in the lowest bit, if the field is among `places`; else 0. */
function chosen(registers: number, places: number, word: number): number {
  let bits = 0;
  if (places & 1) bits |= registers >>> ((word >>> 6) & 31);
  if (places & 2) bits |= registers >>> ((word >>> 11) & 31);
  if (places & 4) bits |= registers >>> ((word >>> 16) & 31);
  if (places & 8) bits |= registers >>> ((word >>> 21) & 31);
  return bits & 1;
}

/**
 * Whether a word whose encoding has the place `index` reads one of the registers of the mask `read`, or writes one of `written`; bit n
 * is rn. `RA|0` counts as r0 where it holds 0.
 */
export const touches = (index: number, word: number, read: number, written: number): boolean =>
  (chosen(read, readPlaces[index]!, word) | chosen(written, writtenPlaces[index]!, word)) !== 0;
