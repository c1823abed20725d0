// How A32 code of relocatable objects is read: where a REL addend stands, what a branch's distance is, and which tables of
// the kernel's stand beside the code.
//
// Addends and the places that hold them: IHI 0044, section 4.6.1.1. The PC reads 8 bytes ahead, so a `bl` to the symbol
// itself carries -8. MOVW and MOVT both hold 16 bits of addend, of which MOVT's is not shifted.
//
// Tables: what a module's loader makes use of (module_finalize in arch/arm/kernel/module.c and find_module_sections in
// kernel/module/main.c, Linux 6.1), with the entries' sizes from asm/extable.h, asm/bug.h, asm/jump_label.h, asm/smp_plat.h
// and asm/memory.h.

import type { ObjectCode, RelocatedPlace } from '../arch.ts';
import { branchDistance } from './branches.ts';
import { always, decode, expandImmediate, pcAhead } from './instructions.ts';
import { relocationKind } from './relocations.ts';

const all = 0xffffffff;
const branchBits = 0x00ffffff;
/** imm4:imm12 of MOVW and MOVT. */
const wideBits = 0x000f0fff;

const place = (mask: number, addend: (value: number) => number, lead = 0): RelocatedPlace => ({
  size: 4,
  mask,
  addend,
  lead,
});
const whole = place(all, (value) => value | 0);
const branchPlace = place(branchBits, (value) => ((value << 8) >> 8) << 2, pcAhead);
const widePlace = place(wideBits, (value) => ((((value >>> 4) & 0xf000) | (value & 0xfff)) << 16) >> 16);

const distance: RelocatedPlace = { ...whole, isDistance: true };

const places: Readonly<Record<string, RelocatedPlace>> = {
  R_ARM_PC24: branchPlace,
  R_ARM_CALL: branchPlace,
  R_ARM_JUMP24: branchPlace,
  R_ARM_PLT32: branchPlace,
  R_ARM_REL32: distance,
  R_ARM_PREL31: place(0x7fffffff, (value) => (value << 1) >> 1),
  R_ARM_MOVW_ABS_NC: widePlace,
  R_ARM_MOVT_ABS: widePlace,
  R_ARM_MOVW_PREL_NC: widePlace,
  R_ARM_MOVT_PREL: widePlace,
  R_ARM_ABS12: place(0xfff, (value) => value & 0xfff),
  R_ARM_ABS16: { size: 2, mask: 0xffff, addend: (value) => (value << 16) >> 16, lead: 0 },
};
const marker: RelocatedPlace = { size: 0, mask: 0, addend: () => 0, lead: 0 };

function relocatedPlace(type: number): RelocatedPlace | undefined {
  const kind = relocationKind(type);
  if (!kind) return undefined;
  return kind.size === 0 ? marker : (places[kind.name] ?? whole);
}

/** B, BL, with any condition; 0xf in its place is BLX, which goes to Thumb code. */
const isBranch = (word: number) => (word & 0x0e000000) === 0x0a000000 && word >>> 28 !== 15;

/** r0 to r3. */
const lastArgument = 3;

export const objectCode: ObjectCode = {
  step: 4,
  instructionSize: () => 4,
  relocatedPlace,
  branch: (word) => (isBranch(word) ? { distance: branchDistance(word & branchBits), mask: branchBits } : undefined),
  isJump: (word) => isBranch(word) && (word & 0x01000000) === 0,
  loadsArgument(word) {
    const instruction = decode(word);
    if (!instruction || instruction.fields.cond !== always) return undefined;
    const { Rd: argument = 0, imm12 = 0, imm4 = 0, S = 0 } = instruction.fields;
    if (argument > lastArgument) return undefined;
    if (instruction.encoding.name === 'MOV (immediate), wide') return { argument, value: (imm4 << 12) | imm12 };
    if (instruction.encoding.name === 'MOV (immediate)' && S === 0) return { argument, value: expandImmediate(imm12) };
    return undefined;
  },
  // Mapping symbols: IHI 0044, section 4.5.5.
  isMarker: (name) => /^\$[adt](\.|$)/.test(name),
  marksData: (marker) => marker.startsWith('$d'),
  // NOP of ARMv6K and later (DDI 0406C.d, A8.8.119), and MOV r0, r0, which was used before there was one.
  padding: [0xe320f000, 0xe1a00000],
  otherSet: (marker) => (/^\$t(\.|$)/.test(marker) ? 'compile all of it to A32 instructions, or nothing' : undefined),
  sectionAnchors: true,
  mcount: '__gnu_mcount_nc',
  tables: [
    { section: '__ex_table', entrySize: 8, use: 'applied' },
    { section: '__bug_table', entrySize: 12, line: { offset: 8, size: 2 }, use: 'applied' },
    // NOKPROBE_SYMBOL(): a probe in what probes themselves call would never end (linux/kprobes.h).
    { section: '_kprobe_blacklist', entrySize: 4, use: 'applied' },
    { section: '__jump_table', entrySize: 12, use: 'followed' },
    { section: '.alt.smp.init', entrySize: 8, use: 'applied' },
    { section: '.pv_table', entrySize: 4, use: 'applied' },
    // EHABI32 (IHI 0038), section 6: where a function begins, and how to unwind it.
    { section: '.ARM.exidx', isPrefix: true, entrySize: 8, use: 'applied' },
    { section: '__mcount_loc', entrySize: 4, use: 'made' },
  ],
};
