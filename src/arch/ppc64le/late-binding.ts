// Binding that waits until another module is there, on ppc64le: what the kernel's own loader does to a place
// (`apply_relocate_add` in arch/powerpc/kernel/module_64.c, Linux 6.1), said as bits of a value, since nobody but the core can
// do it by then.
//
// Code reaches what is not its own through its table of contents: a doubleword of `.toc` has the address (R_PPC64_ADDR64),
// and the code's own relocations lead to that doubleword. So an address that comes late is a whole doubleword of writable
// data, and code is never changed. What code has of a symbol by itself (TOC16 against it) would need the distance from the
// TOC pointer: there is no recipe for that.
//
// A call into another module changes r2, and the caller must put it back (ELFv2 ABI 1.5, section 2.2.1, "Function Call
// Linkage Protocols"): behind a `bl` that may leave the module the compiler puts a nop, which the linker makes
// `ld r2,24(r1)`. The kernel's loader does that for symbols that are undefined. Here the `bl` leads to a veneer in the same
// module, so it is done while linking; without the nop (the compiler took the callee for its own) it cannot be. A veneer is
// the PLT stub of the ABI (section 4.2.5.3), with a doubleword of data in the PLT's stead:
//
//     std   r2,24(r1)              the caller's TOC pointer, in the slot of the caller's frame that is for it
//     addis r12,r2,word@toc@ha
//     ld    r12,word@toc@l(r12)    r12 is the callee's own address, as at every global entry
//     mtctr r12
//     bctr

import type { Section } from '../../elf/model.ts';
import type { JumpTable, RecipeShape, RewriteTable, Veneer } from '../arch.ts';
import { R_PPC64_ADDR64, R_PPC64_REL24, relocationKind } from './relocations.ts';

const R_PPC64_REL32 = 26;
const R_PPC64_REL64 = 44;
const R_PPC64_TOC16_HA = 50;
const R_PPC64_TOC16_LO_DS = 64;

const doubleword = [{ from: 0, width: 64, to: 0 }];

const shapes: ReadonlyMap<number, RecipeShape> = new Map([
  [R_PPC64_ADDR64, { size: 8, pcRelative: false, shift: 0, range: 0, fields: doubleword }],
  [R_PPC64_REL64, { size: 8, pcRelative: true, shift: 0, range: 0, fields: doubleword }],
  [R_PPC64_REL32, { size: 4, pcRelative: true, shift: 0, range: 32, fields: [{ from: 0, width: 32, to: 0 }] }],
]);

/** `Architecture.lateRelocation`. */
export const lateRelocation = (type: number): RecipeShape | undefined => shapes.get(type);

const STD_R2_24_R1 = 0xf8410018;
const LD_R2_24_R1 = 0xe8410018;
const NOP = 0x60000000;

// biome-ignore format: the words beside their assembly
const veneerWords: readonly (readonly [number, string])[] = [
  [STD_R2_24_R1, 'std     r2,24(r1)'],
  [0x3d820000,   'addis   r12,r2,word@toc@ha'],
  [0xe98c0000,   'ld      r12,word@toc@l(r12)'],
  [0x7d8903a6,   'mtctr   r12'],
  [0x4e800420,   'bctr'],
];

export const veneer: Veneer = {
  words: veneerWords.map(([word, text]) => ({ word, text })),
  relocations: [
    { offset: 4, type: R_PPC64_TOC16_HA, addend: 0n },
    { offset: 8, type: R_PPC64_TOC16_LO_DS, addend: 0n },
  ],
};

/** `Architecture.readyLateCall`: puts the restoring of r2 behind the call. */
export function readyLateCall({ data }: Section, offset: number): string | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (offset + 8 > data.length) return 'nothing stands behind the call';
  if ((view.getUint32(offset, true) & 1) === 0) return 'it is a tail call, behind which nobody restores r2';
  const next = view.getUint32(offset + 4, true);
  if (next !== NOP && next !== LD_R2_24_R1) return 'no nop stands behind the call, so r2 cannot be restored there';
  view.setUint32(offset + 4, LD_R2_24_R1, true);
  return undefined;
}

/** `Architecture.relocationReach`: with a call the loader rewrites the nop behind it. */
export function relocationReach(type: number, next: number | undefined): number {
  if (type === R_PPC64_REL24) return next === NOP ? 8 : 4;
  return relocationKind(type)?.size ?? 4;
}

/** The tables of a module by which control goes on elsewhere (include/linux/jump_label.h, arch/powerpc/include/asm/extable.h; Linux 6.1). */
export const jumpTables: readonly JumpTable[] = [
  // struct jump_entry: code, target, key. struct exception_table_entry: insn, fixup. All relative to themselves.
  { section: '__jump_table', entrySize: 16, from: 0, to: 4 },
  { section: '__ex_table', entrySize: 8, from: 0, to: 4 },
];

/**
 * The tables of a module that lead to words of its code (`module_finalize` in arch/powerpc/kernel/module.c,
 * arch/powerpc/include/asm/feature-fixups.h, kernel/jump_label.c; Linux 6.1).
 */
export const rewriteTables: readonly RewriteTable[] = [
  { section: '__jump_table', entrySize: 16, start: 0, extent: { words: 1 } },
  { section: '__lwsync_fixup', entrySize: 8, start: 0, extent: { words: 1 } },
  { section: '__spec_barrier_fixup', entrySize: 8, start: 0, extent: { words: 1 } },
  // struct fixup_entry: mask, value, start, end, and where the alternative is.
  ...['__ftr_fixup', '__mmu_ftr_fixup', '__fw_ftr_fixup'].map((section) => ({
    section,
    entrySize: 48,
    start: 16,
    extent: { end: 24 },
    alternative: { start: 32, end: 40 },
  })),
];
