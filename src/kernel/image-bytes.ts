// Looking through the bytes of a kernel's image, for numbers, pointers and strings.

import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { wordsOf } from './old-function.ts';

/**
 * The offsets at which a text stands in bytes, ascending, at most `most` of them. The text is ASCII.
 *
 * By Horspool's method: from each place it goes on by as much as the byte under the text's end allows, most often the text's
 * whole length. An image has tens of millions of bytes, and is searched several times.
 */
export function* findText(bytes: Uint8Array, text: string, most: number): Generator<number> {
  const wanted = new TextEncoder().encode(text);
  const last = wanted.length - 1;
  const steps = new Uint32Array(256).fill(wanted.length);
  for (let i = 0; i < last; i++) steps[wanted[i]!] = last - i;
  let left = most;
  for (let end = last; end < bytes.length && left > 0; ) {
    let same = 0;
    while (same <= last && bytes[end - same] === wanted[last - same]) same++;
    if (same > last) {
      left--;
      yield end - last;
    }
    end += steps[bytes[end]!]!;
  }
}

/** Reads little-endian numbers and strings. Offsets are from the image's first byte. */
export class ImageBytes {
  readonly bytes: Uint8Array;
  /** The size of a pointer in bytes. */
  readonly word: 4 | 8;
  readonly #view: DataView;
  /** What has been asked for by `findNumber`. */
  #words: Uint32Array | undefined;

  constructor(bytes: Uint8Array, word: 4 | 8) {
    this.bytes = bytes;
    this.word = word;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A u32; undefined where it does not lie in the image. */
  u32(at: number): number | undefined {
    return at >= 0 && at + 4 <= this.bytes.length ? this.#view.getUint32(at, true) : undefined;
  }

  /** A pointer; undefined where it does not lie in the image. */
  pointer(at: number): LinkAddress | undefined {
    if (!(at >= 0 && at + this.word <= this.bytes.length)) return undefined;
    return linkAddress(this.word === 4 ? BigInt(this.#view.getUint32(at, true)) : this.#view.getBigUint64(at, true));
  }

  /** Whether an ASCII text stands at an offset, with a zero behind it. */
  holds(at: number, text: string): boolean {
    let same = 0;
    while (same < text.length && this.bytes[at + same] === text.charCodeAt(same)) same++;
    return same === text.length && this.bytes[at + same] === 0;
  }

  /** A zero-terminated ASCII string of at most `longest` bytes; undefined if what is there is none. */
  text(at: number, longest: number): string | undefined {
    if (!(at >= 0 && at < this.bytes.length)) return undefined;
    const window = this.bytes.subarray(at, at + longest + 1);
    const end = window.indexOf(0);
    if (end < 0) return undefined;
    const text = window.subarray(0, end);
    return text.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...text) : undefined;
  }

  /** The offsets of the aligned u32 that have this value, ascending. */
  *findNumber(value: number): Generator<number> {
    this.#words ??= wordsOf(this.bytes.subarray(0, this.bytes.length & -4));
    const words = this.#words;
    for (let i = words.indexOf(value); i >= 0; i = words.indexOf(value, i + 1)) yield 4 * i;
  }

  /** The offsets of the aligned pointers that have this value, ascending, at most `most` of them. */
  *findPointer(value: LinkAddress, most: number): Generator<number> {
    let left = most;
    const size = this.word;
    for (const at of this.findNumber(Number(BigInt.asUintN(32, value)))) {
      if (left === 0) return;
      if (at % size !== 0 || this.pointer(at) !== value) continue;
      left--;
      yield at;
    }
  }
}
