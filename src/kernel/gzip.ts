// gzip (RFC 1952), by the platform.

import { ReasonError } from '../reason.ts';
import { collect, DecompressionStream, streamOf, unreadable } from './web-streams.ts';

/** ID1, ID2, and CM 8 for deflate; the upper three flags are reserved and zero. */
export const beginsGzip = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8 && (bytes[3]! & 0xe0) === 0;

/**
 * Unpacks a gzip file, which must end with the bytes: its CRC32 and size are checked. `limit` is the most bytes that may
 * come out. Throws `packed-data-unreadable`.
 */
export async function unpackGzip(bytes: Uint8Array, place: string, limit: number): Promise<Uint8Array> {
  if (!beginsGzip(bytes)) throw unreadable(place, 'it does not begin as gzip');
  try {
    return await collect(streamOf(bytes).pipeThrough(new DecompressionStream('gzip')), place, limit);
  } catch (error) {
    if (error instanceof ReasonError) throw error;
    throw unreadable(place, `the gzip data is damaged: ${(error as Error).message}`);
  }
}
