// The section that holds a module's stubs.

import type { Section } from '../../elf/model.ts';
import type { Stub } from '../arch.ts';

const SHT_PROGBITS = 1;
const SHF_ALLOC = 2n;
const SHF_EXECINSTR = 4n;

/** Each stub starts on 16 bytes, as functions do. The gaps are traps, so that a wrong jump into one is seen. */
const stubAlign = 16;
const TRAP = 0x7fe00008;

/** `Architecture.layOutStubs`. ppc64le has no unwind tables, so nothing goes with the section. */
export function layOutStubs(stubs: readonly Stub[]): { section: Section; offsets: number[]; companions: Section[] } {
  const offsets: number[] = [];
  let size = 0;
  for (const stub of stubs) {
    offsets.push(size);
    size += Math.ceil((stub.words.length * 4) / stubAlign) * stubAlign;
  }
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  for (let at = 0; at < size; at += 4) view.setUint32(at, TRAP, true);
  for (const [i, stub] of stubs.entries()) {
    for (const [n, { word }] of stub.words.entries()) view.setUint32(offsets[i]! + 4 * n, word, true);
  }
  const section: Section = {
    name: '.text.suture_stubs',
    type: SHT_PROGBITS,
    flags: SHF_ALLOC | SHF_EXECINSTR,
    address: 0n,
    align: stubAlign,
    entrySize: 0,
    data,
    size,
    link: undefined,
    info: 0,
    relocations: [],
  };
  return { section, offsets, companions: [] };
}
