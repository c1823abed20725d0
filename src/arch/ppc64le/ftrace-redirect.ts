// The ftrace way on ppc64le: from the old function's call site through the kernel's hook into the stub, and from there
// into the new function and back.
//
// What the ABI asks (OpenPOWER ELFv2 ABI, revision 1.5). Section 2.2.2.1, "Register Roles", divides the registers: r1 is
// the stack pointer, r2 the TOC pointer, r13 the thread's (in the kernel, the processor's area); r14–r31, CR2–CR4, f14–f31
// and v20–v31 belong to the caller; r0, r3–r12, LR, CTR, XER, CR0, CR1 and CR5–CR7 to the callee. Arguments come in
// r3–r10 and, from the ninth on, on the stack; results go back in r3 and r4. Section 2.2.3, "The Stack Frame": r1 is
// always a multiple of 16 and points to the back chain, so that each frame leads to its caller's; a callee keeps its
// return address at 16(r1) of its *caller's* frame. Section 2.2.1, "Function Call Linkage Protocols": whoever enters at a
// global entry finds its own address in r12 and makes its TOC pointer from that; whoever enters at a local entry has the
// right r2 already, and the caller relies on finding it in r2 on return.
//
// What the hook does. In the stock kernel the site is `bl ftrace_regs_caller` when a handler with SAVE_REGS is set
// (arch/powerpc/kernel/trace/ftrace_mprofile.S, Linux 6.1; read in the shipped image). It opens two frames, 32 and 496
// bytes, saves all general registers, nip, LR, CTR, XER, CR and MSR, calls the handlers, drops both frames and jumps with
// `bctr` to what regs->nip then is. At that point:
//
//     r1, r13, r14–r31  as at the site, and so as at the old function's entry
//     r3–r12            as at the entry: arguments, static chain, and in r12 whatever the caller had there
//     r2                as at the site: the old function's TOC, or for a function that sets up none its caller's
//     r0, LR            the caller's return address (or function_graph's return_to_handler, which must be kept as well)
//     CTR               regs->nip, the stub
//     CR0, CR1, CR5–7, XER   changed, as any call may
//     16(r1)            the caller's return address: the hook has stored it there for the sake of backtraces
//
// Floating-point and vector registers it does not touch. A second path, `ftrace_no_trace`, is taken while the per-CPU
// flag `ftrace_enabled` is clear; it asks no handler and goes on behind the site, so the old code runs, whole.
//
// So nothing has to be undone but `mflr r0`, and that by using LR. What has to be made is a call between two modules out
// of what may have been a call inside one. The caller need not restore r2; the new function changes it. Somebody who is
// in between must keep it, and that takes a frame: the stub is a function with a frame of its own.
//
//     old sp ──►  the caller's frame: back chain, …, 16(r1) return address, 24(r1) the caller's TOC, 96(r1) arguments
//     r1 + F      ─────
//     r1 + 96+8N  r2 as found at the site; padding to 16 bytes
//     r1 + 96     copies of the caller's N doublewords of stack arguments
//     r1 + 32     parameter save area of the eight register arguments, which the new function may use
//     r1          back chain, CR save, LR save (the new function's return address, in the stub), TOC save
//
// r2 is put back to what it was at the site, whatever the caller is. A local caller has the old function's TOC and gets
// it back. A caller in another module came through a stub of the loader's, which stored that module's TOC at 24(r1) of
// the caller's frame; the word after its call loads it from there, and whatever r2 holds is of no interest. A function
// without a TOC set-up promises to leave r2 alone, and does.
//
// Why the known faults of such redirects cannot happen here:
// 1. (A test of the word after the return address, and a helper that returns for somebody else.) There is no test: r2 is
//    restored always. The stub returns for itself, with its own LR, saved where the ABI says.
// 2. (Stack arguments moved by the extra frame.) They are copied; `stack-arguments.ts` says how many there are from the
//    new function's own code, and a function where that cannot be told is refused by `stack-arguments`. A tail call
//    could hand on arguments that its function never looks at, so fixes are compiled without tail calls, and a branch
//    out of the new function is refused all the same.
// 3. (A callee-saved register clobbered.) The stub writes r0, r2, r12, LR, CTR and r1, and of these restores r1, r2, LR.
// 4. (A sibling call over the caller's TOC slot.) The caller's 24(r1) is never written: the stub is called, not jumped
//    through. The same may not happen to the stub: a tail call in the new function through a loader's stub would store the
//    new module's TOC at 24(r1) of *our* frame. Hence r2 is kept in a doubleword that only the stub knows, not there.
// 5. (r4 lost, r1 unaligned.) Between `bctrl` and `blr` r0, r2, r1 and LR are written, and nothing else. F is rounded.
//
// Memory below r1 is used by none of this: it is anybody's as soon as an interrupt comes. (Section 2.2.3.4, "Protected Zone", keeps 288
// bytes there from interrupts, and so does the kernel's entry code, for leaf functions like those of its own text; at its
// call site the old function has nothing there yet.)
//
// One thing does change for the new function: its return address is in the stub. `_RET_IP_` and backtraces show it.

import type { LinkAddress } from '../../elf/units.ts';
import { reasonError } from '../../reason.ts';
import type { FunctionText, Stub, StubRelocation, StubWord } from '../arch.ts';
import type { WaysIn } from '../machine.ts';
import { checkPrologue } from './call-sites.ts';
import { frameHeader } from './frame-address.ts';
import { R_PPC64_REL16_HA, R_PPC64_REL16_LO } from './relocations.ts';
import { findStackArguments, registerArguments } from './stack-arguments.ts';

const stackArgumentsAt = frameHeader + 8 * registerArguments;

/** More than any function of the kernel has; with it, the frame stays within a `ld`'s reach and a small part of a stack. */
const mostStackArguments = 64;

/** The low 16 bits of an instruction's word for a displacement in bytes. */
const d = (bytes: number) => bytes & 0xffff;

const wordBytes = 4;

/**
 * The stub's code for a new function that reads `stackDoublewords` doublewords of arguments from the stack. `isInR12` says that the
 * stub is entered with its own address in r12, as an island of the entry way does it (entry-redirect.ts).
 */
export function makeStub(stackDoublewords: number, isInR12 = false): Stub {
  const key = isInR12 ? -1 - stackDoublewords : stackDoublewords;
  const stub = stubs.get(key) ?? newStub(stackDoublewords, isInR12);
  stubs.set(key, stub);
  return stub;
}

/** There are two for each number of stack arguments. */
const stubs = new Map<number, Stub>();

function newStub(stackDoublewords: number, isInR12: boolean): Stub {
  const toc = stackArgumentsAt + 8 * stackDoublewords;
  const frame = Math.ceil((toc + 8) / 16) * 16;
  const copies = Array.from({ length: stackDoublewords }, (_, i): (readonly [number, string])[] => {
    const to = stackArgumentsAt + 8 * i;
    const from = frame + to;
    return [
      [0xe8010000 | d(from), `ld      r0,${from}(r1)`],
      [0xf8010000 | d(to), `std     r0,${to}(r1)`],
    ];
  }).flat();
  // biome-ignore format: the words beside their assembly
  const enter: readonly (readonly [number, string])[] = [
    [0x7c0802a6,             'mflr    r0'],
    [0xf8010010,             'std     r0,16(r1)'],
    [0xf8210001 | d(-frame), `stdu    r1,${-frame}(r1)`],
    [0xf8410000 | d(toc),    `std     r2,${toc}(r1)`],
    ...copies,
  ];
  // `bcl 20,31` to the next word reads the address without upsetting the branch predictor's stack of returns (Power ISA
  // 3.0B, Book I, section 2.4, on BO and BI of branches that set LR). REL16 pairs keep data out of the text: a quad with
  // the absolute address would be a word that no decoder can read, and an alignment to think of.
  // biome-ignore format: the words beside their assembly
  const readPc: readonly (readonly [number, string])[] = isInR12 ? [] : [
    [0x429f0005,             'bcl     20,4*cr7+so,.+4'],
    [0x7d8802a6,             'mflr    r12'],
  ];
  // How far r12 is behind the `addis`.
  const behind = isInR12 ? wordBytes * enter.length : wordBytes;
  // biome-ignore format: the words beside their assembly
  const call: readonly (readonly [number, string])[] = [
    [0x3d8c0000,             `addis   r12,r12,(new_function-.+${behind})@ha`],
    [0x398c0000,             `addi    r12,r12,(new_function-.+${behind + wordBytes})@l`],
    [0x7d8903a6,             'mtctr   r12'],
    [0x4e800421,             'bctrl'],
    [0xe8410000 | d(toc),    `ld      r2,${toc}(r1)`],
    [0x38210000 | d(frame),  `addi    r1,r1,${frame}`],
    [0xe8010010,             'ld      r0,16(r1)'],
    [0x7c0803a6,             'mtlr    r0'],
    [0x4e800020,             'blr'],
  ];
  const here = wordBytes * (enter.length + readPc.length);
  return {
    words: [...enter, ...readPc, ...call].map(([word, text]): StubWord => ({ word: word >>> 0, text })),
    relocations: [
      { offset: here, type: R_PPC64_REL16_HA, symbol: 'new-function', addend: BigInt(behind) },
      { offset: here + wordBytes, type: R_PPC64_REL16_LO, symbol: 'new-function', addend: BigInt(behind + wordBytes) },
    ] satisfies StubRelocation[],
  };
}

/** `Architecture.ftraceStub`. Throws `prologue-unknown` and `stack-arguments`. */
export function ftraceStub(old: FunctionText, site: LinkAddress, replacement: Uint32Array, waysIn?: WaysIn): Stub {
  checkPrologue(old, site);
  return makeStub(stackArgumentsOf(old, replacement, waysIn));
}

/** How many doublewords of stack arguments a stub must copy for a new function. Throws `stack-arguments`. */
export function stackArgumentsOf(old: FunctionText, replacement: Uint32Array, waysIn?: WaysIn): number {
  const { doublewords, uncertain } = findStackArguments(replacement, waysIn);
  if (uncertain !== undefined) {
    throw reasonError(
      'stack-arguments',
      old.name,
      `how many stack arguments the new function reads cannot be told: ${uncertain}`,
      'Compile the fix with the flags that suture build uses. A function with variable arguments, or one that takes the address of a stack argument or reads a struct there at an index, can only be changed by patching its callers.',
    );
  }
  const onStack = Math.max(0, doublewords - registerArguments);
  if (onStack > mostStackArguments) {
    throw reasonError(
      'stack-arguments',
      old.name,
      `the new function reads ${onStack * 8} bytes of stack arguments, more than the ${mostStackArguments * 8} that a stub copies`,
      'Patch the callers of the function instead.',
    );
  }
  return onStack;
}
