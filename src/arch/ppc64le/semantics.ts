// Instruction words run on a machine.

import { type InstructionSet, type Machine, NotUnderstood } from '../machine.ts';
import { decode, field } from './instructions.ts';
import { stateNames, stateWidths } from './state.ts';

const SP = 1;

function execute<V>(machine: Machine<V>, word: number): void {
  const instruction = decode(word);
  if (!instruction) throw new NotUnderstood('it is not in the table of instructions');
  instruction.encoding.does(machine, (name) => field(name, word));
}

/**
 * 64-bit Power, little-endian. The stack pointer is always a multiple of 16, and interrupts leave 288 bytes below it
 * alone (ELFv2 ABI 1.5, sections 2.2.3.1 and 2.2.3.4; KERNEL_REDZONE_SIZE in arch/powerpc/include/asm/ptrace.h).
 */
export const instructionSet: InstructionSet = {
  bits: 64,
  registers: stateNames,
  widths: stateWidths,
  stackPointer: SP,
  redZone: 288,
  stackAlignment: 4,
  instructionSize: 4,
  execute,
};
