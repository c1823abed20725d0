// The raw layout: the structures of the System V ABI (gABI chapters 4 and 5, and the 64-bit object file format), each
// field with the place that it has in ELF32 and in ELF64. Little-endian throughout.
//
// A field reads and writes itself, given where its structure begins. What a file can lie about with effect (offsets,
// sizes, counts, indexes) is read as `Unchecked`; what is only passed on (types, flags, addresses) as plain numbers.

import { reasonError } from '../reason.ts';
import type { Unchecked } from './units.ts';

export type ElfClass = 32 | 64;

/** Reads and writes one value at a byte position, which must lie within the view. */
interface Codec<Read, Write> {
  readonly min: number | bigint;
  readonly max: number | bigint;
  read(view: DataView, at: number): Read;
  write(view: DataView, at: number, value: Write): void;
}

/** A type of the specification, as ELF32 and as ELF64 have it. */
interface Kind<Read, Write> {
  readonly 32: Codec<Read, Write>;
  readonly 64: Codec<Read, Write>;
}

const u8: Codec<number, number> = {
  min: 0,
  max: 0xff,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, value),
};
const u16: Codec<number, number> = {
  min: 0,
  max: 0xffff,
  read: (view, at) => view.getUint16(at, true),
  write: (view, at, value) => view.setUint16(at, value, true),
};
const u24: Codec<number, number> = {
  min: 0,
  max: 0xffffff,
  read: (view, at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16),
  write: (view, at, value) => {
    view.setUint16(at, value & 0xffff, true);
    view.setUint8(at + 2, value >>> 16);
  },
};
const u32: Codec<number, number> = {
  min: 0,
  max: 0xffffffff,
  read: (view, at) => view.getUint32(at, true),
  write: (view, at, value) => view.setUint32(at, value, true),
};
/** 64 bits as a number. Above 2^53 it is no longer exact, but then it is too large for every check that it can meet. */
const u64: Codec<number, number> = {
  min: 0,
  max: Number.MAX_SAFE_INTEGER,
  read: (view, at) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000,
  write: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
};
const big32: Codec<bigint, bigint> = {
  min: 0n,
  max: 0xffffffffn,
  read: (view, at) => BigInt(view.getUint32(at, true)),
  write: (view, at, value) => view.setUint32(at, Number(value), true),
};
const big64: Codec<bigint, bigint> = {
  min: 0n,
  max: 0xffffffff_ffffffffn,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => view.setBigUint64(at, value, true),
};
const signed32: Codec<bigint, bigint> = {
  min: -(2n ** 31n),
  max: 2n ** 31n - 1n,
  read: (view, at) => BigInt(view.getInt32(at, true)),
  write: (view, at, value) => view.setInt32(at, Number(value), true),
};
const signed64: Codec<bigint, bigint> = {
  min: -(2n ** 63n),
  max: 2n ** 63n - 1n,
  read: (view, at) => view.getBigInt64(at, true),
  write: (view, at, value) => view.setBigInt64(at, value, true),
};

/** The same bytes, but what is read is a claim that must be checked. */
const unchecked = (codec: Codec<number, number>) => codec as unknown as Codec<Unchecked, number>;

// Plain values.
const byte = { 32: u8, 64: u8 };
const half = { 32: u16, 64: u16 };
const word = { 32: u32, 64: u32 };
/** Elf32_Word or Elf32_Addr in ELF32, Elf64_Xword or Elf64_Addr in ELF64. */
const xword = { 32: big32, 64: big64 };
const signed = { 32: signed32, 64: signed64 };
// Claims.
const halfClaim = { 32: unchecked(u16), 64: unchecked(u16) };
const wordClaim = { 32: unchecked(u32), 64: unchecked(u32) };
/** Elf32_Off and Elf32_Word, or Elf64_Off and Elf64_Xword. */
const xwordClaim = { 32: unchecked(u32), 64: unchecked(u64) };
// r_info is (symbol << 8) + type in ELF32 and (symbol << 32) + type in ELF64: in little-endian bytes, two fields.
const relocationType = { 32: u8, 64: u32 };
const relocationSymbol = { 32: unchecked(u24), 64: unchecked(u32) };

export interface Field<Read, Write> {
  /** The value in the structure that begins at byte `base`, which lies in the view as a whole. */
  read(view: DataView, base: number): Read;
  /** Throws `ReasonError` `bug` when the value does not fit: the model asks for what this class of file cannot say. */
  write(view: DataView, base: number, value: Write): void;
}

type Row<Read, Write> = readonly [kind: Kind<Read, Write>, offset32: number, offset64: number];
type Rows = Record<string, Row<unknown, never>>;
type Fields<R extends Rows> = {
  readonly [Name in keyof R]: R[Name] extends Row<infer Read, infer Write> ? Field<Read, Write> : never;
};
type Structure<R extends Rows> = Fields<R> & { readonly size: number };

function structure<R extends Rows>(size32: number, size64: number, rows: R): Record<ElfClass, Structure<R>> {
  const fields = (elfClass: ElfClass) =>
    Object.fromEntries(
      Object.entries(rows).map(([name, [kind, offset32, offset64]]) => [
        name,
        field(name, kind[elfClass], elfClass === 32 ? offset32 : offset64),
      ]),
    );
  return {
    32: { ...fields(32), size: size32 } as unknown as Structure<R>,
    64: { ...fields(64), size: size64 } as unknown as Structure<R>,
  };
}

function field<Read, Write>(name: string, codec: Codec<Read, Write>, offset: number): Field<Read, Write> {
  return {
    read: (view, base) => codec.read(view, base + offset),
    write(view, base, value) {
      const number = value as number | bigint;
      if (!(number >= codec.min && number <= codec.max))
        throw reasonError('bug', name, `${number} does not fit into the ELF field ${name}`);
      codec.write(view, base + offset, value);
    },
  };
}

/** The bytes of e_ident, the same in both classes. */
export const identification = {
  magic: [0x7f, 0x45, 0x4c, 0x46],
  /** EI_CLASS: ELFCLASS32 1, ELFCLASS64 2. */
  class: 4,
  /** EI_DATA: ELFDATA2LSB 1. */
  data: 5,
  /** EI_VERSION: EV_CURRENT 1. */
  version: 6,
  /** EI_OSABI. */
  osAbi: 7,
  /** EI_ABIVERSION. */
  abiVersion: 8,
  /** EI_NIDENT. */
  size: 16,
} as const;

const fileHeader = structure(52, 64, {
  e_type: [half, 16, 16],
  e_machine: [half, 18, 18],
  e_version: [word, 20, 20],
  e_entry: [xword, 24, 24],
  e_phoff: [xwordClaim, 28, 32],
  e_shoff: [xwordClaim, 32, 40],
  e_flags: [word, 36, 48],
  e_ehsize: [half, 40, 52],
  e_phentsize: [half, 42, 54],
  e_phnum: [halfClaim, 44, 56],
  e_shentsize: [half, 46, 58],
  e_shnum: [halfClaim, 48, 60],
  e_shstrndx: [halfClaim, 50, 62],
});

const sectionHeader = structure(40, 64, {
  sh_name: [wordClaim, 0, 0],
  sh_type: [word, 4, 4],
  sh_flags: [xword, 8, 8],
  sh_addr: [xword, 12, 16],
  sh_offset: [xwordClaim, 16, 24],
  sh_size: [xwordClaim, 20, 32],
  sh_link: [wordClaim, 24, 40],
  sh_info: [wordClaim, 28, 44],
  sh_addralign: [xwordClaim, 32, 48],
  sh_entsize: [xwordClaim, 36, 56],
});

const programHeader = structure(32, 56, {
  p_type: [word, 0, 0],
  p_flags: [word, 24, 4],
  p_offset: [xwordClaim, 4, 8],
  p_vaddr: [xword, 8, 16],
  p_paddr: [xword, 12, 24],
  p_filesz: [xwordClaim, 16, 32],
  p_memsz: [xwordClaim, 20, 40],
  p_align: [xwordClaim, 28, 48],
});

const symbol = structure(16, 24, {
  st_name: [wordClaim, 0, 0],
  /** (binding << 4) + type. */
  st_info: [byte, 12, 4],
  st_other: [byte, 13, 5],
  st_shndx: [halfClaim, 14, 6],
  st_value: [xword, 4, 8],
  st_size: [xword, 8, 16],
});

const rel = structure(8, 16, {
  r_offset: [xwordClaim, 0, 0],
  r_type: [relocationType, 4, 8],
  r_symbol: [relocationSymbol, 5, 12],
});

const rela = structure(12, 24, {
  r_offset: [xwordClaim, 0, 0],
  r_type: [relocationType, 4, 8],
  r_symbol: [relocationSymbol, 5, 12],
  r_addend: [signed, 8, 16],
});

/** One Elf32_Word: an entry of SHT_GROUP and SHT_SYMTAB_SHNDX. */
const indexWord = structure(4, 4, { value: [wordClaim, 0, 0] });

const layoutOf = <C extends ElfClass>(elfClass: C) => ({
  class: elfClass as ElfClass,
  fileHeader: fileHeader[elfClass],
  sectionHeader: sectionHeader[elfClass],
  programHeader: programHeader[elfClass],
  symbol: symbol[elfClass],
  rel: rel[elfClass],
  rela: rela[elfClass],
  indexWord: indexWord[elfClass],
});

export type Layout = ReturnType<typeof layoutOf>;

/** Every structure, by class. */
export const layouts: Readonly<Record<ElfClass, Layout>> = { 32: layoutOf(32), 64: layoutOf(64) };
