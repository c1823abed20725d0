// Looking through the bytes of a kernel's image, for numbers, pointers and strings.

import { type LinkAddress, linkAddress } from '../elf/units.ts';

/** The offsets at which a text stands in bytes, ascending, at most `most` of them. The text is ASCII. */
export function findText(bytes: Uint8Array, text: string, most: number): number[] {
  const wanted = new TextEncoder().encode(text);
  const found: number[] = [];
  for (let at = bytes.indexOf(wanted[0]!); at >= 0 && found.length < most; at = bytes.indexOf(wanted[0]!, at + 1)) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) found.push(at);
  }
  return found;
}

/** Reads little-endian numbers and strings. Offsets are from the image's first byte. */
export class ImageBytes {
  readonly bytes: Uint8Array;
  /** The size of a pointer in bytes. */
  readonly word: 4 | 8;
  readonly #view: DataView;

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

  /** A zero-terminated ASCII string of at most `longest` bytes; undefined if what is there is none. */
  text(at: number, longest: number): string | undefined {
    if (!(at >= 0 && at < this.bytes.length)) return undefined;
    const window = this.bytes.subarray(at, at + longest + 1);
    const end = window.indexOf(0);
    if (end < 0) return undefined;
    const text = window.subarray(0, end);
    return text.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...text) : undefined;
  }

  /** The offsets of the aligned pointers that have this value, ascending, at most `most` of them. */
  findPointer(value: LinkAddress, most: number): number[] {
    const low = Number(BigInt.asUintN(32, value));
    const found: number[] = [];
    const last = this.bytes.length - this.word;
    for (let at = 0; at <= last && found.length < most; at += this.word) {
      if (this.#view.getUint32(at, true) === low && this.pointer(at) === value) found.push(at);
    }
    return found;
  }
}
