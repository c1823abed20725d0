// Zstandard (RFC 8878). A library unpacks it; what is here keeps it from allocating whatever a frame asks for.

import { Decompress } from 'fzstd';
import { ReasonError } from '../reason.ts';
import { Chunks, tooLarge, unreadable } from './web-streams.ts';

const magic = [0x28, 0xb5, 0x2f, 0xfd];

/** Block_Maximum_Size: the window is never taken to be smaller. */
const largestBlock = 128 << 10;

export const beginsZstd = (bytes: Uint8Array): boolean => magic.every((byte, i) => bytes[i] === byte);

/**
 * Unpacks one zstd frame, which must end with the bytes. `limit` is the most bytes that may come out. The checksum that
 * a frame may have is not compared. Throws `packed-data-unreadable`.
 */
export function unpackZstd(bytes: Uint8Array, place: string, limit: number): Uint8Array {
  const frame = readFrame(bytes, place);
  if (frame.contentSize !== undefined && frame.contentSize > limit) throw tooLarge(place, limit);
  if (frame.end !== bytes.length) throw unreadable(place, 'the zstd frame does not end where it should');
  const chunks = new Chunks(place, limit);
  try {
    new Decompress((chunk) => chunks.add(chunk)).push(
      withNeededWindow(bytes, frame, Math.min(limit, frame.mostContent)),
      true,
    );
  } catch (error) {
    if (error instanceof ReasonError) throw error;
    throw unreadable(place, `the zstd data is damaged: ${(error as Error).message}`);
  }
  const data = chunks.joined();
  if (frame.contentSize !== undefined && data.length !== frame.contentSize)
    throw unreadable(place, `zstd data of ${frame.contentSize} bytes gave ${data.length}`);
  return data;
}

interface Frame {
  /** Where Window_Descriptor is; undefined in a frame of a single segment, whose window is its content. */
  readonly windowAt: number | undefined;
  readonly contentSize: number | undefined;
  /** No more than this can come out of the blocks. */
  readonly mostContent: number;
  /** Behind the last block and the checksum. */
  readonly end: number;
}

/** Reads the header (section 3.1.1.1) and passes over the blocks (3.1.1.2). */
function readFrame(bytes: Uint8Array, place: string): Frame {
  const cutOff = () => unreadable(place, 'the zstd frame is cut off');
  if (!beginsZstd(bytes)) throw unreadable(place, 'it does not begin as zstd');
  const descriptor = bytes[magic.length] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const contentSizeFlag = descriptor >> 6;
  if ((descriptor & 3) !== 0) throw unreadable(place, 'zstd with a dictionary is not known here');

  const windowAt = singleSegment ? undefined : magic.length + 1;
  let at = magic.length + (singleSegment ? 1 : 2);
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  if (at + contentSizeBytes > bytes.length) throw cutOff();
  let contentSize: number | undefined;
  if (contentSizeBytes > 0) {
    contentSize = 0;
    for (let i = contentSizeBytes - 1; i >= 0; i--) contentSize = contentSize * 256 + bytes[at + i]!;
    // The two-byte form starts where the one-byte form ends.
    if (contentSizeBytes === 2) contentSize += 256;
  }

  at += contentSizeBytes;
  let mostContent = 0;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) throw cutOff();
    const header = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    last = (header & 1) === 1;
    const repeatsOneByte = ((header >> 1) & 3) === 1;
    at += 3 + (repeatsOneByte ? 1 : header >> 3);
    mostContent += largestBlock;
  }
  at += hasChecksum ? 4 : 0;
  if (at > bytes.length) throw cutOff();
  return { windowAt, contentSize, mostContent, end: at };
}

/** The bytes with the smallest window that is as good for `limit` bytes: the library allocates what it is told. */
function withNeededWindow(bytes: Uint8Array, frame: Frame, limit: number): Uint8Array {
  if (frame.windowAt === undefined) return bytes;
  // Window_Descriptor is the exponent above 10 times 8, and eighths.
  const exponent = Math.ceil(Math.log2(Math.max(limit, largestBlock))) - 10;
  if (bytes[frame.windowAt]! <= exponent << 3) return bytes;
  const copy = new Uint8Array(bytes);
  copy[frame.windowAt] = exponent << 3;
  return copy;
}
