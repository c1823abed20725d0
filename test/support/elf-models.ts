// Models of relocatable files for property tests, and what a model means: a plain value in which two models that say
// the same are equal.

import fc from 'fast-check';
import {
  GRP_COMDAT,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_GROUP,
  SHF_INFO_LINK,
  SHF_LINK_ORDER,
  SHF_MERGE,
  SHF_RELA_LIVEPATCH,
  SHF_STRINGS,
  SHF_WRITE,
  SHN_LIVEPATCH,
  SHT_ARM_EXIDX,
  SHT_GROUP,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_PROGBITS,
  SHT_RELA,
  STB_LOCAL,
} from '../../src/elf/constants.ts';
import { newModel, newSection, newSymbol } from '../../src/elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section, SymbolPlace } from '../../src/elf/model.ts';

/** Everything that a model says, with indexes for references. Locals come first, as in every file. */
export function meaning(model: ElfModel) {
  const local = (symbol: ElfSymbol) => symbol.binding === STB_LOCAL;
  const symbols = [...model.symbols.filter(local), ...model.symbols.filter((symbol) => !local(symbol))];
  const sectionNumbers = new Map(model.sections.map((section, index) => [section, index]));
  const symbolNumbers = new Map(symbols.map((symbol, index) => [symbol, index]));
  const sectionNumber = (section: Section) => ({ section: sectionNumbers.get(section) ?? 'not in the model' });
  const symbolNumber = (symbol: ElfSymbol) => ({ symbol: symbolNumbers.get(symbol) ?? 'not in the model' });
  const relocated = (relocations: readonly Relocation[]) =>
    relocations.map((each) => ({ ...each, symbol: each.symbol && symbolNumber(each.symbol) }));
  return {
    header: model.header,
    sections: model.sections.map(({ group, relocationTable, ...section }) => ({
      ...section,
      // Of a group and of a relocation table the bytes are made from what they say.
      data: group || relocationTable ? 'made by the writer' : [...section.data],
      size: group || relocationTable ? 'made by the writer' : section.size,
      link: section.link && sectionNumber(section.link),
      info: typeof section.info === 'object' ? sectionNumber(section.info) : section.info,
      relocations: relocated(section.relocations),
      group: group && {
        flags: group.flags,
        members: group.members.map(sectionNumber),
        signature: symbolNumber(group.signature),
      },
      relocationTable: relocationTable && {
        target: sectionNumber(relocationTable.target),
        relocations: relocated(relocationTable.relocations),
      },
    })),
    symbols: symbols.map((symbol) => ({
      ...symbol,
      place: typeof symbol.place === 'object' && 'name' in symbol.place ? sectionNumber(symbol.place) : symbol.place,
    })),
  };
}

// Few names, so that some come twice; some that are not ASCII, one that begins like a byte order mark.
const names = fc.oneof(
  fc.constantFrom('', '.text', '.data', '.rodata.str1.4', '.ARM.exidx', 'f', '$a', '.LANCHOR0', 'größe', '\ufefff'),
  fc.string({ maxLength: 12 }).filter((name) => !name.includes('\0')),
);
const alignments = fc.constantFrom(0, 1, 2, 4, 8, 64, 4096);
const sectionFlags = fc
  .subarray([SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS])
  .map((flags) => flags.reduce((all, flag) => all | flag, 0n));
/** Index into a list of unknown length. */
const pick = fc.nat({ max: 1000 });
const chosen = <T>(list: readonly T[], index: number): T | undefined => list[index % list.length];

const sections = fc.array(
  fc.record({
    name: names,
    type: fc.constantFrom(SHT_PROGBITS, SHT_PROGBITS, SHT_NOBITS, SHT_NOTE, SHT_ARM_EXIDX),
    flags: sectionFlags,
    data: fc.uint8Array({ maxLength: 40 }),
    memory: fc.nat(),
    align: alignments,
    entrySize: fc.nat({ max: 24 }),
    address: fc.bigInt(0n, 0xffffffffn),
    /** Another section that this one names, and by which field. */
    refersTo: fc.option(fc.tuple(fc.constantFrom('link', 'info'), pick)),
    info: fc.nat(),
    relocations: fc.array(
      fc.record({
        at: pick,
        type: fc.nat({ max: 255 }),
        symbol: fc.option(pick),
        addend: fc.bigInt(-(2n ** 31n), 2n ** 31n - 1n),
      }),
      { maxLength: 6 },
    ),
    withAddend: fc.boolean(),
  }),
  { maxLength: 7 },
);

const symbols = fc.array(
  fc.record({
    name: names,
    value: fc.bigInt(0n, 0xffffffffn),
    size: fc.bigInt(0n, 0xffffffffn),
    binding: fc.constantFrom(0, 1, 2, 10),
    type: fc.nat({ max: 15 }),
    other: fc.nat({ max: 255 }),
    place: fc.oneof(
      pick,
      fc.constantFrom<SymbolPlace>('undefined', 'absolute', 'common', { index: SHN_LIVEPATCH }, { index: 0xff00 }),
    ),
  }),
  { maxLength: 9 },
);

/** Relocatable files of both classes, with everything that the model can say. */
export const models: fc.Arbitrary<ElfModel> = fc
  .record({
    class: fc.constantFrom<32 | 64>(32, 64),
    machine: fc.nat({ max: 0xffff }),
    flags: fc.nat({ max: 0xffffffff }),
    osAbi: fc.nat({ max: 255 }),
    sections,
    symbols,
    group: fc.option(fc.tuple(pick, fc.uniqueArray(pick, { maxLength: 3 }))),
    livepatch: fc.option(pick),
  })
  .map((plan) => {
    const { class: elfClass, machine, flags, osAbi } = plan;
    const model = newModel({ class: elfClass, type: 1, machine, osAbi, abiVersion: 0, entry: 0n, flags });
    for (const { name, type, flags, data, memory, align, entrySize, address, info } of plan.sections) {
      const bytes = type === SHT_NOBITS ? new Uint8Array(0) : data;
      model.sections.push(newSection(name, type, flags, bytes, { size: memory, align, entrySize, address, info }));
    }
    for (const { place, ...symbol } of plan.symbols) {
      const section = typeof place === 'number' ? chosen(model.sections, place) : place;
      model.symbols.push(newSymbol(symbol.name, { ...symbol, place: section ?? 'undefined' }));
    }
    plan.sections.forEach(({ refersTo, relocations, withAddend }, i) => {
      const section = model.sections[i]!;
      if (refersTo?.[0] === 'link') {
        section.link = chosen(model.sections, refersTo[1])!;
        section.flags |= SHF_LINK_ORDER;
      } else if (refersTo) {
        section.info = chosen(model.sections, refersTo[1])!;
        section.flags |= SHF_INFO_LINK;
      }
      section.relocations = relocations.map(({ at, type, symbol, addend }) => ({
        offset: at % (section.size + 1),
        type,
        symbol: symbol === null ? undefined : chosen(model.symbols, symbol),
        addend: withAddend ? addend : undefined,
      }));
    });
    const [signature, members] = plan.group ?? [0, []];
    if (plan.group && model.symbols.length > 0 && model.sections.length > 0) {
      const group = {
        flags: GRP_COMDAT,
        members: [...new Set(members.map((member) => chosen(model.sections, member)!))],
        signature: chosen(model.symbols, signature)!,
      };
      for (const member of group.members) member.flags |= SHF_GROUP;
      model.sections.push(newSection('.group', SHT_GROUP, 0n, undefined, { align: 4, entrySize: 4, group }));
    }
    const target = plan.livepatch === null ? undefined : chosen(model.sections, plan.livepatch);
    if (target && !target.group) {
      const relocations = [{ offset: 0, type: 10, symbol: model.symbols[0], addend: -4n }];
      const flags = SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH;
      model.sections.push(
        newSection('.klp.rela.vmlinux..text', SHT_RELA, flags, undefined, {
          align: 8,
          entrySize: elfClass === 64 ? 24 : 12,
          relocationTable: { target, relocations },
        }),
      );
    }
    return model;
  });
