// kallsyms: the kernel's own table of its symbols, read from the bytes of an image, without any symbol to find it by.
//
// scripts/kallsyms.c (6.1.176) lays it out in .rodata, each table aligned to a pointer:
//   offsets         a u32 a symbol, from the relative base, in ascending order
//   relative_base   a pointer
//   num_syms        a u32
//   names           for each symbol the number of tokens (one byte, or two as ULEB128), then as many bytes, each a token
//   markers         a u32 for every 256th symbol: where its entry in `names` begins
//   seqs_of_names   three bytes a symbol: the order by name (only kernels with "Improve the performance of
//                   kallsyms_lookup_name()", 6.2 and some stable ones)
//   token_table     256 strings, each ended by a zero
//   token_index     256 u16: where each string begins
// A symbol's name, spelled out, begins with its type, one letter as nm has it. From 6.4 on offsets and relative_base come
// behind token_index.
//
// The token index is what can be recognised: 256 numbers that rise from 0, and a table of strings before it that they
// lead into. From there num_syms is searched backwards; the one whose names, markers and padding end exactly where the
// token table begins is the right one.

import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';

export interface Kallsym {
  readonly address: LinkAddress;
  /** As /proc/kallsyms shows it: `T` and `t` text, global and local, `W` weak, … */
  readonly type: string;
  readonly name: string;
}

const tokenCount = 256;
/** One marker for so many symbols. */
const markerDistance = 256;
/** KSYM_NAME_LEN: include/linux/kallsyms.h. */
const longestName = 512;
/** Letters that nm has for types. */
const types = 'AaBbCcDdGgIiNnPpRrSsTtUuVvWw-?';

/**
 * Steps that the search for the names may take, one for a place or for a name: a whole kernel takes one million. An image
 * made to mislead can offer any number of beginnings that lead nowhere.
 */
const searchSteps = 20_000_000;

/**
 * All symbols of kallsyms in its order. `bytes` are an image's, `word` is the size of a pointer in bytes.
 * Throws `kallsyms-unreadable`.
 */
export function readKallsyms(bytes: Uint8Array, word: 4 | 8, place: string): Kallsym[] {
  const image = new Search(bytes, word, place);
  for (const index of image.tokenIndexes()) {
    const tokens = image.tokensBefore(index);
    if (!tokens) continue;
    const names = image.namesBefore(tokens);
    if (!names) continue;
    const addresses = image.addressesOf(names, index);
    if (!addresses) continue;
    return names.starts.map((start, i) => ({ address: addresses[i]!, ...image.symbol(start, tokens) }));
  }
  throw reasonError(
    'kallsyms-unreadable',
    place,
    'no symbol table was found in the image: it was built without KALLSYMS, or lays it out in a way that is not known',
    'Suture needs a kernel with CONFIG_KALLSYMS=y and CONFIG_KALLSYMS_BASE_RELATIVE=y.',
  );
}

interface Tokens {
  /** Where the table begins. */
  readonly start: number;
  readonly texts: readonly string[];
}

interface Names {
  /** Where num_syms stands. */
  readonly countAt: number;
  /** Where each symbol's entry begins. */
  readonly starts: readonly number[];
}

class Search {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #word: 4 | 8;
  readonly #place: string;
  #steps = 0;

  constructor(bytes: Uint8Array, word: 4 | 8, place: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#word = word;
    this.#place = place;
  }

  /** Every place where 256 u16 rise from 0. */
  *tokenIndexes(): Generator<number> {
    const last = this.#bytes.length - 2 * tokenCount;
    for (let at = 0; at <= last; at += this.#word) {
      let previous = 0;
      let count = 1;
      if (this.#view.getUint16(at, true) !== 0) continue;
      for (; count < tokenCount; count++) {
        const next = this.#view.getUint16(at + 2 * count, true);
        if (next <= previous) break;
        previous = next;
      }
      if (count === tokenCount) yield at;
    }
  }

  /** The strings that a token index leads into; undefined if what is before it is no such table. */
  tokensBefore(index: number): Tokens | undefined {
    const starts = Array.from({ length: tokenCount }, (_, i) => this.#view.getUint16(index + 2 * i, true));
    const lastStart = starts[tokenCount - 1]!;
    for (let padding = 0; padding < this.#word; padding++) {
      // The last string ends before the padding; where it begins is known only by the zero that ends the one before.
      const end = index - padding - 1;
      const start = this.#bytes.lastIndexOf(0, end - 1) + 1 - lastStart;
      if (this.#bytes[end] !== 0 || start < 0 || start % this.#word !== 0) continue;
      if (!starts.every((at) => at === 0 || this.#bytes[start + at - 1] === 0)) continue;
      const texts = starts.map((at, i) =>
        this.#text(start + at, i + 1 < tokenCount ? start + starts[i + 1]! - 1 : end),
      );
      if (texts.every((text) => !text.includes('\0'))) return { start, texts };
    }
    return undefined;
  }

  /** The count and the names that end where the tokens begin. */
  namesBefore(tokens: Tokens): Names | undefined {
    const beginsName = tokens.texts.map((text) => text !== '' && types.includes(text[0]!));
    for (let countAt = tokens.start - 2 * this.#word; countAt >= 0; countAt -= this.#word) {
      this.#spend(1);
      const count = this.#view.getUint32(countAt, true);
      if (count === 0 || count > (tokens.start - countAt) / 2) continue;
      const starts = this.#walkNames(countAt + this.#word, tokens.start, count, beginsName);
      if (starts) return { countAt, starts };
    }
    return undefined;
  }

  /** Passes over `count` names from `start`; what follows them must be the markers, and then nothing unknown up to `end`. */
  #walkNames(start: number, end: number, count: number, beginsName: readonly boolean[]): number[] | undefined {
    const starts: number[] = [];
    let at = start;
    for (let i = 0; i < count; i++) {
      starts.push(at);
      const length = this.#nameLength(at);
      if (at >= end || length.tokens === 0 || !beginsName[this.#bytes[at + length.bytes]!]) {
        this.#spend(i);
        return undefined;
      }
      at += length.bytes + length.tokens;
    }
    this.#spend(count);
    const markersAt = this.#align(at);
    const markerCount = Math.ceil(count / markerDistance);
    const markersEnd = this.#align(markersAt + 4 * markerCount);
    if (
      markersEnd !== end &&
      this.#align(markersAt + 4 * markerCount + 3 * count) !== end &&
      this.#align(markersEnd + 3 * count) !== end
    )
      return undefined;
    for (let i = 0; i < markerCount; i++) {
      if (this.#view.getUint32(markersAt + 4 * i, true) !== starts[i * markerDistance]! - start) return undefined;
    }
    return starts;
  }

  /** The address of each symbol, in the order of the names. */
  addressesOf({ countAt, starts }: Names, index: number): LinkAddress[] | undefined {
    const size = this.#align(4 * starts.length);
    const before = countAt - this.#word - size;
    const behind = index + 2 * tokenCount;
    return this.#addressesAt(before, starts.length) ?? this.#addressesAt(behind, starts.length);
  }

  /** `count` offsets at `start`, and behind them the base that they count from. */
  #addressesAt(start: number, count: number): LinkAddress[] | undefined {
    const baseAt = this.#align(start + 4 * count);
    if (start < 0 || baseAt + this.#word > this.#bytes.length) return undefined;
    const base = this.#word === 4 ? BigInt(this.#view.getUint32(baseAt, true)) : this.#view.getBigUint64(baseAt, true);
    if (base === 0n) return undefined;
    const addresses: LinkAddress[] = [];
    let previous = 0;
    for (let i = 0; i < count; i++) {
      const offset = this.#view.getUint32(start + 4 * i, true);
      if (offset < previous) return undefined;
      previous = offset;
      addresses.push(linkAddress(base + BigInt(offset)));
    }
    // The base is the lowest address; and where nothing is, all offsets would do.
    if (addresses[0] !== base || (count > 1 && previous === 0)) return undefined;
    return addresses;
  }

  /** The symbol whose entry begins at `start`. */
  symbol(start: number, tokens: Tokens): { type: string; name: string } {
    const length = this.#nameLength(start);
    const first = start + length.bytes;
    let text = '';
    for (let i = 0; i < length.tokens; i++) {
      text += tokens.texts[this.#bytes[first + i]!]!;
      if (text.length > longestName) throw this.#unreadable('a name in it is too long');
    }
    this.#spend(text.length);
    return { type: text[0]!, name: text.slice(1) };
  }

  /** The number of tokens of the name at `at`, and how many bytes say so. */
  #nameLength(at: number): { tokens: number; bytes: number } {
    const low = this.#bytes[at] ?? 0;
    return low < 0x80
      ? { tokens: low, bytes: 1 }
      : { tokens: (low & 0x7f) | ((this.#bytes[at + 1] ?? 0) << 7), bytes: 2 };
  }

  #text(start: number, end: number): string {
    return String.fromCharCode(...this.#bytes.subarray(start, Math.min(end, start + longestName)));
  }

  #align(at: number): number {
    return Math.ceil(at / this.#word) * this.#word;
  }

  #spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > searchSteps) throw this.#unreadable('it holds too much that only looks like one');
  }

  #unreadable(message: string) {
    return reasonError(
      'kallsyms-unreadable',
      this.#place,
      `the symbol table cannot be read: ${message}`,
      'Get the image anew: it is damaged.',
    );
  }
}
