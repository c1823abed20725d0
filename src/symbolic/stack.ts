// Memory as far as a proof needs it: the stack, byte by byte.
//
// Every address of the stack is the initial stack pointer and a distance. Above the initial stack pointer lies what
// callers have put there, which has names: what memory held at the start. Below, down to where the stack pointer is
// now, lies what was stored there since, or nothing that anybody knows. Below that everything is anybody's:
// interrupts use it, so what is stored there is lost at once and each read gives another number.

import type { Size } from '../arch/machine.ts';
import { keyOf, onlyAtom, same, type Term, type Terms } from './terms.ts';

/** Byte `index` of a term. */
interface Byte {
  readonly term: Term;
  readonly index: number;
}

/** What a stack was like when a mark was set, but for the bytes that have changed since. */
interface Mark {
  readonly changedFrom: number;
  readonly changedBelow: number;
  readonly lowestStored: number;
  /** What stood in each place before each change, in the order of changes. */
  readonly before: (readonly [distance: number, byte: Byte | undefined])[];
}

export class Stack {
  /** By distance from the initial stack pointer. */
  private readonly bytes: Map<number, Byte>;
  private readonly terms: Terms;
  private readonly top: Term;
  /** From this distance on memory is no more what it was at the start. */
  private changedFrom = Number.POSITIVE_INFINITY;
  /** Below this distance it is neither: there the stack pointer has been below which everything is anybody's. */
  private changedBelow = 0;
  /** No byte is below it. */
  private lowestStored = Number.POSITIVE_INFINITY;
  private mark: Mark | undefined;

  constructor(terms: Terms, top: Term, bytes: ReadonlyMap<number, Byte> = new Map()) {
    this.terms = terms;
    this.top = top;
    this.bytes = new Map(bytes);
  }

  copy(): Stack {
    const copy = new Stack(this.terms, this.top, this.bytes);
    copy.changedFrom = this.changedFrom;
    copy.changedBelow = this.changedBelow;
    copy.lowestStored = this.lowestStored;
    return copy;
  }

  /** From here on changes can be taken back: a step changes few bytes, and a copy would be of all. */
  setMark(): void {
    const { changedFrom, changedBelow, lowestStored } = this;
    this.mark = { changedFrom, changedBelow, lowestStored, before: [] };
  }

  /** Makes all as it was when the mark was set. */
  takeBack(): void {
    const { mark } = this;
    if (!mark) return;
    for (const [distance, byte] of mark.before.reverse()) {
      if (byte) this.bytes.set(distance, byte);
      else this.bytes.delete(distance);
    }
    this.changedFrom = mark.changedFrom;
    this.changedBelow = mark.changedBelow;
    this.lowestStored = mark.lowestStored;
    this.mark = undefined;
  }

  /** What has changed stays. */
  dropMark(): void {
    this.mark = undefined;
  }

  store(distance: number, size: Size, term: Term): void {
    for (let index = 0; index < size; index++) {
      this.mark?.before.push([distance + index, this.bytes.get(distance + index)]);
      this.bytes.set(distance + index, { term, index });
    }
    this.lowestStored = Math.min(this.lowestStored, distance);
  }

  private lose(distance: number): void {
    this.mark?.before.push([distance, this.bytes.get(distance)]);
    this.bytes.delete(distance);
  }

  /**
   * What `size` bytes hold, with zeros above. `lowest` is the distance below which nothing is known; `unknown` makes the
   * numbers that nobody knows.
   */
  load(distance: number, size: Size, lowest: number, unknown: (why: string, width: number) => Term): Term {
    if (distance < lowest) return unknown('the stack below the stack pointer', 8 * size);
    const distances = Array.from({ length: size }, (_, i) => distance + i);
    const stored = distances.some((each) => this.bytes.has(each));
    if (!stored && distance + size > this.changedFrom) return unknown('the stack after somebody else', 8 * size);
    if (!stored && distance >= this.changedBelow) return this.terms.memory(this.place(distance), size);
    // What was never stored there stays the same for as long as it is above the stack pointer.
    if (!stored && distances.every((each) => each < this.changedBelow))
      this.store(distance, size, unknown('the stack where nothing was stored', 8 * size));
    const bytes = distances.map((each) => this.byte(each, unknown));
    return this.whole(bytes) ?? this.initial(bytes) ?? this.assembled(bytes);
  }

  /** Gives up what lies below a distance. */
  forgetBelow(lowest: number): void {
    this.changedBelow = Math.max(this.changedBelow, lowest);
    if (this.lowestStored >= lowest) return;
    for (const distance of this.bytes.keys()) if (distance < lowest) this.lose(distance);
    this.lowestStored = lowest;
  }

  /** From a distance on each read gives another number from now on. */
  forgetFrom(from: number): void {
    this.changedFrom = Math.min(this.changedFrom, from);
    for (const distance of this.bytes.keys()) if (distance >= from) this.lose(distance);
  }

  private byte(distance: number, unknown: (why: string, width: number) => Term): Byte {
    const known = this.bytes.get(distance);
    if (known) return known;
    if (distance >= this.changedFrom) return { term: unknown('the stack after somebody else', 8), index: 0 };
    if (distance < this.changedBelow) {
      this.store(distance, 1, unknown('the stack where nothing was stored', 8));
      return this.bytes.get(distance)!;
    }
    return { term: this.terms.memory(this.place(distance), 1), index: 0 };
  }

  private place(distance: number): Term {
    return this.terms.apply('add', this.top, this.terms.constant(distance));
  }

  /** The bytes as the lowest ones of one term. */
  private whole(bytes: readonly Byte[]): Term | undefined {
    const { term } = bytes[0]!;
    if (!bytes.every((byte, i) => byte.index === i && same(byte.term, term))) return undefined;
    return this.terms.apply('and', term, this.terms.constant((1n << BigInt(8 * bytes.length)) - 1n));
  }

  /** The bytes as one piece of what memory held at the start, whatever the pieces were that were moved. */
  private initial(bytes: readonly Byte[]): Term | undefined {
    const places = bytes.map(({ term, index }) => this.initialPlace(term, index));
    const [first] = places;
    const inOrder = places.every(
      (place, i) => place && same(place, this.terms.apply('add', first!, this.terms.constant(i))),
    );
    return inOrder ? this.terms.memory(first!, bytes.length) : undefined;
  }

  /** The address of the byte of initial memory that byte `index` of a term is. */
  private initialPlace(term: Term, index: number): Term | undefined {
    const origin = onlyAtom(term)?.origin;
    if (origin?.kind !== 'memory' || index >= origin.size) return undefined;
    return this.terms.apply('add', origin.address, this.terms.constant(index));
  }

  private assembled(bytes: readonly Byte[]): Term {
    const { terms } = this;
    return bytes.reduce((sum, { term, index }, i) => {
      const lowered = terms.apply('shiftRight', term, terms.constant(8 * index));
      const byte = terms.apply('and', lowered, terms.constant(0xff));
      return terms.apply('or', sum, terms.apply('shiftLeft', byte, terms.constant(8 * i)));
    }, terms.constant(0));
  }

  /** For people: words and their places, from the lowest up. */
  describe(): string[] {
    const lines: string[] = [];
    let last = '';
    for (const [distance, { term, index }] of [...this.bytes].sort(([a], [b]) => a - b)) {
      const key = `${distance - index} ${keyOf(term)}`;
      if (key === last) continue;
      last = key;
      lines.push(
        `[${this.terms.describe(this.place(distance))}] = ${this.terms.describe(term)}${index === 0 ? '' : `, from byte ${index} on`}`,
      );
    }
    return lines;
  }
}
