// The editable model of an ELF file: sections with their bytes, symbols and relocations as objects that refer to each
// other, so that adding, removing and reordering them needs no renumbering by hand.

import type { FileOffset, LinkAddress } from './units.ts';

/** What stands in the ELF header beside the tables. Numbers as in the System V ABI, chapter 4. */
export interface ElfHeader {
  /** ELFCLASS32 or ELFCLASS64; byte order is little-endian throughout. */
  class: 32 | 64;
  /** e_type: ET_REL 1, ET_EXEC 2, ET_DYN 3. */
  type: number;
  /** e_machine: EM_ARM 40, EM_PPC64 21. */
  machine: number;
  osAbi: number;
  abiVersion: number;
  /** e_entry, a link-time address. */
  entry: bigint;
  /** e_flags, for example EF_ARM_EABI_VER5 or the ppc64 ABI version. */
  flags: number;
}

/**
 * A section. Not sections of the model are section 0, the symbol table (SHT_SYMTAB) with its string table and extended
 * indexes, and the section names: the writer makes them anew. In a relocatable file the same goes for relocation
 * sections, whose entries are the `relocations` of the section that they change.
 */
export interface Section {
  name: string;
  /** sh_type. */
  type: number;
  /** sh_flags. */
  flags: bigint;
  /** sh_addr: 0 in most relocatable files, a link-time address in an image. */
  address: bigint;
  /** sh_addralign. */
  align: number;
  /** sh_entsize. */
  entrySize: number;
  /** The bytes; empty for SHT_NOBITS. May be replaced, also by a longer array. */
  data: Uint8Array;
  /** sh_size: `data.length`, or for SHT_NOBITS the bytes that it takes in memory. */
  size: number;
  /** sh_link where it names a section (SHF_LINK_ORDER, SHT_ARM_EXIDX). */
  link: Section | undefined;
  /** sh_info where it names a section, as SHF_INFO_LINK in `flags` says; else a plain number. */
  info: Section | number;
  relocations: Relocation[];
  /**
   * Members, when this is an SHT_GROUP of a relocatable file; `data` is then made anew by the writer, which also adds
   * the relocation sections of the members.
   */
  group?: { flags: number; members: Section[]; signature: ElfSymbol };
  /**
   * When this is a relocation section that the writer would not make in this form from `relocations` alone: another
   * name or other flags than usual (`.klp.rela.vmlinux..text`), a second one for its target, an empty one. `data` is
   * then made anew by the writer.
   */
  relocationTable?: { target: Section; relocations: Relocation[] };
}

/** Where a symbol is defined: a section, or one of the reserved indexes (SHN_LIVEPATCH 0xff20 is `{ index: 0xff20 }`). */
export type SymbolPlace = Section | 'undefined' | 'absolute' | 'common' | { readonly index: number };

export interface ElfSymbol {
  name: string;
  /** st_value: a section offset in a relocatable file, else a link-time address. */
  value: bigint;
  size: bigint;
  /** STB_LOCAL 0, STB_GLOBAL 1, STB_WEAK 2. */
  binding: number;
  /** STT_NOTYPE 0, STT_OBJECT 1, STT_FUNC 2, STT_SECTION 3, STT_FILE 4. */
  type: number;
  /** st_other whole: visibility, and on ppc64 the local entry's three bits. */
  other: number;
  place: SymbolPlace;
}

export interface Relocation {
  /** Section offset of the place that is changed. */
  offset: number;
  /** r_type, by machine. */
  type: number;
  symbol: ElfSymbol | undefined;
  /** r_addend for RELA; undefined for REL, where the addend stands in the place itself. */
  addend: bigint | undefined;
}

export interface ElfModel {
  header: ElfHeader;
  sections: Section[];
  /** In file order without the null symbol; the writer puts locals first. */
  symbols: ElfSymbol[];
  /** Program headers of an image, in file order; a relocatable file has none. Only to be read, never written. */
  readonly segments: readonly Segment[];
}

/** A program header: what of the file stands where in memory. */
export interface Segment {
  /** p_type: PT_LOAD 1, PT_NOTE 4. */
  readonly type: number;
  /** p_flags: PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
  readonly offset: FileOffset;
  /** p_vaddr. */
  readonly address: LinkAddress;
  /** p_paddr. */
  readonly physicalAddress: bigint;
  /** p_memsz in bytes: `data.length` and the zeros behind it. */
  readonly memorySize: number;
  /** p_align in bytes. */
  readonly align: number;
  /** The p_filesz bytes of the file. */
  readonly data: Uint8Array;
}
