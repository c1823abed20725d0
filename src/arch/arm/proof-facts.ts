// What a proof must know of ARM: the base procedure call standard (AAPCS, IHI 0042, sections 5.1 to 5.5) and the hook
// (arch/arm/kernel/entry-ftrace.S and ftrace.c, Linux 6.1).

import type { ProofFacts } from '../machine.ts';
import { encode } from './instructions.ts';
import { LR, SP } from './row.ts';
import { instructionSet } from './semantics.ts';
import { C, N, V, Z } from './state.ts';

const IP = 12;
/** `bl` to itself: 8 bytes back from where the PC is read. */
const callOfItself = encode('BL', { imm24: 0xfffffe });
/** `struct pt_regs`: r0–r15, then CPSR and the original r0 (arch/arm/include/uapi/asm/ptrace.h). */
const ARM_pc = 15 * 4;

export const proofFacts: ProofFacts = {
  instructionSet,
  convention: {
    atEntry: { arguments: [0, 1, 2, 3], calleeSaved: [4, 5, 6, 7, 8, 9, 10, 11], returnAddress: LR },
    changedByCalls: [0, 1, 2, 3, IP, LR, N, Z, C, V],
    alignment: new Map([
      [SP, instructionSet.stackAlignment],
      [LR, 2],
    ]),
    stackArguments: { at: 0, size: 4 },
  },
  hook: {
    entry: 'ftrace_regs_caller',
    handlerCall: 'ftrace_regs_call',
    idleWords: ['ftrace_graph_regs_call'],
    siteWord: callOfItself,
    // It drops the `lr` that the word before the site has pushed.
    idleSiteWord: encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 4 }),
    savedRegisters: { register: 3, pc: ARM_pc },
    siteAddress: 0,
  },
};
