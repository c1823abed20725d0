// 32-bit ARM: A32 code, little-endian, EABI version 5. `thumb/` is what is otherwise in kernels of Thumb-2 code.
//
// The base procedure call standard (AAPCS, IHI 0042, section 5) in the words that matter here:
//
//   r0–r3    the first four words of arguments, and the result; a call may change them
//   r4–r11   belong to the caller: a function that uses them gives them back (fp is r11, sl r10)
//   r12, ip  anybody's, also the linker's between a call and its target
//   r13, sp  the stack, full and descending: what lies below sp is nobody's, an interrupt may write it at any moment;
//            a multiple of 8 where one function calls another; further arguments lie at sp and above
//   r14, lr  the return address on entry
//   r15, pc  reads as the instruction's own address plus 8 (ARM DDI 0406C, section A2.3)
//
// There is no table of contents and no second entry point: a function is its address, and to enter another function
// in its stead only these registers have to be as the caller left them. A `b` or `bl` reaches 32 MB either way
// (section A8.8.18); the module area lies just below the kernel (`module_alloc` in arch/arm/kernel/module.c, Linux
// 6.1), so all of the kernel's text is in reach, and where it is not the loader puts a PLT entry between.
//
// The files: `encodings.ts`, the table of instructions, with its rows and what they do in `data-processing.ts`,
// `loads-and-stores.ts`, `block-transfers.ts` and `branches.ts` over the state in `state.ts`; `instructions.ts`, decoding
// and encoding; `semantics.ts`, running; `syntax.ts`, printing; `call-sites.ts`, where ftrace has its hooks;
// `prologue.ts`, what a prologue did; `ftrace-redirect.ts`, the stub that undoes it; `entry-redirect.ts`, the way that needs none; `stub-section.ts`, the stubs in a
// module; `late-binding.ts`, relocations that wait for another module; `object-code.ts`, how code in objects is read;
// `proof-facts.ts`, what the prover must know, and `older-processors.ts`, what some kernels' processors lack; `self-modified.ts`, what the kernel rewrites in itself;
// `linked-code.ts`, what an image shows of the relocations that it was linked from.

import { EM_ARM } from '../../elf/constants.ts';
import type { Architecture } from '../arch.ts';
import { findCallSites, moduleCallSites } from './call-sites.ts';
import { entryWay } from './entry-redirect.ts';
import { ftraceStub } from './ftrace-redirect.ts';
import { addendInPlace, lateRelocation, putAddend, relocationReach, rewriteTables, veneer } from './late-binding.ts';
import { linkedPointer, shownTarget } from './linked-code.ts';
import { objectCode } from './object-code.ts';
import { platform } from './platform.ts';
import { proofFacts } from './proof-facts.ts';
import { R_ARM_ABS32, relocationKind } from './relocations.ts';
import { selfModified } from './self-modified.ts';
import { layOutStubs } from './stub-section.ts';
import { disassemble } from './syntax.ts';
import { inThumb } from './thumb/thumb.ts';
import { unwindingOf } from './unwind-index.ts';

const a32: Architecture = {
  platform,
  codeName: 'A32',
  // Interworking: bit 0 of an address that is branched to (ARM Architecture Reference Manual, section A2.3.2).
  codeBit: 0n,
  proofFacts,
  elf: { class: 32, machine: EM_ARM, rela: false },
  pointerRelocation: R_ARM_ABS32,
  relocationKind,
  relocationReach,
  rewriteTables,
  // A stub has no frame: whatever the new function reads of its caller's is there.
  jumpTables: [],
  lateRelocation,
  addendInPlace,
  putAddend,
  veneer,
  // A `bl` or `b` to a veneer is what it was.
  readyLateCall: () => undefined,
  // The loader's PLT needs nothing but an address (arch/arm/kernel/module-plts.c, Linux 6.1).
  boundFunctionPlace: 'absolute',
  coreFunctions: [
    'unwind_frame',
    '__patch_text_real',
    '__entry_text_start',
    '__entry_text_end',
    '__dabt_svc',
    '__irq_svc',
  ],
  loaderSymbols: [],
  localEntryOffset: () => 0,
  objectCode,
  disassemble,
  findCallSites,
  moduleCallSites,
  selfModified,
  shownTarget,
  linkedPointer,
  ftraceStub,
  entryWay,
  unwindingOf,
  layOutStubs,
};

export const arm: Architecture = { ...a32, otherSet: inThumb(a32) };
