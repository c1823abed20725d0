// What a module's data will hold once the kernel's loader has applied its relocations, read without applying them.

import type { Architecture } from '../arch/arch.ts';
import { SHT_NOBITS, STT_FUNC } from '../elf/constants.ts';
import { cString, isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';

/** Where a pointer leads. */
export interface Pointee {
  readonly symbol: ElfSymbol;
  /** The symbol's section, undefined for what is outside the module. */
  readonly section: Section | undefined;
  /** Offset in the section; without one, the distance from the symbol. */
  readonly offset: number;
}

export class ModuleData {
  private readonly word: number;
  private readonly arch: Architecture;
  private readonly model: ElfModel;
  private readonly byOffset = new Map<Section, Map<number, Relocation>>();

  constructor(arch: Architecture, model: ElfModel) {
    this.arch = arch;
    this.model = model;
    this.word = arch.elf.class / 8;
  }

  private relocationAt(section: Section, offset: number): Relocation | undefined {
    let index = this.byOffset.get(section);
    if (!index) {
      index = new Map(section.relocations.map((relocation) => [relocation.offset, relocation]));
      this.byOffset.set(section, index);
    }
    return index.get(offset);
  }

  /** The pointer at an offset; undefined if no plain pointer is there. */
  pointer(section: Section, offset: number): Pointee | undefined {
    const relocation = this.relocationAt(section, offset);
    const symbol = relocation?.symbol;
    if (!relocation || !symbol || relocation.type !== this.arch.pointerRelocation) return undefined;
    const inPlace = this.number(section, offset);
    const addend = relocation.addend ?? (inPlace === undefined ? undefined : BigInt.asIntN(8 * this.word, inPlace));
    if (addend === undefined) return undefined;
    const place = isSection(symbol.place) ? symbol.place : undefined;
    return { symbol, section: place, offset: Number(place ? symbol.value + addend : addend) };
  }

  /** Whether the word at an offset is 0 and no relocation changes it. */
  isNull(section: Section, offset: number): boolean {
    return !this.relocationAt(section, offset) && this.number(section, offset) === 0n;
  }

  /** The word at an offset as the file has it; what has no bytes in the file is 0. Undefined outside the section. */
  number(section: Section, offset: number): bigint | undefined {
    if (offset < 0 || offset + this.word > section.size) return undefined;
    if (section.type === SHT_NOBITS) return 0n;
    const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
    if (offset + this.word > view.byteLength) return undefined;
    return this.word === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
  }

  /** The string that the pointer at an offset leads to. */
  string(section: Section, offset: number): string | undefined {
    const to = this.pointer(section, offset);
    return to?.section && to.offset >= 0 && to.offset < to.section.data.length
      ? cString(to.section.data, to.offset)
      : undefined;
  }

  /** The function that starts at an offset of a section. */
  functionAt(section: Section, offset: number): ElfSymbol | undefined {
    return this.model.symbols.find(
      ({ type, place, value }) => type === STT_FUNC && place === section && value === BigInt(offset),
    );
  }
}
