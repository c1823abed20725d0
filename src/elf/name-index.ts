// The symbols of a table that may have a name, without an object or a string for any of them: a kernel has a hundred thousand
// symbols, and whoever proves it asks for fifty.

/** How many bytes of a name are summed up: names may lie inside each other, and each costs no more than this. */
const most = 64;

/** An even sum over the first bytes of a name that begins at an offset. */
function sumOf(strings: Uint8Array, offset: number): number {
  // FNV-1a, with its 32-bit constants.
  let sum = 0x811c9dc5;
  const end = Math.min(strings.length, offset + most);
  for (let at = offset; at < end && strings[at] !== 0; at++) sum = Math.imul(sum ^ strings[at]!, 0x01000193);
  return sum;
}

export class NameIndex {
  /** By a part of the sum, the first symbol that has it; and by symbols the next one. 0 for none: the null symbol has no name. */
  readonly #first: Uint32Array;
  readonly #next: Uint32Array;

  /** `nameAt` tells where in `strings` the name of a symbol begins, of those from 1 up to `count`; behind their end for none. */
  constructor(count: number, nameAt: (index: number) => number, strings: Uint8Array) {
    this.#first = new Uint32Array(2 ** Math.ceil(Math.log2(count + 1)));
    this.#next = new Uint32Array(count);
    // From behind, so that they come in their order.
    for (let index = count - 1; index > 0; index--) {
      const offset = nameAt(index);
      // One without a name that can be read is nobody's.
      if (offset >= strings.length) continue;
      const place = this.#placeOf(sumOf(strings, offset));
      this.#next[index] = this.#first[place]!;
      this.#first[place] = index;
    }
  }

  /** Indexes of symbols, ascending: of all that have this name, and of some that do not. */
  candidates(name: string): number[] {
    const found: number[] = [];
    const place = this.#placeOf(sumOf(new TextEncoder().encode(name), 0));
    for (let index = this.#first[place]!; index !== 0; index = this.#next[index]!) found.push(index);
    return found;
  }

  #placeOf(sum: number): number {
    return sum & (this.#first.length - 1);
  }
}
