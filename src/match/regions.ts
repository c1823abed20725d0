// The code of an object as runs of words with a name: its functions, and what lies between them (padding, code that the
// compiler or an asm statement puts behind the functions).

import type { Architecture } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STB_WEAK, STT_FUNC, STT_NOTYPE } from '../elf/constants.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';

/** A run of code. Offsets and sizes are bytes of the section. */
export interface Region {
  readonly section: Section;
  readonly offset: number;
  readonly size: number;
  /** The symbols that stand at its start; none for what lies between functions. */
  readonly symbols: readonly ElfSymbol[];
  /** The first symbol's name, or the section's and the offset. */
  readonly name: string;
  /** All its symbols are weak: the image may have another body under the name. */
  readonly isWeak: boolean;
}

/** Sections of an object that hold code. */
export const codeSections = (object: ElfModel): Section[] =>
  object.sections.filter(
    ({ flags, type, size }) =>
      (flags & SHF_ALLOC) !== 0n && (flags & SHF_EXECINSTR) !== 0n && type === SHT_PROGBITS && size > 0,
  );

/** The regions of a section, in order, without gaps or overlaps. */
export function regionsOf(section: Section, symbols: readonly ElfSymbol[], arch: Architecture): Region[] {
  const { objectCode } = arch;
  const starts = new Map<number, ElfSymbol[]>();
  for (const symbol of symbols) {
    if (symbol.place !== section || (symbol.type !== STT_FUNC && symbol.type !== STT_NOTYPE)) continue;
    // Labels of the assembler, and marks of where code and data begin.
    if (symbol.name === '' || symbol.name.startsWith('.L') || objectCode.isMarker(symbol.name)) continue;
    const at = Number(codeOffset(symbol, arch));
    if (at >= section.size) continue;
    starts.set(at, [...(starts.get(at) ?? []), symbol]);
  }
  const offsets = [...starts.keys()].sort((a, b) => a - b);
  const regions: Region[] = [];
  const unnamed = (from: number, to: number) => {
    if (to <= from) return;
    const name = `${section.name}+0x${from.toString(16)}`;
    regions.push({ section, offset: from, size: to - from, symbols: [], name, isWeak: false });
  };
  let end = 0;
  offsets.forEach((offset, i) => {
    unnamed(end, offset);
    const here = starts.get(offset)!;
    const limit = offsets[i + 1] ?? section.size;
    const size = Math.max(...here.map((symbol) => Number(symbol.size)));
    // Functions of assembly may have no size.
    end = size > 0 ? Math.min(offset + size, limit) : limit;
    const isWeak = here.every(({ binding }) => binding === STB_WEAK);
    regions.push({ section, offset, size: end - offset, symbols: here, name: here[0]!.name, isWeak });
  });
  unnamed(end, section.size);
  return regions;
}
