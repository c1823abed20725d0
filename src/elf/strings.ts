// Strings in ELF files: bytes that end with a zero byte, in UTF-8.

import { reasonError } from '../reason.ts';
import { type Allowance, checkNumber, malformed, shown } from './checks.ts';
import type { Unchecked } from './units.ts';

// Names must come out of a file as they went in, so a string table is decoded strictly.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** The bytes from `offset` up to the next zero byte; undefined if there is none or `offset` is not in `data`. */
function terminated(data: Uint8Array, offset: number): Uint8Array | undefined {
  if (!(offset >= 0 && offset < data.length)) return undefined;
  const end = data.indexOf(0, offset);
  return end < 0 ? undefined : data.subarray(offset, end);
}

/**
 * The zero-terminated string at `offset` bytes into `data`; undefined if `offset` is not in `data` or no zero follows.
 * What is not UTF-8 becomes U+FFFD.
 */
export function cString(data: Uint8Array, offset: number): string | undefined {
  const bytes = terminated(data, offset);
  return bytes && lenient.decode(bytes);
}

/** `text` with the zero that ends it. */
export function cStringBytes(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}

/** Reads the names of one string table, each once. */
export class StringTable {
  readonly #data: Uint8Array;
  readonly #allowance: Allowance;
  readonly #names = new Map<number, string>();
  /** The whole table, if it is nothing but ASCII as most are: names are parts of it. */
  #text: string | undefined;
  #isRead = false;

  /** `allowance` pays for the bytes of the names: they may lie inside each other. */
  constructor(data: Uint8Array, allowance: Allowance) {
    this.#data = data;
    this.#allowance = allowance;
  }

  /** The name at an offset into the table. Throws `elf-malformed` with the place that `place` makes. */
  name(offset: Unchecked, place: () => string): string {
    const at = checkNumber(offset) ?? malformed(place(), `${shown(offset)} lies outside the string table`);
    const known = this.#names.get(at);
    if (known !== undefined) return known;
    // Offset 0 is the empty name, even where there is no table.
    const bytes = at === 0 && this.#data.length === 0 ? this.#data : terminated(this.#data, at);
    if (!bytes)
      malformed(place(), `the string table of ${this.#data.length} bytes has no terminated name at ${shown(offset)}`);
    if (!this.#allowance.spend(bytes.length)) malformed(place(), 'the names take many times the bytes of the file');
    const name = this.#ascii()?.slice(at, at + bytes.length) ?? decoded(bytes);
    if (name === undefined) malformed(place(), `the name at ${shown(offset)} is not UTF-8`);
    this.#names.set(at, name);
    return name;
  }

  /** One character a byte: then there is no other than ASCII. */
  #ascii(): string | undefined {
    if (this.#isRead) return this.#text;
    this.#isRead = true;
    const text = decoded(this.#data);
    if (text?.length === this.#data.length) this.#text = text;
    return this.#text;
  }
}

/** The text of UTF-8; undefined for what is none. */
function decoded(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** How many bytes a text takes in UTF-8. */
function sizeInBytes(text: string): number {
  let ascii = 0;
  while (ascii < text.length && text.charCodeAt(ascii) < 0x80) ascii++;
  return ascii === text.length ? ascii : encoder.encode(text).length;
}

/** Makes a string table; each name is in it once, in the order of adding. */
export class StringTableBuilder {
  /** The offset of each name, the empty one first. */
  readonly #offsets = new Map<string, number>([['', 0]]);
  #size = 1;

  /** The offset of the name in the table. */
  add(name: string): number {
    const known = this.#offsets.get(name);
    if (known !== undefined) return known;
    if (name.includes('\0')) throw reasonError('bug', name, 'a name in an ELF file cannot hold a zero byte');
    const offset = this.#size;
    this.#offsets.set(name, offset);
    this.#size += sizeInBytes(name) + 1;
    return offset;
  }

  get size(): number {
    return this.#size;
  }

  /** Writes the table, and nothing behind it. */
  write(target: Uint8Array, at: number): void {
    const text = `${[...this.#offsets.keys()].join('\0')}\0`;
    encoder.encodeInto(text, target.subarray(at, at + this.#size));
  }
}
