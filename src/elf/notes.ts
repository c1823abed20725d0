// Notes: the contents of SHT_NOTE sections and PT_NOTE segments (gABI chapter 5, "Note Section"), such as the build id.

import { malformed } from './checks.ts';
import { type SectionOffset, sectionOffset } from './units.ts';

export interface Note {
  /** The owner, without its terminating zero: `GNU`, `Linux`. */
  readonly name: string;
  /** What it is, by owner: NT_GNU_BUILD_ID 3 of `GNU`. */
  readonly type: number;
  /** The descriptor, a view of the bytes that were given. */
  readonly desc: Uint8Array;
  /** Where the note's header stands. */
  readonly offset: SectionOffset;
  /** Where `desc` stands. */
  readonly descOffset: SectionOffset;
}

/** namesz, descsz, type: a word each, in both classes. */
const headerSize = 12;

/**
 * The notes of a section, in order. `place` names the section in errors. `align` is 4, or 8 where the section's own
 * alignment is 8 (`.note.gnu.property` of 64-bit files).
 * Throws `elf-malformed` for a note that does not end within `data`.
 */
export function readNotes(data: Uint8Array, place: string, align: 4 | 8 = 4): Note[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const notes: Note[] = [];
  const aligned = (offset: number) => Math.ceil(offset / align) * align;
  // Every round takes at least a header, so there are at most data.length / 12.
  for (let at = 0; at < data.length; ) {
    const where = `${place}: note ${notes.length}`;
    if (data.length - at < headerSize) malformed(where, `its header at 0x${at.toString(16)} is cut off`);
    const nameSize = view.getUint32(at, true);
    const descSize = view.getUint32(at + 4, true);
    const nameStart = at + headerSize;
    const descStart = aligned(nameStart + nameSize);
    if (nameStart + nameSize > data.length)
      malformed(`${where}: namesz`, `a name of ${nameSize} bytes does not end in the section`);
    if (descSize > 0 && descStart + descSize > data.length)
      malformed(`${where}: descsz`, `a descriptor of ${descSize} bytes does not end in the section`);
    notes.push({
      name: new TextDecoder().decode(data.subarray(nameStart, nameStart + nameSize)).replace(/\0+$/, ''),
      type: view.getUint32(at + 8, true),
      desc: data.subarray(descStart, descStart + descSize),
      offset: sectionOffset(at),
      descOffset: sectionOffset(descStart),
    });
    at = aligned(descStart + descSize);
  }
  return notes;
}
