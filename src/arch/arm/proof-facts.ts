// What a proof must know of ARM: the base procedure call standard (AAPCS, IHI 0042, sections 5.1 to 5.5) and the hook
// (arch/arm/kernel/entry-ftrace.S and ftrace.c, Linux 6.1).

import { type Machine, NotUnderstood, type ProofFacts, withJumps } from '../machine.ts';
import { decode, encode } from './instructions.ts';
import { factsOfVersion } from './older-processors.ts';
import { R_ARM_CALL, R_ARM_JUMP24, R_ARM_PC24, relocationKind } from './relocations.ts';
import { LR, SP } from './row.ts';
import { instructionSet } from './semantics.ts';
import { C, N, V, Z } from './state.ts';

const IP = 12;
/** What a handler was registered with is its third argument. */
const OPS = 2;
/** `bl` to itself: 8 bytes back from where the PC is read. */
const callOfItself = encode('BL', { imm24: 0xfffffe });
/** `struct pt_regs`: r0–r15, then CPSR and the original r0 (arch/arm/include/uapi/asm/ptrace.h). */
const savedRegister = (n: number): number => 4 * n;
const sizeOfRegisters = savedRegister(18);
/** r0 to lr. */
const allButPc = Array.from({ length: 15 }, (_, n) => n);
const FP = 11;

/** Where the shipped hook loads r2 from: `movw`, `movt`, `ldr r2, [r2]`. Its symbol table has no data. */
function findOps(word: (address: bigint) => number | undefined, entry: bigint, call: bigint): bigint | undefined {
  let [low, high]: (bigint | undefined)[] = [];
  for (let address = entry; address < call; address += 4n) {
    const { encoding, fields } = decode(word(address) ?? 0) ?? {};
    const half = (): bigint => BigInt(fields!.imm4! * 4096 + fields!.imm12!);
    if (encoding?.name === 'MOV (immediate), wide' && fields!.Rd === OPS) low = half();
    else if (encoding?.name === 'MOVT' && fields!.Rd === OPS) high = half();
    else if (encoding?.name === 'LDR (immediate)' && fields!.Rt === OPS && fields!.Rn === OPS && fields!.imm12 === 0)
      return low === undefined || high === undefined ? undefined : (high << 16n) | low;
  }
  return undefined;
}

/** A branch's addend stands in the branch itself: relocated it leads as far from the new function as it did from itself. */
function executeRelocated<V>(m: Machine<V>, word: number, type: number, _addend: bigint, newFunction: V): void {
  if (type !== R_ARM_JUMP24 && type !== R_ARM_CALL && type !== R_ARM_PC24)
    throw new NotUnderstood(`${relocationKind(type)?.name ?? `relocation ${type}`} is of another kind than a branch’s`);
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
    // AAPCS, section 5.2.1.1: at all times a multiple of 4.
    stackPointerZeros: 2,
    stackArguments: { at: 0, size: 4 },
    // A function's stack arguments are its own (section 5.5); nothing else of its caller's is.
    callersFrame: { callees: [], parameters: 0 },
  },
  hook: {
    entry: 'ftrace_regs_caller',
    handlerCall: 'ftrace_regs_call',
    withoutRegisters: { entry: 'ftrace_caller', handlerCall: 'ftrace_call' },
    siteWord: callOfItself,
    // It drops the `lr` that the word before the site has pushed.
    idleSiteWord: encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 4 }),
    keptAtSite: [],
    handlerArguments: { site: 0, returnAddress: 1, ops: OPS, findOps },
    savedRegisters: {
      register: 3,
      size: sizeOfRegisters,
      pc: savedRegister(15),
      places: new Map(allButPc.map((n) => [n, savedRegister(n)])),
    },
    graph: {
      site: 'ftrace_graph_regs_call',
      goesTo: 'ftrace_graph_regs_caller',
      callee: 'prepare_ftrace_return',
      siteAddress: 1,
      returnAddressPlace: 0,
      unwindsFrom: new Map([
        [2, FP],
        [3, SP],
      ]),
    },
  },
  // CONFIG_FRAME_WARN of 32-bit kernels (lib/Kconfig.debug, Linux 6.1).
  mostStack: 1024,
  executeRelocated,
  forKernel: (vermagic) => factsOfVersion(proofFacts, vermagic),
  // Wherever they are, a stub that moves nothing keeps them.
  readCallee: () => ({}),
};
