// The xz format (xz-file-format.txt 1.2.1, "The .xz File Format"), with the ARM filter that ARM kernels are packed with.
//
// A stream is a header, blocks, an index and a footer. A block is a header that names its filters, the filtered and
// compressed data, and a check over the data as it was at the very beginning. The library that decompresses LZMA2 knows
// no filter besides, and refuses a stream whose check it cannot see fit. So each block goes to it as a stream of its own
// without filter and without check; the filter is undone here, and the block's own check is computed here, as are those
// of the headers and the index. Nothing is taken for right before they all agree.
//
// How large a block becomes is known before it is decompressed: LZMA2 is a list of chunks, each with its sizes before
// and after in plain numbers.

import xzLibrary from 'xz-decompress';
import { crc32, crc64 } from './checksums.ts';
import { type ByteStream, collect, streamOf, tooLarge, unreadable } from './web-streams.ts';

const headerMagic = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const footerMagic = [0x59, 0x5a];
const headerSize = 12;

/** Filter IDs, section 5.3. */
const filterLzma2 = 0x21n;
const filterArm = 0x07n;

/** Check IDs, section 2.1.1.2, with the size of each in bytes. */
const checks = new Map([
  [0x00, { name: 'none', size: 0 }],
  [0x01, { name: 'CRC32', size: 4 }],
  [0x04, { name: 'CRC64', size: 8 }],
]);

export const beginsXz = (bytes: Uint8Array): boolean => headerMagic.every((byte, i) => bytes[i] === byte);

interface Block {
  /** The chunks of LZMA2, their end mark included. */
  readonly chunks: Uint8Array;
  /** The dictionary's size as LZMA2's one property byte has it. */
  readonly dictionary: number;
  readonly arm: boolean;
  readonly unpackedSize: number;
  /** Header, chunks and check without padding: what the index has to say of this block. */
  readonly unpaddedSize: number;
  readonly check: Uint8Array;
}

/**
 * Unpacks an xz stream; what follows its footer is not looked at. `limit` is the most bytes that may come out.
 * Throws `packed-data-unreadable`.
 */
export async function unpackXz(bytes: Uint8Array, place: string, limit: number): Promise<Uint8Array> {
  const { blocks, checkId } = readStream(bytes, place, limit);
  const all = new Uint8Array(blocks.reduce((sum, block) => sum + block.unpackedSize, 0));
  let at = 0;
  for (const block of blocks) {
    const data = await collect(lzma2Stream(block), place, block.unpackedSize).catch((error: Error) => {
      throw unreadable(place, `the compressed data is damaged: ${error.message}`);
    });
    if (data.length !== block.unpackedSize)
      throw unreadable(place, `a block of ${block.unpackedSize} bytes gave ${data.length}`);
    if (block.arm) undoArmFilter(data);
    if (!checkHolds(checkId, block.check, data))
      throw unreadable(place, `the ${checks.get(checkId)?.name} of a block is not that of its data`);
    all.set(data, at);
    at += data.length;
  }
  return all;
}

/** Reads everything but the data: blocks, index and footer, and that they agree. */
function readStream(bytes: Uint8Array, place: string, limit: number): { blocks: Block[]; checkId: number } {
  if (!beginsXz(bytes)) throw unreadable(place, 'it does not begin as an xz stream');
  const reader = new Reader(bytes, place);
  reader.seek(headerMagic.length);
  const flags = reader.bytes(2);
  reader.expectCrc(flags, 'the stream header');
  const checkId = flags[1]! & 0x0f;
  const check = checks.get(checkId);
  if (!check || flags[0] !== 0) throw unreadable(place, `xz with check ${checkId} is not known here`);

  const blocks: Block[] = [];
  let left = limit;
  // An index begins with a zero byte where a block has the size of its header.
  while (reader.peek() !== 0) {
    const block = readBlock(reader, check.size);
    left -= block.unpackedSize;
    if (left < 0) throw tooLarge(place, limit);
    blocks.push(block);
  }

  const indexStart = reader.at;
  reader.seek(indexStart + 1);
  const told = reader.number() === BigInt(blocks.length);
  if (
    !told ||
    !blocks.every((b) => reader.number() === BigInt(b.unpaddedSize) && reader.number() === BigInt(b.unpackedSize))
  )
    throw unreadable(place, 'the index does not tell of the blocks that are there');
  reader.align(indexStart);
  reader.expectCrc(bytes.subarray(indexStart, reader.at), 'the index');
  const indexSize = reader.at - indexStart;

  const footerCrc = reader.word();
  const footer = reader.bytes(6);
  if (crc32(footer) !== footerCrc) throw unreadable(place, 'the CRC32 of the footer is wrong');
  const backwardSize = (new DataView(footer.buffer, footer.byteOffset).getUint32(0, true) + 1) * 4;
  if (backwardSize !== indexSize || footer[4] !== flags[0] || footer[5] !== flags[1])
    throw unreadable(place, 'the footer does not fit the header and the index');
  if (!footerMagic.every((byte) => reader.byte() === byte)) throw unreadable(place, 'the footer has no magic');
  return { blocks, checkId };
}

function readBlock(reader: Reader, checkSize: number): Block {
  const start = reader.at;
  const size = (reader.byte() + 1) * 4;
  const header = reader.sub(start, size - 4);
  const flags = reader.byte();
  const packedClaim = flags & 0x40 ? reader.number() : undefined;
  const unpackedClaim = flags & 0x80 ? reader.number() : undefined;
  const filters = Array.from({ length: (flags & 3) + 1 }, () => ({
    id: reader.number(),
    properties: reader.bytes(Number(reader.number())),
  }));
  const unknown = filters.slice(0, -1).find((filter) => filter.id !== filterArm);
  const last = filters.at(-1)!;
  if (unknown || last.id !== filterLzma2 || last.properties.length !== 1 || filters.length > 2)
    throw unreadable(reader.place, `the filters ${filters.map((f) => f.id).join(', ')} of xz are not known here`);
  // The ARM filter's one property would be a start offset, which nothing sets.
  if (filters.length === 2 && filters[0]!.properties.length > 0)
    throw unreadable(reader.place, 'the ARM filter has a start offset, which is not known here');
  reader.seek(start + size - 4);
  reader.expectCrc(header, 'a block header');

  const dataStart = reader.at;
  const unpackedSize = skipChunks(reader);
  const chunks = reader.sub(dataStart, reader.at - dataStart);
  if (
    (packedClaim ?? BigInt(chunks.length)) !== BigInt(chunks.length) ||
    (unpackedClaim ?? BigInt(unpackedSize)) !== BigInt(unpackedSize)
  )
    throw unreadable(reader.place, 'a block header tells other sizes than its data has');
  const unpaddedSize = reader.at - start + checkSize;
  reader.align(start);
  return {
    chunks,
    dictionary: last.properties[0]!,
    arm: filters.length === 2,
    unpackedSize,
    unpaddedSize,
    check: reader.bytes(checkSize),
  };
}

/**
 * Passes over LZMA2's chunks and adds up what they unpack to. A chunk's first byte is 0 for the end, 1 or 2 for one that
 * is stored, or has its top bit set and then bits 16 to 20 of the size in its low ones (xz-embedded, xz_dec_lzma2.c).
 */
function skipChunks(reader: Reader): number {
  let unpacked = 0;
  for (;;) {
    const control = reader.byte();
    if (control === 0) return unpacked;
    if (control > 2 && control < 0x80)
      throw unreadable(reader.place, `0x${control.toString(16)} begins no LZMA2 chunk`);
    const size = reader.bigEndianHalf() + 1;
    if (control <= 2) {
      unpacked += size;
      reader.bytes(size);
    } else {
      unpacked += ((control & 0x1f) << 16) + size;
      const packed = reader.bigEndianHalf() + 1;
      const properties = control >= 0xc0 ? 1 : 0;
      reader.bytes(properties + packed);
    }
  }
}

/** A block as an xz stream of its own: no filter but LZMA2, no check. */
function lzma2Stream(block: Block): ByteStream {
  const flags = [0, 0];
  const blockHeader = [(headerSize >> 2) - 1, 0, Number(filterLzma2), 1, neededDictionary(block), 0, 0, 0];
  const unpaddedSize = headerSize + block.chunks.length;
  const index = padded([0, 1, ...varint(unpaddedSize), ...varint(block.unpackedSize)]);
  const footer = [...littleEndian(index.length / 4), ...flags];
  const stream = streamOf(
    Uint8Array.from([...headerMagic, ...withCrc(flags), ...withCrc(blockHeader)]),
    block.chunks,
    Uint8Array.from([
      ...new Array<number>(-unpaddedSize & 3).fill(0),
      ...withCrc(index),
      ...littleEndian(crc32(Uint8Array.from(footer))),
      ...footer,
      ...footerMagic,
    ]),
  );
  return new xzLibrary.XzReadableStream(stream as never) as unknown as ByteStream;
}

/** The property of the smallest dictionary that is as good for this block: the library allocates what it is told. */
function neededDictionary(block: Block): number {
  // Section 5.3.1: 2 or 3, by the lowest bit, times 2 to the power of the other bits and 11.
  const size = (property: number) => (2 | (property & 1)) * 2 ** ((property >> 1) + 11);
  let property = 0;
  while (property < block.dictionary && size(property) < block.unpackedSize) property++;
  return property;
}

/**
 * Undoes the ARM filter in place: in a `bl` that is always executed, the filter has put the target's word offset from the
 * start of the block where the instruction has it from its own address and 8 more, which is what pc reads as.
 */
function undoArmFilter(data: Uint8Array): void {
  for (let at = 0; at + 4 <= data.length; at += 4) {
    if (data[at + 3] !== 0xeb) continue;
    const target = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16);
    const offset = target - ((at + 8) >>> 2);
    data[at] = offset;
    data[at + 1] = offset >> 8;
    data[at + 2] = offset >> 16;
  }
}

function checkHolds(checkId: number, check: Uint8Array, data: Uint8Array): boolean {
  const view = new DataView(check.buffer, check.byteOffset, check.length);
  if (check.length === 4) return view.getUint32(0, true) === crc32(data);
  if (check.length === 8) return view.getBigUint64(0, true) === crc64(data);
  return checkId === 0;
}

const littleEndian = (word: number): number[] => [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24];
const padded = (bytes: number[]): number[] => [...bytes, ...new Array<number>(-bytes.length & 3).fill(0)];
const withCrc = (bytes: number[]): number[] => [...bytes, ...littleEndian(crc32(Uint8Array.from(bytes)))];

/** Section 1.2: seven bits a byte, lowest first, the top bit set in all but the last. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
}

/** Reads bytes one after the other. Throws `packed-data-unreadable` at the end of the data. */
class Reader {
  readonly place: string;
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array, place: string) {
    this.#bytes = bytes;
    this.place = place;
  }

  peek(): number {
    return this.#bytes[this.at] ?? this.#cutOff();
  }

  byte(): number {
    const byte = this.peek();
    this.at++;
    return byte;
  }

  bytes(size: number): Uint8Array {
    const bytes = this.sub(this.at, size);
    this.at += size;
    return bytes;
  }

  sub(start: number, size: number): Uint8Array {
    if (!(size >= 0 && start + size <= this.#bytes.length)) this.#cutOff();
    return this.#bytes.subarray(start, start + size);
  }

  seek(at: number): void {
    this.at = at;
  }

  word(): number {
    const [a, b, c, d] = this.bytes(4);
    return (a! | (b! << 8) | (c! << 16) | (d! << 24)) >>> 0;
  }

  bigEndianHalf(): number {
    return (this.byte() << 8) | this.byte();
  }

  /** A varint: at most nine bytes. */
  number(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 63n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw unreadable(this.place, 'a number in the xz headers is too long');
  }

  /** Passes over zero bytes up to the next multiple of four from `start`. */
  align(start: number): void {
    while ((this.at - start) & 3)
      if (this.byte() !== 0) throw unreadable(this.place, 'padding in the xz stream is not zero');
  }

  /** Reads a word that must be the CRC32 of `bytes`. */
  expectCrc(bytes: Uint8Array, what: string): void {
    if (this.word() !== crc32(bytes)) throw unreadable(this.place, `the CRC32 of ${what} is wrong`);
  }

  #cutOff(): never {
    throw unreadable(this.place, 'the xz stream is cut off');
  }
}
