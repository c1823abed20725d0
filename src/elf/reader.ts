// From the bytes of an ELF file to the model. Section contents are views of the bytes, never copies.
//
// Nothing that the file says is believed: see checks.ts. The time and the memory that reading takes are bounded by the
// size of the file: every loop runs over entries that take bytes in it, and `Allowance` pays for those that overlap.

import { Allowance, checkIndex, checkNumber, checkSectionOffset, malformed, shown, unsupported } from './checks.ts';
import {
  ET_REL,
  SHF_GROUP,
  SHF_INFO_LINK,
  SHN_ABS,
  SHN_COMMON,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_GROUP,
  SHT_NULL,
  SHT_REL,
  SHT_RELA,
  SHT_STRTAB,
  SHT_SYMTAB,
  SHT_SYMTAB_SHNDX,
} from './constants.ts';
import { type ElfFile, openElf, readSectionHeaders, readSegments, type SectionHeader, viewOf } from './headers.ts';
import type { Layout } from './layout.ts';
import type { ElfModel, ElfSymbol, Relocation, Section, SymbolPlace } from './model.ts';
import { NameIndex } from './name-index.ts';
import { relocationSectionName } from './names.ts';
import { StringTable } from './strings.ts';
import type { Unchecked } from './units.ts';

/**
 * Reads an ELF file: little-endian, 32 or 64 bits; relocatable, executable or shared. What stands behind the ELF file
 * (a module's signature) is left aside. In an image, relocation sections and dynamic symbols stay plain sections.
 *
 * `name` is what errors call the file. Throws `elf-malformed`, or `elf-unsupported` for what is none of the above.
 */
export function readElf(bytes: Uint8Array, name: string): ElfModel {
  return new Reader(bytes, name).model();
}

/** An image, with symbols of which each is read when somebody first asks. */
export interface ElfImage extends ElfModel {
  /** The symbols of a name, in file order. Throws `elf-malformed`, as `symbols` does. */
  symbolsNamed(name: string): ElfSymbol[];
}

/**
 * Reads a linked image, as `readElf` does: but what is wrong with a symbol shows only when somebody asks for it. Relocations are left
 * where they are.
 */
export function readImage(bytes: Uint8Array, name: string): ElfImage {
  return new Reader(bytes, name).image();
}

/** SHT_SYMTAB and what belongs to it. */
interface SymbolTable {
  readonly header: SectionHeader;
  /** How many symbols there are, the null symbol too. */
  readonly count: number;
  readonly view: DataView;
  readonly names: StringTable;
  /** The bytes of the names. */
  readonly strings: Uint8Array;
  /** Contents of SHT_SYMTAB_SHNDX. */
  readonly extendedIndexes: DataView | undefined;
}

class Reader {
  readonly #file: ElfFile;
  readonly #layout: Layout;
  /** For names and contents, which may overlap a little: string tables share tails. */
  readonly #copies: Allowance;
  /** For entries that become objects. No honest file has two tables over the same bytes. */
  readonly #tables: Allowance;
  readonly #headers: readonly SectionHeader[];
  /** Headers that are no sections of the model. */
  readonly #hidden = new Set<SectionHeader>();
  #symbolTable: SymbolTable | undefined;
  /** By symbol index; the null symbol is undefined. */
  readonly #symbols: (ElfSymbol | undefined)[] = [undefined];

  constructor(bytes: Uint8Array, name: string) {
    this.#file = openElf(bytes, name);
    this.#layout = this.#file.layout;
    this.#copies = new Allowance(4 * bytes.length);
    this.#tables = new Allowance(bytes.length);
    const { headers, names } = readSectionHeaders(this.#file, this.#copies);
    this.#headers = headers;
    for (const index of [0, names]) if (headers[index]) this.#hidden.add(headers[index]);
  }

  model(): ElfModel {
    this.#findSymbolTable();
    this.#readLinks();
    this.#readSymbols();
    if (this.#file.header.type === ET_REL) {
      for (const header of this.#headers) if (header.type === SHT_GROUP) this.#readGroup(header);
      this.#readRelocations();
      this.#refuseLinksToTables();
    }
    return { ...this.#parts(), symbols: this.#symbols.slice(1) as ElfSymbol[] };
  }

  image(): ElfImage {
    this.#findSymbolTable();
    this.#readLinks();
    let symbols: ElfSymbol[] | undefined;
    let index: NameIndex | undefined;
    const all = (): ElfSymbol[] => {
      this.#readSymbols();
      return this.#symbols.slice(1) as ElfSymbol[];
    };
    return {
      ...this.#parts(),
      get symbols() {
        symbols ??= all();
        return symbols;
      },
      symbolsNamed: (name) => {
        const table = this.#symbolTable;
        if (!table) return [];
        index ??= this.#indexOf(table);
        return index
          .candidates(name)
          .map((each) => this.#readSymbol(table, each))
          .filter((symbol) => symbol.name === name);
      },
    };
  }

  #parts(): Omit<ElfModel, 'symbols'> {
    return {
      header: this.#file.header,
      sections: this.#headers.filter((header) => !this.#hidden.has(header)).map((header) => header.section),
      segments: readSegments(this.#file, this.#headers[0]),
    };
  }

  #indexOf({ count, view, strings }: SymbolTable): NameIndex {
    const { st_name, size } = this.#layout.symbol;
    const nameAt = (index: number): number =>
      checkNumber(st_name.read(view, index * size), strings.length) ?? strings.length;
    return new NameIndex(count, nameAt, strings);
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

  #headerAt(index: Unchecked): SectionHeader | undefined {
    const checked = checkIndex(index, this.#headers.length);
    return checked === undefined ? undefined : this.#headers[checked];
  }

  #linked(header: SectionHeader): SectionHeader {
    return (
      this.#headerAt(header.link) ?? malformed(`${header.place}: sh_link`, `there is no section ${shown(header.link)}`)
    );
  }

  /** The number of entries in a table, paid for. */
  #entries(header: SectionHeader, entrySize: number): number {
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
    if (strings.type !== SHT_STRTAB)
      malformed(`${header.place}: sh_link`, `section ${strings.index} is not a string table`);
    const extended = this.#headers.find((h) => h.type === SHT_SYMTAB_SHNDX && this.#headerAt(h.link) === header);
    const count = this.#entries(header, this.#layout.symbol.size);
    if (checkNumber(header.info, Math.max(count, 1)) === undefined)
      malformed(`${header.place}: sh_info`, `${shown(header.info)} local symbols are more than the ${count} in it`);
    this.#symbolTable = {
      header,
      count,
      view: viewOf(header.section.data),
      names: new StringTable(strings.section.data, this.#copies),
      strings: strings.section.data,
      extendedIndexes: extended && viewOf(extended.section.data),
    };
    this.#hidden.add(header);
    this.#hidden.add(strings);
    if (extended) this.#hidden.add(extended);
  }

  #readSymbols(): void {
    const table = this.#symbolTable;
    for (let index = 1; index < (table?.count ?? 0); index++) this.#symbols.push(this.#readSymbol(table!, index));
  }

  #readSymbol(table: SymbolTable, index: number): ElfSymbol {
    const { symbol } = this.#layout;
    const { header, view } = table;
    const at = index * symbol.size;
    const info = symbol.st_info.read(view, at);
    return {
      name: table.names.name(symbol.st_name.read(view, at), () => `${header.place}: symbol ${index}: st_name`),
      value: symbol.st_value.read(view, at),
      size: symbol.st_size.read(view, at),
      binding: info >> 4,
      type: info & 15,
      other: symbol.st_other.read(view, at),
      place: this.#symbolPlace(table, index, symbol.st_shndx.read(view, at)),
    };
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

  /** Undefined is the null symbol. `place` names the structure that refers to it. */
  #symbolAt(index: Unchecked, place: () => string): ElfSymbol | undefined {
    const checked = checkIndex(index, this.#symbols.length);
    if (checked === undefined) malformed(place(), `there is no symbol ${shown(index)}`);
    return this.#symbols[checked];
  }

  // What only a relocatable file has.

  #readGroup(header: SectionHeader): void {
    const { indexWord } = this.#layout;
    const { section, place } = header;
    if (this.#linked(header) !== this.#symbolTable?.header)
      malformed(`${place}: sh_link`, 'this is not the symbol table');
    const signature = this.#symbolAt(header.info, () => `${place}: sh_info`);
    if (!signature) malformed(`${place}: sh_info`, 'a group without a signature');
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

  #readRelocationEntries(header: SectionHeader, target: Section): Relocation[] {
    const { rel, rela } = this.#layout;
    const withAddend = header.type === SHT_RELA;
    const entrySize = withAddend ? rela.size : rel.size;
    const count = this.#entries(header, entrySize);
    const view = viewOf(header.section.data);
    const relocations: Relocation[] = [];
    for (let index = 0; index < count; index++)
      relocations.push(this.#readRelocation(header, target, view, index, index * entrySize, withAddend));
    return relocations;
  }

  #readRelocation(
    header: SectionHeader,
    target: Section,
    view: DataView,
    index: number,
    at: number,
    withAddend: boolean,
  ): Relocation {
    const { rel, rela } = this.#layout;
    const place = () => `${header.place}: relocation ${index}`;
    const offset = rel.r_offset.read(view, at);
    return {
      offset:
        checkSectionOffset(offset, target.size) ??
        malformed(`${place()}: r_offset`, `${shown(offset)} lies behind ${target.name} of ${target.size} bytes`),
      type: rel.r_type.read(view, at),
      symbol: this.#symbolAt(rel.r_symbol.read(view, at), () => `${place()}: r_info`),
      addend: withAddend ? rela.r_addend.read(view, at) : undefined,
    };
  }

  /** Whether the writer would make this relocation section as it is, given only the relocations. */
  #isUsual({ section }: SectionHeader, target: Section, relocations: Relocation[]): boolean {
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
        unsupported(`${this.#file.name}: symbol ${index}: st_shndx`, `a symbol that lies in ${symbol.place.name}`);
    });
  }
}
