// The build id of a kernel and where it lies in memory: the descriptor of the note NT_GNU_BUILD_ID of `GNU`.
//
// A raw image has no table that leads to its notes, but the note's header is four known words. The kernel carries other
// ELF files inside it, the vDSO for one, which have a build id of their own: those are told by their headers.

import { PT_NOTE } from '../elf/constants.ts';
import { readElf } from '../elf/elf.ts';
import { findText, type ImageBytes } from './memory.ts';

const ntGnuBuildId = 3;
const owner = 'GNU';
/** namesz, descsz, type, then the name with its zero. */
const headerSize = 12 + owner.length + 1;
/** SHA-1, or MD5 and UUID, as ld's --build-id makes them. */
const sizes = [20, 16];
/** How far before its notes an ELF file inside the kernel can begin. */
const embeddedReach = 1 << 20;
const mostPlaces = 256;

/** The offset and size of the kernel's own build id; undefined if there is none, or more than one. */
export function findBuildId(image: ImageBytes): { offset: number; size: number } | undefined {
  const notes = findText(image.bytes, `${owner}\0`, mostPlaces)
    .map((at) => at - 12)
    .filter(
      (at) =>
        at % 4 === 0 &&
        image.u32(at) === owner.length + 1 &&
        sizes.includes(image.u32(at + 4) ?? 0) &&
        image.u32(at + 8) === ntGnuBuildId,
    );
  const own = notes.filter((at) => !isEmbedded(image, at));
  const [note, ...others] = own;
  if (note === undefined || others.length > 0) return undefined;
  const found = { offset: note + headerSize, size: image.u32(note + 4)! };
  return found.offset + found.size <= image.bytes.length ? found : undefined;
}

/** Whether an offset lies in the notes of an ELF file inside the image. */
function isEmbedded(image: ImageBytes, at: number): boolean {
  const from = Math.max(0, at - embeddedReach);
  return findText(image.bytes.subarray(from, at), '\x7fELF', mostPlaces).some((offset) => {
    const start = from + offset;
    try {
      const { segments } = readElf(image.bytes.subarray(start), 'ELF file inside the kernel');
      return segments.some(
        ({ type, offset, data }) => type === PT_NOTE && at >= start + offset && at < start + offset + data.length,
      );
    } catch {
      return false;
    }
  });
}
