// What a function reads of its caller's frame.
//
// A caller's frame, seen from the callee's entry (ELFv2 ABI 1.5, section 2.2.3, "The Stack Frame"); sp is r1:
//
//       0(r1)  back chain                   16(r1)  the callee's return address (LR save)
//       8(r1)  CR save                      24(r1)  TOC save
//      32(r1)  parameter save area: one doubleword for each argument, of which the first eight come in r3–r10 and
//      96(r1)  are only reserved here; from the ninth on the caller stores the arguments themselves
//
// A stub with a frame of its own between caller and callee moves all that out of the callee's reach, so it must copy
// the arguments, and so somebody must say how many there are. The compiled code says it: this file follows r1 and its
// copies through the new function, word by word, and collects every access at or above the caller's 32(r1).
//
// Where that cannot be told the answer names the reason, and the function is refused: the address of an argument taken
// (variable arguments, `va_start`, always do), an argument chosen by an index, a frame whose size is computed, a word
// that the tables do not know, a branch out of the function. The last is why fixes are compiled with -fno-optimize-sibling-calls: `b other` may hand
// on stack arguments that it does not touch, and no word would show it.

import {
  alignedDown,
  difference,
  frameHeader,
  isIndexed,
  isLocal,
  isMadeFromSp,
  isSame,
  joined,
  mayLeave,
  shifted,
  sum,
  type Value,
} from './frame-address.ts';
import { decode, field, type Instruction } from './instructions.ts';
import { registerIn, registersRead, registersWritten, useOf } from './register-use.ts';

/** The doublewords of the parameter save area that registers stand for. */
export const registerArguments = 8;

/** What a function does with its caller's parameter save area. */
export interface StackArguments {
  /** Doublewords of the area that it may touch, from the first on: more than 8 means that it reads stack arguments. */
  readonly doublewords: number;
  /** Those that it certainly loads from: without mere stores, and without code whose frame is a guess. */
  readonly certain: number;
  /** Why that number cannot be relied on, in words with the offset in the code; undefined when it can. */
  readonly uncertain: string | undefined;
}

/** What each general register holds, as far as it matters. */
type Registers = readonly Value[];

const SP = 1;
/** Registers that a call may change: r0 and r3–r12 (section 2.2.2.1, "Register Roles"); r2 is of no interest. */
const volatile = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/** Registers that carry arguments to a callee, or results back. */
const passed = [3, 4, 5, 6, 7, 8, 9, 10];

/** From here on registers are the caller's, and stored to be given back. */
const firstSaved = 14;

/** Bounds for code made to keep us busy: no function of the stock kernel comes near either. */
const mostUnreached = 1000;
const mostFrames = 16;

/** A word's place in the code, written out only where something is said of it. */
class Place {
  readonly #index: number;

  constructor(index: number) {
    this.#index = index;
  }

  toString(): string {
    return `+0x${(this.#index * 4).toString(16)}`;
  }
}

/** Thrown inside, caught by `findStackArguments`. No error: where it was thrown is of no interest, and costly to note. */
class Uncertain {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const spOf = (registers: Registers) => registers[SP] as number;

const isVariable = (value: Value, sp: number) => typeof value === 'number' && isLocal(value, sp);

/** `a` itself where `b` adds nothing to it. */
function joinedRegisters(a: Registers, b: Registers): Registers {
  let both: Value[] | undefined;
  for (let r = 0; r < a.length; r++) {
    const value = a[r]!;
    if (value === b[r]) continue;
    const either = joined(value, b[r]!, spOf(a));
    if (isSame(either, value)) continue;
    both ??= a.slice();
    both[r] = either;
  }
  return both ?? a;
}

function afterCall(registers: Registers): Registers {
  const after = registers.slice();
  for (const r of volatile) after[r] = 'other';
  return after;
}

/** What an instruction other than an addition makes of an address in the stack. */
function partOfAddress({ encoding: { name }, word }: Instruction, before: Registers): Value {
  const pageShift = 16;
  if (name === 'andi.') return 'other';
  if ((name !== 'rldicl' && name !== 'rldicr') || field('sh', word) !== 0) return 'lost';
  const value = before[field('RS', word)]!;
  // To a remainder; to a physical address, whose first four bits are cleared (`__pa` in arch/powerpc/include/asm/page.h).
  if (name === 'rldicl') return field('mb', word) >= 64 - pageShift ? 'other' : alignedDown(value, 0);
  // To a variable that is aligned more than sp.
  const aligned = alignedDown(value, 63 - field('me', word));
  return isIndexed(aligned) && isLocal(aligned.from, spOf(before)) ? aligned : 'lost';
}

/** The branches that set LR. */
const calls: ReadonlySet<string> = new Set(['bl', 'bla', 'bcl', 'bcla', 'bclrl', 'bcctrl']);

/** Where control can go from a branch: BO 1z1zz is "always" (Book I, section 2.4). */
const branchesAlways = (word: number) => (field('BO', word) & 0b10100) === 0b10100;

/** Whether it is `tw 31,…` or `twi 31,…`. */
function trapsAlways(instruction: Instruction | undefined): boolean {
  const name = instruction?.encoding.name;
  return (name === 'tw' || name === 'twi') && field('TO', instruction!.word) === 31;
}

/** What makes something of numbers that matter, even of those that are made without sp: constants in an index, and sp itself. */
const followed: ReadonlySet<string> = new Set(['addi', 'addis', 'add', 'subf', 'or']);

/** Whether an instruction has nothing to do with the stack and changes no register of which anything is known: most are so. */
function losesNothing({ encoding, word }: Instruction, before: Registers): boolean {
  if (encoding.update || followed.has(encoding.name)) return false;
  const { reads, writes } = useOf(encoding);
  for (const f of reads) if (isMadeFromSp(before[registerIn(f, word)]!)) return false;
  for (const f of writes) if (before[registerIn(f, word)] !== 'other') return false;
  return true;
}

/**
 * What stands between pieces of code: `nop`, `ori r2,r2,0`, which ends a group of instructions, and `wait 2,0`, of which the kernel
 * keeps alternatives behind functions that spin (`HMT_low` and others, arch/powerpc/include/asm/vdso/processor.h, Linux 6.1).
 */
const padding: ReadonlySet<number> = new Set([0x60000000, 0x60420000, 0x7c40003c]);
const isPadding = (word: number): boolean => padding.has(word);

class Walk {
  /** What the registers hold before each word that control reaches, by the word's index. */
  readonly reached: (Registers | undefined)[];
  /** Words that are jump tables. */
  readonly tables = new Set<number>();
  doublewords = 0;
  certain = 0;
  /** Where a variable of the function's own is accessed, or handed on, at a place that an index chooses. */
  private indexed: Place | undefined;
  /** Whether anything but callee-saved registers has been put where the function's variables are. */
  private hasVariables = false;
  /** Whether register arguments have been stored where the caller has room for them. */
  private joinsArguments = false;
  private readonly words: Uint32Array;
  private readonly fromUnreached: boolean;
  private readonly work: number[] = [];
  /** Words behind a call, which are reached only if the call returns: looked at when all else is done. */
  private readonly afterCalls: { index: number; registers: Registers }[] = [];

  constructor(words: Uint32Array, from?: Walk) {
    this.words = words;
    this.fromUnreached = from !== undefined;
    this.reached = from ? from.reached.slice() : new Array<undefined>(words.length).fill(undefined);
    if (!from) return;
    this.doublewords = from.doublewords;
    this.certain = from.certain;
    this.indexed = from.indexed;
    this.hasVariables = from.hasVariables;
    this.joinsArguments = from.joinsArguments;
    for (const index of from.tables) this.tables.add(index);
  }

  run(index: number, registers: Registers): void {
    this.enter(index, registers);
    for (;;) {
      const next = this.work.pop();
      if (next !== undefined) {
        this.step(next);
        continue;
      }
      const call = this.afterCalls.pop();
      if (!call) return;
      // With nothing behind it but padding, it is one that never returns.
      if (this.words.subarray(call.index).every(isPadding)) continue;
      const known = this.reached[call.index];
      // A call that never returns stands before any code whatever: a frame of another size there is no contradiction.
      if (!known || known[SP] === call.registers[SP]) this.enter(call.index, call.registers);
    }
  }

  /** The first word from an index on that control did not reach and that is neither padding nor part of a table. */
  firstUnreached(from: number): number | undefined {
    for (let index = from; index < this.words.length; index++) {
      if (!this.reached[index] && !this.tables.has(index) && !isPadding(this.words[index]!)) return index;
    }
    return undefined;
  }

  private enter(index: number, registers: Registers): void {
    if (index >= this.words.length) {
      // Behind a trap that nobody comes back from GCC leaves saves of registers, and alternatives of fixups are run elsewhere.
      if (this.fromUnreached) return;
      throw new Uncertain('control runs out at its end, into words that nobody has looked at');
    }
    const known = this.reached[index];
    if (!known) {
      this.reached[index] = registers;
      this.work.push(index);
      return;
    }
    if (known === registers) return;
    if (known[SP] !== registers[SP]) {
      throw new Uncertain(`two ways lead to +0x${(index * 4).toString(16)} with frames of different size`);
    }
    const both = joinedRegisters(known, registers);
    if (both === known) return;
    this.reached[index] = both;
    this.work.push(index);
  }

  private step(index: number): void {
    const before = this.reached[index]!;
    const word = this.words[index]!;
    const place = new Place(index);
    const instruction = decode(word);
    if (!instruction)
      throw new Uncertain(`the word ${word.toString(16).padStart(8, '0')} at ${place} is not in the tables`);
    const { name } = instruction.encoding;

    if (name === 'b' || name === 'bc') {
      const distance = field(name === 'b' ? 'LI' : 'BD', word) / 4;
      const target = index + distance;
      // A branch to itself is one whose relocation has not been applied.
      if (distance === 0 || target < 0 || target >= this.words.length) {
        throw new Uncertain(`the branch at ${place} leaves the function, and may hand on its stack arguments`);
      }
      this.enter(target, before);
      if (name === 'bc' && !branchesAlways(word)) this.enter(index + 1, before);
      return;
    }
    if (name === 'bclr') {
      if (before[SP] !== 0) throw new Uncertain(`the return at ${place} leaves a frame behind`);
      if (mayLeave(before[3]!)) throw new Uncertain(`the return at ${place} hands out an argument’s address`);
      if (!branchesAlways(word)) this.enter(index + 1, before);
      return;
    }
    if (name === 'bcctr') {
      for (const target of this.jumpTable(index, place)) this.enter(target, before);
      return;
    }
    if (name === 'ba' || name === 'bca' || name === 'rfid' || name === 'hrfid') {
      throw new Uncertain(`the branch at ${place} leaves the function, and may hand on its stack arguments`);
    }
    // A trap that always traps is BUG(), which does not come back, or WARN(), whose way on is found as unreached code.
    if (trapsAlways(instruction)) return;

    if (calls.has(name)) {
      const isReadPc = name === 'bcl' && field('BD', word) === 4;
      if (!isReadPc && passed.some((r) => mayLeave(before[r]!))) {
        throw new Uncertain(`the call at ${place} hands on the address of an argument`);
      }
      for (const r of passed) this.handOn(before[r]!, spOf(before), place);
      this.afterCalls.push({ index: index + 1, registers: isReadPc ? before : afterCall(before) });
      return;
    }
    const after = this.effect(instruction, before, place);
    this.enter(index + 1, name === 'sc' ? afterCall(after) : after);
  }

  /** The registers after an instruction that is no branch; accesses to the caller's frame are counted on the way. */
  private effect(instruction: Instruction, before: Registers, place: Place): Registers {
    if (losesNothing(instruction, before)) return before;
    const after = before.slice();
    for (const r of registersWritten(instruction)) after[r] = 'other';
    if (useOf(instruction.encoding).size > 0) this.access(instruction, before, after, place);
    else this.compute(instruction, before, after, place);
    if (typeof after[SP] !== 'number' || after[SP] > 0) throw new Uncertain(`r1 is computed at ${place}`);
    return after;
  }

  /** A load or store. */
  private access({ encoding, word }: Instruction, before: Registers, after: Value[], place: Place): void {
    const { name, fields, update } = encoding;
    const { size, isStore, displacement } = useOf(encoding);
    const sp = spOf(before);
    const ra = field('RA', word);
    const base = update || ra !== 0 ? before[ra]! : 'other';
    const address = displacement ? shifted(base, field(displacement, word)) : sum(base, before[field('RB', word)]!);
    if (update && ra === SP && typeof address !== 'number') throw new Uncertain(`r1 is computed at ${place}`);
    if (address === 'lost') throw new Uncertain(`the access at ${place} may go to an argument`);
    if (isIndexed(address) && !isLocal(address.from, sp)) {
      throw new Uncertain(`the access at ${place} is to a place in the stack that an index chooses`);
    }
    if (isIndexed(address)) this.indexed ??= place;
    if (typeof address === 'number') this.touch(address, size, !isStore, place);
    const isSave = fields.includes('RS') && (field('RS', word) >= firstSaved || field('RS', word) === SP);
    if (isStore && !isSave && (isIndexed(address) || isVariable(address, sp))) this.hasVariables = true;
    if (update) after[ra] = address;
    // The word that sp points to is the back chain: sp before the frame was made, by one instruction.
    if (name === 'ld' && sp < 0 && address === sp) after[field('RT', word)] = 0;
    if (!isStore || !fields.includes('RS')) return;
    const rs = field('RS', word);
    const value = before[rs]!;
    if (rs === SP && ra === SP && update) {
      if (sp !== 0) throw new Uncertain(`a second frame is made at ${place}`);
    } else if (mayLeave(value) || (isIndexed(value) && !isLocal(value.from, sp))) {
      throw new Uncertain(`an argument’s address is stored at ${place}`);
    }
    this.handOn(value, sp, place);
  }

  /** Notes a value that others may use from here on. */
  private handOn(value: Value, sp: number, place: Place): void {
    if (isIndexed(value)) this.indexed ??= place;
    if (isVariable(value, sp)) this.hasVariables = true;
  }

  /**
   * Throws unless what an index chooses is a variable of the function's own. It may as well be a struct that came by
   * value, when the compiler has taken a constant from the index (frame-address.ts). A struct of which a part came in
   * registers shows by these registers being stored beside the rest. One that is wholly on the stack looks like an array
   * that is read although nobody has ever written it. What stays hidden is one wholly on the stack in a function that has
   * variables too, and only if it is read at nothing but an index less 96 bytes or more.
   */
  checkIndexes(): void {
    if (this.indexed === undefined || (this.hasVariables && !this.joinsArguments)) return;
    throw new Uncertain(`what the index at ${this.indexed} chooses may be a part of an argument`);
  }

  /** An instruction that accesses no memory and is no branch. */
  private compute(instruction: Instruction, before: Registers, after: Value[], place: Place): void {
    const { word } = instruction;
    const { name } = instruction.encoding;
    const [target] = registersWritten(instruction);
    const value = (f: 'RA' | 'RB' | 'RS') => before[field(f, word)]!;
    if (name === 'addi' || name === 'addis') {
      const shift = name === 'addis' ? 16 : 0;
      after[target!] = shifted(field('RA', word) === 0 ? 'other' : value('RA'), field('SI', word) * 2 ** shift);
    } else if (name === 'add') after[target!] = sum(value('RA'), value('RB'));
    else if (name === 'subf') after[target!] = difference(value('RB'), value('RA'));
    else if (name === 'or' && field('RS', word) === field('RB', word)) after[target!] = value('RS');
    else if (!registersRead(instruction).some((r) => isMadeFromSp(before[r]!))) return;
    else if (target !== undefined) {
      after[target] = partOfAddress(instruction, before);
      // Only a variable of the function's own is aligned, and by a mask of a known address.
      if (name === 'rldicr' && typeof value('RS') === 'number' && isIndexed(after[target])) this.hasVariables = true;
    }
    // Comparing, trapping and prefetching move nothing.
    else if (name === 'mtspr' || name === 'dcbz')
      throw new Uncertain(`${name} at ${place} has an address in the stack`);
  }

  /** Counts an access to [address, address + size), in bytes from sp at the entry. */
  private touch(address: number, size: number, isLoad: boolean, place: Place): void {
    if (address + size <= frameHeader) return;
    if (address < frameHeader) throw new Uncertain(`the access at ${place} straddles the caller’s frame header`);
    const last = Math.ceil((address + size - frameHeader) / 8);
    this.doublewords = Math.max(this.doublewords, last);
    if (isLoad) this.certain = Math.max(this.certain, last);
    else if (last <= registerArguments) this.joinsArguments = true;
  }

  /**
   * The targets of `bctr`. GCC puts a switch's table right behind it, one word a case, each the distance from the table
   * to the case: `lwax rX,…; add rX,rX,rTable; mtctr rX; bctr`. Any other `bctr` is a tail call.
   */
  private jumpTable(bctr: number, place: Place): number[] {
    const table = bctr + 1;
    const targets: number[] = [];
    let end = this.words.length;
    for (let at = table; at < end; at++) {
      const distance = this.words[at]! | 0;
      const target = table + distance / 4;
      if (!Number.isInteger(target) || target < 0 || target >= this.words.length || target === at) break;
      if (target > at) end = Math.min(end, target);
      targets.push(target);
      this.tables.add(at);
    }
    if (targets.length === 0 || !this.comesFromTable(bctr)) {
      throw new Uncertain(`the branch at ${place} leaves the function, and may hand on its stack arguments`);
    }
    return targets;
  }

  /** Whether CTR was last set, in the same run of words, to a sum. */
  private comesFromTable(bctr: number): boolean {
    const CTR = 9;
    let source: number | undefined;
    for (let at = bctr - 1; at >= 0; at--) {
      const instruction = decode(this.words[at]!);
      if (!instruction || instruction.encoding.name.startsWith('b')) return false;
      const { word, encoding } = instruction;
      if (source === undefined) {
        if (encoding.name === 'mtspr' && field('spr', word) === CTR) source = field('RS', word);
      } else if (registersWritten(instruction).includes(source)) {
        return encoding.name === 'add';
      }
    }
    return false;
  }
}

/** All that registers were found to hold; words in a row share one. */
const statesOf = (walk: Walk): Registers[] => [...new Set(walk.reached)].filter((registers) => registers !== undefined);

/** What holds at all the words that were reached with the frame of this size. */
function registersWithFrame(walk: Walk, sp: number): Registers {
  return statesOf(walk)
    .filter((registers) => registers[SP] === sp)
    .reduce(joinedRegisters);
}

/**
 * Goes on at code that no branch in the words leads to: what a jump label, a WARN or an access to user memory reaches
 * through a table elsewhere. Its frame is one that the rest of the function has; a wrong guess contradicts the code
 * that it runs into. Code behind a WARN's trap has the trap's frame if that fits; if several others fit, all count.
 */
function walkUnreached(walk: Walk, words: Uint32Array, start: number): Walk {
  const frames = new Set(statesOf(walk).map((registers) => registers[SP] as number));
  if (frames.size > mostFrames) throw new Uncertain('the function has frames of too many sizes');
  let failure = new Uncertain('no code was reached');
  const attempt = (sp: number): Walk | undefined => {
    const further = new Walk(words, walk);
    try {
      further.run(start, registersWithFrame(walk, sp));
      return further;
    } catch (error) {
      if (!(error instanceof Uncertain)) throw error;
      failure = error;
      return undefined;
    }
  };
  const before = walk.reached[start - 1]?.[SP];
  const behindTrap = typeof before === 'number' && trapsAlways(decode(words[start - 1]!)) && attempt(before);
  if (behindTrap) return behindTrap;
  const fitting = [...frames].map(attempt).filter((further) => further !== undefined);
  if (fitting.length === 0) throw failure;
  const widest = fitting.reduce((a, b) => (b.doublewords > a.doublewords ? b : a));
  widest.certain = Math.min(...fitting.map((further) => further.certain));
  return widest;
}

/**
 * What a function does with its caller's parameter save area.
 * `words` are its instructions from the global entry on; relocations need not be applied.
 */
export function findStackArguments(words: Uint32Array): StackArguments {
  const entry: Registers = Array.from({ length: 32 }, (_, r) => (r === SP ? 0 : 'other'));
  let walk = new Walk(words);
  try {
    walk.run(0, entry);
    let start: number | undefined = 0;
    for (let rounds = 0; ; rounds++) {
      start = walk.firstUnreached(start);
      if (start === undefined) break;
      if (rounds === mostUnreached) throw new Uncertain('too much of the code is reached by no branch');
      walk = walkUnreached(walk, words, start);
    }
    walk.checkIndexes();
  } catch (error) {
    if (!(error instanceof Uncertain)) throw error;
    return { doublewords: walk.doublewords, certain: walk.certain, uncertain: error.message };
  }
  return { doublewords: walk.doublewords, certain: walk.certain, uncertain: undefined };
}

/** Whether a function certainly reads arguments from its caller's frame: what `audit` counts. */
export const readsStackArguments = (words: Uint32Array): boolean =>
  findStackArguments(words).certain > registerArguments;
