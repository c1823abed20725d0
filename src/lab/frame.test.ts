// The host must never take for an answer what is none, and must take the answer however the line cuts it up.

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Frame, FrameError, FrameReader, largestOutput } from './frame.ts';

const id = 'a1b2c3';
const encode = (text: string) => new TextEncoder().encode(text);

/** What the guest's init sends: printf, then cat. */
function answer(status: number, output: Uint8Array, to = id): Uint8Array {
  const packed = new Uint8Array(gzipSync(output));
  return join(encode(`\x01suture ${to} ${status} ${packed.length} ${status}\n`), packed);
}

function join(...pieces: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Feeds the line to a reader in pieces of the given sizes, the rest at once. */
function read(line: Uint8Array, sizes: readonly number[] = []): Frame | undefined {
  const reader = new FrameReader(id);
  let at = 0;
  for (const size of [...sizes, line.length]) {
    const frame = reader.push(line.subarray(at, at + size));
    if (frame) return frame;
    at += size;
  }
  return undefined;
}

const bytes = fc.uint8Array({ maxLength: 200 });
const status = fc.integer({ min: 0, max: 255 });

test('an answer is read whole, wherever the line is cut', () => {
  fc.assert(
    fc.property(status, bytes, fc.array(fc.integer({ min: 0, max: 40 })), (status, output, sizes) => {
      expect(read(answer(status, output), sizes)).toEqual({ status, output });
    }),
  );
});

test('noise before an answer is skipped, also if it looks like the beginning of one', () => {
  const noise = fc.oneof(bytes, fc.constantFrom('\x01', '\x01suture ', `\x01suture ${id} 0 `, '\n').map(encode));
  fc.assert(
    fc.property(fc.array(noise), bytes, (before, output) => {
      // A whole header needs the ID, which noise does not know.
      fc.pre(!new RegExp(`\x01suture ${id} \\d+ \\d+ \\d+\n`).test(String.fromCharCode(...join(...before))));
      expect(read(join(...before, answer(0, output)))).toEqual({ status: 0, output });
    }),
  );
});

test('noise inside an answer never passes for its output', () => {
  fc.assert(
    fc.property(bytes, fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(), (output, noise, place) => {
      const whole = answer(0, output);
      const at = place % whole.length;
      const spoilt = join(whole.subarray(0, at), noise, whole.subarray(at));
      let frame: Frame | undefined;
      try {
        frame = read(spoilt);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameError);
      }
      if (frame) expect(frame).toEqual({ status: 0, output });
    }),
  );
});

test('what follows an answer does not belong to it', () => {
  fc.assert(
    fc.property(bytes, bytes, fc.array(fc.integer({ min: 0, max: 40 })), (output, rest, sizes) => {
      expect(read(join(answer(0, output), rest), sizes)).toEqual({ status: 0, output });
    }),
  );
});

test('the answer to another question is none', () => {
  const other = answer(1, encode('old'), 'f9e8d7');
  expect(read(other)).toBeUndefined();
  expect(read(join(other, answer(0, encode('new'))))?.output).toEqual(encode('new'));
});

test('an answer that is cut off is none', () => {
  const whole = answer(0, encode('output'));
  for (let length = 0; length < whole.length; length++) expect(read(whole.subarray(0, length))).toBeUndefined();
});

test('a size beyond all measure is refused before memory is taken for it', () => {
  expect(() => read(encode(`\x01suture ${id} 0 ${largestOutput + 1} 0\n`))).toThrow(FrameError);
});

test('output that is larger unpacked than it may be is refused', () => {
  expect(() => read(answer(0, new Uint8Array(largestOutput + 1)))).toThrow(FrameError);
});
