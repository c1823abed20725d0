// What an architecture has to tell the rest of the house. All knowledge of an architecture sits in its folder behind
// this interface; no other room may know a register, an opcode or a relocation number.

import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { ProofFacts, WaysIn } from './machine.ts';

/** Plain data about the platform: what the distribution, the kernel's build and QEMU call it. */
export interface Platform {
  readonly name: 'arm' | 'ppc64le';
  readonly debian: {
    /** Debian's name of the architecture, and the flavour of its stock kernel (`linux-image-…-FLAVOUR`). */
    readonly architecture: string;
    readonly flavour: string;
    /** Further architectures of Debian's with kernels of the same machine code, which may be fetched by their names. */
    readonly others: readonly string[];
  };
  /** ARCH= for Kbuild, and the name of `arch/…` in the source. */
  readonly kbuild: string;
  readonly cross: { readonly prefix: string; readonly packages: readonly string[] };
  /** Compiler flags that the replacement functions of a fix need beside the kernel's own, each with its reason there. */
  readonly fixFlags: readonly string[];
  /**
   * Compiler flags for the kernel's own files when what is compiled is to go into a module, beside those for sections; each
   * with its reason there.
   */
  readonly sectionedFlags: readonly string[];
  /** The same of one file, by the words of the command that the kernel's build compiles it with. */
  readonly flagsForFile?: (words: readonly string[]) => readonly string[];
  /** Changes the compiler's assembly so that code of the kernel's own files may go into a module; undefined where it may. */
  readonly assemblyForModule?: (assembly: string) => string;
  /** The image as the package ships it, `/boot/PREFIX-RELEASE`, and as `made` in the tree that a kernel was built in. */
  readonly image: {
    readonly prefix: 'vmlinuz' | 'vmlinux';
    readonly payload: 'zimage' | 'elf';
    readonly made: string;
  };
  readonly qemu: {
    readonly program: string;
    readonly package: string;
    readonly arguments: readonly string[];
    readonly memoryMegabytes: number;
    /** The console's device for `console=`. */
    readonly console: string;
    /** ftrace writes call sites while other processors execute them, which QEMU does not always notice (docs/stress.md). */
    readonly missesWrittenText?: boolean;
  };
}

/** The text of a kernel, as far as an architecture must see it. */
export interface KernelText {
  /** The 32-bit word at an address, little-endian; undefined outside the image. */
  word(address: LinkAddress): number | undefined;
  bytes(address: LinkAddress, size: number): Uint8Array | undefined;
  /** The address of a symbol of that name that occurs once; undefined if there is none or more than one. */
  symbol(name: string): LinkAddress | undefined;
  /** The function or label that an address lies in, from one symbol's address to the next one's. */
  enclosing(address: LinkAddress): { name: string; start: LinkAddress; end: LinkAddress } | undefined;
  /** A section of an ELF image by name; undefined for an image without section headers. */
  section(name: string): { address: LinkAddress; bytes: Uint8Array } | undefined;
  /** The ranges that hold instructions, [start, end). */
  readonly textRanges: readonly { readonly start: LinkAddress; readonly end: LinkAddress }[];
  /** The symbol table that an image brings, data included; left out or empty where it brings none. */
  readonly symbolTable?: readonly ElfSymbol[];
}

/** A call of mcount, as ftrace knows it: `address` is the `ip` that ftrace lists and the handler is given. */
export interface CallSite {
  readonly address: LinkAddress;
  /** The enclosing symbol's address and name. */
  readonly function: LinkAddress;
  readonly name: string;
}

/** The words that a kernel rewrites in its own text (jump labels, feature fixups, physical-to-virtual patching). */
export interface SelfModified {
  /** Sorted addresses of words that may differ from the image at run time, the call sites themselves left out. */
  readonly words: readonly LinkAddress[];
  /** What could not be found out, in words; while this is not empty, a function is trusted only outside its reach. */
  readonly unknown: readonly string[];
}

/** One word of a trampoline with the assembly that it is. */
export interface StubWord {
  readonly word: number;
  readonly text: string;
}

/** A relocation inside a stub, against the new function. */
export interface StubRelocation {
  /** Offset from the stub's start. */
  readonly offset: number;
  readonly type: number;
  /** What it refers to: the new function (on ppc64le its global entry). */
  readonly symbol: 'new-function';
  readonly addend: bigint;
}

/** A stub: the code that the hook resumes at, and that enters the new function as if the caller had called it. */
export interface Stub {
  readonly words: readonly StubWord[];
  readonly relocations: readonly StubRelocation[];
}

/** Bits [from, from + width) of a value, and the bit of the place that they go to. */
export interface RecipeField {
  readonly from: number;
  readonly width: number;
  readonly to: number;
}

/**
 * What a relocation does to its place, in words that need no architecture: what struct suture_recipe of
 * core/include/suture/patch-table.h says of bits.
 */
export interface RecipeShape {
  /** Bytes of the place that are read, changed and written. */
  readonly size: 4 | 8;
  /** Whether the place's own address is taken off the value. */
  readonly pcRelative: boolean;
  /** The value is shifted right by this, arithmetically, before fields are taken. */
  readonly shift: number;
  /** Bits that the unshifted value must fit in as a signed number; 0: not checked. */
  readonly range: number;
  /** At most three. */
  readonly fields: readonly RecipeField[];
}

/**
 * How a word becomes a branch: the distance from the word's own address to the target plus `addend` must fit in `range` bits
 * as a signed number; it is shifted right by `shift`, arithmetically, and goes into `fields`. Then, unless the distance is
 * negative, the bits of `flip` are turned over.
 */
export interface BranchShape {
  readonly word: number;
  readonly addend: number;
  readonly range: number;
  readonly shift: number;
  /** At most five. */
  readonly fields: readonly RecipeField[];
  readonly flip: number;
}

/** A word of an island with the bits of the target's address that it is given. */
export interface IslandWord extends StubWord {
  readonly field?: RecipeField;
}

/** What is written when an entry becomes a branch: the branch, and the island that it takes where it does not reach. */
export interface EntryBranch {
  readonly branch: BranchShape;
  /** `always`: also where the branch would reach, because the stub counts on what the island does. */
  readonly island: { readonly words: readonly IslandWord[]; readonly always: boolean };
}

/** The entry way: one word at a function's entry becomes a branch, and nothing of the old function runs. */
export interface EntryWay extends EntryBranch {
  /** The index of the word that becomes a branch: one that every caller comes to, and that nothing before it depends on. */
  site(words: Uint32Array): number;
  /** Whether functions of modules can be redirected so. */
  readonly ofModules: boolean;
  /**
   * Why a function cannot be redirected so; undefined where it can. `kernel` is given for one that nothing shows to be compiled
   * from C: the text that it is in.
   */
  hindrance(text: FunctionText, kernel: KernelText | undefined): string | undefined;
  /** Why a function without a call site may be none that is called as the ABI has it: there is assembly in the text, and data. */
  doubt(text: FunctionText, kernel: KernelText): string | undefined;
  /** What the branch leads to; without words the new function itself. As `Architecture.ftraceStub`. */
  stub(old: FunctionText, replacement: Uint32Array, waysIn?: WaysIn): Stub;
}

/** What a function does with its caller's parameter save area (ELFv2 ABI 1.5, section 2.2.3). */
export interface StackArguments {
  /** Doublewords of the area that it may touch, from the first on: more than 8 means that it reads stack arguments. */
  readonly doublewords: number;
  /** Those that it certainly loads from: without mere stores, and without code whose frame is a guess. */
  readonly certain: number;
  /** Why that number cannot be relied on, in words with the offset in the code; undefined when it can. */
  readonly uncertain: string | undefined;
}

/** Finds stack arguments ahead of who will ask for them, in another thread maybe. */
export interface StackArgumentsFinder {
  /** Of a function's words from the global entry on; relocations need not be applied. */
  find(words: Uint32Array): StackArguments;
  /** What `find` has found for these words, to whoever asks next. */
  learn(words: Uint32Array, found: StackArguments): void;
}

/** Code that goes on to the function whose address a word of data has; entered by a call and leaving no trace of itself. */
export interface Veneer {
  readonly words: readonly StubWord[];
  /** Against the word of data; addends that REL keeps in the place are in the words. */
  readonly relocations: readonly { readonly offset: number; readonly type: number; readonly addend: bigint }[];
}

/** A table in a module by which the kernel rewrites the module's code when it loads it or later. */
export interface RewriteTable {
  readonly section: string;
  /** In bytes. */
  readonly entrySize: number;
  /** Where in an entry the relocation is that leads to the first word; what is relative is so to the entry's start. */
  readonly start: number;
  /** How many words follow, or where in an entry their end is told. */
  readonly extent: { readonly words: number } | { readonly end: number };
  /**
   * Where in an entry the relocations are that lead to the words that may take their place, and behind these. Without it, what
   * does is a word that changes no register, or a branch that a table of jumps tells of.
   */
  readonly alternative?: { readonly start: number; readonly end: number };
}

/** A table of RELA places in a module: control may go on from one place of a function at another one. */
export interface JumpTable {
  readonly section: string;
  /** In bytes. */
  readonly entrySize: number;
  /** Where in an entry the relocations are that lead to either place, in bytes. */
  readonly from: number;
  readonly to: number;
}

/** A function's instructions, all of them from its entry on. On ppc64le the entry is the global one. */
export interface FunctionText {
  readonly name: string;
  readonly address: LinkAddress;
  readonly words: Uint32Array;
}

/** How a relocation type behaves for the linker of patch modules. */
export interface RelocationKind {
  readonly name: string;
  /** Bytes that it changes: 0 (a marker), 2, 4 or 8. */
  readonly size: 0 | 2 | 4 | 8;
  readonly use: 'none' | 'call' | 'data' | 'pc-relative-data' | 'toc' | 'unwind';
  /** Whether the kernel's module loader takes it (arch/…/kernel/module*.c). */
  readonly loadable: boolean;
}

/** A table in a section of its own whose entries belong to the functions that they refer to first. */
export interface CodeTable {
  /** The section's name, or the start of it where there is one for each section of code. */
  readonly section: string;
  readonly isPrefix?: true;
  /** Bytes of an entry. */
  readonly entrySize: number;
  /** Whether distances in an entry count from its start, not from where they stand. */
  readonly fromStart?: true;
  /** Where an entry holds a line number of the source: offset and size in bytes. */
  readonly line?: { readonly offset: number; readonly size: 2 };
  /**
   * `applied`: the kernel's loader makes use of a module's own table, so entries go along with their functions. `followed`:
   * the same, and it goes on to the data that an entry refers to, which must then be the module's own or exported.
   * `made`: the build makes it anew for every module.
   */
  readonly use: 'applied' | 'followed' | 'made';
}

/** The bits that a relocation fills, at its place: a little-endian number of `size` bytes under `mask`. */
export interface RelocatedPlace {
  /** 0 for a marker, which changes nothing. */
  readonly size: 0 | 1 | 2 | 4 | 8;
  /** Of a place of 8 bytes every bit is filled. */
  readonly mask: number;
  /** What a REL addend in such a place means, in bytes, from the place's number (its low 32 bits). */
  readonly addend: (value: number) => number;
  /**
   * A distance in data: from the place if the relocation is taken at its word, but a compiler may have meant it from the start
   * of a table that the place is in, and put the difference into the addend.
   */
  readonly isDistance?: true;
  /** How far ahead of the place the distance counts from, in bytes: the symbol itself is meant by an addend of minus that. */
  readonly lead: number;
}

/** How code of relocatable objects is read, without running any. */
export interface ObjectCode {
  /** Every instruction begins at a multiple of this, in bytes. */
  readonly step: 2 | 4;
  /** Bytes of the instruction that a word begins with. */
  instructionSize(word: number): 2 | 4;
  /** `Architecture.codeBit`, where there is one. */
  readonly codeBit?: bigint;
  /** Undefined for a type that is not known. */
  relocatedPlace(type: number): RelocatedPlace | undefined;
  /** For RELA: whether the bits that a relocation fills are one field of a word, or none at all. */
  fillsField?(type: number, word: number): boolean;
  /** A branch relative to its own address, with which a word begins: the distance in bytes, and the bits that hold it. */
  branch(word: number): { readonly distance: number; readonly mask: number } | undefined;
  /** Whether a word is a branch that leaves no return address behind. */
  isJump(word: number): boolean;
  /** A number loaded into an argument register by one word; arguments count from 0. */
  loadsArgument(word: number): { readonly argument: number; readonly value: number } | undefined;
  /** Whether a symbol only marks a place for tools, and names nothing. */
  isMarker(name: string): boolean;
  /** Whether a marker says that data begins there, in a section of code; else instructions do. */
  marksData?(marker: string): boolean;
  /** Words that an assembler puts where it only has to fill space, besides 0; where `step` is 2 also halfwords. */
  readonly padding: readonly number[];
  /** What to do about instructions of another set, which this does not read, if a marker tells of such. */
  otherSet?(marker: string): string | undefined;
  /** Whether the compiler may reach several variables from one address in their section (-fsection-anchors). */
  readonly sectionAnchors: boolean;
  /** The section of pointers that code loads through the TOC, one by one. */
  readonly toc?: { readonly section: string; readonly slotSize: number };
  /** Why code in a patch must not leave a function by a jump to another one; undefined where it may. */
  readonly noSiblingCalls?: string;
  /** What the compiler calls at the start of each function that can be traced. */
  readonly mcount: string;
  readonly tables: readonly CodeTable[];
}

/** A relocation in code: the word that it changes, as compiled and as the linked image has it. */
export interface LinkedPlace {
  readonly type: number;
  /** r_addend for RELA; undefined for REL, where it stands in the compiled word. */
  readonly addend: bigint | undefined;
  readonly compiled: number;
  readonly linked: number;
  /** Where the linked word is. */
  readonly address: LinkAddress;
}

/**
 * What a linked word shows of the address that its relocation resolved to, the symbol's plus the addend. One word may show
 * it whole or a part of it: the address is the sum of `of` parts, each shown by some word with the same symbol and addend.
 */
export interface ShownTarget {
  readonly addend: bigint;
  readonly of: number;
  /** Part number and what it amounts to. */
  readonly parts: readonly (readonly [part: number, amount: bigint])[];
  /**
   * The linker has put the value of a table's entry where the code would load it from the table: what is shown is what
   * the entry that symbol and addend name would hold.
   */
  readonly isContent: boolean;
  /**
   * Where a branch leads if what it enters is a stub that the linker made for a target out of reach. That it is one can be
   * told only by whose address is expected.
   */
  readonly through?: bigint | undefined;
  /** Whether this word could be as it is with the symbol at an address. */
  fits(symbol: bigint): boolean;
}

/**
 * `differs`: what a linker leaves alone is not as compiled. `nothing`: the relocation has no address to show. `left-out`: a call
 * of a weak symbol that nobody defines, taken out. `unknown`: a relocation of a type that is not known here.
 */
export type Shown = ShownTarget | 'differs' | 'nothing' | 'left-out' | 'unknown';

/**
 * Given a module, and whether anything else than its relocations writes to a section of it: says of places [from, to) in a
 * section of code why somebody who unwinds from there would be led astray; undefined where nobody is.
 */
export type UnwindingOf = (
  model: ElfModel,
  isWritten: (section: Section) => boolean,
) => (code: Section, from: number, to: number) => string | undefined;

/** One architecture. `src/arch/arm/arm.ts` and `src/arch/ppc64le/ppc64le.ts` each export one. */
export interface Architecture {
  readonly platform: Platform;
  /** What the prover must know of it; without them it proves nothing. */
  readonly proofFacts?: ProofFacts;
  /** What ELF files of this architecture say of themselves. */
  readonly elf: { readonly class: 32 | 64; readonly machine: number; readonly rela: boolean };
  /** The relocation type of a plain pointer in data: R_ARM_ABS32, R_PPC64_ADDR64. */
  readonly pointerRelocation: number;
  relocationKind(type: number): RelocationKind | undefined;
  /** How many bytes from its place on the module loader may rewrite for a relocation; `next` is the word behind the place. */
  relocationReach(type: number, next: number | undefined): number;
  /** Tables of modules by which the kernel rewrites their code. */
  readonly rewriteTables: readonly RewriteTable[];
  /** Tables of jumps within functions; none where nobody asks what a function does with its caller's frame. */
  readonly jumpTables: readonly JumpTable[];
  /** What a relocation that is no call does, for when it is done late; undefined where that cannot be said as a recipe. */
  lateRelocation(type: number): RecipeShape | undefined;
  /**
   * For REL: the addend that a place's word holds, and the word with another one. Undefined for a type, or an addend, that
   * this cannot be done for.
   */
  addendInPlace(type: number, word: number): bigint | undefined;
  putAddend(type: number, word: number, addend: bigint): number | undefined;
  /** How code reaches a function that is called late. */
  readonly veneer: Veneer;
  /** Makes the call at a section offset one that a veneer can stand behind. Returns why not, if it cannot be. */
  readyLateCall(section: Section, offset: number): string | undefined;
  /** What its code is called where kernels of one platform may be of several instruction sets. */
  readonly codeName?: string;
  /**
   * What a pointer to a function has set beside the address of its code, in all memory and in symbols of functions; 0 where it
   * is the address. Kallsyms have addresses without it, and so has all that is called an address here.
   */
  readonly codeBit: bigint;
  /** A word in the vermagic of modules for kernels of this instruction set, where that tells. */
  readonly codeInVermagic?: string;
  /** The same platform's kernels in another instruction set, whose pointers to functions have another `codeBit`. */
  readonly otherSet?: Architecture;
  /**
   * How a symbol table binds a kernel function that is not exported to its absolute address, so that the kernel's own
   * loader makes the veneer or stub that a call needs (design section 2).
   */
  readonly boundFunctionPlace: 'absolute' | { readonly index: number };
  /** Functions that the kernel does not export and that the core's `suture-arch.h` uses all the same. */
  readonly coreFunctions: readonly string[];
  /** Marks in the kernel's memory, no functions, of which the core's `suture-arch.h` uses the addresses. */
  readonly coreMarks?: readonly string[];
  /** Undefined symbols that the kernel's loader supplies by itself, like `.TOC.` on ppc64le. */
  readonly loaderSymbols: readonly string[];
  /** From st_other: the distance from a function's global to its local entry in bytes; 0 where there is one entry. */
  localEntryOffset(other: number): number;
  readonly objectCode: ObjectCode;
  /** An instruction as objdump writes it, or undefined if the tables do not hold it. */
  disassemble(word: number, address: LinkAddress): string | undefined;
  /** Every call of mcount in the image's text, in address order. */
  findCallSites(text: KernelText): CallSite[];
  /** Section offsets of the mcount call sites in a relocatable object's text section, for `__mcount_loc`. */
  moduleCallSites(section: Section): number[];
  selfModified(text: KernelText): SelfModified;
  /** What a word of a linked image shows of the relocation that it was compiled with. */
  shownTarget(place: LinkedPlace, image: KernelText): Shown;
  /** A pointer in the data of a linked image. Undefined outside the image. */
  linkedPointer(address: LinkAddress, image: KernelText): LinkAddress | undefined;
  /**
   * The ftrace way's stub for one function. `site` is the call site's address within `old`. `replacement` is the new
   * function's code as compiled for the module, its relocations not applied, `waysIn` where the module leads into it.
   * Throws `ReasonError`: `prologue-unknown`, `stack-arguments`.
   */
  ftraceStub(old: FunctionText, site: LinkAddress, replacement: Uint32Array, waysIn?: WaysIn): Stub;
  /** Why no function can be redirected at its call site; undefined where they can. */
  readonly withoutFtraceWay?: string;
  /** The entry way, where there is one. */
  readonly entryWay?: EntryWay;
  /**
   * For code that was compiled with sibling calls, as a kernel is and a fix is not: gives a function's words as they would be
   * without, as far as that is known. `functionAt` gives the function that begins at an address.
   */
  siblingCallsRemover?(
    functionAt: (address: LinkAddress) => FunctionText | undefined,
  ): (text: FunctionText) => Uint32Array;
  /** What `ftraceStub` and proofs ask of a new function's words, where that takes long. */
  readonly stackArguments?: StackArgumentsFinder;
  /** What a module's unwind tables make of its stubs, where there are such tables. */
  readonly unwindingOf?: UnwindingOf;
  /**
   * The section of stubs for the module, or of veneers by another name, and whatever sections must go with it (unwind
   * tables). Returns the offset of each in the section. Relocations are made by the caller from what it was given.
   */
  layOutStubs(
    stubs: readonly { readonly words: readonly StubWord[] }[],
    name?: string,
  ): { section: Section; offsets: number[]; companions: Section[] };
}
