// The walk through a function's words that `stack-arguments.ts` learns from: along every branch, with what the registers
// hold of addresses in the stack.
//
// Control is followed word by word, and along the jumps that tables tell of. Where two ways meet, what holds is what holds on both; so words are walked again until
// nothing changes. Constants in what is made without sp are what makes that slow, and nobody asks for them but an index that is
// added to an address. So a walk that does not follow them says the same as one that does, as long as no index meets an
// address; where one does, it ends with `NeedsConstants`.

import type { WaysIn } from '../machine.ts';
import { standsAsCallSite } from './call-sites.ts';
import {
  afterCall,
  assigned,
  joinedRegisters,
  link,
  type Registers,
  SP,
  spOf,
  withLink,
} from './followed-registers.ts';
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
import { switchTargets } from './switch-table.ts';
import { isPadding, WalkedCode } from './walked-code.ts';

/** The doublewords of the parameter save area that registers stand for. */
export const registerArguments = 8;

/** What was made from sp in the registers that a callee finds, beside sp itself: compiled code looks at r3 to r10 alone. */
const passedValues = ({ values, fromSp }: Registers): readonly Value[] =>
  (fromSp & ~(1 << SP)) === 0 ? [] : values.filter((value, r) => r !== SP && isMadeFromSp(value));

/** What compares, traps, prefetches or writes back: whatever the registers hold, nothing moves. */
const movesNothing: ReadonlySet<string> = new Set([
  ...['cmp', 'cmpi', 'cmpl', 'cmpli', 'tw', 'twi', 'td', 'tdi'],
  ...['dcbt', 'dcbtst', 'dcbst', 'dcbf', 'icbi'],
]);

/** The words between a function's global and its local entry, at most. */
const setUpWords = 2;

/** Bytes from a caller's sp to the doubleword that is its callee's to keep LR in (ELFv2 ABI 1.5, section 2.2.3). */
const saveSlot = 16;

/** The processor's area: `struct paca_struct`. */
const PACA = 13;

/** LR among the special registers: mfspr in Book I, section 3.3.17. */
const LR = 8;

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

/** The registers after `mflr` or `mtlr`. */
function movedLr({ encoding, word }: Instruction, before: Registers): Registers {
  if (encoding.name === 'mfspr')
    return assigned(before, field('RT', word), before.lr === link.returnAddress ? 'return address' : 'other');
  const isBack = before.values[field('RS', word)] === 'return address';
  return withLink(before, isBack ? link.returnAddress : link.other);
}

/** What has been found in the code walked so far. */
export interface Found {
  /** As `StackArguments` has them. */
  doublewords: number;
  certain: number;
  /** How many words are jump tables. */
  tables: number;
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
    tables: 0,
    indexed: undefined,
    hasVariables: false,
    joinsArguments: false,
  };
  /** The words that are jump tables, in the order in which they were found; as many of them count as `found` says. */
  private readonly tables: number[] = [];
  private readonly isTable: Uint8Array;
  private readonly code: WalkedCode;
  private readonly waysIn: WaysIn | undefined;
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
    this.code = new WalkedCode(words, waysIn);
    const { length } = this.code.words;
    this.isTable = new Uint8Array(length);
    this.reached = new Array<undefined>(length).fill(undefined);
    this.instructions = new Array<undefined>(length).fill(undefined);
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
      if (call.index >= this.code.codeEnd && call.index <= this.code.length) continue;
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
      while (this.tables.length > before.tables) this.isTable[this.tables.pop()!] = 0;
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
    // A table of a switch is recognised by its looks: where there is one, control may be anywhere.
    const referred = this.found.tables > 0 ? undefined : this.waysIn?.referred;
    for (let index = from; index < this.code.length; index++) {
      if (this.reached[index] || this.isTable[index] || isPadding(this.code.words[index]!)) continue;
      const isBehindTrap = this.reached[index - 1] && trapsAlways(this.instructionAt(index - 1));
      if (!referred || referred.has(index) || isBehindTrap) return index;
    }
    return undefined;
  }

  /** The instruction that a word is. It may be asked for again and again. */
  instructionAt(index: number): Instruction | undefined {
    this.instructions[index] ??= decode(this.code.words[index]!);
    return this.instructions[index];
  }

  private note(index: number, registers: Registers): void {
    this.changes?.push({ index, before: this.reached[index] });
    this.reached[index] = registers;
    this.work.push(index);
    if (this.fresh.at(-1) !== registers) this.fresh.push(registers);
  }

  private enter(index: number, registers: Registers): void {
    if (index < 0) throw new Uncertain('a table leads out of it, or has other words put in it that are not known');
    if (index === this.code.length) {
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
      const word = this.code.words[index]!.toString(16).padStart(8, '0');
      throw new Uncertain(`the word ${word} at ${placeOf(index)} is not in the tables`);
    }
    const { word } = instruction;
    const { name } = instruction.encoding;
    for (const target of this.code.jumpsFrom(index)) this.enter(target, before);

    if (name === 'b' || name === 'bc') {
      const distance = field(name === 'b' ? 'LI' : 'BD', word) / 4;
      // A branch to itself is one whose relocation has not been applied.
      const target = distance === 0 ? undefined : this.code.target(index, distance);
      if (target === undefined) {
        throw new Uncertain(`the branch at ${placeOf(index)} leaves the function, and may hand on its stack arguments`);
      }
      this.enter(target, before);
      if (name === 'bc' && !branchesAlways(word)) this.enter(this.code.next(index), before);
      return;
    }
    if (name === 'bclr') {
      if (spOf(before) !== 0) throw new Uncertain(`the return at ${placeOf(index)} leaves a frame behind`);
      if (before.lr !== link.returnAddress)
        throw new Uncertain(`the branch at ${placeOf(index)} leads where LR does, and that may be no return`);
      if (mayLeave(before.values[3]!))
        throw new Uncertain(`the return at ${placeOf(index)} hands out an argument’s address`);
      if (!branchesAlways(word)) this.enter(this.code.next(index), before);
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
      if (this.isMcountCall(index)) {
        this.enter(this.code.next(index), before);
        return;
      }
      const isReadPc = name === 'bcl' && field('BD', word) === 4;
      const distance = name === 'bl' ? field('LI', word) / 4 : name === 'bcl' ? field('BD', word) / 4 : 0;
      const target = distance === 0 ? undefined : this.code.target(index, distance);
      // A call of itself leads to one of its entries, or a relocation has not been applied.
      if (!isReadPc && target !== undefined && target > setUpWords)
        throw new Uncertain(`the call at ${placeOf(index)} leads to a part of the function`);
      if (!isReadPc && spOf(before) === 0)
        throw new Uncertain(
          `the call at ${placeOf(index)} is made without a frame, so its callee finds the same arguments`,
        );
      for (const value of passedValues(before)) {
        if (!isReadPc && mayLeave(value))
          throw new Uncertain(`the call at ${placeOf(index)} hands on the address of an argument`);
        this.handOn(value, spOf(before), index);
      }
      const behind = isReadPc ? withLink(before, link.other) : afterCall(before);
      this.afterCalls.push({ index: this.code.next(index), registers: behind });
      return;
    }
    const after = this.effect(instruction, before, index);
    // A hypervisor gives back LR, unlike what is called (Power Architecture Platform Reference, "Hypervisor Call Functions").
    this.enter(this.code.next(index), name === 'sc' ? withLink(afterCall(after), after.lr, after.lrSave) : after);
  }

  /** Whether a word is the call of mcount. Where the module does not tell, it is the one that stands where GCC puts it. */
  private isMcountCall(index: number): boolean {
    const { waysIn } = this;
    return waysIn?.referred ? waysIn.mcountCalls.has(index) : standsAsCallSite(this.code.words, index);
  }

  /** The registers after an instruction that is no branch; accesses to the caller's frame are counted on the way. */
  private effect(instruction: Instruction, before: Registers, index: number): Registers {
    const { name } = instruction.encoding;
    if ((name === 'mfspr' || name === 'mtspr') && field('spr', instruction.word) === LR)
      return movedLr(instruction, before);
    const makesConstant = this.constants && makers.has(name);
    if (!makesConstant && losesNothing(instruction, before)) return before;
    const isAccess = useOf(instruction.encoding).size > 0;
    if (this.waysIn?.filled.has(index)) {
      const base = field('RA', instruction.word);
      const meets = isAccess ? (base === 0 ? [] : [base]) : registersRead(instruction);
      if (meets.some((r) => isMadeFromSp(before.values[r]!)))
        throw new Uncertain(`the loader fills in what meets an address in the stack at ${placeOf(index)}`);
    }
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
    const meetsChain = typeof address === 'number' && sp < 0 && address < sp + 8 && address + size > sp;
    if (name === 'ld' && meetsChain && address === sp) after = assigned(after, field('RT', word), 0);
    else if (meetsChain && !isStore) throw new Uncertain(`the back chain is read by ${name} at ${placeOf(index)}`);
    if (name === 'ld' && address === saveSlot && before.lrSave === link.returnAddress)
      after = assigned(after, field('RT', word), 'return address');
    if (isStore && typeof address === 'number' && address < saveSlot + 8 && address + size > saveSlot) {
      const isBack = name === 'std' && address === saveSlot && before.values[field('RS', word)] === 'return address';
      after = withLink(after, after.lr, isBack ? link.returnAddress : link.other);
    }
    if (!isStore || !fields.includes('RS')) return after;
    const rs = field('RS', word);
    const value = before.values[rs]!;
    const isKnownPlace = ra === PACA || (update && !isMadeFromSp(address));
    if (rs === SP && ra === SP && update) {
      if (sp !== 0) throw new Uncertain(`a second frame is made at ${placeOf(index)}`);
    } else if (mayLeave(value) || (isIndexed(value) && !isLocal(value.from, sp))) {
      throw new Uncertain(`an argument’s address is stored at ${placeOf(index)}`);
    } else if (typeof value === 'number' && !isLocal(value, sp) && !(rs === SP && isKnownPlace)) {
      // What lies in the frame beside variables is sp: whoever loads it again has the way to all arguments. The processor's
      // area is told of sp where interrupts are switched off (hard_irq_disable in asm/hw_irq.h), for those who debug.
      // Interrupts' own stack begins with it (__do_IRQ in kernel/irq.c; both Linux 6.1).
      throw new Uncertain(`an address in the frame that is no variable’s is stored at ${placeOf(index)}`);
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
    else if (name === 'ori' && field('UI', word) === 0) result = value('RS');
    else if (registersRead(instruction).some((r) => isMadeFromSp(before.values[r]!))) {
      if (target === undefined && !movesNothing.has(name))
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

  /** The targets of a `bctr`, which jumps by a switch's table. */
  private jumpTable(bctr: number): number[] {
    const targets = switchTargets(this.code, bctr, (index) => this.instructionAt(index));
    if (targets.length === 0)
      throw new Uncertain(`the branch at ${placeOf(bctr)} leaves the function, and may hand on its stack arguments`);
    for (let index = bctr + 1; index <= bctr + targets.length; index++) {
      if (this.isTable[index]) continue;
      this.isTable[index] = 1;
      this.tables.push(index);
    }
    this.found.tables = this.tables.length;
    return targets;
  }
}
