// The section that holds a module's stubs.

import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS } from '../../elf/constants.ts';
import { newSection } from '../../elf/elf.ts';
import type { Section } from '../../elf/model.ts';
import type { StubWord } from '../arch.ts';

/** Each stub starts on 16 bytes, as functions do. The gaps are traps, so that a wrong jump into one is seen. */
const stubAlign = 16;
const TRAP = 0x7fe00008;

/** `Architecture.layOutStubs`. ppc64le has no unwind tables, so nothing goes with the section. */
export function layOutStubs(
  stubs: readonly { readonly words: readonly StubWord[] }[],
  name = '.text.suture_stubs',
): { section: Section; offsets: number[]; companions: Section[] } {
  const offsets: number[] = [];
  let size = 0;
  for (const stub of stubs) {
    offsets.push(size);
    size += Math.ceil((stub.words.length * 4) / stubAlign) * stubAlign;
  }
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  for (let at = 0; at < size; at += 4) view.setUint32(at, TRAP, true);
  for (let i = 0; i < stubs.length; i++) {
    const { words } = stubs[i]!;
    for (let n = 0; n < words.length; n++) view.setUint32(offsets[i]! + 4 * n, words[n]!.word, true);
  }
  const flags = SHF_ALLOC | SHF_EXECINSTR;
  const section = newSection(name, SHT_PROGBITS, flags, data, { align: stubAlign });
  return { section, offsets, companions: [] };
}
