// Every file that Suture reads comes from somewhere else. Whatever it claims must be either true or refused, with the
// file, the table, the entry and the field by name.

import { describe, expect, it } from 'vitest';
import { ReasonError } from '../reason.ts';
import {
  ET_EXEC,
  PN_XNUM,
  PT_LOAD,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_INFO_LINK,
  SHT_GROUP,
  SHT_NOBITS,
  SHT_NULL,
  SHT_PROGBITS,
  SHT_STRTAB,
  SHT_SYMTAB_SHNDX,
  STB_LOCAL,
} from './constants.ts';
import { newModel, newSection, newSymbol, readElf, writeElf } from './elf.ts';
import { type Field, type Layout, layouts } from './layout.ts';

type HeaderField = Exclude<keyof Layout['sectionHeader'], 'size'>;

/** A file of one function that calls another, which tests then damage. Sections: see `numbers`. */
class Sample {
  readonly layout: Layout;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  static readonly numbers = { zero: 0, text: 1, relocations: 2, bss: 3, symtab: 4, strtab: 5, names: 6 };

  constructor(elfClass: 32 | 64) {
    this.layout = layouts[elfClass];
    const model = newModel({ class: elfClass, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
    const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(16), { align: 4 });
    const callee = newSymbol('callee');
    text.relocations.push({ offset: 4, type: 10, symbol: callee, addend: 0n });
    model.sections.push(text, newSection('.bss', SHT_NOBITS, SHF_ALLOC, undefined, { size: 64 }));
    model.symbols.push(newSymbol('caller', { place: text, binding: STB_LOCAL }), callee);
    this.bytes = writeElf(model);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Where a section's header stands. */
  header(section: keyof typeof Sample.numbers): number {
    const shoff = this.layout.fileHeader.e_shoff.read(this.view, 0) as unknown as number;
    return shoff + Sample.numbers[section] * this.layout.sectionHeader.size;
  }

  /** Where a section's bytes stand. */
  contents(section: keyof typeof Sample.numbers): number {
    return this.layout.sectionHeader.sh_offset.read(this.view, this.header(section)) as unknown as number;
  }

  set(section: keyof typeof Sample.numbers, field: HeaderField, value: number | bigint): this {
    const anyField = this.layout.sectionHeader[field] as Field<unknown, number | bigint>;
    anyField.write(this.view, this.header(section), value);
    return this;
  }

  setSymbol(index: number, field: 'st_name' | 'st_shndx', value: number): this {
    this.layout.symbol[field].write(this.view, this.contents('symtab') + index * this.layout.symbol.size, value);
    return this;
  }

  setRelocation(field: 'r_offset' | 'r_symbol', value: number): this {
    this.layout.rela[field].write(this.view, this.contents('relocations'), value);
    return this;
  }

  setHeader(
    field: 'e_shoff' | 'e_shnum' | 'e_shentsize' | 'e_shstrndx' | 'e_phnum' | 'e_phentsize' | 'e_type',
    value: number,
  ): this {
    this.layout.fileHeader[field].write(this.view, 0, value);
    return this;
  }

  setByte(at: number, value: number): this {
    this.bytes[at] = value;
    return this;
  }
}

/** `code place: message` of the refusal. */
function refusal(bytes: Uint8Array): string {
  try {
    readElf(bytes, 'foo.ko');
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return `${error.reasons[0].code} ${error.message}`;
  }
  return 'accepted';
}

/** A wrong thing, and what the refusal must say. */
const wrong: readonly [string, (sample: Sample) => Sample, string][] = [
  ['another magic', (s) => s.setByte(0, 0), 'elf-malformed foo.ko: e_ident: this is not an ELF file'],
  ['an unknown class', (s) => s.setByte(4, 3), 'elf-unsupported foo.ko: e_ident: class 3'],
  ['big-endian bytes', (s) => s.setByte(5, 2), 'elf-unsupported foo.ko: e_ident: the byte order'],
  ['another version', (s) => s.setByte(6, 2), 'elf-malformed foo.ko: e_ident: version 2'],
  ['a core dump', (s) => s.setHeader('e_type', 4), 'elf-unsupported foo.ko: e_type: type 4'],
  ['headers of another size', (s) => s.setHeader('e_shentsize', 8), 'elf-malformed foo.ko: e_shentsize: 8 is not'],
  [
    'headers behind the end',
    (s) => s.setHeader('e_shoff', 0x7fffffff),
    'elf-malformed foo.ko: e_shoff: 1 entries at 0x7fffffff',
  ],
  ['too many headers', (s) => s.setHeader('e_shnum', 5000), 'elf-malformed foo.ko: e_shoff: 5000 entries'],
  [
    'names in no section',
    (s) => s.setHeader('e_shstrndx', 7),
    'elf-malformed foo.ko: e_shstrndx: there is no section 7',
  ],
  [
    'names in no string table',
    (s) => s.setHeader('e_shstrndx', 1),
    'elf-malformed foo.ko: section 1 (e_shstrndx): sh_type',
  ],
  [
    'a section 0 that is something',
    (s) => s.set('zero', 'sh_type', 1),
    'elf-malformed foo.ko: section 0: sh_type: it is not SHT_NULL',
  ],
  ['segments of another size', (s) => s.setHeader('e_phnum', 1), 'elf-malformed foo.ko: e_phentsize: 0 is not'],
  ['a name outside the names', (s) => s.set('text', 'sh_name', 5000), 'elf-malformed foo.ko: section 1: sh_name: '],
  [
    'an offset behind the end',
    (s) => s.set('text', 'sh_offset', 0xfffffff0),
    'elf-malformed foo.ko: section 1 (.text): sh_offset: 16 bytes at 0xfffffff0',
  ],
  [
    'a size beyond the end',
    (s) => s.set('text', 'sh_size', 0xfffffff0),
    'elf-malformed foo.ko: section 1 (.text): sh_size: 0xfffffff0 bytes',
  ],
  [
    'an alignment of 3',
    (s) => s.set('text', 'sh_addralign', 3),
    'elf-malformed foo.ko: section 1 (.text): sh_addralign: 3',
  ],
  [
    'a link to no section',
    (s) => s.set('text', 'sh_link', 99),
    'elf-malformed foo.ko: section 1 (.text): sh_link: there is no section 0x63',
  ],
  [
    'symbols of another size',
    (s) => s.set('symtab', 'sh_entsize', 7),
    'elf-malformed foo.ko: section 4 (.symtab): sh_entsize: 7',
  ],
  ['half a symbol', (s) => s.set('symtab', 'sh_size', 25), 'elf-malformed foo.ko: section 4 (.symtab): sh_size: 25'],
  [
    'more local symbols than symbols',
    (s) => s.set('symtab', 'sh_info', 9),
    'elf-malformed foo.ko: section 4 (.symtab): sh_info: 9',
  ],
  [
    'symbol names in code',
    (s) => s.set('symtab', 'sh_link', 1),
    'elf-malformed foo.ko: section 4 (.symtab): sh_link: section 1',
  ],
  [
    'a second symbol table',
    (s) => s.set('bss', 'sh_type', 2),
    'elf-malformed foo.ko: section 4 (.symtab): a second symbol table',
  ],
  [
    'a symbol name that never ends',
    (s) => s.set('strtab', 'sh_size', 3),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 1: st_name: ',
  ],
  [
    'a symbol name outside',
    (s) => s.setSymbol(2, 'st_name', 500),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 2: st_name: ',
  ],
  [
    'a symbol in no section',
    (s) => s.setSymbol(1, 'st_shndx', 12),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 1: st_shndx: ',
  ],
  [
    'an extended index without the table',
    (s) => s.setSymbol(1, 'st_shndx', 0xffff),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 1: st_shndx: SHN_XINDEX',
  ],
  [
    'a table of extended indexes that is too short',
    (s) =>
      s
        .setSymbol(1, 'st_shndx', 0xffff)
        .set('bss', 'sh_type', SHT_SYMTAB_SHNDX)
        .set('bss', 'sh_link', Sample.numbers.symtab)
        .set('bss', 'sh_size', 7),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 1: st_shndx: SHN_XINDEX',
  ],
  [
    'a group in a group',
    (s) =>
      s
        .set('bss', 'sh_type', SHT_GROUP)
        .set('bss', 'sh_entsize', 4)
        .set('bss', 'sh_link', Sample.numbers.symtab)
        .set('bss', 'sh_info', 1)
        .set('bss', 'sh_size', 8)
        .set('bss', 'sh_offset', s.contents('text'))
        .setByte(s.contents('text') + 4, Sample.numbers.bss),
    'elf-malformed foo.ko: section 3 (.bss): member 1: section 3 cannot be in a group',
  ],
  ['a symbol in the symbol table', (s) => s.setSymbol(1, 'st_shndx', 4), 'elf-unsupported foo.ko: symbol 1: st_shndx'],
  [
    'a symbol name that is not UTF-8',
    (s) => s.setByte(s.contents('strtab') + 1, 0xff),
    'elf-malformed foo.ko: section 4 (.symtab): symbol 1: st_name: the name at 1 is not UTF-8',
  ],
  [
    'a relocation of no section',
    (s) => s.set('relocations', 'sh_info', 0),
    'elf-malformed foo.ko: section 2 (.rela.text): sh_info: ',
  ],
  [
    'a relocation of relocations',
    (s) => s.set('relocations', 'sh_info', 2),
    'elf-malformed foo.ko: section 2 (.rela.text): sh_info: ',
  ],
  [
    'a relocation behind its section',
    (s) => s.setRelocation('r_offset', 17),
    'elf-malformed foo.ko: section 2 (.rela.text): relocation 0: r_offset: 0x11',
  ],
  [
    'a relocation against no symbol',
    (s) => s.setRelocation('r_symbol', 3),
    'elf-malformed foo.ko: section 2 (.rela.text): relocation 0: r_info: there is no symbol 3',
  ],
  [
    'relocations by other symbols',
    (s) => s.set('relocations', 'sh_link', 1),
    'elf-malformed foo.ko: section 2 (.rela.text): sh_link: this is not the symbol table',
  ],
  [
    'a section of unknown use that refers to the symbols',
    (s) => s.set('text', 'sh_link', 4),
    'elf-unsupported foo.ko: section 1 (.text): sh_link',
  ],
];

describe.each([32, 64] as const)('an ELF%i file', (elfClass) => {
  it('is read when nothing is wrong', () => {
    expect(refusal(new Sample(elfClass).bytes)).toBe('accepted');
  });

  it.each(wrong)('is refused with %s', (_, change, expected) => {
    expect(refusal(change(new Sample(elfClass)).bytes)).toContain(expected);
  });

  it('may have something behind it, as signed modules do', () => {
    const { bytes } = new Sample(elfClass);
    const signed = new Uint8Array(bytes.length + 40);
    signed.set(bytes);
    expect(readElf(signed, 'foo.ko').symbols.length).toBe(2);
  });

  it('may claim more zeros in memory than there is memory', () => {
    const sample = new Sample(elfClass).set('bss', 'sh_size', 0xfffffff0);
    expect(readElf(sample.bytes, 'foo.ko').sections[1]).toMatchObject({ size: 0xfffffff0, data: new Uint8Array(0) });
  });

  it('may say nonsense in a header that is SHT_NULL', () => {
    const sample = new Sample(elfClass).set('bss', 'sh_type', SHT_NULL).set('bss', 'sh_link', 99);
    expect(readElf(sample.bytes, 'foo.ko').sections[1]).toMatchObject({ type: SHT_NULL, link: undefined });
  });

  it('may have sections whose sh_info would be a section and is none', () => {
    const sample = new Sample(elfClass).set('text', 'sh_flags', SHF_ALLOC | SHF_INFO_LINK);
    expect(readElf(sample.bytes, 'foo.ko').sections[0]!.info).toBe(0);
  });

  it('lends its bytes, it does not give them away', () => {
    const { bytes } = new Sample(elfClass);
    expect(readElf(bytes, 'foo.ko').sections[0]!.data.buffer).toBe(bytes.buffer);
  });
});

it('sections that link to each other in a circle do no harm', () => {
  const sample = new Sample(64).set('text', 'sh_link', 3).set('bss', 'sh_link', 1);
  const [text, bss] = readElf(sample.bytes, 'foo.ko').sections;
  expect(text!.link).toBe(bss);
  expect(bss!.link).toBe(text);
});

describe('parts that lie over each other', () => {
  /** A file of `count` section headers over one area of `area` bytes. */
  function overlapping(count: number, area: number, type: number): Uint8Array {
    const { fileHeader, sectionHeader } = layouts[64];
    const bytes = new Uint8Array(fileHeader.size + area + (count + 1) * sectionHeader.size);
    const view = new DataView(bytes.buffer);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    fileHeader.e_type.write(view, 0, ET_EXEC);
    fileHeader.e_shoff.write(view, 0, fileHeader.size + area);
    fileHeader.e_shentsize.write(view, 0, sectionHeader.size);
    fileHeader.e_shnum.write(view, 0, count + 1);
    for (let i = 1; i <= count; i++) {
      const at = fileHeader.size + area + i * sectionHeader.size;
      sectionHeader.sh_type.write(view, at, type);
      sectionHeader.sh_offset.write(view, at, fileHeader.size);
      sectionHeader.sh_size.write(view, at, area);
    }
    return bytes;
  }

  it('are allowed, since linkers share what is equal', () => {
    expect(refusal(overlapping(2, 1000, SHT_PROGBITS))).toBe('accepted');
  });

  it('are refused when together they are many times the file', () => {
    expect(refusal(overlapping(100, 10_000, SHT_PROGBITS))).toMatch(
      /elf-malformed foo.ko: section \d+ \(\): sh_size: .*overlap/,
    );
  });

  it('are refused when names nest a thousandfold', () => {
    // 10,000 bytes without a zero but the last, and 1,000 symbols whose names begin one byte after the other.
    const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
    for (let i = 0; i < 1000; i++) model.symbols.push(newSymbol(i === 0 ? 'n'.repeat(20_000) : ''));
    const bytes = writeElf(model);
    const view = new DataView(bytes.buffer);
    const { fileHeader, sectionHeader, symbol } = layouts[32];
    const symtab = (fileHeader.e_shoff.read(view, 0) as unknown as number) + sectionHeader.size;
    const symbols = sectionHeader.sh_offset.read(view, symtab) as unknown as number;
    for (let i = 1; i <= 1000; i++) symbol.st_name.write(view, symbols + i * symbol.size, i);
    expect(refusal(bytes)).toMatch(/symbol \d+: st_name: the names take many times the bytes of the file/);
  });

  it('are refused when they are tables', () => {
    const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
    const targets = ['.a', '.b', '.c'].map((name) => newSection(name, SHT_PROGBITS, 0n, new Uint8Array(8)));
    for (const target of targets)
      target.relocations = Array.from({ length: 100 }, () => ({ offset: 0, type: 1, symbol: undefined, addend: 0n }));
    model.sections.push(...targets);
    const bytes = writeElf(model);
    const view = new DataView(bytes.buffer);
    const { fileHeader, sectionHeader } = layouts[64];
    // The second and the third table grow backwards over the first.
    const header = (index: number) =>
      (fileHeader.e_shoff.read(view, 0) as unknown as number) + index * sectionHeader.size;
    const first = sectionHeader.sh_offset.read(view, header(2)) as unknown as number;
    for (const index of [4, 6]) {
      const end = (sectionHeader.sh_offset.read(view, header(index)) as unknown as number) + 2400;
      const entries = Math.floor((end - first) / 24);
      sectionHeader.sh_offset.write(view, header(index), end - entries * 24);
      sectionHeader.sh_size.write(view, header(index), entries * 24);
    }
    expect(refusal(bytes)).toMatch(/section 6 \(\.rela\.c\): this table overlaps with others/);
  });
});

describe('an image', () => {
  /** An executable file with one segment over its header, and one section header that is SHT_NULL. */
  function image(change: (bytes: Uint8Array, view: DataView) => void = () => {}): Uint8Array {
    const { fileHeader, programHeader } = layouts[64];
    const bytes = new Uint8Array(256);
    const view = new DataView(bytes.buffer);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    fileHeader.e_type.write(view, 0, ET_EXEC);
    fileHeader.e_entry.write(view, 0, 0xc000000000000000n);
    fileHeader.e_phoff.write(view, 0, 64);
    fileHeader.e_phentsize.write(view, 0, programHeader.size);
    fileHeader.e_phnum.write(view, 0, 1);
    programHeader.p_type.write(view, 64, PT_LOAD);
    programHeader.p_flags.write(view, 64, 5);
    programHeader.p_offset.write(view, 64, 128);
    programHeader.p_vaddr.write(view, 64, 0xc000000000000000n);
    programHeader.p_filesz.write(view, 64, 100);
    programHeader.p_memsz.write(view, 64, 1000);
    programHeader.p_align.write(view, 64, 65536);
    change(bytes, view);
    return bytes;
  }

  it('tells its segments, even without any section', () => {
    const bytes = image();
    const model = readElf(bytes, 'vmlinux');
    expect(model.header.entry).toBe(0xc000000000000000n);
    expect(model.sections).toEqual([]);
    expect(model.segments).toEqual([
      {
        type: PT_LOAD,
        flags: 5,
        offset: 128,
        address: 0xc000000000000000n,
        physicalAddress: 0n,
        memorySize: 1000,
        align: 65536,
        data: bytes.subarray(128, 228),
      },
    ]);
  });

  it('is refused when a segment is not in the file', () => {
    const { programHeader } = layouts[64];
    expect(refusal(image((_, view) => programHeader.p_offset.write(view, 64, 200)))).toContain(
      'elf-malformed foo.ko: program header 0: p_offset: 100 bytes at 0xc8',
    );
    expect(refusal(image((_, view) => programHeader.p_filesz.write(view, 64, 2 ** 50)))).toContain('p_filesz');
    expect(refusal(image((_, view) => layouts[64].fileHeader.e_phnum.write(view, 0, 0xfffe)))).toContain('e_phoff');
  });

  it('may have more segments than its header can count', () => {
    const { fileHeader, sectionHeader } = layouts[64];
    const bytes = image((_, view) => {
      fileHeader.e_phnum.write(view, 0, PN_XNUM);
      fileHeader.e_shoff.write(view, 0, 192);
      fileHeader.e_shnum.write(view, 0, 1);
      fileHeader.e_shentsize.write(view, 0, sectionHeader.size);
      sectionHeader.sh_info.write(view, 192, 2);
    });
    expect(readElf(bytes, 'vmlinux').segments.length).toBe(2);
  });

  it('cannot be written', () => {
    expect(() => writeElf(readElf(image(), 'vmlinux'))).toThrow(/only relocatable files/);
  });
});

it('a string table that nothing uses is a section like others', () => {
  const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  model.sections.push(newSection('.stabstr', SHT_STRTAB, 0n, Uint8Array.of(0, 65)));
  expect(readElf(writeElf(model), 'x.o').sections).toEqual(model.sections);
});
