// What one instruction makes of the registers that are followed, and what it tells of the function's way with its caller's
// frame: the accesses there, and addresses in the stack that get out of sight. `argument-walk.ts` asks word by word, in
// the order in which control comes to them.
//
// Constants in what is made without sp are what makes a walk slow, and nobody asks for them but an index that is
// added to an address. So a walk that does not follow them says the same as one that does, as long as no index meets an
// address; where one does, it ends with `NeedsConstants`.

import { assigned, link, type Registers, SP, spOf, valueIn, withLink } from './followed-registers.ts';
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
import { type Encoding, encodings, fieldIn } from './instructions.ts';
import { displacementIn, registerIn, registersRead, touches, useOf } from './register-use.ts';

/** The doublewords of the parameter save area that registers stand for. */
export const registerArguments = 8;

/** What compares, traps, prefetches or writes back: whatever the registers hold, nothing moves. */
const movesNothing: ReadonlySet<string> = new Set([
  ...['cmp', 'cmpi', 'cmpl', 'cmpli', 'tw', 'twi', 'td', 'tdi'],
  ...['dcbt', 'dcbtst', 'dcbst', 'dcbf', 'icbi'],
]);

/** Bytes from a caller's sp to the doubleword that is its callee's to keep LR in (ELFv2 ABI 1.5, section 2.2.3). */
const saveSlot = 16;

/** The processor's area: `struct paca_struct`. */
const PACA = 13;

/** LR among the special registers: mfspr in Book I, section 3.3.17. */
const LR = 8;

/** From here on registers are the caller's, and stored to be given back. */
const firstSaved = 14;

/** A word's place in the code, for messages. */
export const placeOf = (index: number): string => `+0x${(index * 4).toString(16)}`;

/** Why something cannot be told. No error: where it was thrown is of no interest, and costly to note. */
export class Uncertain {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** An index meets an address, and what constant is in it was not followed. */
export class NeedsConstants {}

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

/** Whether an instruction is to be looked at: always, only where constants are followed, or only for the registers it touches. */
const look = { forRegisters: 0, forConstants: 1, always: 2 } as const;

/** What makes constants, of an index or by itself. */
const makers: ReadonlySet<string> = new Set(['addi', 'addis', 'add', 'subf', 'or']);

/** By the encodings' places. LR is moved by some words of the latter two. */
const looks = Uint8Array.from(encodings, ({ name, update }) =>
  update || name === 'mfspr' || name === 'mtspr'
    ? look.always
    : makers.has(name)
      ? look.forConstants
      : look.forRegisters,
);

/** By the encodings' places, what `Accesses.usual` asks of an instruction. */
const isAccess = Uint8Array.from(encodings, (each) => Number(useOf(each).size > 0));
/** Of an access by a distance that changes no address, how many bytes it moves; 0 of all else. */
const moved = Uint8Array.from(encodings, (each) => (useOf(each).displacement && !each.update ? useOf(each).size : 0));
/** The bits that hold the distance: with DS the lowest two are the opcode's. */
const distanceBits = Uint16Array.from(encodings, (each) => (useOf(each).displacement === 'DS' ? 0xfffc : 0xffff));
const isStore = Uint8Array.from(encodings, (each) => Number(useOf(each).isStore));
const isOfRegister = Uint8Array.from(encodings, (each) => Number(useOf(each).loads || useOf(each).stores));
/** Of the one general register that is written, the place of its number in the word; 0 where there is none. */
const written = Uint8Array.from(encodings, (each) => useOf(each).writes[0]?.shift ?? 0);

const isVariable = (value: Value, sp: number) => typeof value === 'number' && isLocal(value, sp);

/** What an instruction other than an addition makes of an address in the stack. */
function partOfAddress({ name }: Encoding, word: number, before: Registers): Value {
  const pageShift = 16;
  const isMask = (name === 'rldicl' || name === 'rldicr') && fieldIn.sh(word) === 0;
  if (!isMask && name !== 'andi.') return 'lost';
  const value = valueIn(before, fieldIn.RS(word));
  const whole = alignedDown(value, 0);
  // To a physical address, whose first four bits are cleared (`__pa` in arch/powerpc/include/asm/page.h).
  if (name === 'rldicl' && fieldIn.mb(word) < 64 - pageShift) return whole;
  // To a remainder: of a variable's address it is worth no more than the address itself, of sp it is sp in another form.
  if (name !== 'rldicr') return isIndexed(whole) && isLocal(whole.from, spOf(before)) ? 'other' : 'lost';
  // To a variable that is aligned more than sp.
  const aligned = alignedDown(value, 63 - fieldIn.me(word));
  return isIndexed(aligned) && isLocal(aligned.from, spOf(before)) ? aligned : 'lost';
}

/** The registers after `mflr` or `mtlr`. */
function movedLr({ name }: Encoding, word: number, before: Registers): Registers {
  if (name === 'mfspr')
    return assigned(before, fieldIn.RT(word), before.lr === link.returnAddress ? 'return address' : 'other');
  const isBack = valueIn(before, fieldIn.RS(word)) === 'return address';
  return withLink(before, isBack ? link.returnAddress : link.other);
}

/** Its methods throw `Uncertain` and, unless constants are followed, `NeedsConstants`. */
export class Accesses {
  found: Found = {
    doublewords: 0,
    certain: 0,
    tables: 0,
    indexed: undefined,
    hasVariables: false,
    joinsArguments: false,
  };
  /** Words that the loader fills a number into. */
  private readonly filled: ReadonlySet<number> | undefined;
  /** Whether constants in what is made without sp are followed. */
  private readonly constants: boolean;
  /** From which of `look` on an instruction is looked at whatever it touches. */
  private readonly looked: number;

  constructor(filled: ReadonlySet<number> | undefined, constants: boolean) {
    this.filled = filled;
    this.constants = constants;
    this.looked = constants ? look.forConstants : look.always;
  }

  /**
   * The registers after a word that is no branch, by its encoding's place; accesses to the caller's frame are counted on the way.
   * Most words have nothing to do with the stack and change no register of which anything is known.
   */
  after(encoding: number, word: number, before: Registers, index: number): Registers {
    const isLookedAt = looks[encoding]! >= this.looked;
    if (!isLookedAt && !touches(encoding, word, before.fromSp, before.known)) return before;
    return (
      (isLookedAt || this.filled?.has(index) ? undefined : this.usual(encoding, word, before)) ??
      this.effect(encodings[encoding]!, word, before, index)
    );
  }

  /**
   * What `effect` says of what most words do: to fill a register with what is made of registers of which nothing is known, or to
   * move one between it and the function's own variables. Undefined of all others, and where constants are followed.
   */
  private usual(encoding: number, word: number, before: Registers): Registers | undefined {
    if (this.constants) return undefined;
    if (isAccess[encoding] === 0) {
      if (written[encoding] === 0 || touches(encoding, word, before.known, 0)) return undefined;
      const target = (word >>> written[encoding]!) & 31;
      return target === SP ? undefined : assigned(before, target, 'other');
    }
    const rt = (word >>> 21) & 31;
    if (moved[encoding] === 0 || ((word >>> 16) & 31) !== SP || rt === SP) return undefined;
    const sp = spOf(before);
    const address = sp + (((word & distanceBits[encoding]!) << 16) >> 16);
    if (address + moved[encoding]! > 0 || (sp < 0 && address < sp + frameHeader)) return undefined;
    if (isStore[encoding] === 0) return isOfRegister[encoding] === 0 ? before : assigned(before, rt, 'other');
    const isRegister = isOfRegister[encoding] !== 0;
    if (isRegister && ((before.known >>> rt) & 1) !== 0) return undefined;
    if (!(isRegister && rt >= firstSaved) && isLocal(address, sp)) this.found.hasVariables = true;
    return before;
  }

  /** Notes a value that others may use from here on. */
  handOn(value: Value, sp: number, index: number): void {
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

  private effect(encoding: Encoding, word: number, before: Registers, index: number): Registers {
    const { name, update } = encoding;
    if (looks[encoding.index] === look.always && !update && fieldIn.spr(word) === LR)
      return movedLr(encoding, word, before);
    const makesConstant = this.constants && makers.has(name);
    if (!makesConstant && !update && !touches(encoding.index, word, before.fromSp, before.known)) return before;
    const isAccess = useOf(encoding).size > 0;
    if (this.filled?.has(index)) {
      const base = isAccess ? [fieldIn.RA(word)] : registersRead({ encoding, word });
      if (base.some((r) => isMadeFromSp(valueIn(before, r))))
        throw new Uncertain(`the loader fills in what meets an address in the stack at ${placeOf(index)}`);
    }
    const after = isAccess ? this.access(encoding, word, before, index) : this.compute(encoding, word, before, index);
    const sp = valueIn(after, SP);
    if (typeof sp !== 'number' || sp > 0) throw new Uncertain(`r1 is computed at ${placeOf(index)}`);
    return after;
  }

  /** A load or store. */
  private access(encoding: Encoding, word: number, before: Registers, index: number): Registers {
    const { name, update } = encoding;
    const use = useOf(encoding);
    const { size, isStore } = use;
    const sp = spOf(before);
    const rt = (word >>> 21) & 31;
    const ra = (word >>> 16) & 31;
    const rb = (word >>> 11) & 31;
    const base = update || ra !== 0 ? valueIn(before, ra) : 'other';
    const address = use.displacement
      ? shifted(base, displacementIn(use, word))
      : this.combined(sum, base, valueIn(before, rb));
    if (update && ra === SP && typeof address !== 'number') throw new Uncertain(`r1 is computed at ${placeOf(index)}`);
    if (address === 'lost') throw new Uncertain(`the access at ${placeOf(index)} may go to an argument`);
    if (isIndexed(address) && !isLocal(address.from, sp)) {
      throw new Uncertain(`the access at ${placeOf(index)} is to a place in the stack that an index chooses`);
    }
    const { found } = this;
    if (isIndexed(address)) found.indexed ??= index;
    if (typeof address === 'number') this.touch(address, size, !isStore, index);
    const isOfRegister = use.stores;
    const isSave = isOfRegister && (rt >= firstSaved || rt === SP);
    if (isStore && !isSave && (isIndexed(address) || isVariable(address, sp))) found.hasVariables = true;
    let after = before;
    if (use.loads) after = assigned(after, rt, 'other');
    if (update) after = assigned(after, ra, this.followed(address));
    // The word that sp points to is the back chain: sp before the frame was made, by one instruction.
    const meetsChain = typeof address === 'number' && sp < 0 && address < sp + 8 && address + size > sp;
    if (name === 'ld' && meetsChain && address === sp) after = assigned(after, rt, 0);
    else if (meetsChain && !isStore) throw new Uncertain(`the back chain is read by ${name} at ${placeOf(index)}`);
    if (name === 'ld' && address === saveSlot && before.lrSave === link.returnAddress)
      after = assigned(after, rt, 'return address');
    if (isStore && typeof address === 'number' && address < saveSlot + 8 && address + size > saveSlot) {
      const isBack = name === 'std' && address === saveSlot && valueIn(before, rt) === 'return address';
      after = withLink(after, after.lr, isBack ? link.returnAddress : link.other);
    }
    if (!isOfRegister) return after;
    const value = valueIn(before, rt);
    const isKnownPlace = ra === PACA || (update && !isMadeFromSp(address));
    if (rt === SP && ra === SP && update) {
      if (sp !== 0) throw new Uncertain(`a second frame is made at ${placeOf(index)}`);
    } else if (mayLeave(value) || (isIndexed(value) && !isLocal(value.from, sp))) {
      throw new Uncertain(`an argument’s address is stored at ${placeOf(index)}`);
    } else if (typeof value === 'number' && !isLocal(value, sp) && !(rt === SP && isKnownPlace)) {
      // What lies in the frame beside variables is sp: whoever loads it again has the way to all arguments. The processor's
      // area is told of sp where interrupts are switched off (hard_irq_disable in asm/hw_irq.h), for those who debug.
      // Interrupts' own stack begins with it (__do_IRQ in kernel/irq.c; both Linux 6.1).
      throw new Uncertain(`an address in the frame that is no variable’s is stored at ${placeOf(index)}`);
    }
    this.handOn(value, sp, index);
    return after;
  }

  /** An instruction that accesses no memory and is no branch. */
  private compute(encoding: Encoding, word: number, before: Registers, index: number): Registers {
    const { name } = encoding;
    const { writes } = useOf(encoding);
    const target = writes.length > 0 ? registerIn(writes[0]!, word) : undefined;
    let result: Value = 'other';
    if (name === 'addi' || name === 'addis') {
      const shift = name === 'addis' ? 16 : 0;
      result = shifted(
        fieldIn.RA(word) === 0 ? 'other' : valueIn(before, fieldIn.RA(word)),
        fieldIn.SI(word) * 2 ** shift,
      );
    } else if (name === 'add')
      result = this.combined(sum, valueIn(before, fieldIn.RA(word)), valueIn(before, fieldIn.RB(word)));
    else if (name === 'subf')
      result = this.combined(difference, valueIn(before, fieldIn.RB(word)), valueIn(before, fieldIn.RA(word)));
    else if (name === 'or' && fieldIn.RS(word) === fieldIn.RB(word)) result = valueIn(before, fieldIn.RS(word));
    else if (name === 'ori' && fieldIn.UI(word) === 0) result = valueIn(before, fieldIn.RS(word));
    else if (registersRead({ encoding, word }).some((r) => isMadeFromSp(valueIn(before, r)))) {
      if (target === undefined && !movesNothing.has(name))
        throw new Uncertain(`${name} at ${placeOf(index)} has an address in the stack`);
      if (target !== undefined) result = partOfAddress(encoding, word, before);
      // Only a variable of the function's own is aligned, and by a mask of a known address.
      if (name === 'rldicr' && typeof valueIn(before, fieldIn.RS(word)) === 'number' && isIndexed(result))
        this.found.hasVariables = true;
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
}
