// Relocation types of ppc64le: OpenPOWER ELFv2 ABI 1.5, section 3.5.3, "Relocation Types Table". Which of them a module
// may have is for the kernel's loader to say: `apply_relocate_add` in arch/powerpc/kernel/module_64.c, Linux 6.1. It
// knows few, and R_PPC64_NONE is not among them.

import type { RelocationKind } from '../arch.ts';

export const R_PPC64_REL24 = 10;
export const R_PPC64_ADDR64 = 38;
export const R_PPC64_REL16_LO = 250;
export const R_PPC64_REL16_HA = 252;

type Row = readonly [type: number, name: string, size: RelocationKind['size'], use: RelocationKind['use']];

// biome-ignore format: a table
const loadable: readonly Row[] = [
  [1,   'R_PPC64_ADDR32',       4, 'data'],
  [R_PPC64_REL24, 'R_PPC64_REL24', 4, 'call'],
  [26,  'R_PPC64_REL32',        4, 'pc-relative-data'],
  [R_PPC64_ADDR64, 'R_PPC64_ADDR64', 8, 'data'],
  [44,  'R_PPC64_REL64',        8, 'pc-relative-data'],
  [47,  'R_PPC64_TOC16',        2, 'toc'],
  [48,  'R_PPC64_TOC16_LO',     2, 'toc'],
  [50,  'R_PPC64_TOC16_HA',     2, 'toc'],
  [51,  'R_PPC64_TOC',          8, 'toc'],
  [63,  'R_PPC64_TOC16_DS',     2, 'toc'],
  [64,  'R_PPC64_TOC16_LO_DS',  2, 'toc'],
  // A marker at a call: r2 need not be saved.
  [109, 'R_PPC64_TOCSAVE',      0, 'none'],
  // A marker at a global entry: the loader may turn `ld r2,…(r12); add r2,r2,r12` into `addis` and `addi`.
  [118, 'R_PPC64_ENTRY',        8, 'toc'],
  [R_PPC64_REL16_LO, 'R_PPC64_REL16_LO', 2, 'pc-relative-data'],
  [R_PPC64_REL16_HA, 'R_PPC64_REL16_HA', 2, 'pc-relative-data'],
];

// biome-ignore format: a table
const unloadable: readonly Row[] = [
  [0,   'R_PPC64_NONE',            0, 'none'],
  [2,   'R_PPC64_ADDR24',          4, 'call'],
  [3,   'R_PPC64_ADDR16',          2, 'data'],
  [4,   'R_PPC64_ADDR16_LO',       2, 'data'],
  [5,   'R_PPC64_ADDR16_HI',       2, 'data'],
  [6,   'R_PPC64_ADDR16_HA',       2, 'data'],
  [7,   'R_PPC64_ADDR14',          4, 'call'],
  [11,  'R_PPC64_REL14',           4, 'call'],
  [14,  'R_PPC64_GOT16',           2, 'toc'],
  [15,  'R_PPC64_GOT16_LO',        2, 'toc'],
  [16,  'R_PPC64_GOT16_HI',        2, 'toc'],
  [17,  'R_PPC64_GOT16_HA',        2, 'toc'],
  [19,  'R_PPC64_COPY',            0, 'data'],
  [20,  'R_PPC64_GLOB_DAT',        8, 'data'],
  [21,  'R_PPC64_JMP_SLOT',        8, 'data'],
  [22,  'R_PPC64_RELATIVE',        8, 'data'],
  [24,  'R_PPC64_UADDR32',         4, 'data'],
  [25,  'R_PPC64_UADDR16',         2, 'data'],
  [39,  'R_PPC64_ADDR16_HIGHER',   2, 'data'],
  [40,  'R_PPC64_ADDR16_HIGHERA',  2, 'data'],
  [41,  'R_PPC64_ADDR16_HIGHEST',  2, 'data'],
  [42,  'R_PPC64_ADDR16_HIGHESTA', 2, 'data'],
  [43,  'R_PPC64_UADDR64',         8, 'data'],
  [49,  'R_PPC64_TOC16_HI',        2, 'toc'],
  [56,  'R_PPC64_ADDR16_DS',       2, 'data'],
  [57,  'R_PPC64_ADDR16_LO_DS',    2, 'data'],
  [58,  'R_PPC64_GOT16_DS',        2, 'toc'],
  [59,  'R_PPC64_GOT16_LO_DS',     2, 'toc'],
  [67,  'R_PPC64_TLS',             0, 'none'],
  [68,  'R_PPC64_DTPMOD64',        8, 'data'],
  [73,  'R_PPC64_TPREL64',         8, 'data'],
  [78,  'R_PPC64_DTPREL64',        8, 'data'],
  [110, 'R_PPC64_ADDR16_HIGH',     2, 'data'],
  [111, 'R_PPC64_ADDR16_HIGHA',    2, 'data'],
  [116, 'R_PPC64_REL24_NOTOC',     4, 'call'],
  [117, 'R_PPC64_ADDR64_LOCAL',    8, 'data'],
  [119, 'R_PPC64_PLTSEQ',          0, 'none'],
  [120, 'R_PPC64_PLTCALL',         0, 'none'],
  [124, 'R_PPC64_REL24_P9NOTOC',   4, 'call'],
  [132, 'R_PPC64_PCREL34',         8, 'pc-relative-data'],
  [133, 'R_PPC64_GOT_PCREL34',     8, 'toc'],
  [246, 'R_PPC64_REL16DX_HA',      4, 'pc-relative-data'],
  [248, 'R_PPC64_IRELATIVE',       8, 'data'],
  [249, 'R_PPC64_REL16',           2, 'pc-relative-data'],
  [251, 'R_PPC64_REL16_HI',        2, 'pc-relative-data'],
];

const kinds: ReadonlyMap<number, RelocationKind> = new Map(
  [...loadable.map((row) => ({ row, loads: true })), ...unloadable.map((row) => ({ row, loads: false }))].map(
    ({ row: [type, name, size, use], loads }) => [type, { name, size, use, loadable: loads }] as const,
  ),
);

/** What a relocation type is; undefined for a number that is not in the tables. */
export const relocationKind = (type: number): RelocationKind | undefined => kinds.get(type);

/**
 * The distance in bytes from a function's global to its local entry, from the three bits 7:5 of st_other (ELFv2 ABI 1.5,
 * section 3.4.1, "Symbol Values"): 0 and 1 mean one entry, 2 to 6 mean 4 to 64 bytes, and 7 is reserved.
 */
export function localEntryOffset(other: number): number {
  const code = (other >> 5) & 7;
  return code < 2 || code === 7 ? 0 : 1 << code;
}
