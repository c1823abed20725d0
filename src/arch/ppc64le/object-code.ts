// How ppc64le code of relocatable objects is read: the fields that relocations fill, what a branch's distance is, and
// which tables of the kernel's stand beside the code.
//
// Fields: ELFv2 ABI 1.5, section 3.5.1, "Relocation Fields". Addends stand in the relocations (RELA).
//
// Tables: what a module's loader makes use of (module_finalize in arch/powerpc/kernel/module.c and find_module_sections in
// kernel/module/main.c, Linux 6.1), with the entries' sizes from asm/extable.h, asm/bug.h (GENERIC_BUG_RELATIVE_POINTERS),
// asm/jump_label.h and asm/feature-fixups.h.

import type { ObjectCode, RelocatedPlace } from '../arch.ts';
import { fieldMask } from './fields.ts';
import { decode, type FieldName, field } from './instructions.ts';
import { relocationKind } from './relocations.ts';

const place = (size: RelocatedPlace['size'], mask: number): RelocatedPlace => ({
  size,
  mask,
  // Never asked for: addends stand in the relocations.
  addend: (value) => value,
  lead: 0,
});

/** half16ds: the two low bits belong to the instruction. */
const half = place(2, 0xffff);
const halfDs = place(2, 0xfffc);
const low24 = place(4, fieldMask('LI'));
const low14 = place(4, fieldMask('BD'));
const marker = place(0, 0);

function placeOf(type: number): RelocatedPlace | undefined {
  const kind = relocationKind(type);
  if (!kind) return undefined;
  // R_PPC64_ENTRY marks two instructions, which stay as they are in a file.
  if (kind.size === 0 || kind.name === 'R_PPC64_ENTRY') return marker;
  if (kind.use === 'call') return /14$/.test(kind.name) ? low14 : low24;
  if (kind.size === 2) return /_DS$/.test(kind.name) ? halfDs : half;
  const whole = place(kind.size, 0xffffffff);
  return kind.use === 'pc-relative-data' ? { ...whole, isDistance: true } : whole;
}

/** Asked for at every relocation, so each is made once. */
const places = new Map<number, RelocatedPlace | undefined>();

function relocatedPlace(type: number): RelocatedPlace | undefined {
  if (!places.has(type)) places.set(type, placeOf(type));
  return places.get(type);
}

/** I form and B form with AA = 0: relative. */
const isI = (word: number) => (word & 0xfc000002) >>> 0 === 0x48000000;
const isB = (word: number) => (word & 0xfc000002) >>> 0 === 0x40000000;

/** r3 to r10. */
const firstArgument = 3;
const argumentRegisters = 8;

function branch(word: number): ReturnType<ObjectCode['branch']> {
  if (isI(word)) return { distance: field('LI', word), mask: fieldMask('LI') };
  return isB(word) ? { distance: field('BD', word), mask: fieldMask('BD') } : undefined;
}

/** The D form has its number in the low half of the word; the DS form too, but for two bits (Book I, section 1.6). */
const halfFields: readonly FieldName[] = ['D', 'SI', 'UI'];

function fillsField(type: number, word: number): boolean {
  const { mask } = relocatedPlace(type) ?? { mask: ~0 };
  const fields = decode(word)?.encoding.fields ?? [];
  if (mask === half.mask) return fields.some((each) => halfFields.includes(each));
  if (mask === halfDs.mask) return fields.includes('DS');
  // A whole word is one of a table, and no instruction.
  return mask === 0 || mask === ~0 >>> 0 || branch(word)?.mask === mask;
}

export const objectCode: ObjectCode = {
  step: 4,
  instructionSize: () => 4,
  relocatedPlace,
  fillsField,
  branch,
  isJump: (word) => (isI(word) || isB(word)) && (word & 1) === 0,
  loadsArgument(word) {
    if (decode(word)?.encoding.name !== 'addi' || field('RA', word) !== 0) return undefined;
    const argument = field('RT', word) - firstArgument;
    return argument >= 0 && argument < argumentRegisters ? { argument, value: field('SI', word) } : undefined;
  },
  isMarker: () => false,
  // nop is ori r0,r0,0; ori r2,r2,0 ends a group, which assemblers prefer for the last one (Power ISA 3.1B, book I, 3.3.13).
  padding: [0x60000000, 0x60420000],
  sectionAnchors: true,
  toc: { section: '.toc', slotSize: 8 },
  noSiblingCalls: 'what it jumps to may leave another TOC pointer in r2, and nobody restores it',
  mcount: '_mcount',
  tables: [
    { section: '__ex_table', entrySize: 8, use: 'applied' },
    { section: '__bug_table', entrySize: 12, line: { offset: 8, size: 2 }, use: 'applied' },
    // NOKPROBE_SYMBOL(): a probe in what probes themselves call would never end (linux/kprobes.h).
    { section: '_kprobe_blacklist', entrySize: 8, use: 'applied' },
    { section: '__jump_table', entrySize: 16, use: 'followed' },
    { section: '__ftr_fixup', entrySize: 48, fromStart: true, use: 'applied' },
    { section: '__mmu_ftr_fixup', entrySize: 48, fromStart: true, use: 'applied' },
    { section: '__fw_ftr_fixup', entrySize: 48, fromStart: true, use: 'applied' },
    { section: '__lwsync_fixup', entrySize: 8, use: 'applied' },
    { section: '__spec_barrier_fixup', entrySize: 8, use: 'applied' },
    { section: '__barrier_nospec_fixup', entrySize: 8, use: 'applied' },
    { section: '__mcount_loc', entrySize: 8, use: 'made' },
  ],
};
