// The legacy frame of LZ4 (lz4_Frame_format.md, "Legacy frame"), which `lz4 -l` makes and kernels are packed with: a
// magic, then blocks of their packed size and the data of at most 8 MiB. No sizes of the whole, no checksum.
//
// The blocks are undone here and not by a library: those to be had read and write outside their arrays without noticing,
// and that is the only thing that tells a damaged block from a good one.

import { Chunks, unreadable } from './web-streams.ts';

const legacyMagic = 0x184c2102;
const blockSize = 8 << 20;
/** Matches of fewer bytes are not worth a token. */
const shortestMatch = 4;

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

export const beginsLz4 = (bytes: Uint8Array): boolean => bytes.length >= 4 && word(bytes, 0) === legacyMagic;

/**
 * Unpacks a legacy frame, which must end with the bytes. `limit` is the most bytes that may come out.
 * Throws `packed-data-unreadable`.
 */
export function unpackLz4(bytes: Uint8Array, place: string, limit: number): Uint8Array {
  if (!beginsLz4(bytes)) throw unreadable(place, 'it does not begin as a legacy frame of lz4');
  const chunks = new Chunks(place, limit);
  let block: Uint8Array | undefined;
  for (let at = 4; at < bytes.length; ) {
    const packedSize = at + 4 <= bytes.length ? word(bytes, at) : 0;
    at += 4;
    if (packedSize === 0 || packedSize > bytes.length - at) throw unreadable(place, 'a block of lz4 is cut off');
    // Not before the first block is there: whoever looks for packed data tries many places that only begin like it.
    block ??= new Uint8Array(Math.min(blockSize, limit));
    const size = unpackBlock(bytes.subarray(at, at + packedSize), block);
    if (size === undefined) throw unreadable(place, 'a block of lz4 is damaged');
    chunks.add(block.slice(0, size));
    at += packedSize;
  }
  return chunks.joined();
}

/**
 * One block (lz4_Block_format.md): sequences of a token, literals, and a match that copies from what came before; the
 * last one ends with its literals. Gives the unpacked size, or undefined if the block reaches outside itself or `target`.
 */
function unpackBlock(source: Uint8Array, target: Uint8Array): number | undefined {
  let from = 0;
  let to = 0;
  /** A length of 15 goes on in further bytes, as long as they are 255. */
  const length = (low: number): number => {
    let sum = low;
    if (low < 15) return sum;
    for (let byte = 255; byte === 255; sum += byte) byte = source[from++] ?? Number.NaN;
    return sum;
  };
  for (;;) {
    const token = source[from++];
    if (token === undefined) return undefined;
    const literals = length(token >> 4);
    if (!(from + literals <= source.length && to + literals <= target.length)) return undefined;
    target.set(source.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === source.length) return to;

    if (from + 2 > source.length) return undefined;
    const distance = source[from]! | (source[from + 1]! << 8);
    from += 2;
    const match = length(token & 15) + shortestMatch;
    if (!(distance > 0 && distance <= to && to + match <= target.length)) return undefined;
    // Byte by byte: a match may reach into what it is just writing.
    for (const end = to + match; to < end; to++) target[to] = target[to - distance]!;
  }
}
