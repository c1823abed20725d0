// What a linker relies on when it builds a file from a model: the bytes as the specification has them, and every kind
// of reference still pointing where it did after a round through a file.

import { describe, expect, it } from 'vitest';
import {
  GRP_COMDAT,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_GROUP,
  SHF_INFO_LINK,
  SHF_LINK_ORDER,
  SHF_RELA_LIVEPATCH,
  SHN_LIVEPATCH,
  SHN_LORESERVE,
  SHT_ARM_EXIDX,
  SHT_GROUP,
  SHT_NOBITS,
  SHT_PROGBITS,
  SHT_REL,
  SHT_RELA,
  STB_LOCAL,
  STT_FUNC,
  STT_SECTION,
} from './constants.ts';
import { findSection, findSymbol, newModel, newSection, newSymbol, readElf, setData, writeElf } from './elf.ts';
import { identification, layouts } from './layout.ts';
import type { ElfModel } from './model.ts';

const header = { type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x05000000 } as const;
const relocatable = (elfClass: 32 | 64 = 64): ElfModel => newModel({ ...header, class: elfClass });
const code = (size = 8) => newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(size));
const again = (model: ElfModel) => readElf(writeElf(model), 'again.o');

/** `bx lr` in `.text`, with a call of `f` (R_ARM_CALL) at offset 0, as an assembler would have written it. */
const smallest = `
  7f 45 4c 46 01 01 01 00  00 00 00 00 00 00 00 00   e_ident: ELFCLASS32, ELFDATA2LSB, EV_CURRENT
  01 00 28 00 01 00 00 00                            ET_REL, EM_ARM, EV_CURRENT
  00 00 00 00 00 00 00 00  90 00 00 00 00 00 00 05   e_entry, e_phoff, e_shoff, e_flags
  34 00 00 00 00 00 28 00  06 00 05 00               e_ehsize, no segments, 6 headers of 40, names in the 5th
  1e ff 2f e1                                        0x34 .text
  00 00 00 00 1c 01 00 00                            0x38 .rel.text: offset 0, symbol 1, type 28
  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00   0x40 .symtab: the null symbol
  01 00 00 00 00 00 00 00  00 00 00 00 10 00 00 00   f: global, no type, undefined
  00 66 00                                           0x60 .strtab
  00 2e 74 65 78 74 00                               0x63 .shstrtab: .text at 1
  2e 72 65 6c 2e 74 65 78 74 00                      .rel.text at 7
  2e 73 79 6d 74 61 62 00                            .symtab at 0x11
  2e 73 74 72 74 61 62 00                            .strtab at 0x19
  2e 73 68 73 74 72 74 61 62 00 00 00                .shstrtab at 0x21, to 0x8e; alignment
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  01 00 00 00 01 00 00 00 06 00 00 00 00 00 00 00 34 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
  07 00 00 00 09 00 00 00 40 00 00 00 00 00 00 00 38 00 00 00 08 00 00 00 03 00 00 00 01 00 00 00 04 00 00 00 08 00 00 00
  11 00 00 00 02 00 00 00 00 00 00 00 00 00 00 00 40 00 00 00 20 00 00 00 04 00 00 00 01 00 00 00 04 00 00 00 10 00 00 00
  19 00 00 00 03 00 00 00 00 00 00 00 00 00 00 00 60 00 00 00 03 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
  21 00 00 00 03 00 00 00 00 00 00 00 00 00 00 00 63 00 00 00 2b 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00`;

/** The bytes at the beginning of each line, up to the remark. */
const bytesOf = (text: string) =>
  Uint8Array.from(
    text.split('\n').flatMap((line) => /^(\s+[0-9a-f]{2}(?=\s|$))*/.exec(line)![0].match(/[0-9a-f]{2}/g) ?? []),
    (byte) => Number.parseInt(byte, 16),
  );

describe('the smallest module', () => {
  const model = relocatable(32);
  const text = code();
  setData(text, Uint8Array.of(0x1e, 0xff, 0x2f, 0xe1));
  text.align = 4;
  const f = newSymbol('f');
  text.relocations.push({ offset: 0, type: 28, symbol: f, addend: undefined });
  model.sections.push(text);
  model.symbols.push(f);

  it('is written byte for byte as the specification has it', () => {
    expect(writeElf(model)).toEqual(bytesOf(smallest));
  });

  it('is read as it was meant', () => {
    expect(readElf(bytesOf(smallest), 'smallest.o')).toEqual(model);
  });
});

describe('symbols', () => {
  it('stand local first, whatever the order in the model, and relocations follow them', () => {
    const model = relocatable();
    const [global, local] = [newSymbol('global'), newSymbol('local', { binding: STB_LOCAL })];
    const text = code();
    text.relocations = [global, local].map((symbol) => ({ offset: 0, type: 38, symbol, addend: 0n }));
    model.sections.push(text);
    model.symbols.push(global, local);
    const read = again(model);
    expect(read.symbols.map(({ name }) => name)).toEqual(['local', 'global']);
    expect(read.sections[0]!.relocations.map(({ symbol }) => symbol?.name)).toEqual(['global', 'local']);
  });

  it('may share a name and stay two', () => {
    const model = relocatable();
    const text = code();
    model.sections.push(text);
    const place = { binding: STB_LOCAL, type: STT_FUNC, place: text };
    model.symbols.push(newSymbol('show', { ...place, value: 0n }), newSymbol('show', { ...place, value: 4n }));
    expect(again(model).symbols.map(({ name, value }) => [name, value])).toEqual([
      ['show', 0n],
      ['show', 4n],
    ]);
  });

  it('of sections have no name', () => {
    const model = relocatable();
    const text = code();
    model.sections.push(text);
    model.symbols.push(newSymbol('', { binding: STB_LOCAL, type: STT_SECTION, place: text }));
    const read = again(model);
    expect(read.symbols[0]).toMatchObject({ name: '', type: STT_SECTION, place: { name: '.text' } });
  });

  it('keep the reserved indexes, SHN_LIVEPATCH among them', () => {
    const model = relocatable();
    const places = ['absolute', 'common', 'undefined', { index: SHN_LIVEPATCH }] as const;
    for (const place of places) model.symbols.push(newSymbol('x', { place }));
    expect(again(model).symbols.map(({ place }) => place)).toEqual(places);
  });

  it('can be none: a relocation against the null symbol stays one', () => {
    const model = relocatable();
    const text = code();
    text.relocations.push({ offset: 4, type: 118, symbol: undefined, addend: -8n });
    model.sections.push(text);
    expect(again(model).sections[0]!.relocations).toEqual(text.relocations);
  });
});

describe('sections', () => {
  it('keep the section that unwind tables are ordered by', () => {
    const model = relocatable(32);
    const text = code();
    const exidx = newSection('.ARM.exidx', SHT_ARM_EXIDX, SHF_ALLOC | SHF_LINK_ORDER, new Uint8Array(8), {
      link: text,
    });
    model.sections.push(exidx, text);
    const read = again(model);
    expect(read.sections[0]!.link).toBe(read.sections[1]);
  });

  it('without bytes take no room in the file, however large they are in memory', () => {
    const model = relocatable();
    model.sections.push(newSection('.bss', SHT_NOBITS, SHF_ALLOC, undefined, { size: 2 ** 40, align: 65536 }));
    const bytes = writeElf(model);
    expect(bytes.length).toBeLessThan(1000);
    expect(readElf(bytes, 'bss.o').sections[0]).toMatchObject({ size: 2 ** 40, align: 65536, data: new Uint8Array(0) });
  });

  it('that ask for a large alignment do not get it in the file', () => {
    const model = relocatable();
    model.sections.push(newSection('.a', SHT_PROGBITS, SHF_ALLOC, Uint8Array.of(1), { align: 2 ** 40 }));
    const bytes = writeElf(model);
    expect(bytes.length).toBeLessThan(1000);
    expect(readElf(bytes, 'a.o').sections[0]!.align).toBe(2 ** 40);
  });

  it('of a group bring their relocation sections into it', () => {
    const model = relocatable();
    const text = code();
    text.flags |= SHF_GROUP;
    const signature = newSymbol('inline_me', { place: text });
    text.relocations.push({ offset: 0, type: 10, symbol: signature, addend: 0n });
    const group = { flags: GRP_COMDAT, members: [text], signature };
    model.sections.push(newSection('.group', SHT_GROUP, 0n, undefined, { entrySize: 4, align: 4, group }), text);
    model.symbols.push(signature);

    const read = again(model);
    const readGroup = findSection(read, '.group');
    expect(readGroup?.group?.members).toEqual([findSection(read, '.text')]);
    expect(readGroup?.group?.signature).toBe(findSymbol(read, 'inline_me'));
    // In the file: flags, .text (2), .rela.text (3).
    expect([...readGroup!.data]).toEqual([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
  });

  it('can be relocated a second time, later, as livepatch does it', () => {
    const model = relocatable();
    const text = code();
    const symbol = newSymbol('.klp.sym.vmlinux.show,1', { place: { index: SHN_LIVEPATCH } });
    text.relocations.push({ offset: 0, type: 10, symbol: undefined, addend: 0n });
    const relocations = [{ offset: 4, type: 10, symbol, addend: 0n }];
    const flags = SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH;
    const relocationTable = { target: text, relocations };
    const late = newSection('.klp.rela.vmlinux..text', SHT_RELA, flags, undefined, { relocationTable });
    model.sections.push(text, late);
    model.symbols.push(symbol);
    const read = again(model);
    expect(read.sections.map(({ name, flags }) => [name, flags])).toEqual([
      ['.text', text.flags],
      [late.name, flags],
    ]);
    expect(read.sections[0]!.relocations).toEqual(text.relocations);
    expect(read.sections[1]!.relocationTable).toEqual({ target: read.sections[0], relocations });
  });

  it('may be more than a header can count', () => {
    const model = relocatable();
    // Sections 1 to 0xff02: the last are at SHN_LORESERVE and behind it.
    for (let i = 1; i <= SHN_LORESERVE + 2; i++) model.sections.push(newSection('.s', SHT_PROGBITS, 0n));
    const [low, reserved, last] = [1, SHN_LORESERVE, SHN_LORESERVE + 2].map((index) => model.sections[index - 1]!);
    for (const place of [low, reserved, last]) model.symbols.push(newSymbol('at', { place: place! }));
    last!.info = reserved!;
    last!.flags = SHF_INFO_LINK;
    const read = again(model);
    expect(read.sections.length).toBe(model.sections.length);
    expect(read.symbols.map(({ place }) => read.sections.indexOf(place as (typeof read.sections)[0]) + 1)).toEqual([
      1,
      SHN_LORESERVE,
      SHN_LORESERVE + 2,
    ]);
    expect(read.sections.at(-1)!.info).toBe(read.sections[SHN_LORESERVE - 1]);
  }, 60_000);
});

describe('relocations', () => {
  it('stand in .rel sections where the addend is in the place, in .rela sections where it is their own', () => {
    for (const [addend, name, type] of [
      [undefined, '.rel.text', SHT_REL] as const,
      [-4n, '.rela.text', SHT_RELA] as const,
    ]) {
      const model = relocatable(32);
      const text = code();
      text.relocations.push({ offset: 4, type: 1, symbol: undefined, addend });
      model.sections.push(text);
      const bytes = writeElf(model);
      // The header behind that of .text.
      const view = new DataView(bytes.buffer);
      const at = view.getUint32(32, true) + 2 * layouts[32].sectionHeader.size;
      expect(layouts[32].sectionHeader.sh_type.read(view, at)).toBe(type);
      expect(new TextDecoder().decode(bytes)).toContain(`\0${name}\0`);
      expect(readElf(bytes, 'x.o').sections[0]!.relocations).toEqual(text.relocations);
    }
  });
});

describe('what cannot be written is refused by name', () => {
  const withText = (change: (model: ElfModel, text: ReturnType<typeof code>) => void) => () => {
    const model = relocatable(32);
    const text = code();
    model.sections.push(text);
    change(model, text);
    return writeElf(model);
  };
  const relocation = { offset: 0, type: 1, symbol: undefined, addend: undefined };

  it.each([
    [
      'an image',
      withText((model) => {
        model.header.type = 2;
      }),
      /only relocatable files/,
    ],
    [
      'a symbol of another model',
      withText((_, text) => text.relocations.push({ ...relocation, symbol: newSymbol('stray') })),
      /symbol stray: .*not in the model/,
    ],
    [
      'a section of another model',
      withText((model) => model.symbols.push(newSymbol('s', { place: code() }))),
      /section \.text: .*not in the model/,
    ],
    ['a section that is there twice', withText((model, text) => model.sections.push(text)), /twice/],
    [
      'addends in part of a section',
      withText((_, text) => text.relocations.push(relocation, { ...relocation, addend: 1n })),
      /with and without addend/,
    ],
    [
      'a value that the class cannot hold',
      withText((model) => model.symbols.push(newSymbol('s', { value: 2n ** 32n }))),
      /st_value/,
    ],
    [
      'a name with a zero byte',
      withText((_, text) => {
        text.name = 'a\0b';
      }),
      /zero byte/,
    ],
    [
      'bytes in SHT_NOBITS',
      withText((_, text) => {
        text.type = SHT_NOBITS;
      }),
      /no bytes/,
    ],
    [
      'a reserved index that is none',
      withText((model) => model.symbols.push(newSymbol('s', { place: { index: 1 } }))),
      /reserved/,
    ],
  ])('%s', (_, write, message) => {
    expect(write).toThrow(message);
  });
});

it('the layout of the header fits behind its identification', () => {
  expect(layouts[32].fileHeader.size - identification.size).toBe(36);
  expect(layouts[64].fileHeader.size - identification.size).toBe(48);
});
