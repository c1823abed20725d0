// From the bytes of an ELF file to the model. Section contents are views of the bytes, never copies.
//
// Nothing that the file says is believed: see checks.ts. The time and the memory that reading takes are bounded by the
// size of the file: every loop runs over entries that take bytes in it, and `Allowance` pays for those that overlap.

import {
  Allowance,
  checkAlign,
  checkFileRange,
  checkIndex,
  checkNumber,
  checkSectionOffset,
  malformed,
  shown,
  unsupported,
} from './checks.ts';
import {
  ET_DYN,
  ET_EXEC,
  ET_REL,
  PN_XNUM,
  SHF_GROUP,
  SHF_INFO_LINK,
  SHN_ABS,
  SHN_COMMON,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_GROUP,
  SHT_NOBITS,
  SHT_NULL,
  SHT_REL,
  SHT_RELA,
  SHT_SYMTAB,
  SHT_SYMTAB_SHNDX,
} from './constants.ts';
import { identification, type Layout, layouts } from './layout.ts';
import type { ElfHeader, ElfModel, ElfSymbol, Relocation, Section, Segment, SymbolPlace } from './model.ts';
import { relocationSectionName } from './names.ts';
import { StringTable } from './strings.ts';
import { type LinkAddress, linkAddress, type Unchecked } from './units.ts';

/**
 * Reads an ELF file: little-endian, 32 or 64 bits; relocatable, executable or shared. What stands behind the ELF file
 * (a module's signature) is left aside. In an image, relocation sections and dynamic symbols stay plain sections.
 *
 * `name` is what errors call the file. Throws `elf-malformed`, or `elf-unsupported` for what is none of the above.
 */
export function readElf(bytes: Uint8Array, name: string): ElfModel {
  return new Reader(bytes, name).model();
}

/** A section header, with what could be checked by itself. */
interface Header {
  readonly index: number;
  /** `foo.ko: section 12 (.text)`, for errors. */
  readonly place: string;
  readonly type: number;
  readonly link: Unchecked;
  readonly info: Unchecked;
  /** The same section as the model will have it; its `link` and `info` come later. */
  readonly section: Section;
}

/** SHT_SYMTAB and what belongs to it. */
interface SymbolTable {
  readonly header: Header;
  readonly names: StringTable;
  /** Contents of SHT_SYMTAB_SHNDX. */
  readonly extendedIndexes: DataView | undefined;
}

const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.byteLength);

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #layout: Layout;
  readonly #header: ElfHeader;
  /** For names and contents, which may overlap a little: string tables share tails. */
  readonly #copies: Allowance;
  /** For entries that become objects. No honest file has two tables over the same bytes. */
  readonly #tables: Allowance;
  #headers: Header[] = [];
  #symbolTable: SymbolTable | undefined;
  /** By symbol index; the null symbol is undefined. */
  #symbols: (ElfSymbol | undefined)[] = [undefined];
  /** Headers that are no sections of the model. */
  readonly #hidden = new Set<Header>();

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#name = name;
    this.#copies = new Allowance(4 * bytes.length);
    this.#tables = new Allowance(bytes.length);
    this.#layout = this.#identify();
    this.#header = this.#readHeader();
  }

  get #relocatable(): boolean {
    return this.#header.type === ET_REL;
  }

  model(): ElfModel {
    this.#readSectionHeaders();
    this.#findSymbolTable();
    this.#readLinks();
    this.#readSymbols();
    if (this.#relocatable) {
      for (const header of this.#headers) if (header.type === SHT_GROUP) this.#readGroup(header);
      this.#readRelocations();
      this.#refuseLinksToTables();
    }
    return {
      header: this.#header,
      sections: this.#headers.filter((header) => !this.#hidden.has(header)).map((header) => header.section),
      symbols: this.#symbols.slice(1) as ElfSymbol[],
      segments: this.#readSegments(),
    };
  }

  // The file header.

  #identify(): Layout {
    const { magic, size, class: classAt, data, version } = identification;
    const place = `${this.#name}: e_ident`;
    if (!magic.every((byte, i) => this.#bytes[i] === byte)) malformed(place, 'this is not an ELF file');
    if (this.#bytes.length < size) malformed(place, 'the file ends inside it');
    const elfClass = { 1: 32, 2: 64 }[this.#bytes[classAt]!] as 32 | 64 | undefined;
    if (!elfClass) unsupported(place, `class ${this.#bytes[classAt]} is neither ELF32 nor ELF64`);
    if (this.#bytes[data] !== 1) unsupported(place, 'the byte order is not little-endian');
    if (this.#bytes[version] !== 1) malformed(place, `version ${this.#bytes[version]} is not EV_CURRENT`);
    return layouts[elfClass];
  }

  #readHeader(): ElfHeader {
    const { fileHeader } = this.#layout;
    if (this.#bytes.length < fileHeader.size) malformed(`${this.#name}: header`, 'the file ends inside it');
    const type = fileHeader.e_type.read(this.#view, 0);
    if (type !== ET_REL && type !== ET_EXEC && type !== ET_DYN)
      unsupported(`${this.#name}: e_type`, `type ${type} is neither relocatable, executable nor shared`);
    return {
      class: this.#layout.class,
      type,
      machine: fileHeader.e_machine.read(this.#view, 0),
      osAbi: this.#bytes[identification.osAbi]!,
      abiVersion: this.#bytes[identification.abiVersion]!,
      entry: fileHeader.e_entry.read(this.#view, 0),
      flags: fileHeader.e_flags.read(this.#view, 0),
    };
  }

  /** Where a table of the header begins, once it is known to lie in the file. */
  #table(field: 'e_shoff' | 'e_phoff', entrySize: number, count: number): number {
    const offset = this.#layout.fileHeader[field].read(this.#view, 0);
    return (
      checkFileRange(offset, count * entrySize, this.#bytes.length) ??
      malformed(
        `${this.#name}: ${field}`,
        `${count} entries at ${shown(offset)} do not lie in the file of ${this.#bytes.length} bytes`,
      )
    );
  }

  // Sections.

  #readSectionHeaders(): void {
    const { fileHeader, sectionHeader } = this.#layout;
    const view = this.#view;
    if (checkNumber(fileHeader.e_shoff.read(view, 0), 0) === 0) return;
    const entrySize = fileHeader.e_shentsize.read(view, 0);
    if (entrySize !== sectionHeader.size)
      malformed(
        `${this.#name}: e_shentsize`,
        `${entrySize} is not ${sectionHeader.size}, the size of a section header`,
      );
    // Section 0 holds the numbers that do not fit into the header.
    const first = this.#table('e_shoff', entrySize, 1);
    const count =
      checkNumber(fileHeader.e_shnum.read(view, 0)) ||
      (checkNumber(sectionHeader.sh_size.read(view, first), this.#bytes.length) ??
        malformed(`${this.#name}: section 0: sh_size`, 'more sections than the file has bytes'));
    const offset = this.#table('e_shoff', entrySize, count);
    const shstrndx = checkNumber(fileHeader.e_shstrndx.read(view, 0));
    const namesClaim =
      shstrndx === SHN_XINDEX ? sectionHeader.sh_link.read(view, first) : fileHeader.e_shstrndx.read(view, 0);
    const namesIndex =
      checkIndex(namesClaim, Math.max(count, 1)) ??
      malformed(`${this.#name}: e_shstrndx`, `there is no section ${shown(namesClaim)}`);
    const names = this.#sectionNames(offset + namesIndex * entrySize, namesIndex);
    for (let index = 0; index < count; index++)
      this.#headers.push(this.#readSectionHeader(index, offset + index * entrySize, names));
    for (const index of [0, namesIndex]) if (this.#headers[index]) this.#hidden.add(this.#headers[index]);
  }

  /** The names come before all other sections, whose places in errors carry them. */
  #sectionNames(at: number, index: number): StringTable {
    const { sectionHeader } = this.#layout;
    const place = `${this.#name}: section ${index} (e_shstrndx)`;
    const data =
      index === 0
        ? new Uint8Array(0)
        : this.#contents(
            sectionHeader.sh_type.read(this.#view, at),
            sectionHeader.sh_size.read(this.#view, at),
            at,
            place,
          );
    return new StringTable(data, this.#copies);
  }

  #readSectionHeader(index: number, at: number, names: StringTable): Header {
    const { sectionHeader } = this.#layout;
    const view = this.#view;
    const name = names.name(sectionHeader.sh_name.read(view, at), () => `${this.#name}: section ${index}: sh_name`);
    const place = `${this.#name}: section ${index} (${name})`;
    const type = sectionHeader.sh_type.read(view, at);
    const size = sectionHeader.sh_size.read(view, at);
    const align = sectionHeader.sh_addralign.read(view, at);
    const entrySize = sectionHeader.sh_entsize.read(view, at);
    const data = this.#contents(type, size, at, place);
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
    return {
      index,
      place,
      type,
      section,
      link: sectionHeader.sh_link.read(view, at),
      info: sectionHeader.sh_info.read(view, at),
    };
  }

  /** A view of a section's bytes in the file. */
  #contents(type: number, sizeClaim: Unchecked, at: number, place: string): Uint8Array {
    if (type === SHT_NOBITS || type === SHT_NULL) return new Uint8Array(0);
    const claim = this.#layout.sectionHeader.sh_offset.read(this.#view, at);
    const length = this.#bytes.length;
    const size =
      checkNumber(sizeClaim, length) ??
      malformed(`${place}: sh_size`, `${shown(sizeClaim)} bytes are more than the file of ${length} has`);
    // An empty section may stand anywhere.
    if (size === 0) return new Uint8Array(0);
    const offset =
      checkFileRange(claim, size, length) ??
      malformed(`${place}: sh_offset`, `${size} bytes at ${shown(claim)} do not lie in the file of ${length} bytes`);
    if (!this.#copies.spend(size))
      malformed(`${place}: sh_size`, 'the sections overlap to many times the size of the file');
    return this.#bytes.subarray(offset, offset + size);
  }

  /** `sh_link` and `sh_info`, where they name sections. */
  #readLinks(): void {
    for (const header of this.#headers) {
      const { section, type, place } = header;
      if (type === SHT_NULL) continue;
      const link = this.#linked(header);
      if (link !== this.#headers[0]) section.link = link.section;
      section.info = checkNumber(header.info)!;
      if (section.flags & SHF_INFO_LINK || type === SHT_REL || type === SHT_RELA) {
        const target =
          this.#headerAt(header.info) ?? malformed(`${place}: sh_info`, `there is no section ${shown(header.info)}`);
        if (target.index !== 0) section.info = target.section;
      }
    }
  }

  #headerAt(index: Unchecked): Header | undefined {
    const checked = checkIndex(index, this.#headers.length);
    return checked === undefined ? undefined : this.#headers[checked];
  }

  #linked(header: Header): Header {
    return (
      this.#headerAt(header.link) ?? malformed(`${header.place}: sh_link`, `there is no section ${shown(header.link)}`)
    );
  }

  /** The number of entries in a table, paid for. */
  #entries(header: Header, entrySize: number): number {
    const { data, entrySize: claimed } = header.section;
    if (claimed !== entrySize)
      malformed(`${header.place}: sh_entsize`, `${claimed} is not ${entrySize}, the size of an entry`);
    if (data.length % entrySize !== 0)
      malformed(`${header.place}: sh_size`, `${data.length} bytes are no whole number of entries of ${entrySize}`);
    if (!this.#tables.spend(data.length)) malformed(header.place, 'this table overlaps with others');
    return data.length / entrySize;
  }

  // Symbols.

  #findSymbolTable(): void {
    const [header, another] = this.#headers.filter((candidate) => candidate.type === SHT_SYMTAB);
    if (another) malformed(another.place, 'a second symbol table');
    if (!header) return;
    const strings = this.#linked(header);
    const extended = this.#headers.find((h) => h.type === SHT_SYMTAB_SHNDX && this.#headerAt(h.link) === header);
    this.#symbolTable = {
      header,
      names: new StringTable(strings.section.data, this.#copies),
      extendedIndexes: extended && viewOf(extended.section.data),
    };
    this.#hidden.add(header);
    this.#hidden.add(strings);
    if (extended) this.#hidden.add(extended);
  }

  #readSymbols(): void {
    const table = this.#symbolTable;
    if (!table) return;
    const { symbol } = this.#layout;
    const { header } = table;
    const count = this.#entries(header, symbol.size);
    if (checkNumber(header.info, Math.max(count, 1)) === undefined)
      malformed(
        `${header.place}: sh_info`,
        `${shown(header.info)} local symbols are more than the ${count} that there are`,
      );
    const view = viewOf(header.section.data);
    for (let index = 1; index < count; index++) {
      const at = index * symbol.size;
      const info = symbol.st_info.read(view, at);
      this.#symbols.push({
        name: table.names.name(symbol.st_name.read(view, at), () => `${header.place}: symbol ${index}: st_name`),
        value: symbol.st_value.read(view, at),
        size: symbol.st_size.read(view, at),
        binding: info >> 4,
        type: info & 15,
        other: symbol.st_other.read(view, at),
        place: this.#symbolPlace(table, index, symbol.st_shndx.read(view, at)),
      });
    }
  }

  #symbolPlace(table: SymbolTable, index: number, shndx: Unchecked): SymbolPlace {
    let claim = shndx;
    const number = checkNumber(shndx)!;
    if (number === SHN_UNDEF) return 'undefined';
    if (number === SHN_XINDEX) {
      const { indexWord } = this.#layout;
      const place = `${table.header.place}: symbol ${index}: st_shndx`;
      const extended = table.extendedIndexes;
      if (!extended || (index + 1) * indexWord.size > extended.byteLength)
        malformed(place, 'SHN_XINDEX, and no SHT_SYMTAB_SHNDX has its section');
      claim = indexWord.value.read(extended, index * indexWord.size);
    } else if (number >= SHN_LORESERVE) {
      return number === SHN_ABS ? 'absolute' : number === SHN_COMMON ? 'common' : { index: number };
    }
    const header = this.#headerAt(claim);
    if (!header || header.index === 0)
      malformed(`${table.header.place}: symbol ${index}: st_shndx`, `there is no section ${shown(claim)}`);
    return header.section;
  }

  #symbolAt(index: Unchecked): ElfSymbol | undefined | null {
    const checked = checkIndex(index, this.#symbols.length);
    return checked === undefined ? null : this.#symbols[checked];
  }

  // What only a relocatable file has.

  #readGroup(header: Header): void {
    const { indexWord } = this.#layout;
    const { section, place } = header;
    if (this.#linked(header) !== this.#symbolTable?.header)
      malformed(`${place}: sh_link`, 'this is not the symbol table');
    const signature =
      this.#symbolAt(header.info) ?? malformed(`${place}: sh_info`, `there is no symbol ${shown(header.info)}`);
    const count = this.#entries(header, indexWord.size);
    if (count === 0) malformed(`${place}: sh_size`, 'a group without flags');
    const view = viewOf(section.data);
    const members: Section[] = [];
    for (let i = 1; i < count; i++) {
      const claim = indexWord.value.read(view, i * indexWord.size);
      const member = this.#headerAt(claim);
      if (!member || this.#hidden.has(member) || member.type === SHT_GROUP)
        malformed(`${place}: member ${i}`, `section ${shown(claim)} cannot be in a group`);
      members.push(member.section);
    }
    section.group = { flags: checkNumber(indexWord.value.read(view, 0))!, members, signature };
    // The writer finds both by `group`.
    section.link = undefined;
    section.info = 0;
  }

  #readRelocations(): void {
    const folded = new Set<Section>();
    for (const header of this.#headers) {
      if (header.type !== SHT_REL && header.type !== SHT_RELA) continue;
      const { section, place } = header;
      if (this.#linked(header) !== this.#symbolTable?.header)
        malformed(`${place}: sh_link`, 'this is not the symbol table');
      const target = this.#headerAt(header.info)!;
      if (this.#hidden.has(target) || [SHT_REL, SHT_RELA, SHT_GROUP, SHT_NULL].includes(target.type))
        malformed(`${place}: sh_info`, `section ${target.index} cannot be relocated`);
      const relocations = this.#readRelocationEntries(header, target.section);
      section.link = undefined;
      if (target.section.relocations.length === 0 && this.#isUsual(header, target.section, relocations)) {
        target.section.relocations = relocations;
        this.#hidden.add(header);
        folded.add(section);
      } else {
        section.info = 0;
        section.relocationTable = { target: target.section, relocations };
      }
    }
    // The members of a group carry their relocation sections with them.
    for (const { section } of this.#headers)
      if (section.group) section.group.members = section.group.members.filter((member) => !folded.has(member));
  }

  #readRelocationEntries(header: Header, target: Section): Relocation[] {
    const { rel, rela } = this.#layout;
    const withAddend = header.type === SHT_RELA;
    const entrySize = withAddend ? rela.size : rel.size;
    const count = this.#entries(header, entrySize);
    const view = viewOf(header.section.data);
    const relocations: Relocation[] = [];
    for (let index = 0; index < count; index++) {
      const at = index * entrySize;
      const place = () => `${header.place}: relocation ${index}`;
      const offset = rel.r_offset.read(view, at);
      const symbolIndex = rel.r_symbol.read(view, at);
      const symbol = this.#symbolAt(symbolIndex);
      if (symbol === null) malformed(`${place()}: r_info`, `there is no symbol ${shown(symbolIndex)}`);
      relocations.push({
        offset:
          checkSectionOffset(offset, target.size) ??
          malformed(
            `${place()}: r_offset`,
            `${shown(offset)} is behind the end of ${target.name}, ${target.size} bytes`,
          ),
        type: rel.r_type.read(view, at),
        symbol,
        addend: withAddend ? rela.r_addend.read(view, at) : undefined,
      });
    }
    return relocations;
  }

  /** Whether the writer would make this relocation section as it is, given only the relocations. */
  #isUsual({ section }: Header, target: Section, relocations: Relocation[]): boolean {
    return (
      relocations.length > 0 &&
      section.name === relocationSectionName(target, section.type) &&
      section.flags === (SHF_INFO_LINK | (target.flags & SHF_GROUP)) &&
      section.address === 0n
    );
  }

  /** The tables are made anew, with other indexes: what points into them in ways unknown here would point elsewhere. */
  #refuseLinksToTables(): void {
    const hidden = new Set([...this.#hidden].map((header) => header.section));
    for (const header of this.#headers) {
      if (this.#hidden.has(header)) continue;
      for (const [field, value] of Object.entries({ sh_link: header.section.link, sh_info: header.section.info }))
        if (typeof value === 'object' && hidden.has(value))
          unsupported(`${header.place}: ${field}`, `a section of type ${header.type} that refers to ${value.name}`);
    }
    this.#symbols.forEach((symbol, index) => {
      if (symbol && typeof symbol.place === 'object' && 'name' in symbol.place && hidden.has(symbol.place))
        unsupported(`${this.#name}: symbol ${index}: st_shndx`, `a symbol that lies in ${symbol.place.name}`);
    });
  }

  // What only an image has.

  #readSegments(): Segment[] {
    const { fileHeader, programHeader } = this.#layout;
    const view = this.#view;
    const inHeader = checkNumber(fileHeader.e_phnum.read(view, 0))!;
    if (inHeader === 0) return [];
    const entrySize = fileHeader.e_phentsize.read(view, 0);
    if (entrySize !== programHeader.size)
      malformed(
        `${this.#name}: e_phentsize`,
        `${entrySize} is not ${programHeader.size}, the size of a program header`,
      );
    const first = this.#headers[0];
    const count = inHeader === PN_XNUM && first ? checkNumber(first.info)! : inHeader;
    const offset = this.#table('e_phoff', entrySize, count);
    return Array.from({ length: count }, (_, index) => this.#readSegment(index, offset + index * entrySize));
  }

  #readSegment(index: number, at: number): Segment {
    const { programHeader } = this.#layout;
    const view = this.#view;
    const place = `${this.#name}: program header ${index}`;
    const fileSize = programHeader.p_filesz.read(view, at);
    const memorySize = programHeader.p_memsz.read(view, at);
    const align = programHeader.p_align.read(view, at);
    const offsetClaim = programHeader.p_offset.read(view, at);
    const length = this.#bytes.length;
    const size =
      checkNumber(fileSize, length) ?? malformed(`${place}: p_filesz`, `${shown(fileSize)} bytes are not in the file`);
    const offset =
      checkFileRange(offsetClaim, size, length) ??
      malformed(
        `${place}: p_offset`,
        `${size} bytes at ${shown(offsetClaim)} do not lie in the file of ${length} bytes`,
      );
    return {
      type: programHeader.p_type.read(view, at),
      flags: programHeader.p_flags.read(view, at),
      offset,
      address: linkAddress(programHeader.p_vaddr.read(view, at)) satisfies LinkAddress,
      physicalAddress: programHeader.p_paddr.read(view, at),
      memorySize: checkNumber(memorySize) ?? malformed(`${place}: p_memsz`, `${shown(memorySize)} bytes are too many`),
      align: checkAlign(align) ?? malformed(`${place}: p_align`, `${shown(align)} is not a power of two`),
      data: this.#bytes.subarray(offset, offset + size),
    };
  }
}
