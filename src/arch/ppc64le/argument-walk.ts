// The walk through a function's words that `stack-arguments.ts` learns from: along every branch, with what the registers
// hold of addresses in the stack (argument-accesses.ts says what a word makes of them).
//
// Control is followed word by word, and along the jumps that tables tell of. Where two ways meet, what holds is what holds on both;
// so words are walked again until nothing changes. Between branches nothing is looked up and nothing made but what a word
// has changed: a kernel has millions of words, and most of them leave all that is known as it is.

import type { WaysIn } from '../machine.ts';
import { Accesses, type Found, placeOf, Uncertain } from './argument-accesses.ts';
import { standsAsCallSite } from './call-sites.ts';
import { afterCall, joinedRegisters, link, type Registers, SP, spOf, valueIn, withLink } from './followed-registers.ts';
import { mayLeave } from './frame-address.ts';
import { encodingIndex, encodings, fieldIn } from './instructions.ts';
import { switchTargets } from './switch-table.ts';
import { isPadding, WalkedCode } from './walked-code.ts';

/** The words between a function's global and its local entry, at most. */
const setUpWords = 2;

/** The branches that set LR. */
const calls: ReadonlySet<string> = new Set(['bl', 'bla', 'bcl', 'bcla', 'bclrl', 'bcctrl']);

/** Instructions behind which control may be elsewhere than in the next word, or find registers that they do not show. */
const mayLead: ReadonlySet<string> = new Set([
  ...['b', 'bc', 'ba', 'bca', 'bclr', 'bcctr', 'rfid', 'hrfid', 'tw', 'twi', 'sc'],
  ...calls,
]);
/** By the encodings' places. */
const leads = Uint8Array.from(encodings, ({ name }) => Number(mayLead.has(name)));

/** Where control can go from a branch: BO 1z1zz is "always" (Book I, section 2.4). */
const branchesAlways = (word: number) => (fieldIn.BO(word) & 0b10100) === 0b10100;

/** Whether a word is `tw 31,…` or `twi 31,…`. */
export function trapsAlways(word: number): boolean {
  const name = encodings[encodingIndex(word)]?.name;
  return (name === 'tw' || name === 'twi') && fieldIn.TO(word) === 31;
}

/** For one walk at a time: memory for each by itself would cost as much as many a walk. */
let room = new Uint32Array(1 << 12);

/** So many zeros. */
function emptied(length: number): Uint32Array {
  if (room.length < length) room = new Uint32Array(2 * length);
  return room.subarray(0, length).fill(0);
}

/** A walk, which ends when the next one is made. Its methods throw what those of `Accesses` throw. */
export class Walk {
  /** What instructions do, and what has been found of it. */
  readonly accesses: Accesses;
  private readonly code: WalkedCode;
  private readonly waysIn: WaysIn | undefined;
  /** What registers hold at words: all that has been found, in the order in which it was; first what stands for nothing. */
  private readonly states: (Registers | undefined)[] = [undefined];
  /** Of each word that control reaches the place in `states`; 0 of the others. */
  private readonly reached: Uint32Array;
  /** The words that are jump tables, in the order in which they were found. */
  private readonly tables = new Set<number>();
  private work: number[] = [];
  /** Words behind a call, which are reached only if the call returns: looked at when all else is done. */
  private afterCalls: { index: number; registers: Registers }[] = [];
  /** What holds by sp, of the first `framed` states: few functions are ever asked for it. */
  private readonly frames = new Map<number, Registers>();
  private framed = 1;
  /** Whether the walk from the entry is over. */
  private fromUnreached = false;
  /** While a guess is tried: words whose place in `reached` has changed, each with what stood there before. */
  private changes: number[] | undefined;

  /** `constants`: whether those in what is made without sp are followed. */
  constructor(words: Uint32Array, waysIn: WaysIn | undefined, constants: boolean) {
    this.waysIn = waysIn;
    this.accesses = new Accesses(waysIn?.filled, constants);
    this.code = new WalkedCode(words, waysIn);
    this.reached = emptied(this.code.words.length);
  }

  get found(): Found {
    return this.accesses.found;
  }

  /** Walks from an index on. */
  run(index: number, registers: Registers): void {
    this.enter(index, registers);
    for (;;) {
      const next = this.work.pop();
      if (next !== undefined) {
        this.goOn(next);
        continue;
      }
      const call = this.afterCalls.pop();
      if (!call) return;
      // With nothing behind it but padding, it is one that never returns.
      if (call.index >= this.code.codeEnd && call.index <= this.code.length) continue;
      const known = this.registersAt(call.index);
      // A call that never returns stands before any code whatever: a frame of another size there is no contradiction.
      if (!known || spOf(known) === spOf(call.registers)) this.enter(call.index, call.registers);
    }
  }

  /** What `run` finds, which stays if it does not throw and `keep` says so; otherwise all is as before. Throws what `run` throws. */
  tryOut(index: number, registers: Registers, keep: boolean): Found {
    const before = this.found;
    this.accesses.found = { ...before };
    this.registersByFrame();
    this.fromUnreached = true;
    const { length } = this.states;
    const changes: number[] = [];
    this.changes = changes;
    let stays = false;
    try {
      this.run(index, registers);
      stays = keep;
      return this.found;
    } finally {
      this.changes = undefined;
      if (!stays) this.takeBack(before, length, changes);
    }
  }

  /** Makes all as it was: what had been found, how many states there were, and words with their places in `reached`. */
  private takeBack(before: Found, length: number, changes: readonly number[]): void {
    for (let at = changes.length - 2; at >= 0; at -= 2) this.reached[changes[at]!] = changes[at + 1]!;
    for (const word of [...this.tables].slice(before.tables)) this.tables.delete(word);
    this.accesses.found = before;
    this.states.length = length;
    this.work = [];
    this.afterCalls = [];
  }

  /** What the registers hold before a word; undefined for one that control does not reach. */
  registersAt(index: number): Registers | undefined {
    return index < 0 ? undefined : this.states[this.reached[index]!];
  }

  /** What holds at all the words that were reached with a frame of one size, by sp. */
  registersByFrame(): ReadonlyMap<number, Registers> {
    for (; this.framed < this.states.length; this.framed++) {
      const registers = this.states[this.framed]!;
      const known = this.frames.get(spOf(registers));
      this.frames.set(spOf(registers), known ? joinedRegisters(known, registers) : registers);
    }
    return this.frames;
  }

  /**
   * The first word from an index on that control did not reach yet and may: it is neither padding nor part of a table, and
   * something refers to it, if that is known, or it stands behind a trap that WARN comes back from.
   */
  firstUnreached(from: number): number | undefined {
    // A table of a switch is recognised by its looks: where there is one, control may be anywhere.
    const referred = this.tables.size > 0 ? undefined : this.waysIn?.referred;
    for (let index = from; index < this.code.length; index++) {
      if (this.reached[index] !== 0 || isPadding(this.code.words[index]!) || this.tables.has(index)) continue;
      if (!referred || referred.has(index) || this.isBehindTrap(index)) return index;
    }
    return undefined;
  }

  /** Whether the word before is one that control reaches and that always traps. */
  isBehindTrap(index: number): boolean {
    return this.registersAt(index - 1) !== undefined && trapsAlways(this.code.words[index - 1]!);
  }

  /** Notes what holds at a word. */
  private note(index: number, registers: Registers): void {
    this.changes?.push(index, this.reached[index]!);
    const { states } = this;
    if (states[states.length - 1] !== registers) states.push(registers);
    this.reached[index] = states.length - 1;
  }

  private enter(index: number, registers: Registers): void {
    if (index < 0) throw new Uncertain('a table leads out of it, or has other words put in it that are not known');
    if (index === this.code.length) {
      // Behind a trap that nobody comes back from GCC leaves saves of registers, and alternatives of fixups are run elsewhere.
      if (this.fromUnreached) return;
      throw new Uncertain('control runs out at its end, into words that nobody has looked at');
    }
    const known = this.registersAt(index);
    if (known === registers) return;
    if (known && spOf(known) !== spOf(registers)) {
      throw new Uncertain(`two ways lead to ${placeOf(index)} with frames of different size`);
    }
    const both = known ? joinedRegisters(known, registers) : registers;
    if (both === known) return;
    this.note(index, both);
    this.work.push(index);
  }

  /** Follows control from a word on, as long as it goes to a next one where nobody has been. */
  private goOn(from: number): void {
    const { words, length, hasJumps } = this.code;
    let before = this.registersAt(from)!;
    for (let index = from; ; ) {
      // As a signed number, which takes no memory.
      const word = words[index]! | 0;
      const encoding = encodingIndex(word);
      if (encoding < 0) {
        const shown = (word >>> 0).toString(16).padStart(8, '0');
        throw new Uncertain(`the word ${shown} at ${placeOf(index)} is not in the tables`);
      }
      if (hasJumps) for (const target of this.code.jumpsFrom(index)) this.enter(target, before);
      if (leads[encoding]) {
        this.lead(encoding, word, before, index);
        return;
      }
      const after = this.accesses.after(encoding, word, before, index);
      const next = this.code.next(index);
      if (next < 0 || next === length || this.reached[next] !== 0) {
        this.enter(next, after);
        return;
      }
      this.note(next, after);
      before = after;
      index = next;
    }
  }

  /** Goes on from a word that may lead elsewhere than to the next one. */
  private lead(encoding: number, word: number, before: Registers, index: number): void {
    const { name } = encodings[encoding]!;
    if (name === 'b' || name === 'bc') {
      const distance = (name === 'b' ? fieldIn.LI(word) : fieldIn.BD(word)) / 4;
      // A branch to itself is one whose relocation has not been applied.
      const target = distance === 0 ? undefined : this.code.target(index, distance);
      if (target === undefined) {
        throw new Uncertain(`the branch at ${placeOf(index)} leaves the function, and may hand on its stack arguments`);
      }
      this.enter(target, before);
      if (name === 'bc' && !branchesAlways(word)) this.enter(this.code.next(index), before);
    } else if (name === 'bclr') {
      if (spOf(before) !== 0) throw new Uncertain(`the return at ${placeOf(index)} leaves a frame behind`);
      if (before.lr !== link.returnAddress)
        throw new Uncertain(`the branch at ${placeOf(index)} leads where LR does, and that may be no return`);
      if (mayLeave(valueIn(before, 3)))
        throw new Uncertain(`the return at ${placeOf(index)} hands out an argument’s address`);
      if (!branchesAlways(word)) this.enter(this.code.next(index), before);
    } else if (name === 'bcctr') {
      for (const target of this.jumpTable(index)) this.enter(target, before);
    } else if (name === 'ba' || name === 'bca' || name === 'rfid' || name === 'hrfid') {
      throw new Uncertain(`the branch at ${placeOf(index)} leaves the function, and may hand on its stack arguments`);
    } else if (calls.has(name)) {
      if (this.isMcountCall(index)) this.enter(this.code.next(index), before);
      else this.call(name, word, before, index);
    } else if (!trapsAlways(word)) {
      // A trap that always traps is BUG(), which does not come back, or WARN(), whose way on is found as unreached code.
      const after = this.accesses.after(encoding, word, before, index);
      // A hypervisor gives back LR, unlike what is called (Power Architecture Platform Reference, "Hypervisor Call Functions").
      this.enter(this.code.next(index), name === 'sc' ? withLink(afterCall(after), after.lr, after.lrSave) : after);
    }
  }

  private call(name: string, word: number, before: Registers, index: number): void {
    const isReadPc = name === 'bcl' && fieldIn.BD(word) === 4;
    const distance = name === 'bl' ? fieldIn.LI(word) / 4 : name === 'bcl' ? fieldIn.BD(word) / 4 : 0;
    const target = distance === 0 ? undefined : this.code.target(index, distance);
    // A call of itself leads to one of its entries, or a relocation has not been applied.
    if (!isReadPc && target !== undefined && target > setUpWords)
      throw new Uncertain(`the call at ${placeOf(index)} leads to a part of the function`);
    if (!isReadPc && spOf(before) === 0)
      throw new Uncertain(
        `the call at ${placeOf(index)} is made without a frame, so its callee finds the same arguments`,
      );
    // What was made from sp in any register beside sp itself: compiled code looks at r3 to r10 alone.
    for (let rest = before.fromSp & ~(1 << SP); rest !== 0; rest &= rest - 1) {
      const value = valueIn(before, 31 - Math.clz32(rest & -rest));
      if (!isReadPc && mayLeave(value))
        throw new Uncertain(`the call at ${placeOf(index)} hands on the address of an argument`);
      this.accesses.handOn(value, spOf(before), index);
    }
    const behind = isReadPc ? withLink(before, link.other) : afterCall(before);
    this.afterCalls.push({ index: this.code.next(index), registers: behind });
  }

  /** Whether a word is the call of mcount. Where the module does not tell, it is the one that stands where GCC puts it. */
  private isMcountCall(index: number): boolean {
    const { waysIn } = this;
    return waysIn?.referred ? waysIn.mcountCalls.has(index) : standsAsCallSite(this.code.words, index);
  }

  /** The targets of a `bctr`, which jumps by a switch's table. */
  private jumpTable(bctr: number): number[] {
    const targets = switchTargets(this.code, bctr);
    if (targets.length === 0)
      throw new Uncertain(`the branch at ${placeOf(bctr)} leaves the function, and may hand on its stack arguments`);
    for (let index = bctr + 1; index <= bctr + targets.length; index++) this.tables.add(index);
    this.found.tables = this.tables.size;
    return targets;
  }
}
