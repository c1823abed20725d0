// The entry way on ARM: the first word of the old function becomes `b new_function`.
//
// Nothing has happened yet at a function's first word: r0–r3, sp and what lies there, r4–r11 and lr are the caller's (AAPCS,
// IHI 0042, section 5.1.1), and `b` changes nothing but the pc (ARM DDI 0406C, section A8.8.18). So the new function is
// entered as if the caller had called it, and returns to the caller by itself: there is nothing to undo and no stub. It
// costs one instruction. The word of ftrace's call site stands further on and is nobody's business.
//
// `b` and `bl` reach 32 MB either way (section A8.8.18), the offset counted from the pc, which is 8 bytes ahead. All of the kernel's text reaches
// the module area below it; of a module that the loader had to put elsewhere (`module_alloc` in
// arch/arm/kernel/module.c, Linux 6.1, falls back to vmalloc) it does not. Then the branch leads to an island in between:
//
//     ldr pc, [pc, #-4]     @ the word behind: the pc reads as 8 bytes ahead
//     .word new_function
//
// `ldr pc` changes nothing but the pc either. Bit 0 of what it loads would change to Thumb (section A8.8.63); there is no
// Thumb code in such a kernel.
//
// One 32-bit store puts the word in place. A processor that executes the place at that moment finds the one or the other
// word (section A3.5.4 lists B among the instructions of which this holds); but the core has stopped the machine anyway, and each processor
// executes an ISB before it goes on.

import { linkAddress } from '../../elf/units.ts';
import type { EntryWay, FunctionText, KernelText, Stub } from '../arch.ts';
import { always, branchTarget, decode, encode, pcAhead } from './instructions.ts';
import { whoCountsOnRegisters } from './kept-registers.ts';
import { isUnwound } from './kernel-unwind-index.ts';
import { objectCode } from './object-code.ts';

const PC = 15;

/** The bits of a word address that a branch holds. */
const branchField = { from: 0, width: 24, to: 0 };

/**
 * Assembly that is not called by the procedure call standard, by the names that it has in arch/arm (Linux 6.1): accessors of
 * user memory (lib/getuser.S, putuser.S), arithmetic of the compiler's (lib/lib1funcs.S, div64.S), ftrace's hooks
 * (kernel/entry-ftrace.S), returns to user mode (kernel/entry-common.S), vectors and what runs without the MMU. What is C and shares
 * a prefix is left out with them.
 */
const ownConvention =
  /^(__(get|put)_user_|__aeabi_|__do_div64|__gnu_mcount_nc|mcount|ftrace_(caller|regs|graph|stub|call)|return_to_handler|ret_(fast|slow|from|to)_|vector_|__hyp_|__fixup_|__secondary_|secondary_startup|__turn_mmu|__enable_mmu|stext|_text|_stext|__\w*text_(start|end))/;

/** What platforms call where a processor waits that is switched off: `smp_ops.cpu_die` and what that enters (arch/arm/mach-…). */
export const parked = /_cpu_(die|off|kill)$|_do_lowpower$/;

/** Ranges of text that holds only code of that kind, or such that must not be left in between. */
const ownRanges = [
  ['__entry_text_start', '__entry_text_end'],
  ['__idmap_text_start', '__idmap_text_end'],
  ['__noinstr_text_start', '__noinstr_text_end'],
  ['__hyp_idmap_text_start', '__hyp_idmap_text_end'],
] as const;

/** Why a function is none that is called as usual, by its name and by where it lies. */
export function ownConventionByPlace({ name, address }: FunctionText, kernel: KernelText): string | undefined {
  if (ownConvention.test(name))
    return 'its name is one of assembly that is not called as the procedure call standard has it, or of what ftrace itself runs on';
  for (const [first, last] of ownRanges) {
    const [start, end] = [kernel.symbol(first), kernel.symbol(last)];
    if (start !== undefined && end !== undefined && address >= start && address < end)
      return `it lies in the text from ${first} on, which is entered otherwise than by calls or must not be changed`;
  }
  return undefined;
}

/** `EntryWay.doubt`: gcc writes unwinding rules for all that it compiles. */
export function doubt({ address }: FunctionText, kernel: KernelText): string | undefined {
  switch (isUnwound(kernel, address)) {
    case true:
      return undefined;
    case false:
      return `${uncalled}: the kernel cannot unwind it, so it may be assembly, or data`;
    case undefined:
      return `${uncalled}: it has no call site, and the kernel no unwind index`;
  }
}

const uncalled = 'nothing shows that it is called as the procedure call standard has it';

/** Instructions behind which nothing of the same function need come: a call may be one that does not return. */
const leaving: readonly string[] = ['B', 'BL', 'BLX (immediate)', 'BLX (register)', 'BX', 'UDF'];
const nops: readonly string[] = ['NOP', 'MOV (register), nop'];

/** Whether control comes to a place from the word before it: then the place is a label within a function. */
function isRunInto(before: number | undefined): boolean {
  // With a condition it might be a literal as well as an instruction.
  if (before === undefined || before >>> 28 !== always) return false;
  const { encoding, fields } = decode(before) ?? {};
  if (!encoding || !fields || leaving.includes(encoding.name) || nops.includes(encoding.name)) return false;
  const { Rd, Rt, register_list: registers = 0 } = fields;
  return Rd !== PC && Rt !== PC && (registers & (1 << PC)) === 0;
}

/** What an instruction of the function has to do with its own first word, beside calling the function anew. */
function useOfFirstWord(word: number, at: number): string | undefined {
  const { encoding, fields } = decode(word) ?? {};
  const reaches = (offset: number): boolean => at + pcAhead + offset === 0;
  if (objectCode.isJump(word))
    return branchTarget(fields?.imm24 ?? word & 0xffffff, at) === 0 ? 'leads back to' : undefined;
  if (!encoding || !fields || fields.Rn !== PC) return undefined;
  const { U, imm12 = 0 } = fields;
  const isLoad = encoding.name.startsWith('LDR');
  if (isLoad) return reaches(U ? imm12 : -imm12) ? 'reads' : undefined;
  if (encoding.name === 'SUB (immediate)') return reaches(-imm12) ? 'takes the address of' : undefined;
  return undefined;
}

export const entryWay: EntryWay = {
  branch: { word: encode('B', { imm24: 0 }), addend: -pcAhead, range: 26, shift: 2, fields: [branchField], flip: 0 },
  island: {
    always: false,
    words: [
      { word: encode('LDR (immediate)', { Rn: PC, Rt: PC, U: 0, imm12: 4 }), text: 'ldr pc, [pc, #-4]' },
      { word: 0, text: '.word new_function', field: { from: 0, width: 32, to: 0 } },
    ],
  },
  site: () => 0,
  ofModules: true,
  hindrance(text, kernel) {
    if (parked.test(text.name)) return 'processors that are switched off wait in it, and nobody sees them leave it';
    const own = kernel && ownConventionByPlace(text, kernel);
    if (own !== undefined) return own;
    if (kernel && isRunInto(kernel.word(linkAddress(text.address - 4n))))
      return 'the code before it runs into it, so it is a place within a function of assembly';
    for (const [i, word] of text.words.entries()) {
      const use = useOfFirstWord(word, 4 * i);
      if (use !== undefined) return `its instruction at +0x${(4 * i).toString(16)} ${use} its first word`;
    }
    return undefined;
  },
  doubt: (text, kernel) => doubt(text, kernel) ?? whoCountsOnRegisters(text, kernel),
  stub: (): Stub => ({ words: [], relocations: [] }),
};
