// The ARM zImage: a decompressor with the packed kernel inside it (arch/arm/boot/compressed, 6.1).
//
// head.S begins with a header of words: at 0x24 a magic, then the zImage's start and end, the byte order, a second magic
// that says there is a table, and where. vmlinux.lds.S fills the table: its size in words, a tag, and then the place of
// the last word of the packed kernel. That word is the unpacked size: gzip has it there by itself, to everything else
// the build appends it (scripts/Makefile.lib, size_append).
//
// So the end of the packed data and the size of the kernel are known, but not its beginning, and a decompressor holds
// the magic that it looks for. So every place that could be the beginning is tried, and only one that unpacks to
// the last byte into a kernel of that size is it.

import { reasonError } from '../reason.ts';
import { compressions, knownCompressions, largestUnpacked } from './compression.ts';

const header = { magicAt: 0x24, endAt: 0x2c, tableMagicAt: 0x34, tableAt: 0x38, size: 0x3c };
const zimageMagic = 0x016f2818;
/** head.S has it four times in a byte order of its own; this is one. */
const tableMagic = 0x45454545;
/** "KLSZ". */
const tableTag = 0x5a534c4b;

/** A decompressor has a handful of places that look like the beginning; a file with more was made to keep us busy. */
const mostAttempts = 64;

export function isZimage(bytes: Uint8Array): boolean {
  return bytes.length >= header.size && view(bytes).getUint32(header.magicAt, true) === zimageMagic;
}

/** The kernel that is packed in a zImage: a raw image, to be loaded as it is. Throws `image-unreadable`. */
export async function unpackZimage(bytes: Uint8Array, place: string): Promise<Uint8Array> {
  const { sizeAt, size } = unpackedSize(bytes, place);
  const found: string[] = [];
  for (let start = header.size; start < sizeAt; start++) {
    const rest = bytes.subarray(start, sizeAt);
    for (const compression of compressions) {
      if (!compression.begins(rest)) continue;
      if (found.length === mostAttempts) throw unpackable(place, size, [...found.slice(0, 3), 'and many more']);
      // gzip's own trailer ends with the size.
      const packed = compression.name === 'gzip' ? bytes.subarray(start, sizeAt + 4) : rest;
      try {
        const image = await compression.unpack(packed, place, size);
        if (image.length === size) return image;
        found.push(`${compression.name} at 0x${start.toString(16)}: ${image.length} bytes and not ${size}`);
      } catch (error) {
        found.push(`${compression.name} at 0x${start.toString(16)}: ${(error as Error).message}`);
      }
    }
  }
  throw unpackable(place, size, found.slice(0, 4));
}

const remedy = 'Get the image anew, or import the kernel’s vmlinux as the image.';

function unpackable(place: string, size: number, tried: readonly string[]) {
  const what = `nothing in this zImage unpacks to a kernel of ${size} bytes (known are ${knownCompressions})`;
  return reasonError('image-unreadable', place, [what, ...tried].join('; '), remedy);
}

/** Where the packed kernel's last word is, and what it says. */
function unpackedSize(bytes: Uint8Array, place: string): { sizeAt: number; size: number } {
  const refuse = (message: string) => reasonError('image-unreadable', place, message, remedy);
  const words = view(bytes);
  const end = words.getUint32(header.endAt, true);
  if (end > bytes.length) throw refuse(`the zImage is cut off: it should have ${end} bytes and has ${bytes.length}`);
  const tableAt = words.getUint32(header.tableAt, true);
  if (words.getUint32(header.tableMagicAt, true) !== tableMagic || tableAt + 12 > end)
    throw refuse(
      'the zImage has no table that says where the kernel is; those of Linux before 4.15 are not known here',
    );
  if (words.getUint32(tableAt + 4, true) !== tableTag) throw refuse('the table of the zImage is not what it should be');
  const sizeAt = words.getUint32(tableAt + 8, true);
  if (sizeAt + 4 > end) throw refuse('the table of the zImage leads out of it');
  const size = words.getUint32(sizeAt, true);
  if (size > largestUnpacked) throw refuse(`the kernel would have ${size} bytes, which no kernel has`);
  return { sizeAt, size };
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
