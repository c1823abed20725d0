// Relocations of ARM ELF files ("ELF for the Arm Architecture", IHI 0044, section 4.6: codes and names), and which
// of them the kernel's module loader takes: `apply_relocate` in arch/arm/kernel/module.c, Linux 6.1, of a kernel
// that is itself A32 code. ARM modules have REL tables: the addend stands in the place that is changed.

import type { RelocationKind } from '../arch.ts';

export const R_ARM_PC24 = 1;
export const R_ARM_ABS32 = 2;
export const R_ARM_CALL = 28;
export const R_ARM_JUMP24 = 29;
export const R_ARM_PREL31 = 42;

type Known = readonly [type: number, name: string, size: RelocationKind['size'], use: RelocationKind['use']];

const loadable: readonly Known[] = [
  [0, 'R_ARM_NONE', 0, 'none'],
  [R_ARM_PC24, 'R_ARM_PC24', 4, 'call'],
  [R_ARM_ABS32, 'R_ARM_ABS32', 4, 'data'],
  [3, 'R_ARM_REL32', 4, 'pc-relative-data'],
  [R_ARM_CALL, 'R_ARM_CALL', 4, 'call'],
  [R_ARM_JUMP24, 'R_ARM_JUMP24', 4, 'call'],
  // Constructors and the like; the kernel reads it as R_ARM_ABS32.
  [38, 'R_ARM_TARGET1', 4, 'data'],
  // Marks a `bx`, which the loader turns into `mov pc` for ARMv4. Its symbol means nothing.
  [40, 'R_ARM_V4BX', 4, 'none'],
  [R_ARM_PREL31, 'R_ARM_PREL31', 4, 'unwind'],
  [43, 'R_ARM_MOVW_ABS_NC', 4, 'data'],
  [44, 'R_ARM_MOVT_ABS', 4, 'data'],
  [45, 'R_ARM_MOVW_PREL_NC', 4, 'pc-relative-data'],
  [46, 'R_ARM_MOVT_PREL', 4, 'pc-relative-data'],
  // With CONFIG_ARM_HAS_GROUP_RELOCS, which everything has that is linked by GNU ld.
  [57, 'R_ARM_ALU_PC_G0_NC', 4, 'pc-relative-data'],
  [59, 'R_ARM_ALU_PC_G1_NC', 4, 'pc-relative-data'],
  [63, 'R_ARM_LDR_PC_G2', 4, 'pc-relative-data'],
];

const notLoadable: readonly Known[] = [
  [5, 'R_ARM_ABS16', 2, 'data'],
  [6, 'R_ARM_ABS12', 4, 'data'],
  [9, 'R_ARM_SBREL32', 4, 'data'],
  [25, 'R_ARM_BASE_PREL', 4, 'pc-relative-data'],
  [26, 'R_ARM_GOT_BREL', 4, 'data'],
  [27, 'R_ARM_PLT32', 4, 'call'],
  [31, 'R_ARM_BASE_ABS', 4, 'data'],
  [41, 'R_ARM_TARGET2', 4, 'pc-relative-data'],
  [55, 'R_ARM_ABS32_NOI', 4, 'data'],
  [56, 'R_ARM_REL32_NOI', 4, 'pc-relative-data'],
  [95, 'R_ARM_GOT_ABS', 4, 'data'],
  [96, 'R_ARM_GOT_PREL', 4, 'pc-relative-data'],
  [104, 'R_ARM_TLS_GD32', 4, 'pc-relative-data'],
  [107, 'R_ARM_TLS_IE32', 4, 'pc-relative-data'],
  [108, 'R_ARM_TLS_LE32', 4, 'data'],
  // Thumb code: taken only by a kernel that is itself Thumb-2.
  [10, 'R_ARM_THM_CALL', 4, 'call'],
  [30, 'R_ARM_THM_JUMP24', 4, 'call'],
  [47, 'R_ARM_THM_MOVW_ABS_NC', 4, 'data'],
  [48, 'R_ARM_THM_MOVT_ABS', 4, 'data'],
  [49, 'R_ARM_THM_MOVW_PREL_NC', 4, 'pc-relative-data'],
  [50, 'R_ARM_THM_MOVT_PREL', 4, 'pc-relative-data'],
];

const kinds: ReadonlyMap<number, RelocationKind> = new Map(
  [...loadable.map((known) => [true, known] as const), ...notLoadable.map((known) => [false, known] as const)].map(
    ([isLoadable, [type, name, size, use]]) => [type, { name, size, use, loadable: isLoadable }],
  ),
);

/** What a relocation type of an ARM file is, or undefined for one that has no place in kernel objects. */
export const relocationKind = (type: number): RelocationKind | undefined => kinds.get(type);
