// The machine that semantics are written against.
//
// An instruction's semantics is a function on a `Machine<V>`: it reads registers and memory, computes with values of
// type `V`, and writes back. What a value is, it does not know. On a concrete machine it is a number, and the
// instruction runs as a processor would run it (that is how semantics are held against QEMU); on a symbolic one it is a
// term, and the same function says what the instruction does to every number at once.
//
// All values are as wide as a register. A truth value is 1 or 0 of that width, and so is a flag: a register that holds
// nothing else. Semantics that must know a truth value ask `decide`. Where a machine cannot answer, it breaks
// the instruction off, undoes what it did, and runs it once for each answer; so semantics may branch like any
// program, and must keep no state of their own.

import type { RecipeField } from './arch.ts';

/** How many bytes a load or store moves. All memory is little-endian. */
export type Size = 1 | 2 | 4 | 8;

type Apply = (bits: number, a: bigint, b: bigint) => bigint;

const truth = (holds: boolean): bigint => (holds ? 1n : 0n);

/**
 * What can be computed from two values, with its meaning: `a` and `b` are unsigned and `bits` wide; what comes out is
 * cut to that width. A shift by the width or more leaves nothing but zeros, or signs.
 */
export const operations = {
  add: (_, a, b) => a + b,
  subtract: (_, a, b) => a - b,
  multiply: (_, a, b) => a * b,
  and: (_, a, b) => a & b,
  or: (_, a, b) => a | b,
  xor: (_, a, b) => a ^ b,
  shiftLeft: (bits, a, b) => (b >= bits ? 0n : a << b),
  shiftRight: (bits, a, b) => (b >= bits ? 0n : a >> b),
  shiftRightSigned: (bits, a, b) => BigInt.asIntN(bits, a) >> (b >= bits ? BigInt(bits) : b),
  equal: (_, a, b) => truth(a === b),
  lessUnsigned: (_, a, b) => truth(a < b),
  lessSigned: (bits, a, b) => truth(BigInt.asIntN(bits, a) < BigInt.asIntN(bits, b)),
} as const satisfies Record<string, Apply>;

export type Operation = keyof typeof operations;

/** One operation on numbers. */
export const compute = (operation: Operation, bits: number, a: bigint, b: bigint): bigint =>
  BigInt.asUintN(bits, operations[operation](bits, a, b));

export interface Machine<V> {
  /** The width of a register and of every value. */
  readonly bits: 32 | 64;
  /** The address of the instruction that runs. */
  readonly pc: V;
  /** A register by its number in `InstructionSet.registers`. */
  read(register: number): V;
  write(register: number, value: V): void;
  /** Where to go on instead of behind this instruction. */
  jump(target: V): void;
  /** The loaded bytes with zeros above them. */
  load(address: V, size: Size): V;
  /** Stores the lowest `size` bytes of the value. */
  store(address: V, size: Size, value: V): void;
  /** A number, cut to the machine's width; negative numbers are fine. */
  constant(value: number | bigint): V;
  apply(operation: Operation, a: V, b: V): V;
  /** Whether a value is other than zero. */
  decide(condition: V): boolean;
}

/**
 * Why an instruction cannot be run: it is not in the table, its manual calls it UNPREDICTABLE, or what it does is
 * beyond the machine. Nothing has been guessed, and what ran of the instruction is void.
 */
export class NotUnderstood extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'NotUnderstood';
  }
}

/** What a machine must know of an architecture in order to run its instructions. */
export interface InstructionSet {
  readonly bits: 32 | 64;
  /** What the registers are called, by number. The pc is not one of them. */
  readonly registers: readonly string[];
  /** Of those, the ones that are narrower than the others, such as flags: how many bits they have. */
  readonly widths: ReadonlyMap<number, number>;
  /** The stack pointer. The stack grows down. */
  readonly stackPointer: number;
  /** How many bytes below the stack pointer interrupts leave alone. */
  readonly redZone: number;
  /** How many low bits of the stack pointer the ABI keeps zero. */
  readonly stackAlignment: number;
  /** How long an instruction is, in bytes: of a set with shorter ones, those that are run. */
  readonly instructionSize: number;
  /** What a pointer to code has beside its address; the address's own bits there are 0. Without it, nothing. */
  readonly codeBit?: bigint;
  /**
   * Runs one instruction, whose word has been read at the machine's pc. The machine goes on behind it unless it jumps.
   * Throws `NotUnderstood`.
   */
  execute<V>(machine: Machine<V>, word: number): void;
}

/** Combines a value with a number. */
export const withNumber = <V>(m: Machine<V>, operation: Operation, a: V, b: number | bigint): V =>
  m.apply(operation, a, m.constant(b));

/** Every bit turned over. */
export const not = <V>(m: Machine<V>, value: V): V => withNumber(m, 'xor', value, -1);

/** The number's bit `position` counted from the lowest, as a truth value. */
export const bit = <V>(m: Machine<V>, value: V, position: number): V =>
  withNumber(m, 'and', withNumber(m, 'shiftRight', value, position), 1);

/** The lowest `bits` bits as a signed number. */
export function signExtend<V>(m: Machine<V>, value: V, bits: number): V {
  const above = m.constant(m.bits - bits);
  return m.apply('shiftRightSigned', m.apply('shiftLeft', value, above), above);
}

/** What caller and callee may rely on, in registers' numbers: the procedure call standard as far as a proof needs it. */
export interface CallingConvention {
  /** Registers that a function finds at its entry as its caller left them, by what they are for. */
  readonly atEntry: {
    readonly arguments: readonly number[];
    /** Those that it gives back as well, and those that nobody ever changes. */
    readonly calleeSaved: readonly number[];
    readonly returnAddress: number;
    /** The one that holds the function's own address where there is a second entry that relies on it. */
    readonly ownAddress?: number;
  };
  /** Registers that a function returns its results in. */
  readonly results: readonly number[];
  /** What a call may change, flags and results included. */
  readonly changedByCalls: readonly number[];
  /** The low bits that are zero at a function's entry, by register: alignments of the stack and of code. */
  readonly alignment: ReadonlyMap<number, number>;
  /** How many low bits of the stack pointer are zero at all times, not only where functions call each other. */
  readonly stackPointerZeros: number;
  /** Where stack arguments begin, in bytes above the stack pointer at the entry, and how wide each is. */
  readonly stackArguments: { readonly at: number; readonly size: Size };
  /**
   * What a callee may change above the stack pointer of its entry, as [from, to) in bytes: always; and if it uses the
   * places of its parameters, from `parameters` up to the last stack argument.
   */
  readonly callersFrame: {
    readonly callees: readonly (readonly [from: number, to: number])[];
    readonly parameters: number;
  };
  /** Where a frame keeps the address of the next one, and where that one keeps the return address into it. */
  readonly backChain?: { readonly at: number; readonly returnAddressAt: number };
  readonly toc?: TocConvention;
  readonly processorArea?: ProcessorArea;
}

/** Memory of the processor's own, that a register leads to: anything may be there, but no stack. */
export interface ProcessorArea {
  readonly register: number;
  /** How many bytes of it are there for sure. */
  readonly size: number;
  /** Words that never change, by their places: the addresses of these symbols of the kernel. */
  readonly addresses: ReadonlyMap<number, string>;
}

/** The pointer to a module's table of contents, where code relies on one. */
export interface TocConvention {
  readonly register: number;
  /**
   * How many words at a function's entry, which is the first word if `at` is left out, make its own pointer from its own address;
   * behind them is its local entry.
   */
  setUpWords(words: Uint32Array, at?: number): number;
  /** Whether an instruction reads the register for anything else than to keep it; undefined for a word that is not known. */
  isUsedBy(word: number): boolean | undefined;
  /** The doubleword of a frame that keeps the frame's owner's pointer across calls into other modules, and nothing else. */
  readonly savedAt: number;
  /** The instruction behind a call into another module: it loads the register from there. */
  readonly restoreWord: number;
  /** The symbol whose address the kernel's own pointer is. */
  readonly kernels: string;
}

/** How the kernel's ftrace hook calls its handlers. */
export interface FtraceHook {
  /** The symbol that call sites call once a handler wants registers. */
  readonly entry: string;
  /** The symbol of the instruction in it that calls the handlers. */
  readonly handlerCall: string;
  /** The same of the hook for handlers that want no registers: it takes from the same places what handlers are called with. */
  readonly withoutRegisters: { readonly entry: string; readonly handlerCall: string };
  /** What ftrace writes at a call site: a call, its target left at the instruction itself. */
  readonly siteWord: number;
  /** What ftrace leaves at a site that nobody traces. */
  readonly idleSiteWord: number;
  /** Registers that code behind a site relies on, beside those that a caller passes or keeps. */
  readonly keptAtSite: readonly number[];
  /** What a handler is called with (`ftrace_func_t` in include/linux/ftrace.h), beside the saved registers. */
  readonly handlerArguments: HandlerArguments;
  readonly savedRegisters: SavedRegisters;
  /**
   * Where in the processor's area the kernel has a byte that is 0 while no handler may be asked: the one that its own hook
   * looks at, in the words between the hook's entry and the handler's call. Without it, handlers are asked always.
   */
  findEnabled?(word: (address: bigint) => number | undefined, entry: bigint, call: bigint): number | undefined;
  /** Where the function graph tracer changes the hook instead of being a handler. */
  readonly graph?: GraphTracer;
}

/** The registers that tell a handler so much of the call. */
export interface HandlerArguments {
  /** The address of the site. */
  readonly site: number;
  /** Where the function returns to. */
  readonly returnAddress: number;
  /** The value of the kernel's `function_trace_op`: what the handler was registered with. */
  readonly ops: number;
  /**
   * For a kernel that has no symbol of that name: the address that its own hook loads it from, read in the words between
   * the hook's entry and the handler's call.
   */
  findOps?(word: (address: bigint) => number | undefined, entry: bigint, call: bigint): bigint | undefined;
}

/** `struct pt_regs`, as a handler finds it. */
export interface SavedRegisters {
  /** The register that holds its address when the handler is called. */
  readonly register: number;
  /** Its size, in bytes. */
  readonly size: number;
  /** Where in it the pc is; a handler may change it. */
  readonly pc: number;
  /** Where the return address is, if a handler may change that to be told of the return. */
  readonly returnAddress?: number;
  /** Where it has what the site's registers held, those that handlers look at: by register's number. */
  readonly places: ReadonlyMap<number, number>;
}

/** What the hook does behind the handler while the function graph tracer is on. */
export interface GraphTracer {
  /** The symbol of the instruction that becomes a branch, and the one that it then leads to. */
  readonly site: string;
  readonly goesTo: string;
  /** The function that is called there, and what it is told: the site's address, and where the return address is kept. */
  readonly callee: string;
  readonly siteAddress: number;
  readonly returnAddressPlace: number;
  /** Registers in which it is told what others held at the site, for unwinding from there: by the former, the latter. */
  readonly unwindsFrom: ReadonlyMap<number, number>;
}

/** What is known of a function beyond the ABI. What is not said may be anything. */
export interface Callee {
  /** How many stack arguments it may touch at most; without it, any number. */
  readonly stackArguments?: number | undefined;
  /**
   * Whether it may write to the places that its caller reserves for arguments in registers. Only false says that it does
   * not; then it has no stack arguments either.
   */
  readonly usesParameterArea?: boolean | undefined;
  /**
   * Whether it may end in a sibling call to another module: through a stub of the loader's, which stores the module's own
   * TOC pointer into the frame of whoever called the function. Only false says that it does not.
   */
  readonly siblingCalls?: boolean | undefined;
}

/** What a module tells of a function that its words do not show; words are told by their indexes. */
export interface WaysIn {
  /** By the module's tables control goes on from these words at others, before they are run; -1 is outside the function. */
  readonly jumps: ReadonlyMap<number, readonly number[]>;
  /**
   * Words that anything of the module refers to: nobody else comes to one that no branch leads to. Undefined for code that
   * was linked before.
   */
  readonly referred: ReadonlySet<number> | undefined;
  /** Words that the loader fills a number into. */
  readonly filled: ReadonlySet<number>;
  /** What the kernel may put in the place of words. None overlaps another one. */
  readonly alternatives: readonly Alternative[];
  /** Calls of mcount: ftrace makes nops of them, or calls of its hook, which keeps every register. */
  readonly mcountCalls: ReadonlySet<number>;
}

/** Other words for those in [from, to), with nops behind them as far as that. */
export interface Alternative {
  readonly from: number;
  readonly to: number;
  /** No more than there is room for; undefined where they cannot be told. */
  readonly words: Uint32Array | undefined;
}

/** What a proof must know of an architecture. */
export interface ProofFacts {
  readonly instructionSet: InstructionSet;
  readonly convention: CallingConvention;
  readonly hook: FtraceHook;
  /** How much of the stack a hook and a stub may take below the site's, in bytes: as much as the kernel lets one function have. */
  readonly mostStack: number;
  /**
   * Runs an instruction of a stub that a relocation against the new function belongs to, as the loader leaves it.
   * Throws `NotUnderstood` for a relocation that no stub of ours has.
   */
  executeRelocated<V>(machine: Machine<V>, word: number, type: number, addend: bigint, newFunction: V): void;
  /**
   * Runs an instruction of an island that is given a field of an address, the field's bits as `value`. Without it no island has
   * such. Throws `NotUnderstood` for an instruction or a field that no island of ours has.
   */
  executeFilled?<V>(machine: Machine<V>, word: number, field: RecipeField, value: V): void;
  /**
   * What the code of a function tells of it, all its words from its entry on, and the ways into them if these are known;
   * relocations need not be applied.
   */
  readCallee(code: Uint32Array, waysIn?: WaysIn): Callee;
  /** Whether the instruction is one that processors which such kernels are for may not have. Without it, they have all of the table. */
  mayBeMissing?(word: number): boolean;
  /** Registers that not all of these processors have. */
  readonly mayBeAbsent?: ReadonlySet<number>;
  /** Whether loads and stores of words must be aligned: otherwise a processor does something of its own. */
  readonly wantsAlignment?: boolean;
  /** The same for one kernel, whose processors may lack what others have, by its vermagic if that is known. */
  forKernel?(vermagic: string | undefined): ProofFacts;
  /** Whether a kernel that rewrites this word in itself only ever takes one that does the same as far as machines see. */
  rewrittenAlike?(word: number): boolean;
}

/** The same machine, with jumps that lead elsewhere than the instruction says. */
export const withJumps = <V>(m: Machine<V>, moved: (target: V) => V): Machine<V> => ({
  bits: m.bits,
  pc: m.pc,
  read: (register) => m.read(register),
  write: (register, value) => m.write(register, value),
  jump: (target) => m.jump(moved(target)),
  load: (address, size) => m.load(address, size),
  store: (address, size, value) => m.store(address, size, value),
  constant: (value) => m.constant(value),
  apply: (operation, a, b) => m.apply(operation, a, b),
  decide: (condition) => m.decide(condition),
});
