// The compressions that kernels and modules are packed with.

import { beginsGzip, unpackGzip } from './gzip.ts';
import { beginsLz4, unpackLz4 } from './lz4.ts';
import { beginsLzma, unpackLzma } from './lzma.ts';
import { beginsXz, unpackXz } from './xz.ts';
import { beginsZstd, unpackZstd } from './zstd.ts';

export interface Compression {
  readonly name: string;
  /** Whether packed data can begin with these bytes. */
  begins(bytes: Uint8Array): boolean;
  /**
   * Unpacks `bytes`, which are the packed data and nothing else, to at most `limit` bytes.
   * Throws `packed-data-unreadable`.
   */
  unpack(bytes: Uint8Array, place: string, limit: number): Uint8Array | Promise<Uint8Array>;
}

/** Those with a magic first: lzma has none, only a header that few other bytes look like. */
export const compressions: readonly Compression[] = [
  { name: 'xz', begins: beginsXz, unpack: unpackXz },
  { name: 'gzip', begins: beginsGzip, unpack: unpackGzip },
  { name: 'zstd', begins: beginsZstd, unpack: unpackZstd },
  { name: 'lz4', begins: beginsLz4, unpack: unpackLz4 },
  { name: 'lzma', begins: beginsLzma, unpack: unpackLzma },
];

/** No kernel image and no module is larger than this, unpacked. */
export const largestUnpacked = 256 << 20;

/**
 * Unpacks what begins as packed data to at most `limit` bytes, and gives anything else as it is. lzma is left out: without
 * a magic, only where packed data must be can it be told. Throws `packed-data-unreadable`.
 */
export async function unpackIfPacked(bytes: Uint8Array, place: string, limit = largestUnpacked): Promise<Uint8Array> {
  const compression = compressions.find((each) => each.name !== 'lzma' && each.begins(bytes));
  return compression ? await compression.unpack(bytes, place, limit) : bytes;
}

/** For messages where none fits. */
export const knownCompressions = compressions.map((each) => each.name).join(', ');
