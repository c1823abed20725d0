// The first half of what a linker does: selected pieces of objects are copied into one module, those of sections of one name
// one behind another in a section of that name. Where they lead is for the second half (relocate-pieces.ts).
//
// Names stay as they are, `.text.f` and `.rodata.str1.8` too: the kernel's loader takes any, and knows its tables by name.

import type { Architecture } from '../arch/arch.ts';
import type { Piece } from '../diff/diff.ts';
import { isCode } from '../diff/object.ts';
import { SHF_MERGE, SHF_STRINGS, SHT_NOBITS, STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_SECTION } from '../elf/constants.ts';
import { newSection, newSymbol, setData } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';

/** SHF_GROUP: a module has no groups of sections that another object may have as well (System V ABI, chapter 4). */
const SHF_GROUP = 0x200n;

const codeAlign = 4;

/** Where a piece has come to lie. */
export interface PlacedPiece {
  readonly section: Section;
  /** The section offset of the piece's start, and of its origin, in bytes. */
  readonly start: number;
  readonly origin: number;
  /** A local symbol of the module at its origin. */
  readonly symbol: ElfSymbol;
}

/** A module that pieces are put into. */
export class PiecePlacer {
  readonly #model: ElfModel;
  readonly #placed = new Map<Piece, PlacedPiece>();
  readonly #taken: Set<string>;
  readonly #codeBit: bigint;

  /** `model` may have sections already; it is added to. Symbols of functions get the `codeBit` of the architecture. */
  constructor(model: ElfModel, { codeBit }: Pick<Architecture, 'codeBit'>) {
    this.#model = model;
    this.#codeBit = codeBit;
    this.#taken = new Set(model.symbols.filter(({ place }) => place !== 'undefined').map(({ name }) => name));
  }

  /** Where a piece was placed; undefined if it was not. */
  at(piece: Piece): PlacedPiece | undefined {
    return this.#placed.get(piece);
  }

  /** The symbol of a section of the module, which means its start and no function. */
  sectionSymbol(place: Section): ElfSymbol {
    const known = this.#model.symbols.find((each) => each.place === place && each.type === STT_SECTION);
    if (known) return known;
    const symbol = newSymbol('', { binding: STB_LOCAL, type: STT_SECTION, place });
    this.#model.symbols.push(symbol);
    return symbol;
  }

  /** Copies a piece. What lay one behind another in one section does so again if it is placed in that order. */
  place(piece: Piece): PlacedPiece {
    const section = this.#sectionFor(piece.section);
    // An offset that leaves the same remainder keeps the alignment, whatever part of it the piece needs.
    // Code begins where a word does: of cold functions in Thumb-2 code compilers ask for less, and a proof for that.
    const align = Math.max(piece.section.align, isCode(piece) ? codeAlign : 1);
    const start = section.size + ((((piece.start - section.size) % align) + align) % align);
    const size = start + piece.end - piece.start;
    section.align = Math.max(section.align, align);
    if (section.type === SHT_NOBITS) section.size = size;
    else {
      const data = new Uint8Array(size);
      data.set(section.data);
      data.set(piece.section.data.subarray(piece.start, piece.end), start);
      setData(section, data);
    }
    const origin = start + piece.origin - piece.start;
    const placed = { section, start, origin, symbol: this.#symbolFor(piece, section, origin) };
    this.#placed.set(piece, placed);
    return placed;
  }

  #sectionFor({ name, type, flags, align, link }: Section): Section {
    const kept = flags & ~(SHF_MERGE | SHF_STRINGS | SHF_GROUP);
    const found = this.#model.sections.find(
      (each) => each.name === name && each.type === type && (each.flags & ~(SHF_MERGE | SHF_STRINGS)) === kept,
    );
    if (found) {
      found.flags = kept;
      return found;
    }
    const section = newSection(name, type, kept, new Uint8Array(), { align });
    if (link) section.link = this.#sectionFor(link);
    this.#model.sections.push(section);
    return section;
  }

  /** A name that no function of the module has yet tells which is meant in a backtrace, and in the linker. */
  #symbolFor(piece: Piece, place: Section, origin: number): ElfSymbol {
    const [own] = piece.symbols;
    let name = piece.name;
    for (let copy = 2; own && this.#taken.has(name); copy++) name = `${piece.name}.${copy}`;
    if (own) this.#taken.add(name);
    const type = own && own.type !== STT_SECTION ? own.type : piece.kind === 'function' ? STT_FUNC : STT_NOTYPE;
    const symbol = newSymbol(name, {
      value: type === STT_FUNC ? BigInt(origin) | this.#codeBit : BigInt(origin),
      size: own?.size ?? 0n,
      binding: STB_LOCAL,
      type,
      other: own?.other ?? 0,
      place,
    });
    this.#model.symbols.push(symbol);
    return symbol;
  }
}
