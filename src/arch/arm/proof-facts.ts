// What a proof must know of ARM: the base procedure call standard (AAPCS, IHI 0042, sections 5.1 to 5.5) and the hook
// (arch/arm/kernel/entry-ftrace.S and ftrace.c, Linux 6.1).

import { type Machine, NotUnderstood, type ProofFacts, withJumps } from '../machine.ts';
import { decode, encode } from './instructions.ts';
import { R_ARM_CALL, R_ARM_JUMP24, R_ARM_PC24 } from './relocations.ts';
import { LR, SP } from './row.ts';
import { instructionSet } from './semantics.ts';
import { C, N, V, Z } from './state.ts';

const IP = 12;
/** `bl` to itself: 8 bytes back from where the PC is read. */
const callOfItself = encode('BL', { imm24: 0xfffffe });
/** `struct pt_regs`: r0–r15, then CPSR and the original r0 (arch/arm/include/uapi/asm/ptrace.h). */
const ARM_pc = 15 * 4;

/** A branch's addend stands in the branch itself: relocated it leads as far from the new function as it did from itself. */
function executeRelocated<V>(m: Machine<V>, word: number, type: number, _addend: bigint, newFunction: V): void {
  if (type !== R_ARM_JUMP24 && type !== R_ARM_CALL && type !== R_ARM_PC24)
    throw new NotUnderstood(`relocation ${type} is of another kind than a branch’s`);
  // Of any other word the loader would change what it does.
  const name = decode(word)?.encoding.name;
  if (name !== 'B' && name !== 'BL') throw new NotUnderstood('it is no branch that the relocation belongs to');
  const moved = (target: V): V => m.apply('add', m.apply('subtract', target, m.pc), newFunction);
  instructionSet.execute(withJumps(m, moved), word);
}

export const proofFacts: ProofFacts = {
  instructionSet,
  convention: {
    atEntry: { arguments: [0, 1, 2, 3], calleeSaved: [4, 5, 6, 7, 8, 9, 10, 11], returnAddress: LR },
    results: [0, 1, 2, 3],
    changedByCalls: [0, 1, 2, 3, IP, LR, N, Z, C, V],
    alignment: new Map([
      [SP, instructionSet.stackAlignment],
      [LR, 2],
    ]),
    stackArguments: { at: 0, size: 4 },
    // A function's stack arguments are its own (section 5.5); nothing else of its caller's is.
    callersFrame: { callees: [], parameters: 0 },
  },
  hook: {
    entry: 'ftrace_regs_caller',
    handlerCall: 'ftrace_regs_call',
    siteWord: callOfItself,
    // It drops the `lr` that the word before the site has pushed.
    idleSiteWord: encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 4 }),
    keptAtSite: [],
    savedRegisters: { register: 3, pc: ARM_pc },
    siteAddress: 0,
    graph: {
      site: 'ftrace_graph_regs_call',
      goesTo: 'ftrace_graph_regs_caller',
      callee: 'prepare_ftrace_return',
      siteAddress: 1,
      returnAddressPlace: 0,
    },
  },
  executeRelocated,
  // Wherever they are, a stub that moves nothing keeps them.
  readCallee: () => ({}),
};
