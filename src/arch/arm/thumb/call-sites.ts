// Calls of mcount in Thumb-2 code. GCC with -pg puts them behind a function's prologue, which may be empty:
//
//     b500         push {lr}
//     f7ff fffe    bl   __gnu_mcount_nc
//
// ftrace names a site by the address of the `bl`, without bit 0 (`ftrace_call_adjust`, arch/arm/include/asm/ftrace.h, Linux
// 6.1). While nothing traces the function, the `bl` is replaced by `add.w sp, sp, #4` (arch/arm/kernel/ftrace.c).

import type { Section } from '../../../elf/model.ts';
import type { CallSite, KernelText } from '../../arch.ts';
import { callSitesBy, mcount } from '../call-sites.ts';
import { R_ARM_THM_CALL } from '../relocations.ts';
import { readBranch } from './instructions.ts';

const pushLr = 0xb500;

/** Every call of mcount in the text of a kernel, in address order, init text included. */
export const findCallSites = (text: KernelText): CallSite[] =>
  callSitesBy(text, {
    step: 2,
    isPush: (view, at) => view.getUint16(at, true) === pushLr,
    calledBy: (view, at, address) => {
      const branch = readBranch(view.getUint16(at, true), view.getUint16(at + 2, true), address);
      return branch?.links && !branch.toA32 ? address + branch.distance : undefined;
    },
  });

/** Section offsets of the `bl` of each call of mcount in a relocatable object's section, as recordmcount finds them. */
export function moduleCallSites(section: Section): number[] {
  return section.relocations
    .filter(({ type, symbol }) => symbol?.name === mcount && type === R_ARM_THM_CALL)
    .map(({ offset }) => offset)
    .sort((a, b) => a - b);
}
