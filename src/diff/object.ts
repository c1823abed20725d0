// A relocatable object taken apart: functions, variables, strings, constants, TOC slots, entries of tables. Each is a piece: a
// range of a section that lives or dies as one, and whose references to others are known.
//
// With -ffunction-sections and -fdata-sections nearly every piece is a section. Without, functions and variables are told by
// their symbols, strings by the zeros between them, and what has no name by where others refer to it.

import type { CodeTable, ObjectCode } from '../arch/arch.ts';
import { SHF_EXECINSTR, SHF_WRITE } from '../elf/constants.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';

/**
 * `slot`: a pointer in the TOC. `entry`: of one of the kernel's tables. `rest`: code or data without a name, from one place
 * that is referred to up to the next.
 */
export type PieceKind = 'function' | 'variable' | 'string' | 'constant' | 'slot' | 'entry' | 'rest';

export interface Piece {
  readonly kind: PieceKind;
  readonly section: Section;
  /** Section offsets, [start, end). */
  readonly start: number;
  readonly end: number;
  /** Where its symbol points, and what offsets in it count from: behind what a function has before its entry. */
  readonly origin: number;
  /** Symbols at its origin, the one that it is called by first. Empty for what has no name. */
  readonly symbols: readonly ElfSymbol[];
  /** The first symbol's name, or ''. */
  readonly name: string;
  /** The source file that a local symbol stands under, '' if there is none or the symbol is not local. */
  readonly file: string;
  /** In the order of their places. */
  readonly references: readonly Reference[];
}

/** What a relocation, or a branch that the assembler resolved, refers to. */
export interface Reference {
  /** Bytes from the piece's origin. */
  readonly offset: number;
  /** r_type, or -1 for a branch without a relocation. */
  readonly type: number;
  readonly to: Target;
  /** The TOC slot that leads there. */
  readonly slot: Piece | undefined;
  /** Reached from the section's start or an anchor, not by the piece's own name. */
  readonly anchored: boolean;
}

export type Target =
  | { readonly piece: Piece; readonly offset: number }
  /** What another file defines, an absolute number, a common symbol; `symbol` is undefined for the null symbol. */
  | { readonly piece: undefined; readonly symbol: ElfSymbol | undefined; readonly offset: number };

export interface DiffedObject {
  readonly model: ElfModel;
  readonly code: ObjectCode;
  /** What errors call the file. */
  readonly name: string;
  /** Every piece of every section that takes memory, in the order of the file. */
  readonly pieces: readonly Piece[];
  readonly table: (section: Section) => CodeTable | undefined;
  /** Where instructions begin in a piece of code that is whole in its section's bytes: section offsets, in order. */
  readonly instructions: (piece: Pick<Piece, 'section' | 'start' | 'end'>) => readonly number[];
}

export const isWritable = ({ section }: Piece): boolean => (section.flags & SHF_WRITE) !== 0n;
export const isCode = ({ section }: Piece): boolean => (section.flags & SHF_EXECINSTR) !== 0n;

export const isNamelessCode = (piece: Piece): boolean => piece.kind === 'rest' && isCode(piece);

/** Whether a variable is a pr_debug()'s: part of the code that it stands in, and copied with it (linux/dynamic_debug.h, 6.1). */
export const isDescriptor = ({ section }: Piece): boolean => section.name === '__dyndbg';

/** Things by what they have in common, in order. */
export function grouped<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** How a message calls a piece. */
export const called = ({ name, section, start }: Piece): string => name || `${section.name}+0x${start.toString(16)}`;

/** The `type` of a reference that no relocation makes. */
export const resolvedBranch = -1;
