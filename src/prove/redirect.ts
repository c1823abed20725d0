// A proof of one redirect of the ftrace way: from the old function's entry through its own prologue, the kernel's hook as
// it stands in the image, the handler as the ABI allows it to be, and the stub, to the new function's entry.
//
// Where things are does not matter to it: the function, the stub and the new function stand at addresses that are
// terms, so it holds wherever a module is loaded and for every function of the same prologue. Only the hook is where the
// image has it.
//
// The handler may change all that a call may change, and sends the hook to the stub or back to where it was called from:
// both ways are gone.

import type { Stub } from '../arch/arch.ts';
import { NotUnderstood, type ProofFacts } from '../arch/machine.ts';
import { explore, type Limits } from '../symbolic/explore.ts';
import { SymbolicMachine } from '../symbolic/machine.ts';
import { same, type Term, Terms } from '../symbolic/terms.ts';
import { type Difference, findExample } from './example.ts';

/** What a redirect must keep. Each name is one thing that can be broken. */
export const obligations = {
  arguments: 'every argument register is at the new function’s entry as the caller left it',
  'callee-saved': 'every callee-saved register is as the caller left it',
  'stack-pointer': 'the stack pointer is the caller’s',
  'return-address': 'the new function returns to the caller',
  'stack-arguments': 'the stack arguments are where the ABI has them, with the caller’s values',
  'callers-stack': 'nothing is written to the stack above the caller’s stack pointer',
  way: 'control goes where the handler sent it: to the new function, or on in the old one',
  'site-address': 'the handler is told the address of the call site',
  'old-code': 'where the handler redirects nothing, the old code goes on as if nobody had traced it',
} as const;

export type Obligation = keyof typeof obligations;

export interface Failure extends Difference {
  readonly obligation: Obligation;
  readonly machine: SymbolicMachine;
}

/** `unknown` lists the reasons, where in the code and why. */
export type Verdict =
  | { readonly verdict: 'proven'; readonly paths: number }
  | { readonly verdict: 'refuted'; readonly failures: readonly Failure[] }
  | { readonly verdict: 'unknown'; readonly reasons: readonly string[] };

/** One redirect, from artifacts: words of the image and of the module, and nothing that the builder remembers. */
export interface Redirect {
  /** The old function's words from its entry up to and with the call site. */
  readonly prologue: Uint32Array;
  readonly stub: Pick<Stub, 'relocations'> & { readonly words: Uint32Array };
}

/** The kernel's hook: where it is and what stands there. */
export interface Hook {
  readonly entry: bigint;
  readonly handlerCall: bigint;
  /** The word at an address of the kernel's text. */
  readonly word: (address: bigint) => number | undefined;
}

const limits: Limits = { steps: 5000, paths: 64 };
/** A kernel's stack is 8 or 16 KiB; nobody needs to go further. */
const stackReach = 8192;
/** How many stack arguments are looked at. That nothing above the caller's sp is written covers the others. */
const stackArguments = 8;

class Run {
  private readonly facts: ProofFacts;
  private readonly hook: Hook;
  private readonly redirect: Redirect;
  private readonly terms: Terms;
  private readonly oldFunction: Term;
  private readonly stub: Term;
  private readonly newFunction: Term;
  private readonly redirected: Term;
  private readonly failures: Failure[] = [];

  constructor(facts: ProofFacts, hook: Hook, redirect: Redirect) {
    const terms = new Terms(facts.instructionSet.bits);
    const code = Math.log2(facts.instructionSet.instructionSize);
    this.facts = facts;
    this.hook = hook;
    this.redirect = redirect;
    this.terms = terms;
    this.oldFunction = terms.initial('old function', code);
    this.stub = terms.initial('stub', code);
    this.newFunction = terms.initial('new function', code);
    this.redirected = terms.initial('whether the handler redirects', 0, 1);
  }

  verdict(): Verdict {
    const ends = explore(this.machine(), (machine) => this.step(machine), limits);
    const reasons = ends.flatMap(({ machine, unknown }) =>
      unknown === undefined ? [] : [`at ${this.terms.describe(machine.pc)}: ${unknown}`],
    );
    for (const { machine, unknown } of ends) if (unknown === undefined) this.check(machine);
    const arrived = ends.some(({ machine }) => same(machine.pc, this.newFunction));
    const [first] = ends;
    if (first && !arrived && reasons.length === 0)
      this.expect(first.machine, 'way', 'that any path reaches the new function', this.newFunction, first.machine.pc);
    const refuted = this.failures.filter(({ example }) => example);
    if (refuted.length > 0) return { verdict: 'refuted', failures: refuted };
    const unclear = this.failures.map(
      ({ obligation, what }) => `${obligation}: whether ${what} is kept cannot be told`,
    );
    if (reasons.length + unclear.length > 0) return { verdict: 'unknown', reasons: [...reasons, ...unclear] };
    return { verdict: 'proven', paths: ends.length };
  }

  private machine(): SymbolicMachine {
    const { instructionSet: set, convention } = this.facts;
    const registers = [...convention.alignment].map(
      ([register, zeros]) => [register, this.terms.initial(set.registers[register]!, zeros)] as const,
    );
    const pc = this.oldFunction;
    return new SymbolicMachine({ set, terms: this.terms, pc, registers: new Map(registers), stackReach });
  }

  private get site(): Term {
    return this.behind(this.oldFunction, this.redirect.prologue.length - 1);
  }

  /** The address of the n-th instruction from one on. */
  private behind(from: Term, n: number): Term {
    return this.terms.apply('add', from, this.terms.constant(n * this.facts.instructionSet.instructionSize));
  }

  /** One step of a path; false where it is at its end. */
  private step(machine: SymbolicMachine): boolean {
    const { pc, terms } = machine;
    if (same(pc, this.newFunction) || same(pc, this.behind(this.site, 1))) return false;
    if (same(pc, this.site)) {
      machine.execute(this.facts.hook.siteWord, () => terms.constant(this.hook.entry));
      return true;
    }
    if (!pc.base && pc.plus === this.hook.handlerCall) {
      this.callHandler(machine);
      return true;
    }
    const fetched = this.fetch(pc);
    if (!fetched) return false;
    machine.execute(fetched.word, fetched.relocate);
    return true;
  }

  /** The instruction at an address; undefined where no known code is. */
  private fetch(pc: Term): { word: number; relocate?: (target: Term) => Term } | undefined {
    const { terms } = this;
    const { words, relocations } = this.redirect.stub;
    const size = BigInt(this.facts.instructionSet.instructionSize);
    if (pc.base && pc.plus % size !== 0n) return undefined;
    const index = Number(pc.plus / size);
    const word = !pc.base
      ? this.hook.word(pc.plus)
      : pc.base === this.oldFunction.base
        ? this.redirect.prologue[index]
        : pc.base === this.stub.base
          ? words[index]
          : undefined;
    if (word === undefined) return undefined;
    const isRelocated = pc.base === this.stub.base && relocations.some(({ offset }) => BigInt(offset) === pc.plus);
    if (!isRelocated) return { word };
    // The word as it stands leads to its own address plus the addend; relocated, to the new function plus the addend.
    const moved = (target: Term): Term => terms.apply('add', terms.apply('subtract', target, pc), this.newFunction);
    return { word, relocate: moved };
  }

  private callHandler(machine: SymbolicMachine): void {
    const { hook, convention, instructionSet } = this.facts;
    const { terms } = this;
    const told = machine.read(hook.siteAddress);
    machine.step('the handler', () => {
      if (machine.decide(this.redirected)) {
        const saved = terms.apply(
          'add',
          machine.read(hook.savedRegisters.register),
          terms.constant(hook.savedRegisters.pc),
        );
        machine.store(saved, (instructionSet.bits / 8) as 4 | 8, this.stub);
      }
      for (const register of convention.changedByCalls) {
        const width = instructionSet.widths.get(register);
        machine.write(register, machine.unknown(`${instructionSet.registers[register]} after the handler`, width));
      }
    });
    this.expect(machine, 'site-address', 'the site’s address', this.site, told);
  }

  private check(machine: SymbolicMachine): void {
    // A hook may have ways that ask no handler; there the old code goes on.
    const sent = machine.assumed.some(({ condition, holds }) => holds && same(condition, this.redirected));
    const goal = sent ? this.newFunction : this.behind(this.site, 1);
    this.expect(machine, 'way', 'the next instruction', goal, machine.pc);
    if (!same(goal, machine.pc)) return;
    if (sent) this.checkEntry(machine);
    else this.checkOldCode(machine);
    for (let { trace } = machine; trace; trace = trace.before)
      for (const { kind, at, value } of trace.writes)
        if (kind === 'stack' && at >= 0) {
          const untouched = this.terms.unknown('what belongs to the caller');
          this.expect(machine, 'callers-stack', `the caller’s stack at sp + ${at}`, untouched, value);
        }
  }

  private checkEntry(machine: SymbolicMachine): void {
    const { convention, instructionSet } = this.facts;
    const { terms } = this;
    const begin = this.machine();
    const kept = (obligation: Obligation, register: number): void =>
      this.expect(
        machine,
        obligation,
        instructionSet.registers[register]!,
        begin.read(register),
        machine.read(register),
      );
    for (const register of convention.atEntry.arguments) kept('arguments', register);
    for (const register of convention.atEntry.calleeSaved) kept('callee-saved', register);
    kept('stack-pointer', instructionSet.stackPointer);
    kept('return-address', convention.atEntry.returnAddress);
    const { at, size } = convention.stackArguments;
    for (let n = 0; n < stackArguments; n++) {
      const place = (sp: Term): Term => terms.apply('add', sp, terms.constant(at + n * size));
      const expected = terms.memory(place(begin.read(instructionSet.stackPointer)), size);
      const found = machine.load(place(machine.read(instructionSet.stackPointer)), size);
      this.expect(machine, 'stack-arguments', `stack argument ${n + 1}`, expected, found);
    }
  }

  /** The old code goes on: all must be as if ftrace's own word for a site that nobody traces had stood there. */
  private checkOldCode(machine: SymbolicMachine): void {
    const { instructionSet, convention, hook } = this.facts;
    const plain = this.machine();
    for (const word of [...this.redirect.prologue.slice(0, -1), hook.idleSiteWord]) plain.execute(word);
    const { arguments: passed, calleeSaved, returnAddress } = convention.atEntry;
    for (const register of [...passed, ...calleeSaved, returnAddress, instructionSet.stackPointer]) {
      const name = instructionSet.registers[register]!;
      this.expect(machine, 'old-code', name, plain.read(register), machine.read(register));
    }
  }

  /** Notes a failure unless two terms are the same. */
  private expect(machine: SymbolicMachine, obligation: Obligation, what: string, expected: Term, found: Term): void {
    if (same(expected, found)) return;
    const example = findExample(machine, expected, found);
    this.failures.push({ obligation, what, expected, found, machine, ...(example && { example }) });
  }
}

/**
 * Proves one redirect. It never throws for what it reads: code that it does not understand makes the verdict unknown.
 */
export function proveRedirect(facts: ProofFacts, hook: Hook, redirect: Redirect): Verdict {
  try {
    return new Run(facts, hook, redirect).verdict();
  } catch (error) {
    if (error instanceof NotUnderstood) return { verdict: 'unknown', reasons: [error.message] };
    throw error;
  }
}
