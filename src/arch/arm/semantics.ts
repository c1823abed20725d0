// Instruction words run on a machine.

import { type InstructionSet, type Machine, NotUnderstood } from '../machine.ts';
import { always, decode, isUnpredictable } from './instructions.ts';
import { type AllFields, SP } from './row.ts';
import { C, conditionHolds, N, stateNames, V, Z } from './state.ts';

function execute<T>(machine: Machine<T>, word: number): void {
  const instruction = decode(word);
  if (!instruction)
    throw new NotUnderstood(isUnpredictable(word) ? 'UNPREDICTABLE' : 'it is not in the table of instructions');
  const fields = instruction.fields as AllFields;
  // A row without the field has its condition among its fixed bits, where it is `always`.
  const { cond = always } = instruction.fields;
  if (cond === always || conditionHolds(machine, cond)) instruction.encoding.does(machine, fields);
}

/** A32. The stack pointer is a multiple of 8 where functions call each other (AAPCS, section 5.2.1.2). */
export const instructionSet: InstructionSet = {
  bits: 32,
  registers: stateNames,
  widths: new Map([N, Z, C, V].map((flag) => [flag, 1])),
  stackPointer: SP,
  redZone: 0,
  stackAlignment: 3,
  instructionSize: 4,
  execute,
};
