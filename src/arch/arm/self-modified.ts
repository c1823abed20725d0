// The words that an ARM kernel rewrites in its own text, read from the tables by which it does so. What differs from
// the image in memory beyond these words (and the ftrace call sites) is none of the kernel's doing.
//
// A raw image has no section headers and its kallsyms no data, so the tables are found where the kernel finds them:
// in the code that walks them, which has their bounds as constants. A table counts only if every entry makes sense.
//
// Sources, Linux 6.1: kernel/jump_label.c, arch/arm/kernel/jump_label.c; arch/arm/kernel/phys2virt.S; `__fixup_smp`
// in arch/arm/kernel/head.S; `patch_aeabi_idiv` in arch/arm/kernel/setup.c; arch/arm/kernel/ftrace.c.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { KernelText, SelfModified } from '../arch.ts';
import { branchTarget, decode, pcAhead } from './instructions.ts';

const wordAt = (text: KernelText, address: number): number | undefined => text.word(linkAddress(BigInt(address)));

const isText = (text: KernelText, address: number): boolean =>
  text.textRanges.some(({ start, end }) => address >= start && address < end);

/**
 * A constant that code builds: by movw and movt or from a literal, and where it is made relative to the PC, the
 * address it is.
 */
export interface Constant {
  readonly register: number;
  readonly value: number;
}

/** Constants as code builds them, from the low half on; a value counts each time that it changes. */
export class BuiltConstants {
  readonly all: Constant[] = [];
  readonly #now = new Map<number, number>();

  /** What a register holds, if it is known. */
  held(register: number): number | undefined {
    return this.#now.get(register);
  }

  set(register: number, value: number): void {
    this.#now.set(register, value >>> 0);
    this.all.push({ register, value: value >>> 0 });
  }

  setHigh(register: number, half: number): void {
    const low = this.held(register);
    if (low !== undefined) this.set(register, (low & 0xffff) | (half << 16));
  }

  add(register: number, distance: number): void {
    const held = this.held(register);
    if (held !== undefined) this.set(register, held + distance);
  }
}

/** How the kernel's own code is read: the instruction set that it is of. */
export interface CodeReader {
  /** Instructions begin at multiples of this. */
  readonly step: 2 | 4;
  /** The constants that the instructions in [start, end) build, in their order. */
  constantsIn(text: KernelText, start: number, end: number): Constant[];
  /** Whether a jump label is at an address: a nop, or a branch to its target. */
  isJumpLabel(word: number, address: number, target: number): boolean;
  /** Whether a word is a branch to an address, and no call. */
  isBranchTo(word: number, address: number, target: number): boolean;
  /** Whether a word has an immediate that the kernel sets by where memory begins. */
  hasOffsetOfMemory(word: number): boolean;
}

/**
 * The constants that the instructions in [start, end) build, in their order. Addresses count both before and after
 * `add rX, rX, pc`.
 */
function constantsIn(text: KernelText, start: number, end: number): Constant[] {
  const constants = new BuiltConstants();
  for (let address = start; address < end; address += 4) {
    const word = wordAt(text, address);
    if (word === undefined) break;
    const instruction = decode(word);
    if (!instruction) continue;
    const f = instruction.fields as Required<typeof instruction.fields>;
    const imm16 = f.imm4 * 4096 + f.imm12;
    switch (instruction.encoding.name) {
      case 'MOV (immediate), wide':
        constants.set(f.Rd, imm16);
        break;
      case 'MOVT':
        constants.setHigh(f.Rd, imm16);
        break;
      case 'LDR (immediate)': {
        const literal = f.Rn === 15 && wordAt(text, address + pcAhead + (f.U ? f.imm12 : -f.imm12));
        if (typeof literal === 'number') constants.set(f.Rt, literal);
        break;
      }
      case 'ADD (register)':
        if (f.Rn === f.Rd && f.Rm === 15) constants.add(f.Rd, address + pcAhead);
    }
  }
  return constants.all;
}

/**
 * Reads [start, end) as entries of `size` bytes, each of which `read` must understand; undefined if that cannot be a
 * table.
 */
function readTable(
  start: number,
  end: number,
  size: number,
  read: (entry: number) => number | undefined,
): number[] | undefined {
  if (start >= end || (end - start) % size !== 0) return undefined;
  const places: number[] = [];
  for (let entry = start; entry < end; entry += size) {
    const place = read(entry);
    if (place === undefined) return undefined;
    places.push(place);
  }
  return places;
}

/** In bytes. `jump_label_init` takes 252 in Debian's kernel, literals and all. */
const longestWalker = 4096;

/** The constants that a walker may build: some twenty do in Debian's kernel, of which two are the table's bounds. */
const mostConstants = 128;

/** Three words an entry, all absolute: the nop or branch, its target, the key with two flag bits. */
function jumpLabels(text: KernelText, { constantsIn, isJumpLabel }: CodeReader): number[] | string {
  const walker = text.symbol('jump_label_init');
  const function_ = walker === undefined ? undefined : text.enclosing(walker);
  if (!function_) return [];
  const size = function_.end - function_.start;
  if (size > longestWalker) {
    return `jump_label_init takes ${size} bytes, more than ${longestWalker}, so its constants are not looked through for the table of jump labels`;
  }
  const constants = constantsIn(text, Number(function_.start), Number(function_.end)).map(({ value }) => value);
  const values = [...new Set(constants)].sort((a, b) => a - b);
  if (values.length > mostConstants) {
    return `jump_label_init builds ${values.length} constants, more than ${mostConstants}, so they are not looked through for the table of jump labels`;
  }
  const entry = (address: number): number | undefined => {
    const code = wordAt(text, address) ?? 0;
    const target = wordAt(text, address + 4) ?? 0;
    return isJumpLabel(wordAt(text, code) ?? 0, code, target) ? code : undefined;
  };
  // The widest pair of constants between which every entry makes sense. No entry is read for two starts: the second
  // one would be an end for the first.
  const entrySize = 12;
  for (const start of values) {
    let runEnd = start;
    while (entry(runEnd) !== undefined) runEnd += entrySize;
    const end = values.findLast((value) => value > start && value <= runEnd && (value - start) % entrySize === 0);
    if (end !== undefined) return readTable(start, end, entrySize, entry)!;
  }
  return 'the table of jump labels cannot be found in jump_label_init';
}

/** A walker is entered from the head once. Each further branch costs a walk through a table. */
const mostBranches = 8;

/**
 * Finds the branches to `walker` in the code before the named text (`.head.text`, whose symbols kallsyms leaves
 * out), those next to the text first.
 */
function* branchesFromHead(text: KernelText, walker: number, { step, isBranchTo }: CodeReader): Generator<number> {
  const first = text.textRanges[0]?.start ?? 0n;
  let found = 0;
  for (let address = Number(first) - 4; ; address -= step) {
    const word = wordAt(text, address);
    if (word === undefined) return;
    if (!isBranchTo(word, address, walker)) continue;
    if (++found > mostBranches) return;
    yield address;
  }
}

/**
 * A table whose walker is entered from the head with its bounds in r4 and r5 (`adr_l r4, …; adr_l r5, …; b walker`: at
 * most six instructions). Its entries are distances from themselves. A walker that `mayBeUnused` and that the head does not
 * enter has no table.
 */
function tableFromHead(
  text: KernelText,
  reader: CodeReader,
  walkerName: string,
  size: number,
  accept: (place: number) => boolean,
  what: string,
  mayBeUnused = false,
): number[] | string {
  const walker = text.symbol(walkerName);
  if (walker === undefined) return [];
  const branches = [...branchesFromHead(text, Number(walker), reader)];
  if (branches.length === 0 && mayBeUnused) return [];
  for (const branch of branches) {
    const constants = reader.constantsIn(text, branch - 24, branch);
    const last = (register: number): number =>
      constants.findLast((constant) => constant.register === register)?.value ?? 0;
    const places = readTable(last(4), last(5), size, (entry) => {
      const place = (entry + (wordAt(text, entry) ?? 0)) >>> 0;
      return accept(place) ? place : undefined;
    });
    if (places) return places;
  }
  return `the table of ${what} cannot be found where ${walkerName} is entered`;
}

/** Every word of the list is an instruction with an immediate that depends on where the memory begins. */
function physicalToVirtual(text: KernelText, reader: CodeReader): number[] | string {
  const accept = (place: number): boolean => reader.hasOffsetOfMemory(wordAt(text, place) ?? 0);
  return tableFromHead(text, reader, '__fixup_a_pv_table', 4, accept, 'physical-to-virtual patching');
}

/**
 * Two words an entry: the distance, and what an SMP kernel puts there on a machine with one CPU. Some places are
 * data. A kernel for one CPU (SMP=n) has the walker all the same, for modules, and does not enter it.
 */
function smpOnUp(text: KernelText, reader: CodeReader): number[] | string {
  const accept = (place: number): boolean => wordAt(text, place) !== undefined;
  return tableFromHead(text, reader, '__do_fixup_smp_on_up', 8, accept, 'SMP alternatives', true);
}

/** Single words at named places. */
function named(text: KernelText, places: readonly (readonly [name: string, words: number])[]): number[] {
  return places.flatMap(([name, words]) => {
    const address = text.symbol(name);
    return address === undefined ? [] : Array.from({ length: words }, (_, i) => Number(address) + 4 * i);
  });
}

/** Calls inside ftrace's own hooks, and the division that CPUs with a divide instruction get in two words. */
const namedPlaces = [
  ['ftrace_call', 1],
  ['ftrace_regs_call', 1],
  ['ftrace_graph_call', 1],
  ['ftrace_graph_regs_call', 1],
  ['__aeabi_uidiv', 2],
  ['__aeabi_idiv', 2],
] as const;

/** The words of the text that may differ from the image at run time, ftrace's call sites left out. */
export function selfModifiedBy(text: KernelText, reader: CodeReader): SelfModified {
  const found = [
    jumpLabels(text, reader),
    physicalToVirtual(text, reader),
    smpOnUp(text, reader),
    named(text, namedPlaces),
  ];
  const places = found.flatMap((places) => (typeof places === 'string' ? [] : places));
  // What begins at a halfword is in two words.
  const inText = places.filter((place) => place % reader.step === 0 && isText(text, place));
  const words = [...new Set(inText.flatMap((place) => [place & ~3, (place + 3) & ~3]).map((place) => place >>> 0))];
  return {
    words: words.sort((a, b) => a - b).map((place): LinkAddress => linkAddress(BigInt(place))),
    unknown: found.filter((places) => typeof places === 'string'),
  };
}

/** Of `B`, whatever its condition (A8.8.18): there may be megabytes of other words. */
const branchBits = { mask: 0x0f000000, value: 0x0a000000 } as const;

const nops = ['NOP', 'MOV (register), nop'];
const withOffset = [
  'ADD (immediate)',
  'SUB (immediate)',
  'MOV (immediate)',
  'MVN (immediate)',
  'MOV (immediate), wide',
];

function isBranchTo(word: number, address: number, target: number): boolean {
  if ((word & branchBits.mask) !== branchBits.value) return false;
  const instruction = decode(word);
  return instruction?.encoding.name === 'B' && branchTarget(instruction.fields.imm24!, address) === target;
}

/** A32 code. */
const reader: CodeReader = {
  step: 4,
  constantsIn,
  isJumpLabel: (word, address, target) =>
    nops.includes(decode(word)?.encoding.name ?? '') || isBranchTo(word, address, target),
  isBranchTo,
  hasOffsetOfMemory: (word) => withOffset.includes(decode(word)?.encoding.name ?? ''),
};

/** `Architecture.selfModified` of a kernel in A32 code. */
export const selfModified = (text: KernelText): SelfModified => selfModifiedBy(text, reader);
