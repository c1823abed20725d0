// The entry way on ppc64le: the local entry's first word becomes a branch to an island, which goes on to the stub.
//
//     global entry   addis r2,r12,…        stays: a caller from afar has r2 set up by it, as ever
//                    addi  r2,r2,…
//     local entry    b     island          was `mflr r0`, say; a function without a TOC set-up has this one entry
//
//     island         lis   r12,stub@highest
//                    sldi  r12,r12,32
//                    oris  r12,r12,stub@h
//                    ori   r12,r12,stub@l
//                    mtctr r12
//                    bctr                  to the stub, with its address in r12
//
// A `b` reaches 32 MB either way (Power ISA 3.0B, Book I, section 2.4); modules lie far from there, the island does not: it
// stands in the kernel's own mapping (core/arch/powerpc/suture-arch.h). What it changes, r12 and CTR, is nobody's at a local
// entry (ELFv2 ABI 1.5, section 2.2.2.1): r12 has done what it was for, which is to make r2. Modules are in the first 4 GB of the
// kernel's vmalloc area, at 0xc008000000000000, so bits 32 to 47 of their addresses are 0 and one word less is enough;
// the core refuses an address of which that is not true.
//
// At the stub r1, r2, LR and all arguments are what they were at the local entry: r2 the old function's TOC pointer, or for a
// function without a TOC set-up its caller's. That is what they are where ftrace's hook resumes as well, and so is what the
// stub has to do about them, a frame that keeps r2 (`ftrace-redirect.ts` says why). Only the stub's own address is in r12
// already and need not be found out.
//
// From the old entry to the new one these are 1 + 6 + 8 instructions, and 5 on the way back.

import { linkAddress } from '../../elf/units.ts';
import type { EntryWay, FunctionText, KernelText } from '../arch.ts';
import { tocSetUpWords } from './call-sites.ts';
import { calledFunctions } from './called-functions.ts';
import { isDescribed } from './described-functions.ts';
import { makeStub, stackArgumentsOf } from './ftrace-redirect.ts';
import { decode } from './instructions.ts';
import { objectCode } from './object-code.ts';

/** Bits [from, from + 16) of the address to an instruction's immediate. */
const half = (from: number) => ({ from, width: 16, to: 0 });

/**
 * Assembly that is not called as the ABI has it, by the names that it has in arch/powerpc (Linux 6.1): what saves and restores
 * registers for functions (lib/crtsavres.S), ftrace's hooks, exceptions and returns from them (kernel/exceptions-64s.S,
 * interrupt_64.S), and where processors start. What is C and shares a prefix is left out with them.
 */
const ownConvention =
  /^(_(save|rest)|_mcount|mcount|ftrace_|return_to_|livepatch_|exc_|system_call|ret_from_|ret_to_|interrupt_return|fast_|replay_|do_final_|masked_|enter_|start_|generic_secondary|copy_to_here|_?__secondary|_switch|_stext|_text|__\w*(text|interrupts|handlers|code)_?(start|end)|start_(text|first)|end_first|__(start|end)_)/;

/** Where a processor waits that is switched off (platforms/powernv/smp.c and idle.c). */
const parked = /^pnv_cpu_offline|^(power7|power9|power10|arch300)_idle/;

/**
 * What runs with translation off, where no code of a module can be reached: machine checks and KVM's hypercalls (kernel/mce_power.c,
 * kvm/book3s_hv_rm_*.c), and what kexec calls last (mm/book3s64, platforms/pseries/lpar.c).
 */
const inRealMode = /realmode|^(kvmppc|kvmhv|icp|xics)_(rm|h)_|mmu_cleanup_all$|_hpte_clear(_all)?$/;

const ownRanges = [['__noinstr_text_start', '__noinstr_text_end']] as const;

/** Up to this one the linker has put the assembly of exceptions, registers and firmware (`head-y` in arch/powerpc/Makefile). */
const lastOfHead = 'enter_prom';

/** Behind these nothing of the same function need come; a call may be one that does not return. */
const leaving: readonly string[] = [
  'b',
  'ba',
  'bl',
  'bla',
  'bclr',
  'bcctr',
  'bclrl',
  'bcctrl',
  'rfid',
  'hrfid',
  'rfscv',
  'tw',
  'twi',
  'attn',
];
/** `ori r0,r0,0`, and the one that ends a dispatch group (`ori r2,r2,0`), with which functions are padded. */
const nops: readonly number[] = [0x60000000, 0x60420000];

/** Functions begin at multiples of 32 bytes at most. */
const mostPadding = 8;

/** Whether control comes to a place from the word before it: then the place is a label within a function. */
function isRunInto(before: number | undefined): boolean {
  if (before === undefined || before === 0) return false;
  const name = decode(before)?.encoding.name;
  return name !== undefined && !leaving.includes(name);
}

function ownConventionOf({ name, address }: FunctionText, kernel: KernelText): string | undefined {
  if (ownConvention.test(name))
    return 'its name is one of assembly that is not called as the ABI has it, or of what ftrace itself runs on';
  const head = kernel.symbol(lastOfHead);
  if (head !== undefined && address <= head) return 'it is in the head of the kernel, which is assembly for exceptions';
  const before = Array.from({ length: mostPadding }, (_, i) => kernel.word(linkAddress(address - BigInt(4 * (i + 1)))));
  if (isRunInto(before.find((word) => !nops.includes(word ?? 0))))
    return 'the code before it runs into it, so it is a place within a function of assembly';
  for (const [first, last] of ownRanges) {
    const [start, end] = [kernel.symbol(first), kernel.symbol(last)];
    if (start !== undefined && end !== undefined && address >= start && address < end)
      return `it lies in the text from ${first} on, which must not be changed`;
  }
  return undefined;
}

/** `EntryWay.doubt`: what compiled code calls is called as the ABI has it, and so is what the kernel's symbols show to be compiled. */
function doubt(text: FunctionText, kernel: KernelText): string | undefined {
  const { address, words } = text;
  const called = calledFunctions(kernel);
  if (called.has(address) || called.has(linkAddress(address + BigInt(4 * tocSetUpWords(words))))) return undefined;
  if (isDescribed(text, kernel)) return undefined;
  return 'nothing shows that it is called as the ABI has it: it has no call site, no function that has one calls it, and the kernel’s symbols do not show it to be compiled and left alone by assembly';
}

export const entryWay: EntryWay = {
  branch: { word: 0x48000000, addend: 0, range: 26, shift: 2, fields: [{ from: 0, width: 24, to: 2 }], flip: 0 },
  island: {
    // The stub takes its own address from r12.
    always: true,
    // biome-ignore format: the words beside their assembly
    words: [
      { word: 0x3d800000, text: 'lis     r12,stub@highest', field: half(48) },
      { word: 0x798c07c6, text: 'sldi    r12,r12,32' },
      { word: 0x658c0000, text: 'oris    r12,r12,stub@h',   field: half(16) },
      { word: 0x618c0000, text: 'ori     r12,r12,stub@l',   field: half(0) },
      { word: 0x7d8903a6, text: 'mtctr   r12' },
      { word: 0x4e800420, text: 'bctr' },
    ],
  },
  site: tocSetUpWords,
  // From a module's text no branch reaches room for an island.
  ofModules: false,
  hindrance(text, kernel) {
    if (parked.test(text.name)) return 'processors that are switched off wait in it, and nobody sees them leave it';
    if (inRealMode.test(text.name)) return 'it runs in real mode, where no code of a module can be reached';
    const own = kernel && ownConventionOf(text, kernel);
    if (own !== undefined) return own;
    const entries = [0, tocSetUpWords(text.words)];
    for (const [i, word] of text.words.entries()) {
      const branch = objectCode.isJump(word) ? objectCode.branch(word) : undefined;
      if (branch && entries.includes(i + branch.distance / 4))
        return `its instruction at +0x${(4 * i).toString(16)} leads back to its entry`;
    }
    return undefined;
  },
  doubt,
  stub: (old, replacement, waysIn) => makeStub(stackArgumentsOf(old, replacement, waysIn), true),
};
