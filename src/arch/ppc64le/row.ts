// What a row of the table of instructions is (`encodings.ts`).

import { type Machine, NotUnderstood } from '../machine.ts';
import type { FieldName } from './fields.ts';

/** The value of a field of the instruction's word; each field has one in any word (`fields.ts`). */
export type Operands = (name: FieldName) => number;

/** What an instruction does. */
export type Semantics = <V>(machine: Machine<V>, f: Operands) => void;

/** What an instruction computes, where it goes left to somebody else. */
export type Computation = <V>(machine: Machine<V>, f: Operands) => V;

/**
 * The manual's syntax; the word's layout; book and section of the Power ISA; what it does. In a layout a bare name is a
 * field of `fields.ts`, and `266@22:30` a number that must stand in those bits; bits that nothing names are reserved and
 * must be zero. `[o]` and `[.]` in a name make the row several: with OE (bit 21) and Rc (bit 31) clear and set.
 */
export type Row = readonly [syntax: string, layout: string, section: string, does: Semantics];

/** For rows whose instruction is known by name, and what it does is beyond the machine. */
export const refuse =
  (why: string): Semantics =>
  () => {
    throw new NotUnderstood(why);
  };

/** For hints and barriers: nothing that one processor's registers and memory would show. */
export const nothing: Semantics = () => {};
