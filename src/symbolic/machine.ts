// The machine that runs instructions on numbers that nobody knows.
//
// It never guesses. What it cannot tell it calls unknown, which is a value like others as long as nothing depends on it;
// where something does, the run ends there and says so: a store that may hit anything, a jump to who knows where, an
// instruction that is not understood. Where a condition can go both ways, both are gone (`explore.ts`).
//
// Memory is the stack (`stack.ts`) and what is read-only. All other memory may change at any moment, so a load from
// it gives an unknown number, each load another. An address that is not known to be on the stack is not known to
// be elsewhere either: hence nothing is stored through it, and a load may as well have read the stack, whose numbers
// are known. So what it gives is no number of which any value could be an example; only the owner of the machine can say
// that a place is anybody's (`Start.elsewhere`).

import { type InstructionSet, type Machine, NotUnderstood, type Operation, type Size } from '../arch/machine.ts';
import { Stack } from './stack.ts';
import { equation, keyOf, onlyAtom, type Term, type Terms } from './terms.ts';

/** What a machine starts with. */
export interface Start {
  readonly set: InstructionSet;
  readonly terms: Terms;
  readonly pc: Term;
  /** By number; what is left out holds what it held at the start, under its name. */
  readonly registers?: ReadonlyMap<number, Term>;
  /** How far the stack may reach, in bytes either way from the initial stack pointer. */
  readonly stackReach: number;
  /**
   * What memory holds that is not on the stack, with zeros above the bytes asked for: a term where that never changes,
   * 'any' where it may be any number at any time. Undefined where nothing is known of an address. `pc` is where the load
   * is.
   */
  readonly elsewhere?: (address: Term, size: Size, pc: Term) => Term | 'any' | undefined;
  /** Registers that some processors do not have: what they are read as nobody knows, whatever was written. */
  readonly unknowable?: ReadonlySet<number> | undefined;
  /** Told of each access to the stack in a step, by the distance from the initial stack pointer. */
  readonly onStack?: (distance: number, size: Size, pc: Term) => void;
}

/** One thing that an instruction wrote. `at` is a register's number, or a distance on the stack. */
export type Write =
  | { readonly kind: 'register'; readonly at: number; readonly value: Term }
  | { readonly kind: 'stack'; readonly at: number; readonly size: Size; readonly value: Term };

/** What led to a state: one step and, behind it, those before. */
export interface Trace {
  readonly before: Trace | undefined;
  readonly pc: Term;
  /** The instruction, or what happened in its stead. */
  readonly what: number | string;
  readonly writes: readonly Write[];
}

/** A condition that can go both ways. The instruction that asked is undone. */
export class Undecided extends Error {
  readonly condition: Term;

  constructor(condition: Term) {
    super('a condition that can go both ways');
    this.condition = condition;
  }
}

export class SymbolicMachine implements Machine<Term> {
  readonly bits: 32 | 64;
  readonly terms: Terms;
  readonly set: InstructionSet;
  pc: Term;
  trace: Trace | undefined;
  /** What the machine's owner wants to remember of this path. */
  readonly notes = new Map<string, Term>();
  /** The conditions that were taken one way on this path, in their order. */
  readonly assumed: { readonly condition: Term; readonly holds: boolean }[] = [];

  private readonly start: Start;
  private readonly initialSp: Term;
  private registers: Term[];
  private stack: Stack;
  private readonly answers = new Map<string, boolean>();
  private next: Term | undefined;
  /** Whether a step is under way. */
  private isStepping = false;
  private writes: Write[] = [];
  /** What takes this step back, but for the stack. */
  private undo: (() => void)[] = [];
  /** Whether the stack has a mark, as it does from the first store of a step on. */
  private stackSaved = false;
  /**
   * The unknown numbers that this step has met, in their order. They stay the same when it is run again for an answer:
   * else the answer would be about a number that is there no more.
   */
  private met: Term[] = [];
  private meeting = 0;

  constructor(start: Start) {
    const { set, terms } = start;
    this.start = start;
    this.set = set;
    this.bits = set.bits;
    this.terms = terms;
    this.pc = start.pc;
    this.registers = set.registers.map(
      (name, n) => start.registers?.get(n) ?? terms.initial(name, 0, set.widths.get(n)),
    );
    this.initialSp = this.registers[set.stackPointer]!;
    this.stack = new Stack(terms, this.initialSp);
  }

  /** A machine in the same state that goes on by itself. */
  fork(): SymbolicMachine {
    const copy = new SymbolicMachine(this.start);
    copy.pc = this.pc;
    copy.trace = this.trace;
    copy.registers = [...this.registers];
    copy.stack = this.stack.copy();
    copy.met = [...this.met];
    copy.assumed.push(...this.assumed);
    for (const [name, term] of this.notes) copy.notes.set(name, term);
    for (const [key, answer] of this.answers) copy.answers.set(key, answer);
    return copy;
  }

  /** Takes a condition one way from here on. */
  assume(condition: Term, holds: boolean): void {
    this.assumed.push({ condition, holds });
    this.answers.set(keyOf(condition), holds);
  }

  /**
   * Runs one instruction. Where it jumps, `relocate` says what becomes of the target that the word by itself has: a
   * relocation may belong to it. Throws `Undecided` and `NotUnderstood`, with the state as it was before.
   */
  execute(word: number, relocate?: (target: Term) => Term): void {
    this.step(word, () => {
      this.set.execute(this, word);
      if (this.next && relocate) this.next = relocate(this.next);
    });
  }

  /**
   * Does anything that takes the place of an instruction and calls it by a name. Where it does not jump, the machine
   * goes on behind the instruction that stands there. Throws as `execute` does.
   */
  step(what: number | string, run: () => void): void {
    this.next = undefined;
    this.writes = [];
    this.undo = [];
    this.stackSaved = false;
    this.meeting = 0;
    const { pc } = this;
    this.isStepping = true;
    try {
      run();
      this.forgetStack();
    } catch (error) {
      for (const back of this.undo.reverse()) back();
      this.stack.takeBack();
      throw error;
    } finally {
      this.isStepping = false;
      this.stack.dropMark();
    }
    this.met = [];
    this.trace = { before: this.trace, pc, what, writes: this.writes };
    this.pc = this.next ?? this.terms.apply('add', pc, this.constant(this.set.instructionSize));
  }

  read(register: number): Term {
    if (this.start.unknowable?.has(register))
      return this.unknown(`${this.set.registers[register]!}, which not all have`, this.set.widths.get(register));
    return this.registers[register]!;
  }

  write(register: number, value: Term): void {
    const old = this.registers[register]!;
    this.undo.push(() => {
      this.registers[register] = old;
    });
    this.registers[register] = value;
    this.writes.push({ kind: 'register', at: register, value });
  }

  jump(target: Term): void {
    this.next = target;
  }

  load(address: Term, size: Size): Term {
    const distance = this.distance(address);
    if (distance !== undefined && this.isStepping) this.start.onStack?.(distance, size, this.pc);
    if (distance !== undefined)
      return this.stack.load(distance, size, this.lowest(), (why, width) => this.unknown(why, width));
    const known = this.start.elsewhere?.(address, size, this.pc);
    if (known !== undefined && known !== 'any') return known;
    return this.unknown(`memory at ${this.terms.describe(address)}`, 8 * size, known === 'any', address);
  }

  store(address: Term, size: Size, value: Term): void {
    const distance = this.distance(address);
    if (distance === undefined)
      throw new NotUnderstood(`it stores to ${this.terms.describe(address)}, which may be anything’s`);
    if (this.isStepping) this.start.onStack?.(distance, size, this.pc);
    this.saveStack();
    this.stack.store(distance, size, value);
    this.writes.push({ kind: 'stack', at: distance, size, value });
  }

  /** Loses what lies below the stack pointer, the red zone included: there a function that is called has its frame. */
  loseBelowStackPointer(): void {
    this.saveStack();
    this.stack.forgetBelow(this.lowest() + this.set.redZone);
  }

  /** Loses what lies from an address of the stack on, which others know of and may write to. */
  loseFrom(address: Term): void {
    const distance = this.distance(address);
    if (distance === undefined) throw new NotUnderstood('where the stack is that others may write to is not known');
    this.saveStack();
    this.stack.forgetFrom(distance);
  }

  /** A number that nobody knows (`Terms.unknown`); within a step that is run again, the same as before. */
  unknown(why: string, width?: number, free?: boolean, at?: Term): Term {
    if (!this.isStepping) return this.terms.unknown(why, width, free, at);
    const index = this.meeting++;
    this.met[index] ??= this.terms.unknown(why, width, free, at);
    return this.met[index];
  }

  constant(value: number | bigint): Term {
    return this.terms.constant(value);
  }

  apply(operation: Operation, a: Term, b: Term): Term {
    return this.terms.apply(operation, a, b);
  }

  decide(condition: Term): boolean {
    if (!condition.base) return condition.plus !== 0n;
    const answer = this.answers.get(keyOf(condition));
    if (answer !== undefined) return answer;
    // `(a == b) == 0` asks whether a == b, the other way round.
    const asked = equation(condition);
    if (asked && isTruth(asked.a) && !asked.b.base) {
      if (asked.b.plus === 0n) return !this.decide(asked.a);
      return asked.b.plus === 1n && this.decide(asked.a);
    }
    throw new Undecided(condition);
  }

  /** The distance of an address from the initial stack pointer; undefined where it is not known to be on the stack. */
  distance({ base, plus }: Term): number | undefined {
    if (!base || base !== this.initialSp.base) return undefined;
    const distance = BigInt.asIntN(this.bits, plus - this.initialSp.plus);
    const reach = BigInt(this.start.stackReach);
    return distance >= -reach && distance < reach ? Number(distance) : undefined;
  }

  /** The stack's contents for people. */
  describeStack(): string[] {
    return this.stack.describe();
  }

  /** Sees to it that the stack comes back as it is now if the step is undone. */
  private saveStack(): void {
    if (this.stackSaved || !this.isStepping) return;
    this.stack.setMark();
    this.stackSaved = true;
  }

  /** What lies on the stack above here is safe from interrupts. */
  private lowest(): number {
    const sp = this.distance(this.registers[this.set.stackPointer]!);
    if (sp === undefined) throw new NotUnderstood('where the stack pointer points is not known any more');
    return sp - this.set.redZone;
  }

  private forgetStack(): void {
    this.stack.forgetBelow(this.lowest());
  }
}

const isTruth = (term: Term): boolean => onlyAtom(term)?.width === 1;
