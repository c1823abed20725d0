// The headers of an ELF file: the file's own, those of its sections and those of its segments. They say where
// everything is; what leaves here lies in the file. Contents are views of the bytes, never copies.

import {
  type Allowance,
  checkAlign,
  checkFileRange,
  checkIndex,
  checkNumber,
  malformed,
  shown,
  unsupported,
} from './checks.ts';
import { ET_DYN, ET_EXEC, ET_REL, PN_XNUM, SHN_XINDEX, SHT_NOBITS, SHT_NULL, SHT_STRTAB } from './constants.ts';
import { identification, type Layout, layouts } from './layout.ts';
import type { ElfHeader, Section, Segment } from './model.ts';
import { StringTable } from './strings.ts';
import { type FileOffset, linkAddress, type Unchecked } from './units.ts';

/** A file whose own header was read. */
export interface ElfFile {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** What errors call it. */
  readonly name: string;
  readonly layout: Layout;
  readonly header: ElfHeader;
}

/** A section header, with what could be checked by itself. */
export interface SectionHeader {
  readonly index: number;
  /** `foo.ko: section 12 (.text)`, for errors. */
  readonly place: string;
  readonly type: number;
  readonly link: Unchecked;
  readonly info: Unchecked;
  /** The same section as the model will have it; its `link` and `info` come later. */
  readonly section: Section;
}

export const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

// The file's own header.

/** Throws `elf-malformed`, or `elf-unsupported` for a class, byte order or type of file that the house has no use for. */
export function openElf(bytes: Uint8Array, name: string): ElfFile {
  const layout = identify(bytes, name);
  const { fileHeader } = layout;
  if (bytes.length < fileHeader.size) malformed(`${name}: header`, 'the file ends inside it');
  const view = viewOf(bytes);
  const type = fileHeader.e_type.read(view, 0);
  if (type !== ET_REL && type !== ET_EXEC && type !== ET_DYN)
    unsupported(`${name}: e_type`, `type ${type} is neither relocatable, executable nor shared`);
  const header: ElfHeader = {
    class: layout.class,
    type,
    machine: fileHeader.e_machine.read(view, 0),
    osAbi: bytes[identification.osAbi]!,
    abiVersion: bytes[identification.abiVersion]!,
    entry: fileHeader.e_entry.read(view, 0),
    flags: fileHeader.e_flags.read(view, 0),
  };
  return { bytes, view, name, layout, header };
}

function identify(bytes: Uint8Array, name: string): Layout {
  const { magic, size, class: classAt, data, version } = identification;
  const place = `${name}: e_ident`;
  if (!magic.every((byte, i) => bytes[i] === byte)) malformed(place, 'this is not an ELF file');
  if (bytes.length < size) malformed(place, 'the file ends inside it');
  const elfClass = bytes[classAt] === 1 ? 32 : bytes[classAt] === 2 ? 64 : undefined;
  if (!elfClass) unsupported(place, `class ${bytes[classAt]} is neither ELF32 nor ELF64`);
  if (bytes[data] !== 1) unsupported(place, 'the byte order is not little-endian');
  if (bytes[version] !== 1) malformed(place, `version ${bytes[version]} is not EV_CURRENT`);
  return layouts[elfClass];
}

/** Where a table of headers begins, once it is known to lie in the file. */
function tableOffset(file: ElfFile, field: 'e_shoff' | 'e_phoff', entrySize: number, count: number): FileOffset {
  const claim = file.layout.fileHeader[field].read(file.view, 0);
  const length = file.bytes.length;
  return (
    checkFileRange(claim, count * entrySize, length) ??
    malformed(`${file.name}: ${field}`, `${count} entries at ${shown(claim)} do not lie in the file of ${length} bytes`)
  );
}

// Sections.

/**
 * All section headers, section 0 included, and the index of the one that holds the names (0 if none does).
 * `allowance` pays for names and contents, which may overlap.
 */
export function readSectionHeaders(file: ElfFile, allowance: Allowance): { headers: SectionHeader[]; names: number } {
  const { fileHeader, sectionHeader } = file.layout;
  const { view, name } = file;
  if (checkNumber(fileHeader.e_shoff.read(view, 0)) === 0) return { headers: [], names: 0 };
  const entrySize = fileHeader.e_shentsize.read(view, 0);
  if (entrySize !== sectionHeader.size)
    malformed(`${name}: e_shentsize`, `${entrySize} is not ${sectionHeader.size}, the size of a section header`);

  // Numbers too large for the header are in section 0.
  const first = tableOffset(file, 'e_shoff', entrySize, 1);
  if (sectionHeader.sh_type.read(view, first) !== SHT_NULL)
    malformed(`${name}: section 0: sh_type`, 'it is not SHT_NULL');
  const largeCount = sectionHeader.sh_size.read(view, first);
  const count =
    checkNumber(fileHeader.e_shnum.read(view, 0)) ||
    (checkNumber(largeCount, file.bytes.length) ??
      malformed(`${name}: section 0: sh_size`, `${shown(largeCount)} sections are more than the file has bytes`));
  const offset = tableOffset(file, 'e_shoff', entrySize, count);

  const shstrndx = fileHeader.e_shstrndx.read(view, 0);
  const claim = checkNumber(shstrndx) === SHN_XINDEX ? sectionHeader.sh_link.read(view, first) : shstrndx;
  const names =
    checkIndex(claim, Math.max(count, 1)) ?? malformed(`${name}: e_shstrndx`, `there is no section ${shown(claim)}`);
  const table = sectionNames(file, names, offset + names * entrySize, allowance);
  const headers = Array.from({ length: count }, (_, index) =>
    readSectionHeader(file, index, offset + index * entrySize, table, allowance),
  );
  return { headers, names };
}

/** Read before all other sections, since their places in errors carry the names. */
function sectionNames(file: ElfFile, index: number, at: number, allowance: Allowance): StringTable {
  if (index === 0) return new StringTable(new Uint8Array(0), allowance);
  const place = `${file.name}: section ${index} (e_shstrndx)`;
  const type = file.layout.sectionHeader.sh_type.read(file.view, at);
  if (type !== SHT_STRTAB) malformed(`${place}: sh_type`, `${type} is not a string table`);
  return new StringTable(contents(file, type, at, place, allowance), allowance);
}

function readSectionHeader(
  file: ElfFile,
  index: number,
  at: number,
  names: StringTable,
  allowance: Allowance,
): SectionHeader {
  const { sectionHeader } = file.layout;
  const { view } = file;
  const name = names.name(sectionHeader.sh_name.read(view, at), () => `${file.name}: section ${index}: sh_name`);
  const place = `${file.name}: section ${index} (${name})`;
  const type = sectionHeader.sh_type.read(view, at);
  const data = contents(file, type, at, place, allowance);
  const size = sectionHeader.sh_size.read(view, at);
  const align = sectionHeader.sh_addralign.read(view, at);
  const entrySize = sectionHeader.sh_entsize.read(view, at);
  const section: Section = {
    name,
    type,
    flags: sectionHeader.sh_flags.read(view, at),
    address: sectionHeader.sh_addr.read(view, at),
    align: checkAlign(align) ?? malformed(`${place}: sh_addralign`, `${shown(align)} is not a power of two`),
    entrySize: checkNumber(entrySize) ?? malformed(`${place}: sh_entsize`, `${shown(entrySize)} is too large`),
    data,
    size:
      type === SHT_NOBITS
        ? (checkNumber(size) ?? malformed(`${place}: sh_size`, `${shown(size)} bytes of memory are too many`))
        : data.length,
    link: undefined,
    info: 0,
    relocations: [],
  };
  const link = sectionHeader.sh_link.read(view, at);
  const info = sectionHeader.sh_info.read(view, at);
  return { index, place, type, link, info, section };
}

/** A view of the bytes of the section whose header stands at `at`; none for those that have no bytes in the file. */
function contents(file: ElfFile, type: number, at: number, place: string, allowance: Allowance): Uint8Array {
  if (type === SHT_NOBITS || type === SHT_NULL) return new Uint8Array(0);
  const { sh_offset, sh_size } = file.layout.sectionHeader;
  const sizeClaim = sh_size.read(file.view, at);
  const offsetClaim = sh_offset.read(file.view, at);
  const { length } = file.bytes;
  const size =
    checkNumber(sizeClaim, length) ??
    malformed(`${place}: sh_size`, `${shown(sizeClaim)} bytes are more than the ${length} of the file`);
  // An empty section may claim to stand anywhere.
  if (size === 0) return new Uint8Array(0);
  const offset =
    checkFileRange(offsetClaim, size, length) ??
    malformed(
      `${place}: sh_offset`,
      `${size} bytes at ${shown(offsetClaim)} do not lie in the file of ${length} bytes`,
    );
  if (!allowance.spend(size)) malformed(`${place}: sh_size`, 'the sections overlap to many times the size of the file');
  return file.bytes.subarray(offset, offset + size);
}

// Segments.

/** The program headers. `first` is section 0, which has their number when it is too large for the file header. */
export function readSegments(file: ElfFile, first: SectionHeader | undefined): Segment[] {
  const { fileHeader, programHeader } = file.layout;
  const inHeader = fileHeader.e_phnum.read(file.view, 0);
  const claim = checkNumber(inHeader) === PN_XNUM && first ? first.info : inHeader;
  const count = checkNumber(claim)!;
  if (count === 0) return [];
  const entrySize = fileHeader.e_phentsize.read(file.view, 0);
  if (entrySize !== programHeader.size)
    malformed(`${file.name}: e_phentsize`, `${entrySize} is not ${programHeader.size}, the size of a program header`);
  const offset = tableOffset(file, 'e_phoff', entrySize, count);
  return Array.from({ length: count }, (_, index) => readSegment(file, index, offset + index * entrySize));
}

function readSegment(file: ElfFile, index: number, at: number): Segment {
  const { programHeader } = file.layout;
  const { view } = file;
  const { length } = file.bytes;
  const place = `${file.name}: program header ${index}`;
  const sizeClaim = programHeader.p_filesz.read(view, at);
  const offsetClaim = programHeader.p_offset.read(view, at);
  const memorySize = programHeader.p_memsz.read(view, at);
  const align = programHeader.p_align.read(view, at);
  const size =
    checkNumber(sizeClaim, length) ??
    malformed(`${place}: p_filesz`, `${shown(sizeClaim)} bytes are more than the ${length} of the file`);
  const offset =
    checkFileRange(offsetClaim, size, length) ??
    malformed(`${place}: p_offset`, `${size} bytes at ${shown(offsetClaim)} do not lie in the file of ${length} bytes`);
  return {
    type: programHeader.p_type.read(view, at),
    flags: programHeader.p_flags.read(view, at),
    offset,
    address: linkAddress(programHeader.p_vaddr.read(view, at)),
    physicalAddress: programHeader.p_paddr.read(view, at),
    memorySize: checkNumber(memorySize) ?? malformed(`${place}: p_memsz`, `${shown(memorySize)} bytes are too many`),
    align: checkAlign(align) ?? malformed(`${place}: p_align`, `${shown(align)} is not a power of two`),
    data: file.bytes.subarray(offset, offset + size),
  };
}
