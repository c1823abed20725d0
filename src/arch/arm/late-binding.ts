// Binding that waits until another module is there, on ARM: what the kernel's own loader does to a place
// (`apply_relocate` in arch/arm/kernel/module.c, Linux 6.1), said as bits of a value, since nobody but the core can do
// it by then.
//
// ARM modules have REL tables, so the addend stands in the place itself, in the very bits that the value goes to ("ELF for
// the Arm Architecture", IHI 0044, section 4.6.1.1). The recipe has it as a number of its own: what is in the place
// when the recipe is applied may be the value of last time.
//
// A `bl` reaches 32 MB either way. Whether the other module will be in reach nobody knows, and the place must not be
// written while somebody may run it; so a call goes to a veneer, and what is written is a word of data:
//
//     movw ip, #:lower16:word     ip (r12) is the linker's between a call and its target (AAPCS, section 5.3.1.1)
//     movt ip, #:upper16:word
//     ldr  pc, [ip]

import type { RecipeField, RecipeShape, RewriteTable, Veneer } from '../arch.ts';
import { encode } from './instructions.ts';
import { R_ARM_ABS32, R_ARM_CALL, R_ARM_JUMP24, R_ARM_PC24, R_ARM_PREL31 } from './relocations.ts';
import { disassemble } from './syntax.ts';

const R_ARM_NONE = 0;
const R_ARM_REL32 = 3;
const R_ARM_TARGET1 = 38;
const R_ARM_MOVW_ABS_NC = 43;
const R_ARM_MOVT_ABS = 44;
const R_ARM_MOVW_PREL_NC = 45;
const R_ARM_MOVT_PREL = 46;

/** The 16 bits of a value from `from` on, as movw and movt have them: imm4 at bit 16, imm12 at bit 0. */
const moveFields = (from: number): RecipeField[] => [
  { from, width: 12, to: 0 },
  { from: from + 12, width: 4, to: 16 },
];

const word: RecipeField[] = [{ from: 0, width: 32, to: 0 }];

const shape = (fields: readonly RecipeField[], pcRelative = false, range = 0): RecipeShape => ({
  size: 4,
  pcRelative,
  shift: 0,
  range,
  fields,
});

const shapes: ReadonlyMap<number, RecipeShape> = new Map([
  [R_ARM_ABS32, shape(word)],
  [R_ARM_TARGET1, shape(word)],
  [R_ARM_REL32, shape(word, true)],
  // Bit 31 is not the relocation's.
  [R_ARM_PREL31, shape([{ from: 0, width: 31, to: 0 }], true, 31)],
  [R_ARM_MOVW_ABS_NC, shape(moveFields(0))],
  [R_ARM_MOVT_ABS, shape(moveFields(16))],
  [R_ARM_MOVW_PREL_NC, shape(moveFields(0), true)],
  [R_ARM_MOVT_PREL, shape(moveFields(16), true)],
]);

/** `Architecture.lateRelocation`. */
export const lateRelocation = (type: number): RecipeShape | undefined => shapes.get(type);

/** The field that an addend stands in: a call's imm24 counts words, all others bytes. */
function addendField(type: number): { fields: readonly RecipeField[]; bits: number; scale: number } | undefined {
  if (type === R_ARM_CALL || type === R_ARM_JUMP24 || type === R_ARM_PC24) {
    return { fields: [{ from: 0, width: 24, to: 0 }], bits: 24, scale: 4 };
  }
  const known = shapes.get(type);
  if (!known) return undefined;
  // movw and movt hold the same 16 bits of the addend.
  const [first, second] = known.fields;
  if (second) return { fields: moveFields(0), bits: 16, scale: 1 };
  return { fields: [first!], bits: first!.width, scale: 1 };
}

const ones = (width: number): number => (width === 32 ? 0xffffffff : 2 ** width - 1);

/** `Architecture.addendInPlace`: sign-extended from the bits that it stands in. */
export function addendInPlace(type: number, place: number): bigint | undefined {
  const field = addendField(type);
  if (!field) return undefined;
  let value = 0n;
  for (const { from, width, to } of field.fields) value |= BigInt((place >>> to) & ones(width)) << BigInt(from);
  return BigInt.asIntN(field.bits, value) * BigInt(field.scale);
}

/** `Architecture.putAddend`. */
export function putAddend(type: number, place: number, addend: bigint): number | undefined {
  const field = addendField(type);
  if (!field || addend % BigInt(field.scale) !== 0n) return undefined;
  const value = addend / BigInt(field.scale);
  if (BigInt.asIntN(field.bits, value) !== value) return undefined;
  let changed = place;
  for (const { from, width, to } of field.fields) {
    const bits = Number((BigInt.asUintN(32, value) >> BigInt(from)) & BigInt(ones(width)));
    changed = (changed & ~(ones(width) << to)) | (bits << to);
  }
  return changed >>> 0;
}

const IP = 12;
const PC = 15;

const veneerWords = [
  encode('MOV (immediate), wide', { Rd: IP, imm4: 0, imm12: 0 }),
  encode('MOVT', { Rd: IP, imm4: 0, imm12: 0 }),
  encode('LDR (immediate)', { Rn: IP, Rt: PC, U: 1, imm12: 0 }),
].map((each) => ({ word: each, text: disassemble(each)!.replace('\t', ' ') }));

export const veneer: Veneer = {
  words: veneerWords,
  relocations: [
    { offset: 0, type: R_ARM_MOVW_ABS_NC, addend: 0n },
    { offset: 4, type: R_ARM_MOVT_ABS, addend: 0n },
  ],
};

/** `Architecture.relocationReach`. R_ARM_V4BX, a marker elsewhere, has the loader rewrite its `bx`. */
export const relocationReach = (type: number): number => (type === R_ARM_NONE ? 0 : 4);

/**
 * The tables of a module that lead to words of its code (kernel/jump_label.c; `module_finalize` in
 * arch/arm/kernel/module.c, arch/arm/include/asm/{jump_label,memory,assembler}.h; Linux 6.1).
 */
export const rewriteTables: readonly RewriteTable[] = [
  { section: '__jump_table', entrySize: 12, start: 0, extent: { words: 1 } },
  { section: '.pv_table', entrySize: 4, start: 0, extent: { words: 1 } },
  { section: '.alt.smp.init', entrySize: 8, start: 0, extent: { words: 1 } },
];
