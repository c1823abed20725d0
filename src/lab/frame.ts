// How an answer comes out of the guest: one header line, then the bytes of the output as they are.
//
//   \x01suture ID STATUS SIZE CRC32\n  output …
//
// ID is the random name that the host gave the question, so nothing else that is ever written to the line can be taken
// for its answer; SIZE counts the output's bytes; CRC32 is theirs in hexadecimal, as gzip and busybox's `crc32` have
// it. Noise before the header is skipped. Noise inside the output cannot be undone, but never passes unnoticed.

import { crc32 } from '../kernel/checksums.ts';

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
/** Longer than any header: the ID and three numbers. */
const longestHeader = 200;
const newline = 0x0a;

/** Collects what the line delivers until the answer to one question is there. */
export class FrameReader {
  readonly #header: RegExp;
  #line: number[] = [];
  #output: { status: number; bytes: Uint8Array; filled: number; crc: number } | undefined;

  /** `id`: of the question; letters and digits only. */
  constructor(id: string) {
    this.#header = new RegExp(`^\\x01suture ${id} ([0-9]{1,3}) ([0-9]{1,9}) ([0-9a-f]{8})$`);
  }

  /** Takes the next bytes of the line. Returns the answer once it is complete; what follows it is dropped. Throws `FrameError`. */
  push(bytes: Uint8Array): Frame | undefined {
    let at = 0;
    while (!this.#output && at < bytes.length) this.#take(bytes[at++]!);
    const output = this.#output;
    if (!output) return undefined;
    const piece = bytes.subarray(at, at + output.bytes.length - output.filled);
    output.bytes.set(piece, output.filled);
    output.filled += piece.length;
    if (output.filled < output.bytes.length) return undefined;
    if (crc32(output.bytes) !== output.crc)
      throw new FrameError('the output does not have the checksum that the guest sent');
    return { status: output.status, output: output.bytes };
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
    const crc = Number.parseInt(match[3]!, 16);
    this.#output = { status: Number(match[1]), bytes: new Uint8Array(size), filled: 0, crc };
  }
}
