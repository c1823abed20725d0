// Kernels of 32-bit ARM in Thumb-2 code (CONFIG_THUMB2_KERNEL): what is otherwise than in A32 code.
//
// The procedure call standard is the same (AAPCS, IHI 0042, section 5): registers, stack, arguments. What differs is the code
// (`instructions.ts`) and what a pointer to it is: bit 0 of an address that is branched to says that Thumb code is there (ARM DDI
// 0406C, section A2.3.2), so it is set in pointers to functions, in return addresses, and in the value of a function's symbol
// (IHI 0044, section 4.5.3). The code is at the address without it, which is what kallsyms have.
//
// Such a kernel is told by its exports, which are pointers to functions whose addresses kallsyms have; such a module by its
// vermagic (arch/arm/include/asm/vermagic.h, MODULE_ARCH_VERMAGIC_ARMTHUMB, Linux 6.1).
//
// Functions are redirected at their entries (`entry-redirect.ts`). In the ftrace way a stub would have to undo each function's
// prologue, in instructions of either length, with push and pop of register lists that leave the stack at other places than A32
// code does; that is not written, and the way is refused.
//
// `object-code.ts`: how objects are read; `linked-code.ts`: what an image shows of their relocations; `call-sites.ts`: what ftrace rewrites; `self-modified.ts`: what else the kernel does; `semantics.ts`: what a proof runs.

import { reasonError } from '../../../reason.ts';
import type { Architecture, Veneer } from '../../arch.ts';
import type { ProofFacts } from '../../machine.ts';
import { wholeAddresses } from '../platform.ts';
import { R_ARM_THM_MOVT_ABS, R_ARM_THM_MOVW_ABS_NC, thumbRelocationKind } from '../relocations.ts';
import { LR, SP } from '../row.ts';
import { layOutStubs } from '../stub-section.ts';
import { findCallSites, moduleCallSites } from './call-sites.ts';
import { entryWay } from './entry-redirect.ts';
import { shownTarget } from './linked-code.ts';
import { addendInPlace, objectCode, putAddend } from './object-code.ts';
import { selfModified } from './self-modified.ts';
import { disassemble, instructionSet } from './semantics.ts';

/** `udf #0`, twice. Whoever falls into it is stopped. */
const filling = 0xde00de00;

/** `add.w sp, sp, #4`, which ftrace leaves at a call site that nobody traces (arch/arm/kernel/ftrace.c, Linux 6.1, NOP). */
const idleSiteWord = 0x0d04f10d;

const withoutFtraceWay = 'stubs that undo a prologue in Thumb-2 code are not made';

/** Goes on by a word of data; ip (r12) is the linker's between a call and its target (AAPCS, section 5.3.1.1). */
const veneer: Veneer = {
  // biome-ignore format: the words beside their assembly
  words: [
    { word: 0x0c00f240, text: 'movw ip, #:lower16:word' },
    { word: 0x0c00f2c0, text: 'movt ip, #:upper16:word' },
    { word: 0xf000f8dc, text: 'ldr.w pc, [ip]' },
  ],
  relocations: [
    { offset: 0, type: R_ARM_THM_MOVW_ABS_NC, addend: 0n },
    { offset: 4, type: R_ARM_THM_MOVT_ABS, addend: 0n },
  ],
};

/**
 * The same convention, but that a return address has bit 0 set: nothing is known of its alignment. All processors that have the
 * set are of ARMv7 (THUMB2_KERNEL in arch/arm/Kconfig, Linux 6.1).
 */
const proofFacts = ({ forKernel: _, ...a32 }: ProofFacts): ProofFacts => ({
  ...a32,
  instructionSet,
  convention: {
    ...a32.convention,
    alignment: new Map([
      [SP, a32.convention.alignment.get(SP)!],
      [LR, 0],
    ]),
  },
  hook: { ...a32.hook, idleSiteWord },
});

/** The architecture of kernels in Thumb-2 code, from that of those in A32 code. */
export const inThumb = (a32: Architecture): Architecture => ({
  ...a32,
  platform: { ...a32.platform, fixFlags: [...a32.platform.fixFlags, wholeAddresses] },
  codeName: 'Thumb-2',
  codeBit: 1n,
  codeInVermagic: 'thumb2',
  proofFacts: proofFacts(a32.proofFacts!),
  relocationKind: thumbRelocationKind,
  veneer,
  addendInPlace: (type, place) => addendInPlace(type, place) ?? a32.addendInPlace(type, place),
  putAddend: (type, place, addend) =>
    addendInPlace(type, place) === undefined ? a32.putAddend(type, place, addend) : putAddend(type, place, addend),
  objectCode: objectCode(a32.objectCode),
  disassemble,
  findCallSites,
  moduleCallSites,
  selfModified,
  shownTarget,
  withoutFtraceWay,
  ftraceStub(old) {
    throw reasonError('way-missing', old.name, withoutFtraceWay, 'redirect it at its entry (--way entry)');
  },
  entryWay,
  layOutStubs: (stubs, name) => layOutStubs(stubs, name, filling),
});
