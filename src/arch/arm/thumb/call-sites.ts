// Calls of mcount in Thumb-2 code. GCC with -pg puts them behind a function's prologue, which may be empty:
//
//     b500         push {lr}
//     f7ff fffe    bl   __gnu_mcount_nc
//
// ftrace names a site by the address of the `bl`, without bit 0 (`ftrace_call_adjust`, arch/arm/include/asm/ftrace.h, Linux
// 6.1). While nothing traces the function, the `bl` is replaced by `add.w sp, sp, #4` (arch/arm/kernel/ftrace.c).

import type { Section } from '../../../elf/model.ts';
import { linkAddress } from '../../../elf/units.ts';
import type { CallSite, KernelText } from '../../arch.ts';
import { R_ARM_THM_CALL } from '../relocations.ts';
import { readBranch } from './instructions.ts';

const mcount = '__gnu_mcount_nc';
const pushLr = 0xb500;

/** Every call of mcount in the text of a kernel, in address order, init text included. */
export function findCallSites(text: KernelText): CallSite[] {
  const target = text.symbol(mcount);
  if (target === undefined) return [];
  const sites: CallSite[] = [];
  for (const { start, end } of text.textRanges) {
    const bytes = text.bytes(start, Number(end - start));
    if (!bytes) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 2; at + 4 <= view.byteLength; at += 2) {
      if (view.getUint16(at - 2, true) !== pushLr) continue;
      const address = linkAddress(start + BigInt(at));
      const branch = readBranch(view.getUint16(at, true), view.getUint16(at + 2, true), Number(address));
      if (!branch?.links || branch.toA32 || Number(address) + branch.distance !== Number(target)) continue;
      const { start: entry, name } = text.enclosing(address) ?? { start: address, name: '' };
      sites.push({ address, function: entry, name });
    }
  }
  return sites;
}

/** Section offsets of the `bl` of each call of mcount in a relocatable object's section, as recordmcount finds them. */
export function moduleCallSites(section: Section): number[] {
  return section.relocations
    .filter(({ type, symbol }) => symbol?.name === mcount && type === R_ARM_THM_CALL)
    .map(({ offset }) => offset)
    .sort((a, b) => a - b);
}
