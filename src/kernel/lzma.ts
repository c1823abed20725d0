// LZMA_alone, the format before xz: a byte of properties, the dictionary's size, the unpacked size (all ones if it is
// ended by a mark instead), then one range coder's data (LZMA SDK, lzma-specification.txt). No checksum.

import { decompress } from 'lzma1';
import { tooLarge, unreadable } from './web-streams.ts';

const headerSize = 13;
const smallestDictionary = 4096;
const unknownSize = 0xffff_ffff_ffff_ffffn;
/** lc 3, lp 0, pb 2, as lc + 9 * (lp + 5 * pb): what every packer takes unless told otherwise, as nobody does. */
const usualProperties = 3 + 9 * (0 + 5 * 2);

/** There is no magic. What tells are the usual properties and that the range coder's first byte is 0. */
export function beginsLzma(bytes: Uint8Array): boolean {
  if (bytes.length <= headerSize || bytes[0] !== usualProperties || bytes[headerSize] !== 0) return false;
  const size = view(bytes).getBigUint64(5, true);
  return view(bytes).getUint32(1, true) >= smallestDictionary && (size === unknownSize || size < 2n ** 32n);
}

/**
 * Unpacks an LZMA_alone file. `limit` is the most bytes that may come out. Throws `packed-data-unreadable`.
 */
export function unpackLzma(bytes: Uint8Array, place: string, limit: number): Uint8Array {
  if (!beginsLzma(bytes)) throw unreadable(place, 'it does not begin as lzma');
  const claim = view(bytes).getBigUint64(5, true);
  if (claim !== unknownSize && claim > limit) throw tooLarge(place, limit);

  // The library allocates the dictionary that it is told, and stops at the size that it is told. Where the end mark
  // should come first, it is told one byte more than there may be, so that a mark that does not come is noticed.
  const most = claim === unknownSize ? limit + 1 : Number(claim);
  const bounded = new Uint8Array(bytes);
  const dictionary = view(bytes).getUint32(1, true);
  view(bounded).setUint32(1, Math.min(dictionary, Math.max(most, smallestDictionary)), true);
  view(bounded).setBigUint64(5, BigInt(most), true);
  let data: Uint8Array;
  try {
    data = decompress(bounded);
  } catch (error) {
    throw unreadable(place, `the lzma data is damaged: ${(error as Error).message}`);
  }
  if (data.length > limit) throw tooLarge(place, limit);
  if (claim !== unknownSize && data.length !== Number(claim))
    throw unreadable(place, `lzma data of ${claim} bytes gave ${data.length}`);
  return data;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
