// Relocations of ARM ELF files ("ELF for the Arm Architecture", IHI 0044, section 4.6: codes and names), and which
// of them the kernel's module loader takes: `apply_relocate` in arch/arm/kernel/module.c, Linux 6.1. ARM modules have
// REL tables: the addend stands in the place that is changed.

import type { RelocationKind } from '../arch.ts';

export const R_ARM_PC24 = 1;
export const R_ARM_ABS32 = 2;
export const R_ARM_CALL = 28;
export const R_ARM_JUMP24 = 29;
export const R_ARM_PREL31 = 42;
export const R_ARM_THM_CALL = 10;
export const R_ARM_THM_JUMP24 = 30;
export const R_ARM_THM_MOVW_ABS_NC = 47;
export const R_ARM_THM_MOVT_ABS = 48;

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
  // Branches of T32 within 1 MB and less; gas resolves them itself, or the compiler makes others.
  [51, 'R_ARM_THM_JUMP19', 4, 'call'],
  [102, 'R_ARM_THM_JUMP11', 2, 'call'],
  [103, 'R_ARM_THM_JUMP8', 2, 'call'],
];

/** Thumb code: taken only by a kernel that is itself Thumb-2. */
const thumb: readonly Known[] = [
  [R_ARM_THM_CALL, 'R_ARM_THM_CALL', 4, 'call'],
  [R_ARM_THM_JUMP24, 'R_ARM_THM_JUMP24', 4, 'call'],
  [R_ARM_THM_MOVW_ABS_NC, 'R_ARM_THM_MOVW_ABS_NC', 4, 'data'],
  [R_ARM_THM_MOVT_ABS, 'R_ARM_THM_MOVT_ABS', 4, 'data'],
  [49, 'R_ARM_THM_MOVW_PREL_NC', 4, 'pc-relative-data'],
  [50, 'R_ARM_THM_MOVT_PREL', 4, 'pc-relative-data'],
];

const table = (...parts: readonly (readonly [isLoadable: boolean, known: readonly Known[]])[]) =>
  new Map<number, RelocationKind>(
    parts.flatMap(([loadable, known]) =>
      known.map(([type, name, size, use]) => [type, { name, size, use, loadable }] as const),
    ),
  );

const ofA32 = table([true, loadable], [false, notLoadable], [false, thumb]);
const ofThumb = table([true, loadable], [false, notLoadable], [true, thumb]);

/** What a relocation type of an ARM file is, or undefined for one that has no place in kernel objects; of a kernel in A32 code. */
export const relocationKind = (type: number): RelocationKind | undefined => ofA32.get(type);

/** The same of a kernel in Thumb-2 code. */
export const thumbRelocationKind = (type: number): RelocationKind | undefined => ofThumb.get(type);
