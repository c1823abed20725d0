// 64-bit little-endian Power under the OpenPOWER ELFv2 ABI (revision 1.5), as one value. Each part is a chapter of its own;
// the one to read first is `ftrace-redirect.ts`.
//
// The instructions: `encodings.ts`, the table, with its rows and what they do in `branches.ts`, `loads-and-stores.ts`,
// `arithmetic.ts`, `logic.ts` and `special-registers.ts` over the state in `state.ts`; `fields.ts`, the parts of a word;
// `instructions.ts`, decoding, encoding and printing; `semantics.ts`, running; `proof-facts.ts`, what the prover must know.
// `object-code.ts`: how code in objects is read.

import { EM_PPC64, SHN_LIVEPATCH } from '../../elf/constants.ts';
import type { Architecture } from '../arch.ts';
import { findCallSites, moduleCallSites } from './call-sites.ts';
import { entryWay } from './entry-redirect.ts';
import { ftraceStub } from './ftrace-redirect.ts';
import { decode, print } from './instructions.ts';
import { jumpTables, lateRelocation, readyLateCall, relocationReach, rewriteTables, veneer } from './late-binding.ts';
import { linkedPointer, shownTarget } from './linked-code.ts';
import { objectCode } from './object-code.ts';
import { platform } from './platform.ts';
import { proofFacts } from './proof-facts.ts';
import { localEntryOffset, R_PPC64_ADDR64, relocationKind } from './relocations.ts';
import { selfModified } from './self-modified.ts';
import { siblingCallsRemover } from './sibling-calls.ts';
import { stackArguments } from './stack-arguments.ts';
import { layOutStubs } from './stub-section.ts';

/** What the commonest words are usually called: extended mnemonics (Power ISA 3.0B, book I, appendix C). */
const usualNames: readonly (readonly [RegExp, string])[] = [
  [/^mfspr (r\d+),8$/, 'mflr $1'],
  [/^mtspr 8,(r\d+)$/, 'mtlr $1'],
  [/^mfspr (r\d+),9$/, 'mfctr $1'],
  [/^mtspr 9,(r\d+)$/, 'mtctr $1'],
  [/^ori r0,r0,0$/, 'nop'],
];

const asUsual = (text: string): string =>
  usualNames.reduce((name, [pattern, usual]) => name.replace(pattern, usual), text);

export const ppc64le: Architecture = {
  platform,
  proofFacts,
  elf: { class: 64, machine: EM_PPC64, rela: true },
  pointerRelocation: R_PPC64_ADDR64,
  relocationKind,
  relocationReach,
  rewriteTables,
  jumpTables,
  lateRelocation,
  // RELA tables have their addends themselves.
  addendInPlace: () => undefined,
  putAddend: () => undefined,
  veneer,
  readyLateCall,
  // The loader makes stubs, and restores r2 behind a call, for SHN_UNDEF and this index alone
  // (arch/powerpc/kernel/module_64.c, Linux 6.1, R_PPC_REL24); without LIVEPATCH such a symbol keeps its value from the file.
  codeBit: 0n,
  boundFunctionPlace: { index: SHN_LIVEPATCH },
  coreFunctions: ['patch_instruction'],
  // Before it is room for islands (entry-redirect.ts).
  coreMarks: ['__init_begin'],
  // The module's TOC pointer: `find_dot_toc` and `my_r2` in module_64.c.
  loaderSymbols: ['.TOC.'],
  localEntryOffset,
  objectCode,
  disassemble(word, address) {
    const instruction = decode(word);
    return instruction && asUsual(print(instruction, address));
  },
  findCallSites,
  moduleCallSites,
  selfModified,
  shownTarget,
  linkedPointer,
  ftraceStub,
  entryWay,
  siblingCallsRemover,
  stackArguments,
  layOutStubs,
};
