// The section of stubs in a patch module, and its unwind table.
//
// Under function_graph the kernel's hook unwinds from where the handler sent it, less one instruction: from the word
// before a stub (`prepare_ftrace_return` in arch/arm/kernel/ftrace.c, Linux 6.1). In a text without a table it looks in
// vain and complains each time; in one whose table speaks of another function there it unwinds wrongly, up to an oops.
// So the section has an index table (EHABI32, IHI 0038, section 6) of one entry: from its start on, nothing can be
// unwound. That covers every stub and, thanks to the pad word at the start, the word before each.
//
// The loader finds a table by its type and the section that it is for by its name: `.ARM.exidx` followed by that
// section's (`module_finalize` in arch/arm/kernel/module.c, Linux 6.1).

import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_LINK_ORDER,
  SHT_ARM_EXIDX,
  SHT_PROGBITS,
  STB_LOCAL,
  STT_SECTION,
} from '../../elf/constants.ts';
import { newSection, newSymbol } from '../../elf/elf.ts';
import type { Section } from '../../elf/model.ts';
import type { StubWord } from '../arch.ts';
import { encode } from './instructions.ts';
import { R_ARM_PREL31 } from './relocations.ts';

/** The second word of an index entry whose functions must not be unwound (EHABI32, section 6). */
const EXIDX_CANTUNWIND = 1;

/** Whoever falls into it is stopped. */
const pad = encode('UDF', { imm12: 0, imm4: 0 });

function littleEndian(words: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return new Uint8Array(view.buffer);
}

/** Both sections are made of words. */
const align = 4;

/**
 * Lays stubs or veneers out one behind the other: the section, the offset of each in it, and the unwind table. `filling` is the
 * word before the first one.
 */
export function layOutStubs(
  stubs: readonly { readonly words: readonly StubWord[] }[],
  textName = '.text.suture_stubs',
  filling = pad,
): { section: Section; offsets: number[]; companions: Section[] } {
  const words = [filling];
  const offsets = stubs.map((stub) => {
    const offset = 4 * words.length;
    words.push(...stub.words.map(({ word }) => word));
    return offset;
  });
  const text = newSection(textName, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, littleEndian(words), { align });

  const start = newSymbol('', { binding: STB_LOCAL, type: STT_SECTION, place: text });
  const table = newSection(
    `.ARM.exidx${textName}`,
    SHT_ARM_EXIDX,
    SHF_ALLOC | SHF_LINK_ORDER,
    littleEndian([0, EXIDX_CANTUNWIND]),
    { align, link: text },
  );
  table.relocations.push({ offset: 0, type: R_ARM_PREL31, symbol: start, addend: undefined });
  return { section: text, offsets, companions: [table] };
}
