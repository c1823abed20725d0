// The build id of a kernel and where it lies in memory: the descriptor of the note NT_GNU_BUILD_ID of `GNU`.
//
// A raw image has no table that leads to its notes, but the note's header is four known words. The kernel carries other
// ELF files inside it, the vDSO for one, which have a build id of their own: those are told by their headers.

import { PT_NOTE, SHT_NOTE } from '../elf/constants.ts';
import { readElf, readNotes } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { findText, type ImageBytes } from './image-bytes.ts';

const ntGnuBuildId = 3;
const owner = 'GNU';
/** Its letters and the zero behind them, little-endian. */
const ownerAsNumber = 0x00554e47;
/** namesz, descsz, type, then the name with its zero. */
const headerSize = 12 + owner.length + 1;
/** SHA-1, or MD5 and UUID, as ld's --build-id makes them. */
const sizes = [20, 16];
/** An ELF file inside the kernel is no larger, and there are no more of them, nor of what looks like one. */
const largestEmbedded = 1 << 20;
const mostEmbedded = 64;
const mostNotes = 64;

/** The offset and size of the kernel's own build id; undefined if there is none, or more than one. */
export function findBuildId(image: ImageBytes): { offset: number; size: number } | undefined {
  const notes: number[] = [];
  for (const name of image.findNumber(ownerAsNumber)) {
    const at = name - (headerSize - 4);
    if (
      image.u32(at) === owner.length + 1 &&
      sizes.includes(image.u32(at + 4) ?? 0) &&
      image.u32(at + 8) === ntGnuBuildId &&
      notes.push(at) === mostNotes
    )
      break;
  }
  const embedded = embeddedNotes(image, notes);
  const own = notes.filter((at) => !embedded.some(({ start, end }) => at >= start && at < end));
  const [note, ...others] = own;
  if (note === undefined || others.length > 0) return undefined;
  const found = { offset: note + headerSize, size: image.u32(note + 4)! };
  return found.offset + found.size <= image.bytes.length ? found : undefined;
}

/** Where the ELF files have their notes that begin somewhat before one of the given offsets. */
function embeddedNotes(image: ImageBytes, offsets: readonly number[]): { start: number; end: number }[] {
  const files = new Set<number>();
  for (const at of offsets) {
    const from = Math.max(0, at - largestEmbedded);
    for (const offset of findText(image.bytes.subarray(from, at), '\x7fELF', mostEmbedded)) files.add(from + offset);
  }
  return [...files].slice(0, mostEmbedded).flatMap((file) => {
    try {
      return readElf(image.bytes.subarray(file, file + largestEmbedded), 'ELF file inside the kernel')
        .segments.filter(({ type }) => type === PT_NOTE)
        .map(({ offset, data }) => ({ start: file + offset, end: file + offset + data.length }));
    } catch {
      // Something else that begins like one.
      return [];
    }
  });
}

/** The build id that an ELF file has in its sections or segments of notes. Throws `elf-malformed` for notes that are cut off. */
export function elfBuildId(elf: ElfModel, place: string): Uint8Array | undefined {
  const parts = [
    ...elf.sections.filter(({ type }) => type === SHT_NOTE),
    ...elf.segments.filter(({ type }) => type === PT_NOTE),
  ];
  return parts
    .flatMap(({ data, align }) => readNotes(data, place, align === 8 ? 8 : 4))
    .find(({ name, type }) => name === owner && type === ntGnuBuildId)?.desc;
}

export const hexOfBuildId = (id: Uint8Array): string =>
  Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('');
