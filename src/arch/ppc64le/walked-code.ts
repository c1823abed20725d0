// The words that a walk goes through: a function's own, and behind them those that the kernel may put in their place when it
// makes itself fit for a processor (feature sections, barriers, jump labels).
//
// Before each word for which there may be another one control can also go on at that one, as if by a jump; behind the
// last of an alternative it is back in the function. So the walk knows nothing of them, and what it finds holds for all
// forms of the function, and for some mixtures of them too.

import type { WaysIn } from '../machine.ts';

/**
 * What stands between pieces of code: `nop`, `ori r2,r2,0`, which ends a group of instructions, and `wait 2,0`, of which the kernel
 * keeps alternatives behind functions that spin (`HMT_low` and others, arch/powerpc/include/asm/vdso/processor.h, Linux 6.1).
 */
const padding: ReadonlySet<number> = new Set([0x60000000, 0x60420000, 0x7c40003c]);
export const isPadding = (word: number): boolean => padding.has(word);

const nowhere: readonly number[] = [];
const none: ReadonlyMap<number, never> = new Map<number, never>();

/** Words in a row, from `start` up to `end`; control that runs out at their end goes on at `behind`, where that is known. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly behind: number | undefined;
}

export class WalkedCode {
  /** All words. */
  readonly words: Uint32Array;
  /** How many of them are the function's own; they come first. */
  readonly length: number;
  /** Behind it is only padding, as far as the function goes. */
  readonly codeEnd: number;
  readonly #jumps: ReadonlyMap<number, readonly number[]> = none;
  readonly #own: Piece;
  /** The alternatives, by each of their words. */
  readonly #alternatives: ReadonlyMap<number, Piece> = none;

  constructor(own: Uint32Array, waysIn: WaysIn | undefined) {
    this.length = own.length;
    this.codeEnd = own.findLastIndex((word) => !isPadding(word)) + 1;
    this.#own = { start: 0, end: own.length, behind: undefined };
    this.words = own;
    if (!waysIn || (waysIn.jumps.size === 0 && waysIn.alternatives.length === 0)) return;
    const jumps = new Map<number, number[]>();
    for (const [index, targets] of waysIn.jumps) jumps.set(index, [...targets]);
    const pieces = new Map<number, Piece>();
    const { alternatives } = waysIn;
    const more = alternatives.reduce((sum, { words }) => sum + (words?.length ?? 0), 0);
    // Nothing follows the last of its own words: control that gets there has left it.
    if (more > 0) this.words = new Uint32Array(own.length + 1 + more);
    if (more > 0) this.words.set(own);
    let start = own.length + 1;
    for (const { from, to, words } of alternatives) {
      const piece = { start, end: start + (words?.length ?? 0), behind: to };
      if (words?.length) this.words.set(words, start);
      for (let at = start; at < piece.end; at++) pieces.set(at, piece);
      for (let at = from; at < to; at++) {
        const other = start + at - from;
        jumps.set(at, [...(jumps.get(at) ?? nowhere), words ? (other < piece.end ? other : to) : -1]);
      }
      start = piece.end;
    }
    this.#jumps = jumps;
    this.#alternatives = pieces;
  }

  /** Whether there is a word with anything for `jumpsFrom`. */
  get hasJumps(): boolean {
    return this.#jumps.size > 0;
  }

  /** Where control may go on instead of running a word. -1 is where nobody can follow it. */
  jumpsFrom(index: number): readonly number[] {
    return this.#jumps.get(index) ?? nowhere;
  }

  /** The word behind another one. */
  next(index: number): number {
    if (index < this.length) return index + 1;
    const { end, behind = end } = this.#pieceOf(index);
    return index + 1 === end ? behind : index + 1;
  }

  /** Where a branch leads that is so many words away; undefined if that is out of the words that it is one of. */
  target(index: number, distance: number): number | undefined {
    const { start, end, behind } = this.#pieceOf(index);
    const target = index + distance;
    if (target === end) return behind;
    return target >= start && target < end ? target : undefined;
  }

  #pieceOf(index: number): Piece {
    return (index < this.length ? undefined : this.#alternatives.get(index)) ?? this.#own;
  }
}
