// Calls of mcount. GCC with -pg puts them behind a function's prologue:
//
//     push {lr}
//     bl   __gnu_mcount_nc
//
// and ftrace names a site by the address of the `bl` (its `ip`, `rec->ip`; arch/arm/kernel/ftrace.c, Linux 6.1).
// While nothing traces the function, only the `bl` is replaced, by `add sp, sp, #4`, which drops what was pushed.

import type { Section } from '../../elf/model.ts';
import { linkAddress } from '../../elf/units.ts';
import type { CallSite, KernelText } from '../arch.ts';
import { always, branchTarget, decode, encode, pcAhead } from './instructions.ts';
import { R_ARM_CALL, R_ARM_PC24 } from './relocations.ts';

export const mcount = '__gnu_mcount_nc';

/** `push {lr}`, the word before every call site. */
export const pushLr = encode('PUSH, one register', { Rt: 14 });

/**
 * `ldr pc, [pc, #-4]`: with the target as the next word, the veneer that ld makes where a `bl` does not reach (IHI
 * 0044, 4.6.1.1).
 */
const veneer = encode('LDR (immediate)', { Rn: 15, Rt: 15, U: 0, imm12: 4 });

/** Where a `bl` at an address leads, through a linker's veneer if there is one; undefined if it is no `bl`. */
function calledBy(text: KernelText, word: number, address: number): number | undefined {
  const instruction = decode(word);
  if (instruction?.encoding.name !== 'BL' || instruction.fields.cond !== always) return undefined;
  const target = branchTarget(instruction.fields.imm24!, address);
  if (text.word(linkAddress(BigInt(target))) !== veneer) return target;
  return text.word(linkAddress(BigInt(target + pcAhead - 4)));
}

/** How a call of mcount is told in one of the instruction sets. */
interface SiteReader {
  /** Instructions begin at multiples of this. */
  readonly step: 2 | 4;
  /** Whether `push {lr}` is at an offset. */
  isPush(view: DataView, at: number): boolean;
  /** Where the `bl` leads that is at an offset, and at a link-time address; undefined if none is there. */
  calledBy(view: DataView, at: number, address: number): number | undefined;
}

/** Every call of mcount in the text of a kernel, as `reader` tells them, in address order, init text included. */
export function callSitesBy(text: KernelText, { step, isPush, calledBy }: SiteReader): CallSite[] {
  const target = text.symbol(mcount);
  if (target === undefined) return [];
  const sites: CallSite[] = [];
  for (const { start, end } of text.textRanges) {
    const bytes = text.bytes(start, Number(end - start));
    if (!bytes) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = step; at + 4 <= view.byteLength; at += step) {
      if (!isPush(view, at - step)) continue;
      const address = linkAddress(start + BigInt(at));
      if (calledBy(view, at, Number(address)) !== Number(target)) continue;
      const { start: entry, name } = text.enclosing(address) ?? { start: address, name: '' };
      sites.push({ address, function: entry, name });
    }
  }
  return sites;
}

/**
 * Every call of mcount in the text of a kernel, in address order: the kernel's own list between `__start_mcount_loc`
 * and `__stop_mcount_loc`, init text included. Behind some functions lie bodies of overridden weak functions that have
 * lost their names; their sites carry the name before them, here as in ftrace, and are not the first under it.
 */
export const findCallSites = (text: KernelText): CallSite[] =>
  callSitesBy(text, {
    step: 4,
    isPush: (view, at) => view.getUint32(at, true) === pushLr,
    calledBy: (view, at, address) => calledBy(text, view.getUint32(at, true), address),
  });

/**
 * Section offsets of the `bl` of each call of mcount in a relocatable object's section, as recordmcount finds them.
 */
export function moduleCallSites(section: Section): number[] {
  return section.relocations
    .filter(({ type, symbol }) => symbol?.name === mcount && (type === R_ARM_CALL || type === R_ARM_PC24))
    .map(({ offset }) => offset)
    .sort((a, b) => a - b);
}
