// What a proof must know of ppc64le: the ELFv2 ABI (revision 1.5) and the hook (arch/powerpc/kernel/trace/ftrace_mprofile.S
// and ftrace.c, Linux 6.1).
//
// Two things are particular here. A function has a local entry behind the words that make its TOC pointer, for callers
// that share the TOC; whoever calls it there relies on finding r2 unchanged. Whoever calls it at its global entry has
// saved r2 at 24(r1) before and loads it from there with the instruction behind the call, so r2 may come back as it likes.
// And the function graph tracer is a handler like others: it changes the return address among the saved registers.

import type { RecipeField } from '../arch.ts';
import {
  bit,
  type Callee,
  type Machine,
  NotUnderstood,
  type ProofFacts,
  signExtend,
  type WaysIn,
  withNumber,
} from '../machine.ts';
import { tocSetUpWords } from './call-sites.ts';
import { decode, encode, encodingIndex, encodings, field } from './instructions.ts';
import { mayBeMissing } from './newer-instructions.ts';
import { touches } from './register-use.ts';
import { R_PPC64_REL16_HA, R_PPC64_REL16_LO, relocationKind } from './relocations.ts';
import { instructionSet } from './semantics.ts';
import { findStackArguments, registerArguments } from './stack-arguments.ts';
import { CA, CA32, CR0, CTR, LR, OV, OV32, readOrZero, SO, XER } from './state.ts';

const SP = 1;
const TOC = 2;
/** The processor's area, `struct paca_struct`; the ABI's thread pointer (section 2.2.2.1). */
const PACA = 13;
const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/**
 * `struct pt_regs`: r0–r31, nip, msr, orig_gpr3, ctr, link, xer, ccr, softe, trap, dar, dsisr, result
 * (arch/powerpc/include/uapi/asm/ptrace.h).
 */
const savedRegister = (index: number): number => 8 * index;
const link = savedRegister(36);

/** `bl` to itself. */
const callOfItself = encode('bl', { LI: 0 });
const nop = encode('ori', { RS: 0, RA: 0, UI: 0 });
/** `or r2,r2,r2` and `ori r2,r2,0`. */
const hints: ReadonlySet<number> = new Set([
  encode('or', { RA: TOC, RS: TOC, RB: TOC }),
  encode('ori', { RA: TOC, RS: TOC, UI: 0 }),
]);
/** `ld r2,24(r1)` (section 2.2.1; the module loader writes it, `restore_r2` in arch/powerpc/kernel/module_64.c). */
const tocSave = 24;
const restoreToc = encode('ld', { RT: TOC, 'RA|0': SP, DS: tocSave });

/**
 * The two halves of the distance to the new function: the lower one as a signed number, and what is left of it. A module
 * is smaller than the 2 GB that they reach together; the loader does not look (`apply_relocate_add` in module_64.c), and cuts
 * off what is more. So an addend is no more than a stub is long.
 */
function executeRelocated<V>(m: Machine<V>, word: number, type: number, addend: bigint, newFunction: V): void {
  const { encoding } = decode(word) ?? {};
  const expected = type === R_PPC64_REL16_HA ? 'addis' : type === R_PPC64_REL16_LO ? 'addi' : undefined;
  if (encoding === undefined || encoding.name !== expected)
    throw new NotUnderstood(
      `${relocationKind(type)?.name ?? `relocation ${type}`} is not one of ${encoding?.name ?? 'this word'} that is known`,
    );
  if (addend !== BigInt.asIntN(16, addend))
    throw new NotUnderstood(`the addend ${addend} leads further than a stub is long, and the loader may cut it`);
  const distance = withNumber(m, 'add', m.apply('subtract', newFunction, m.pc), addend);
  const low = signExtend(m, distance, 16);
  const part = expected === 'addi' ? low : m.apply('subtract', distance, low);
  m.write(field('RT', word), m.apply('add', readOrZero(m, field('RA', word)), part));
}

/** An immediate of 16 bits, which the island has filled in: of an address that is built from its highest part down. */
function executeFilled<V>(m: Machine<V>, word: number, { width, to }: RecipeField, value: V): void {
  const name = decode(word)?.encoding.name;
  const isEmpty = (word & 0xffff) === 0 && width === 16 && to === 0;
  const raised = withNumber(m, 'shiftLeft', value, 16);
  if (isEmpty && name === 'addis' && field('RA', word) === 0) {
    // Its sign goes into the upper half.
    const isNegative = m.decide(bit(m, value, 15));
    m.write(field('RT', word), isNegative ? withNumber(m, 'or', raised, -(1n << 32n)) : raised);
  } else if (isEmpty && (name === 'oris' || name === 'ori')) {
    m.write(field('RA', word), m.apply('or', m.read(field('RS', word)), name === 'oris' ? raised : value));
  } else throw new NotUnderstood('what is filled in here is no part of an address that is known');
}

/** `ftrace_enabled` of struct paca_struct: `lbz rX,…(r13)`, and behind it `cmpdi rX,0` (`ftrace_regs_entry` in ftrace_mprofile.S). */
function findEnabled(word: (address: bigint) => number | undefined, entry: bigint, call: bigint): number | undefined {
  for (let address = entry; address < call; address += 4n) {
    const [load, compare] = [word(address) ?? 0, word(address + 4n) ?? 0];
    const isLoad = decode(load)?.encoding.name === 'lbz' && field('RA', load) === PACA;
    const isCompare = decode(compare)?.encoding.name === 'cmpi' && field('SI', compare) === 0;
    if (isLoad && isCompare && field('RA', compare) === field('RT', load)) return field('D', load);
  }
  return undefined;
}

/** A branch out of it would be a sibling call; then what is left to tell is not certain either. */
function readCallee(code: Uint32Array, waysIn?: WaysIn): Callee {
  const { doublewords, uncertain } = findStackArguments(code, waysIn);
  if (uncertain !== undefined) return {};
  return {
    stackArguments: Math.max(0, doublewords - registerArguments),
    usesParameterArea: doublewords > 0,
    siblingCalls: false,
  };
}

/** `std r2,24(r1)` keeps it; of the hints `or r2,r2,r2` and `ori r2,r2,0` (Book II, section 3.2) it is the name alone. */
function usesToc(word: number): boolean | undefined {
  const index = encodingIndex(word);
  if (index < 0) return undefined;
  if (!touches(index, word, 1 << TOC, 0)) return false;
  const { name } = encodings[index]!;
  const isKept = name === 'std' && field('RS', word) === TOC && field('RA', word) === SP;
  return !isKept && !hints.has(word >>> 0);
}

export const proofFacts: ProofFacts = {
  instructionSet,
  convention: {
    atEntry: {
      arguments: range(3, 10),
      // CR2 to CR4 among them; r13 belongs to nobody.
      calleeSaved: [PACA, ...range(14, 31), ...range(CR0 + 2, CR0 + 4)],
      returnAddress: LR,
      ownAddress: 12,
    },
    results: [3, 4],
    // r2 too: a callee in another module leaves its own.
    changedByCalls: [
      ...[0, TOC, ...range(3, 12), LR, CTR],
      ...[CR0, CR0 + 1, ...range(CR0 + 5, CR0 + 7), SO, OV, CA, OV32, CA32, XER],
    ],
    alignment: new Map([
      [SP, instructionSet.stackAlignment],
      [LR, 2],
    ]),
    // ELFv2 ABI, section 2.2.3.1: always quadword aligned.
    stackPointerZeros: instructionSet.stackAlignment,
    // Behind the frame's header and the doublewords that r3 to r10 stand for (section 2.2.3.3).
    stackArguments: { at: 96, size: 8 },
    // The CR and the LR save doubleword; the parameter save area where there has to be one (section 2.2.3.3).
    callersFrame: { callees: [[8, 24]], parameters: 32 },
    backChain: { at: 0, returnAddressAt: 16 },
    toc: {
      register: TOC,
      setUpWords: tocSetUpWords,
      isUsedBy: usesToc,
      savedAt: tocSave,
      restoreWord: restoreToc,
      kernels: '.TOC.',
    },
    // More than a page of it there is; `kernel_toc` is the third doubleword of `struct paca_struct` (asm/paca.h).
    processorArea: { register: PACA, size: 0x1000, addresses: new Map([[16, '.TOC.']]) },
  },
  hook: {
    entry: 'ftrace_regs_caller',
    handlerCall: 'ftrace_regs_call',
    withoutRegisters: { entry: 'ftrace_caller', handlerCall: 'ftrace_call' },
    siteWord: callOfItself,
    idleSiteWord: nop,
    // `mflr r0` stands before the site, and r2 has been set up or was right.
    keptAtSite: [0, TOC],
    findEnabled,
    handlerArguments: { site: 3, returnAddress: 4, ops: 5 },
    savedRegisters: {
      register: 6,
      size: savedRegister(44),
      pc: savedRegister(32),
      returnAddress: link,
      // r0 and r12 hold nothing of the caller's, and of r2 nothing can be said.
      places: new Map([
        ...[SP, ...range(3, 10), ...range(13, 31)].map((n) => [n, savedRegister(n)] as const),
        [LR, link],
      ]),
    },
  },
  // CONFIG_FRAME_WARN of 64-bit kernels (lib/Kconfig.debug, Linux 6.1).
  mostStack: 2048,
  executeRelocated,
  executeFilled,
  readCallee,
  mayBeMissing,
  // They came with version 3.0 of the Power ISA (POWER9); before, these bits of XER are reserved.
  mayBeAbsent: new Set([OV32, CA32]),
  // In a guest of KVM PR a load from a shared page takes its place (arch/powerpc/kernel/kvm.c): some number either way.
  rewrittenAlike: (word) => decode(word)?.encoding.name === 'mfmsr',
};
