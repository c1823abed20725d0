// How an answer comes out of the guest: one header line, then the output, packed by gzip.
//
//   \x01suture ID STATUS SIZE STATUS\n  SIZE bytes of gzip
//
// ID is the random name that the host gave the question, so nothing else that is ever written to the line can be taken
// for its answer. Noise before the header is skipped. Noise inside an answer cannot be undone, but never passes
// unnoticed: the status stands there twice, and gzip ends with a checksum and the size. Packing pays by itself, because the line is slower than an emulated
// processor packs.

import { gunzipSync } from 'node:zlib';

/** An answer whose bytes arrived whole. */
export interface Frame {
  readonly status: number;
  readonly output: Uint8Array;
}

/** The line delivered bytes that are not what the guest sent, or the guest claims an impossible size. */
export class FrameError extends Error {}

/** More output than this is refused: the guest holds it in its memory, and so do we. */
export const largestOutput = 64 << 20;

const headerStart = 0x01;
/** Longer than any header: the ID and two numbers. */
const longestHeader = 200;
const newline = 0x0a;

/** Collects what the line delivers until the answer to one question is there. */
export class FrameReader {
  readonly #header: RegExp;
  #line: number[] = [];
  #packed: { status: number; bytes: Uint8Array; filled: number } | undefined;

  /** `id`: of the question; letters and digits only. */
  constructor(id: string) {
    this.#header = new RegExp(`^\\x01suture ${id} ([0-9]{1,3}) ([0-9]{1,9}) \\1$`);
  }

  /** Takes the next bytes of the line. Returns the answer once it is complete; what follows it is dropped. Throws `FrameError`. */
  push(bytes: Uint8Array): Frame | undefined {
    let at = 0;
    while (!this.#packed && at < bytes.length) this.#take(bytes[at++]!);
    const packed = this.#packed;
    if (!packed) return undefined;
    const piece = bytes.subarray(at, at + packed.bytes.length - packed.filled);
    packed.bytes.set(piece, packed.filled);
    packed.filled += piece.length;
    return packed.filled === packed.bytes.length ? { status: packed.status, output: unpack(packed.bytes) } : undefined;
  }

  #take(byte: number): void {
    if (byte === headerStart) this.#line = [byte];
    else if (byte === newline) this.#endOfLine();
    else if (this.#line.length > 0 && this.#line.length < longestHeader) this.#line.push(byte);
  }

  #endOfLine(): void {
    const match = this.#header.exec(String.fromCharCode(...this.#line));
    this.#line = [];
    if (!match) return;
    const size = Number(match[2]);
    if (size > largestOutput) throw new FrameError(`${size} bytes of output are more than ${largestOutput}`);
    this.#packed = { status: Number(match[1]), bytes: new Uint8Array(size), filled: 0 };
  }
}

function unpack(bytes: Uint8Array): Uint8Array {
  try {
    const { buffer, byteOffset, length } = gunzipSync(bytes, { maxOutputLength: largestOutput });
    return new Uint8Array(buffer, byteOffset, length);
  } catch (error) {
    throw new FrameError(`the output did not arrive as it was sent: ${(error as Error).message}`);
  }
}
