// The numbers of the System V ABI (gABI chapters 4 and 5) and of its Linux additions, named as there. What belongs to
// one machine (R_ARM_…, EF_…) is in that architecture's folder.

/** e_type. */
export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;

/** e_machine. */
export const EM_ARM = 40;
export const EM_PPC64 = 21;

/** sh_type. */
export const SHT_NULL = 0;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_HASH = 5;
export const SHT_DYNAMIC = 6;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHT_DYNSYM = 11;
export const SHT_INIT_ARRAY = 14;
export const SHT_FINI_ARRAY = 15;
export const SHT_GROUP = 17;
export const SHT_SYMTAB_SHNDX = 18;
/** ELF for the Arm Architecture (IHI 0044), section 4.4: unwind tables; sh_link names the code. */
export const SHT_ARM_EXIDX = 0x70000001;
export const SHT_ARM_ATTRIBUTES = 0x70000003;

/** sh_flags. */
export const SHF_WRITE = 0x1n;
export const SHF_ALLOC = 0x2n;
export const SHF_EXECINSTR = 0x4n;
export const SHF_MERGE = 0x10n;
export const SHF_STRINGS = 0x20n;
/** sh_info names a section. */
export const SHF_INFO_LINK = 0x40n;
/** In the output this section comes in the order of the sections that sh_link names. */
export const SHF_LINK_ORDER = 0x80n;
export const SHF_GROUP = 0x200n;
export const SHF_TLS = 0x400n;
export const SHF_COMPRESSED = 0x800n;
/** A relocation section that livepatch applies, not the module loader (include/uapi/linux/elf.h, 6.1). */
export const SHF_RELA_LIVEPATCH = 0x00100000n;

/** First word of an SHT_GROUP: of several groups with the same signature one is kept. */
export const GRP_COMDAT = 1;

/** st_shndx. From SHN_LORESERVE on no number is a section's. */
export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
/** A symbol that livepatch resolves (include/uapi/linux/elf.h, 6.1). */
export const SHN_LIVEPATCH = 0xff20;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;
/** The index does not fit here: it is in SHT_SYMTAB_SHNDX, or for the header in section 0. */
export const SHN_XINDEX = 0xffff;

/** Symbol binding: st_info >> 4. */
export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;

/** Symbol type: st_info & 15. */
export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STT_FILE = 4;
export const STT_COMMON = 5;
export const STT_TLS = 6;

/** Visibility: st_other & 3. */
export const STV_DEFAULT = 0;
export const STV_INTERNAL = 1;
export const STV_HIDDEN = 2;
export const STV_PROTECTED = 3;

/** p_type. */
export const PT_LOAD = 1;
export const PT_NOTE = 4;
/** e_phnum when the number does not fit: it is in section 0's sh_info. */
export const PN_XNUM = 0xffff;

/** p_flags. */
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;
