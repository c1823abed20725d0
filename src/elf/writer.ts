// From the model to the bytes of a relocatable file, in two phases.
//
// Reserve: everything that will be in the file gets its index, its name and its size, in the order of the model; each
// relocation section follows the section that it changes; then come .symtab_shndx (where needed), .symtab, .strtab and
// .shstrtab. Write: now that every index is known, one buffer of exactly the size is filled.
//
// A model that contradicts itself is an error of the program, not of a file: `ReasonError` with code `bug`.

import { reasonError } from '../reason.ts';
import { unsupported } from './checks.ts';
import {
  ET_REL,
  SHF_GROUP,
  SHF_INFO_LINK,
  SHN_ABS,
  SHN_COMMON,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_NOBITS,
  SHT_NULL,
  SHT_REL,
  SHT_RELA,
  SHT_STRTAB,
  SHT_SYMTAB,
  SHT_SYMTAB_SHNDX,
  STB_LOCAL,
} from './constants.ts';
import { identification, type Layout, layouts } from './layout.ts';
import type { ElfModel, ElfSymbol, Relocation, Section, SymbolPlace } from './model.ts';
import { relocationSectionName } from './names.ts';
import { StringTableBuilder } from './strings.ts';

/**
 * The bytes of a relocatable file. The same model gives the same bytes.
 * Throws `elf-unsupported` for any other type of file.
 */
export function writeElf(model: ElfModel): Uint8Array {
  if (model.header.type !== ET_REL)
    unsupported('ELF header', `only relocatable files can be written, not type ${model.header.type}`);
  return new Writer(model).bytes();
}

/** What a section header says of itself. A section of the model is one. */
interface Heading {
  readonly name: string;
  readonly type: number;
  readonly flags?: bigint;
  readonly address?: bigint;
  readonly align?: number;
  readonly entrySize?: number;
}

/** What needs the indexes of others, and so is asked in the second phase, when every section and symbol has one. */
interface Contents {
  readonly link?: () => number;
  readonly info?: () => number;
  readonly write?: (offset: number) => void;
}

interface Reserved {
  readonly heading: Heading;
  /** In the file, or for SHT_NOBITS in memory. */
  readonly size: number;
  readonly contents: Contents;
}

/**
 * Contents stand at multiples of their alignment in the file too, as linkers do it, but of no more than this: a large
 * alignment matters in memory only, and in the file it would let a few headers ask for gigabytes.
 */
const largestFileAlignment = 256;

const align = (offset: number, to: number) => Math.ceil(offset / to) * to;
const bug = (place: string, message: string): never => {
  throw reasonError('bug', place, message);
};

class Writer {
  readonly #model: ElfModel;
  readonly #layout: Layout;
  readonly #reserved: Reserved[] = [];
  readonly #sectionIndex = new Map<Section, number>();
  /** Of the relocation section that belongs to a section. */
  readonly #relocationIndex = new Map<Section, number>();
  /** Local symbols, then the others, each in the order of the model. */
  readonly #symbols: readonly ElfSymbol[];
  readonly #locals: number;
  readonly #symbolIndex = new Map<ElfSymbol, number>();
  readonly #symbolNames = new StringTableBuilder();
  readonly #sectionNames = new StringTableBuilder();
  #symbolTableIndex = 0;
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);

  constructor(model: ElfModel) {
    this.#model = model;
    this.#layout = layouts[model.header.class];
    const locals = model.symbols.filter((symbol) => symbol.binding === STB_LOCAL);
    this.#locals = locals.length;
    this.#symbols = [...locals, ...model.symbols.filter((symbol) => symbol.binding !== STB_LOCAL)];
  }

  bytes(): Uint8Array {
    this.#reserveSections();
    this.#reserveTables();
    this.#write();
    return this.#bytes;
  }

  // Phase one: reserve.

  /** The index of the section header. */
  #reserve(heading: Heading, size: number, contents: Contents): number {
    this.#sectionNames.add(heading.name);
    return this.#reserved.push({ heading, size, contents }) - 1;
  }

  #reserveSections(): void {
    this.#reserve({ name: '', type: SHT_NULL, align: 0 }, 0, {});
    for (const section of this.#model.sections) {
      if (this.#sectionIndex.has(section)) bug(`section ${section.name}`, 'it is in the model twice');
      this.#sectionIndex.set(section, this.#reserveSection(section));
      if (section.relocations.length > 0) this.#relocationIndex.set(section, this.#reserveRelocations(section));
    }
  }

  #reserveSection(section: Section): number {
    const { name, type, link, info, group, relocationTable, data } = section;
    if (group) return this.#reserveGroup(section, group);
    if (relocationTable) {
      const heading = { ...section, entrySize: this.#relocationSize(type) };
      return this.#reserveRelocationTable(heading, relocationTable.target, relocationTable.relocations);
    }
    if ((type === SHT_NOBITS || type === SHT_NULL) && data.length > 0)
      bug(`section ${name}`, `a section of type ${type} has no bytes in the file`);
    return this.#reserve(section, type === SHT_NOBITS ? section.size : data.length, {
      link: () => (link ? this.#indexOf(link, name) : 0),
      info: () => (typeof info === 'number' ? info : this.#indexOf(info, name)),
      write: (offset) => this.#bytes.set(data, offset),
    });
  }

  #reserveGroup(heading: Heading, group: NonNullable<Section['group']>): number {
    const { indexWord } = this.#layout;
    const relocated = group.members.filter((member) => member.relocations.length > 0).length;
    return this.#reserve(heading, (1 + group.members.length + relocated) * indexWord.size, {
      link: () => this.#symbolTableIndex,
      info: () => this.#indexOfSymbol(group.signature, heading.name),
      write: (offset) => {
        const words = [group.flags];
        for (const member of group.members) {
          words.push(this.#indexOf(member, heading.name));
          const relocations = this.#relocationIndex.get(member);
          if (relocations) words.push(relocations);
        }
        words.forEach((word, i) => {
          indexWord.value.write(this.#view, offset + i * indexWord.size, word);
        });
      },
    });
  }

  #reserveRelocations(target: Section): number {
    const type = target.relocations[0]!.addend === undefined ? SHT_REL : SHT_RELA;
    const heading = {
      name: relocationSectionName(target, type),
      type,
      flags: SHF_INFO_LINK | (target.flags & SHF_GROUP),
      align: this.#layout.class / 8,
      entrySize: this.#relocationSize(type),
    };
    return this.#reserveRelocationTable(heading, target, target.relocations);
  }

  #reserveRelocationTable(heading: Heading, target: Section, relocations: readonly Relocation[]): number {
    return this.#reserve(heading, relocations.length * this.#relocationSize(heading.type), {
      link: () => this.#symbolTableIndex,
      info: () => this.#indexOf(target, heading.name),
      write: (offset) => this.#writeRelocations(heading, relocations, offset),
    });
  }

  #relocationSize(type: number): number {
    return type === SHT_RELA ? this.#layout.rela.size : this.#layout.rel.size;
  }

  #reserveTables(): void {
    const { symbol, indexWord } = this.#layout;
    const symbols = this.#symbols;
    symbols.forEach((entry, i) => {
      this.#symbolIndex.set(entry, i + 1);
      this.#symbolNames.add(entry.name);
    });
    if (this.#symbolIndex.size !== symbols.length) bug('symbols', 'one of them is in the model twice');
    const needed = this.#reserved.some(({ heading: { type } }) => type === SHT_REL || type === SHT_RELA);
    if (symbols.length > 0 || needed) {
      const extended = symbols.some(({ place }) => this.#placeIndex(place) === SHN_XINDEX);
      this.#symbolTableIndex = this.#reserved.length + (extended ? 1 : 0);
      const count = symbols.length + 1;
      if (extended)
        this.#reserve(
          { name: '.symtab_shndx', type: SHT_SYMTAB_SHNDX, align: indexWord.size, entrySize: indexWord.size },
          count * indexWord.size,
          { link: () => this.#symbolTableIndex, write: (offset) => this.#writeExtendedIndexes(offset) },
        );
      this.#reserve(
        { name: '.symtab', type: SHT_SYMTAB, align: this.#layout.class / 8, entrySize: symbol.size },
        count * symbol.size,
        {
          link: () => this.#symbolTableIndex + 1,
          info: () => this.#locals + 1,
          write: (offset) => this.#writeSymbols(offset),
        },
      );
      this.#reserveStrings('.strtab', this.#symbolNames);
    }
    this.#sectionNames.add('.shstrtab');
    this.#reserveStrings('.shstrtab', this.#sectionNames);
  }

  #reserveStrings(name: string, strings: StringTableBuilder): void {
    this.#reserve({ name, type: SHT_STRTAB }, strings.size, { write: (offset) => strings.write(this.#bytes, offset) });
  }

  // Phase two: write.

  #write(): void {
    const { fileHeader, sectionHeader } = this.#layout;
    let end = fileHeader.size;
    const offsets = this.#reserved.map(({ heading, size }) => {
      if (heading.type === SHT_NULL) return 0;
      // What has no bytes stands where the next bytes could; padding for it could reach behind the end of the file.
      if (heading.type === SHT_NOBITS || size === 0) return end;
      const offset = align(end, Math.min(Math.max(heading.align ?? 1, 1), largestFileAlignment));
      end = offset + size;
      return offset;
    });
    const headersAt = align(end, this.#layout.class / 8);
    this.#bytes = new Uint8Array(headersAt + this.#reserved.length * sectionHeader.size);
    this.#view = new DataView(this.#bytes.buffer);
    this.#writeFileHeader(headersAt);
    this.#reserved.forEach((entry, index) => {
      this.#writeSectionHeader(entry, offsets[index]!, headersAt + index * sectionHeader.size);
      entry.contents.write?.(offsets[index]!);
    });
    this.#writeLargeCounts(headersAt);
  }

  #writeFileHeader(headersAt: number): void {
    const { fileHeader, sectionHeader } = this.#layout;
    const { header } = this.#model;
    const view = this.#view;
    const count = this.#reserved.length;
    this.#bytes.set(identification.magic);
    this.#bytes[identification.class] = this.#layout.class === 32 ? 1 : 2;
    this.#bytes[identification.data] = 1;
    this.#bytes[identification.version] = 1;
    this.#bytes[identification.osAbi] = header.osAbi;
    this.#bytes[identification.abiVersion] = header.abiVersion;
    fileHeader.e_type.write(view, 0, header.type);
    fileHeader.e_machine.write(view, 0, header.machine);
    fileHeader.e_version.write(view, 0, 1);
    fileHeader.e_entry.write(view, 0, header.entry);
    fileHeader.e_shoff.write(view, 0, headersAt);
    fileHeader.e_flags.write(view, 0, header.flags);
    fileHeader.e_ehsize.write(view, 0, fileHeader.size);
    fileHeader.e_shentsize.write(view, 0, sectionHeader.size);
    fileHeader.e_shnum.write(view, 0, count < SHN_LORESERVE ? count : 0);
    fileHeader.e_shstrndx.write(view, 0, count - 1 < SHN_LORESERVE ? count - 1 : SHN_XINDEX);
  }

  /** Section 0 holds the numbers that do not fit into the header. */
  #writeLargeCounts(headersAt: number): void {
    const { sectionHeader } = this.#layout;
    const count = this.#reserved.length;
    if (count >= SHN_LORESERVE) sectionHeader.sh_size.write(this.#view, headersAt, count);
    if (count - 1 >= SHN_LORESERVE) sectionHeader.sh_link.write(this.#view, headersAt, count - 1);
  }

  #writeSectionHeader({ heading, size, contents }: Reserved, offset: number, at: number): void {
    const { sectionHeader } = this.#layout;
    const view = this.#view;
    sectionHeader.sh_name.write(view, at, this.#sectionNames.add(heading.name));
    sectionHeader.sh_type.write(view, at, heading.type);
    sectionHeader.sh_flags.write(view, at, heading.flags ?? 0n);
    sectionHeader.sh_addr.write(view, at, heading.address ?? 0n);
    sectionHeader.sh_offset.write(view, at, offset);
    sectionHeader.sh_size.write(view, at, size);
    sectionHeader.sh_link.write(view, at, contents.link?.() ?? 0);
    sectionHeader.sh_info.write(view, at, contents.info?.() ?? 0);
    sectionHeader.sh_addralign.write(view, at, heading.align ?? 1);
    sectionHeader.sh_entsize.write(view, at, heading.entrySize ?? 0);
  }

  #writeRelocations(heading: Heading, relocations: readonly Relocation[], offset: number): void {
    const withAddend = heading.type === SHT_RELA;
    const { rel, rela } = this.#layout;
    const view = this.#view;
    let at = offset;
    for (const { offset: place, type, symbol, addend } of relocations) {
      rel.r_offset.write(view, at, place);
      rel.r_type.write(view, at, type);
      rel.r_symbol.write(view, at, symbol ? this.#indexOfSymbol(symbol, heading.name) : 0);
      if ((addend !== undefined) !== withAddend)
        bug(heading.name, 'relocations with and without addend in one section');
      if (addend !== undefined) rela.r_addend.write(view, at, addend);
      at += withAddend ? rela.size : rel.size;
    }
  }

  #writeSymbols(offset: number): void {
    const { symbol } = this.#layout;
    const view = this.#view;
    let at = offset;
    for (const entry of this.#symbols) {
      at += symbol.size;
      symbol.st_name.write(view, at, this.#symbolNames.add(entry.name));
      symbol.st_info.write(view, at, entry.binding * 16 + entry.type);
      symbol.st_other.write(view, at, entry.other);
      symbol.st_shndx.write(view, at, this.#placeIndex(entry.place));
      symbol.st_value.write(view, at, entry.value);
      symbol.st_size.write(view, at, entry.size);
    }
  }

  #writeExtendedIndexes(offset: number): void {
    const { indexWord } = this.#layout;
    this.#symbols.forEach(({ place }, i) => {
      if (this.#placeIndex(place) === SHN_XINDEX)
        indexWord.value.write(this.#view, offset + (i + 1) * indexWord.size, this.#indexOf(place as Section, 'symbol'));
    });
  }

  /** st_shndx. */
  #placeIndex(place: SymbolPlace): number {
    if (place === 'undefined') return SHN_UNDEF;
    if (place === 'absolute') return SHN_ABS;
    if (place === 'common') return SHN_COMMON;
    if ('index' in place) {
      if (place.index < SHN_LORESERVE || place.index === SHN_XINDEX)
        bug('a symbol', `index ${place.index} is not one of the reserved ones`);
      return place.index;
    }
    const index = this.#indexOf(place, 'a symbol');
    return index < SHN_LORESERVE ? index : SHN_XINDEX;
  }

  #indexOf(section: Section, user: string): number {
    return (
      this.#sectionIndex.get(section) ??
      bug(`section ${section.name}`, `${user} refers to it, and it is not in the model`)
    );
  }

  #indexOfSymbol(symbol: ElfSymbol, user: string): number {
    return (
      this.#symbolIndex.get(symbol) ?? bug(`symbol ${symbol.name}`, `${user} refers to it, and it is not in the model`)
    );
  }
}
