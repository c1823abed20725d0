// The walk through a function's words that `stack-arguments.ts` learns from: along every branch, with what the registers
// hold of addresses in the stack.
//
// Control is followed word by word, and along the jumps that tables tell of. Where two ways meet, what holds is what holds on both; so words are walked again until
// nothing changes. Constants in what is made without sp are what makes that slow, and nobody asks for them but an index that is
// added to an address. So a walk that does not follow them says the same as one that does, as long as no index meets an
// address; where one does, it ends with `NeedsConstants`.

import type { WaysIn } from '../machine.ts';
import { afterCall, assigned, joinedRegisters, type Registers, SP, spOf } from './followed-registers.ts';
import {
  alignedDown,
  difference,
  frameHeader,
  isIndexed,
  isLocal,
  isMadeFromSp,
  mayLeave,
  shifted,
  sum,
  type Value,
  withoutConstant,
} from './frame-address.ts';
import { decode, field, type Instruction } from './instructions.ts';
import { registerIn, registersRead, registersWritten, useOf } from './register-use.ts';

/** The doublewords of the parameter save area that registers stand for. */
export const registerArguments = 8;

/** What was made from sp in the registers that carry arguments to a callee: r3 to r10. */
const passedValues = ({ values, fromSp }: Registers): readonly Value[] =>
  (fromSp & 0x7f8) === 0 ? [] : values.slice(3, 11).filter(isMadeFromSp);

/** The words between a function's global and its local entry, at most. */
const setUpWords = 2;

/** From here on registers are the caller's, and stored to be given back. */
const firstSaved = 14;

/** A word's place in the code, for messages. */
const placeOf = (index: number): string => `+0x${(index * 4).toString(16)}`;

/** Why something cannot be told. No error: where it was thrown is of no interest, and costly to note. */
export class Uncertain {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** An index meets an address, and what constant is in it was not followed. */
export class NeedsConstants {}

const isVariable = (value: Value, sp: number) => typeof value === 'number' && isLocal(value, sp);

/** What an instruction other than an addition makes of an address in the stack. */
function partOfAddress({ encoding: { name }, word }: Instruction, before: Registers): Value {
  const pageShift = 16;
  if (name === 'andi.') return 'other';
  if ((name !== 'rldicl' && name !== 'rldicr') || field('sh', word) !== 0) return 'lost';
  const value = before.values[field('RS', word)]!;
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
export function trapsAlways(instruction: Instruction | undefined): boolean {
  const name = instruction?.encoding.name;
  return (name === 'tw' || name === 'twi') && field('TO', instruction!.word) === 31;
}

/** What makes constants, of an index or by itself. */
const makers: ReadonlySet<string> = new Set(['addi', 'addis', 'add', 'subf', 'or']);

/** Whether an instruction has nothing to do with the stack and changes no register of which anything is known: most are so. */
function losesNothing({ encoding, word }: Instruction, { known, fromSp }: Registers): boolean {
  if (encoding.update) return false;
  const { reads, writes } = useOf(encoding);
  for (const f of reads) if ((fromSp >>> registerIn(f, word)) & 1) return false;
  for (const f of writes) if ((known >>> registerIn(f, word)) & 1) return false;
  return true;
}

/**
 * What stands between pieces of code: `nop`, `ori r2,r2,0`, which ends a group of instructions, and `wait 2,0`, of which the kernel
 * keeps alternatives behind functions that spin (`HMT_low` and others, arch/powerpc/include/asm/vdso/processor.h, Linux 6.1).
 */
const padding: ReadonlySet<number> = new Set([0x60000000, 0x60420000, 0x7c40003c]);
const isPadding = (word: number): boolean => padding.has(word);

/** What has been found in the code walked so far. */
export interface Found {
  /** As `StackArguments` has them. */
  doublewords: number;
  certain: number;
  /** Words that are jump tables. */
  tables: ReadonlySet<number>;
  /** Where a variable of the function's own is accessed, or handed on, at a place that an index chooses. */
  indexed: number | undefined;
  /** Whether anything but callee-saved registers has been put where the function's variables are. */
  hasVariables: boolean;
  /** Whether register arguments have been stored where the caller has room for them. */
  joinsArguments: boolean;
}

/** Its methods throw `Uncertain` and, unless constants are followed, `NeedsConstants`. */
export class Walk {
  /** What the registers hold before each word that control reaches, by the word's index. */
  readonly reached: (Registers | undefined)[];
  found: Found = {
    doublewords: 0,
    certain: 0,
    tables: new Set(),
    indexed: undefined,
    hasVariables: false,
    joinsArguments: false,
  };
  private readonly words: Uint32Array;
  private readonly waysIn: WaysIn | undefined;
  /** Behind it is only padding. */
  private readonly codeEnd: number;
  /** Whether constants in what is made without sp are followed. */
  private readonly constants: boolean;
  private readonly instructions: (Instruction | undefined)[];
  private work: number[] = [];
  /** Words behind a call, which are reached only if the call returns: looked at when all else is done. */
  private afterCalls: { index: number; registers: Registers }[] = [];
  private readonly frames = new Map<number, Registers>();
  /** What is not in `frames` yet: few functions are ever asked for them. */
  private fresh: Registers[] = [];
  /** Whether the walk from the entry is over. */
  private fromUnreached = false;
  /** While a guess is tried: what stood in `reached` before. */
  private changes: { index: number; before: Registers | undefined }[] | undefined;

  constructor(words: Uint32Array, waysIn: WaysIn | undefined, constants: boolean) {
    this.waysIn = waysIn;
    this.constants = constants;
    this.words = words;
    this.codeEnd = words.findLastIndex((word) => !isPadding(word)) + 1;
    this.reached = new Array<undefined>(words.length).fill(undefined);
    this.instructions = new Array<undefined>(words.length).fill(undefined);
  }

  /** Walks from an index on. */
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
      if (call.index >= this.codeEnd) continue;
      const known = this.reached[call.index];
      // A call that never returns stands before any code whatever: a frame of another size there is no contradiction.
      if (!known || spOf(known) === spOf(call.registers)) this.enter(call.index, call.registers);
    }
  }

  /** What `run` would find, which is all taken back. Throws what it throws. */
  tryOut(index: number, registers: Registers): Found {
    const before = this.found;
    this.found = { ...before };
    this.registersByFrame();
    this.fromUnreached = true;
    const changes: typeof this.changes = [];
    this.changes = changes;
    try {
      this.run(index, registers);
      return this.found;
    } finally {
      for (const change of changes.reverse()) this.reached[change.index] = change.before;
      this.found = before;
      this.fresh = [];
      this.changes = undefined;
      this.work = [];
      this.afterCalls = [];
    }
  }

  /** What holds at all the words that were reached with a frame of one size, by sp. */
  registersByFrame(): ReadonlyMap<number, Registers> {
    for (const registers of this.fresh) {
      const known = this.frames.get(spOf(registers));
      this.frames.set(spOf(registers), known ? joinedRegisters(known, registers) : registers);
    }
    this.fresh = [];
    return this.frames;
  }

  /**
   * The first word from an index on that control did not reach yet and may: it is neither padding nor part of a table, and
   * something refers to it, if that is known, or it stands behind a trap that WARN comes back from.
   */
  firstUnreached(from: number): number | undefined {
    for (let index = from; index < this.words.length; index++) {
      if (this.reached[index] || this.found.tables.has(index) || isPadding(this.words[index]!)) continue;
      const isBehindTrap = this.reached[index - 1] && trapsAlways(this.instructionAt(index - 1));
      if (!this.waysIn || this.waysIn.referred.has(index) || isBehindTrap) return index;
    }
    return undefined;
  }

  /** The instruction that a word is. It may be asked for again and again. */
  instructionAt(index: number): Instruction | undefined {
    this.instructions[index] ??= decode(this.words[index]!);
    return this.instructions[index];
  }

  private note(index: number, registers: Registers): void {
    this.changes?.push({ index, before: this.reached[index] });
    this.reached[index] = registers;
    this.work.push(index);
    if (this.fresh.at(-1) !== registers) this.fresh.push(registers);
  }

  private enter(index: number, registers: Registers): void {
    if (index >= this.words.length) {
      // Behind a trap that nobody comes back from GCC leaves saves of registers, and alternatives of fixups are run elsewhere.
      if (this.fromUnreached) return;
      throw new Uncertain('control runs out at its end, into words that nobody has looked at');
    }
    const known = this.reached[index];
    if (!known) {
      this.note(index, registers);
      return;
    }
    if (known === registers) return;
    if (spOf(known) !== spOf(registers)) {
      throw new Uncertain(`two ways lead to ${placeOf(index)} with frames of different size`);
    }
    const both = joinedRegisters(known, registers);
    if (both !== known) this.note(index, both);
  }

  private step(index: number): void {
    const before = this.reached[index]!;
    const instruction = this.instructionAt(index);
    if (!instruction) {
      const word = this.words[index]!.toString(16).padStart(8, '0');
      throw new Uncertain(`the word ${word} at ${placeOf(index)} is not in the tables`);
    }
    const { word } = instruction;
    const { name } = instruction.encoding;
    for (const target of this.waysIn?.jumps.get(index) ?? []) this.enter(target, before);

    if (name === 'b' || name === 'bc') {
      const distance = field(name === 'b' ? 'LI' : 'BD', word) / 4;
      const target = index + distance;
      // A branch to itself is one whose relocation has not been applied.
      if (distance === 0 || target < 0 || target >= this.words.length) {
        throw new Uncertain(`the branch at ${placeOf(index)} leaves the function, and may hand on its stack arguments`);
      }
      this.enter(target, before);
      if (name === 'bc' && !branchesAlways(word)) this.enter(index + 1, before);
      return;
    }
    if (name === 'bclr') {
      if (spOf(before) !== 0) throw new Uncertain(`the return at ${placeOf(index)} leaves a frame behind`);
      if (mayLeave(before.values[3]!))
        throw new Uncertain(`the return at ${placeOf(index)} hands out an argument’s address`);
      if (!branchesAlways(word)) this.enter(index + 1, before);
      return;
    }
    if (name === 'bcctr') {
      for (const target of this.jumpTable(index)) this.enter(target, before);
      return;
    }
    if (name === 'ba' || name === 'bca' || name === 'rfid' || name === 'hrfid') {
      throw new Uncertain(`the branch at ${placeOf(index)} leaves the function, and may hand on its stack arguments`);
    }
    // A trap that always traps is BUG(), which does not come back, or WARN(), whose way on is found as unreached code.
    if (trapsAlways(instruction)) return;

    if (calls.has(name)) {
      const isReadPc = name === 'bcl' && field('BD', word) === 4;
      const target = name === 'bl' ? index + field('LI', word) / 4 : name === 'bcl' ? index + field('BD', word) / 4 : 0;
      // A call of itself leads to one of its entries, or a relocation has not been applied.
      if (!isReadPc && target !== index && target > setUpWords && target < this.words.length)
        throw new Uncertain(`the call at ${placeOf(index)} leads to a part of the function`);
      for (const value of passedValues(before)) {
        if (!isReadPc && mayLeave(value))
          throw new Uncertain(`the call at ${placeOf(index)} hands on the address of an argument`);
        this.handOn(value, spOf(before), index);
      }
      this.afterCalls.push({ index: index + 1, registers: isReadPc ? before : afterCall(before) });
      return;
    }
    const after = this.effect(instruction, before, index);
    this.enter(index + 1, name === 'sc' ? afterCall(after) : after);
  }

  /** The registers after an instruction that is no branch; accesses to the caller's frame are counted on the way. */
  private effect(instruction: Instruction, before: Registers, index: number): Registers {
    const makesConstant = this.constants && makers.has(instruction.encoding.name);
    if (!makesConstant && losesNothing(instruction, before)) return before;
    const base = field('RA', instruction.word);
    if (this.waysIn?.filled.has(index) && base !== 0 && isMadeFromSp(before.values[base]!))
      throw new Uncertain(`the loader fills in what is added to an address in the stack at ${placeOf(index)}`);
    const isAccess = useOf(instruction.encoding).size > 0;
    const after = isAccess ? this.access(instruction, before, index) : this.compute(instruction, before, index);
    const sp = after.values[SP];
    if (typeof sp !== 'number' || sp > 0) throw new Uncertain(`r1 is computed at ${placeOf(index)}`);
    return after;
  }

  /** A load or store. */
  private access(instruction: Instruction, before: Registers, index: number): Registers {
    const { word, encoding } = instruction;
    const { name, fields, update } = encoding;
    const { size, isStore, displacement } = useOf(encoding);
    const sp = spOf(before);
    const ra = field('RA', word);
    const base = update || ra !== 0 ? before.values[ra]! : 'other';
    const address = displacement
      ? shifted(base, field(displacement, word))
      : this.combined(sum, base, before.values[field('RB', word)]!);
    if (update && ra === SP && typeof address !== 'number') throw new Uncertain(`r1 is computed at ${placeOf(index)}`);
    if (address === 'lost') throw new Uncertain(`the access at ${placeOf(index)} may go to an argument`);
    if (isIndexed(address) && !isLocal(address.from, sp)) {
      throw new Uncertain(`the access at ${placeOf(index)} is to a place in the stack that an index chooses`);
    }
    const { found } = this;
    if (isIndexed(address)) found.indexed ??= index;
    if (typeof address === 'number') this.touch(address, size, !isStore, index);
    const isSave = fields.includes('RS') && (field('RS', word) >= firstSaved || field('RS', word) === SP);
    if (isStore && !isSave && (isIndexed(address) || isVariable(address, sp))) found.hasVariables = true;
    let after = before;
    for (const r of registersWritten(instruction)) after = assigned(after, r, 'other');
    if (update) after = assigned(after, ra, this.followed(address));
    // The word that sp points to is the back chain: sp before the frame was made, by one instruction.
    if (name === 'ld' && sp < 0 && address === sp) after = assigned(after, field('RT', word), 0);
    if (!isStore || !fields.includes('RS')) return after;
    const rs = field('RS', word);
    const value = before.values[rs]!;
    if (rs === SP && ra === SP && update) {
      if (sp !== 0) throw new Uncertain(`a second frame is made at ${placeOf(index)}`);
    } else if (mayLeave(value) || (isIndexed(value) && !isLocal(value.from, sp))) {
      throw new Uncertain(`an argument’s address is stored at ${placeOf(index)}`);
    }
    this.handOn(value, sp, index);
    return after;
  }

  /** Notes a value that others may use from here on. */
  private handOn(value: Value, sp: number, index: number): void {
    if (isIndexed(value)) this.found.indexed ??= index;
    if (isVariable(value, sp)) this.found.hasVariables = true;
  }

  /**
   * Throws unless what an index chooses is a variable of the function's own. It may as well be a struct that came by
   * value, when the compiler has taken a constant from the index (frame-address.ts). A struct of which a part came in
   * registers shows by these registers being stored beside the rest. One that is wholly on the stack looks like an array
   * that is read although nobody has ever written it. What stays hidden is one wholly on the stack in a function that has
   * variables too, and only if it is read at nothing but an index less 96 bytes or more.
   */
  checkIndexes(): void {
    const { indexed, hasVariables, joinsArguments } = this.found;
    if (indexed === undefined || (hasVariables && !joinsArguments)) return;
    throw new Uncertain(`what the index at ${placeOf(indexed)} chooses may be a part of an argument`);
  }

  /** An instruction that accesses no memory and is no branch. */
  private compute(instruction: Instruction, before: Registers, index: number): Registers {
    const { word } = instruction;
    const { name } = instruction.encoding;
    const [target] = registersWritten(instruction);
    const value = (f: 'RA' | 'RB' | 'RS') => before.values[field(f, word)]!;
    let result: Value = 'other';
    if (name === 'addi' || name === 'addis') {
      const shift = name === 'addis' ? 16 : 0;
      result = shifted(field('RA', word) === 0 ? 'other' : value('RA'), field('SI', word) * 2 ** shift);
    } else if (name === 'add') result = this.combined(sum, value('RA'), value('RB'));
    else if (name === 'subf') result = this.combined(difference, value('RB'), value('RA'));
    else if (name === 'or' && field('RS', word) === field('RB', word)) result = value('RS');
    else if (registersRead(instruction).some((r) => isMadeFromSp(before.values[r]!))) {
      // Comparing, trapping and prefetching move nothing.
      if (target === undefined && (name === 'mtspr' || name === 'dcbz'))
        throw new Uncertain(`${name} at ${placeOf(index)} has an address in the stack`);
      if (target !== undefined) result = partOfAddress(instruction, before);
      // Only a variable of the function's own is aligned, and by a mask of a known address.
      if (name === 'rldicr' && typeof value('RS') === 'number' && isIndexed(result)) this.found.hasVariables = true;
    }
    return target === undefined ? before : assigned(before, target, this.followed(result));
  }

  private followed(value: Value): Value {
    return this.constants ? value : withoutConstant(value);
  }

  private combined(how: typeof sum, a: Value, b: Value): Value {
    if (!this.constants && isMadeFromSp(a) !== isMadeFromSp(b)) throw new NeedsConstants();
    return how(a, b);
  }

  /** Counts an access to [address, address + size), in bytes from sp at the entry. */
  private touch(address: number, size: number, isLoad: boolean, index: number): void {
    if (address + size <= frameHeader) return;
    if (address < frameHeader)
      throw new Uncertain(`the access at ${placeOf(index)} straddles the caller’s frame header`);
    const last = Math.ceil((address + size - frameHeader) / 8);
    const { found } = this;
    found.doublewords = Math.max(found.doublewords, last);
    if (isLoad) found.certain = Math.max(found.certain, last);
    else if (last <= registerArguments) found.joinsArguments = true;
  }

  /**
   * The targets of `bctr`. GCC puts a switch's table right behind it, one word a case, each the distance from the table
   * to the case: `lwax rX,…; add rX,rX,rTable; mtctr rX; bctr`. Any other `bctr` is a tail call.
   */
  private jumpTable(bctr: number): number[] {
    const table = bctr + 1;
    const targets: number[] = [];
    let end = this.words.length;
    for (let at = table; at < end; at++) {
      const distance = this.words[at]! | 0;
      const target = table + distance / 4;
      if (!Number.isInteger(target) || target < 0 || target >= this.words.length || target === at) break;
      if (target > at) end = Math.min(end, target);
      targets.push(target);
    }
    if (targets.length === 0 || !this.comesFromTable(bctr)) {
      throw new Uncertain(`the branch at ${placeOf(bctr)} leaves the function, and may hand on its stack arguments`);
    }
    this.found.tables = new Set([...this.found.tables, ...targets.map((_, i) => table + i)]);
    return targets;
  }

  /** Whether CTR was last set, in the same run of words, to a sum. */
  private comesFromTable(bctr: number): boolean {
    const CTR = 9;
    let source: number | undefined;
    for (let at = bctr - 1; at >= 0; at--) {
      const instruction = this.instructionAt(at);
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
