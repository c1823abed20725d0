// The editable model of an ELF file: sections with their bytes, symbols and relocations as objects that refer to each
// other, so that adding, removing and reordering them needs no renumbering by hand.

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

/** A section. Section 0, symbol tables, their string tables and relocation sections are not sections of the model. */
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
  /** sh_info where it names a section, else a plain number. */
  info: Section | number;
  relocations: Relocation[];
  /** Members, when this is an SHT_GROUP; `data` is then made anew by the writer. */
  group?: { flags: number; members: Section[]; signature: ElfSymbol };
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
}
