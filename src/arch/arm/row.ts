// What a row of the table of instructions is (`encodings.ts`).

import type { Machine } from '../machine.ts';

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

/** The fields as semantics see them: a row's own are all there, and no other is asked for. */
export type AllFields = Required<Fields>;

/** What an instruction does once its condition holds. */
export type Semantics = <V>(machine: Machine<V>, fields: AllFields) => void;

export interface Row {
  /** The manual's title; forms of one title are told apart by what follows the comma. */
  readonly name: string;
  readonly section: string;
  readonly syntax: string;
  readonly diagram: string;
  readonly does: Semantics;
  /** Where it holds, the manual sends the reader to another encoding. */
  readonly unless?: (fields: AllFields) => boolean;
  /** Where it holds, the manual calls the encoding UNPREDICTABLE, or what it stores UNKNOWN. */
  readonly unpredictable?: (fields: AllFields) => boolean;
}

export const row = (
  name: string,
  section: string,
  syntax: string,
  diagram: string,
  does: Semantics,
  exceptions: Pick<Row, 'unless' | 'unpredictable'> = {},
): Row => ({ name, section, syntax, diagram, does, ...exceptions });

export const SP = 13;
export const LR = 14;
export const PC = 15;
