// A proof of one redirect of the ftrace way: from the old function's entry through its own prologue, the kernel's hook as
// it stands in the image, the handler as the ABI allows it to be, and the stub, to the new function's entry; and from the
// new function's return, wherever that leads, back to the caller.
//
// Where things are does not matter to it: the function, the stub and the new function stand at addresses that are
// terms, so it holds wherever a module is loaded and for every function of the same prologue. Only the hook is where the
// image has it.
//
// The handler may change all that a call may change, and sends the hook to the stub or back to where it was called from:
// both ways are gone. Where it may ask to be told of the return, both ways are gone, too. The new function, and the old
// one behind its call site, do what the ABI allows them (`callee.ts`).
//
// What is taken for granted: a module is small enough for its own relocations; what stands in the image stands in memory;
// and a stub cannot be unwound where a tracer would have to unwind it (a module's unwind tables see to it).

import type { Stub } from '../arch/arch.ts';
import { type Callee, NotUnderstood, type ProofFacts } from '../arch/machine.ts';
import { explore, type Limits } from '../symbolic/explore.ts';
import { SymbolicMachine, type Trace, Undecided, type Write } from '../symbolic/machine.ts';
import { same, type Term, Terms } from '../symbolic/terms.ts';
import { belongsToCallee, callFunction, resultName, stackArgumentsOf } from './callee.ts';
import { findExample } from './example.ts';
import type { Failure, Obligation } from './obligations.ts';

export { type Failure, type Obligation, obligations } from './obligations.ts';

/** `unknown` lists the reasons, where in the code and why. */
export type Verdict =
  | { readonly verdict: 'proven'; readonly paths: number }
  | { readonly verdict: 'refuted'; readonly failures: readonly Failure[] }
  | { readonly verdict: 'unknown'; readonly reasons: readonly string[] };

/** One redirect, from artifacts: words of the image and of the module, and nothing that the builder remembers. */
export interface Redirect extends Callee {
  /** The old function's words from its entry up to and with the call site. */
  readonly prologue: Uint32Array;
  /** What the handler sends the hook to; without words, that is the new function itself. */
  readonly stub: Pick<Stub, 'relocations'> & { readonly words: Uint32Array };
  /** What is known of the old function, where the new one's is in the redirect itself. */
  readonly oldFunction?: Callee;
}

/** The kernel's hook: where it is and what stands there. */
export interface Hook {
  readonly entry: bigint;
  readonly handlerCall: bigint;
  /** The word at an address of the kernel's text. */
  readonly word: (address: bigint) => number | undefined;
  /** Whether handlers ask to be told of returns; without it, they do where the hook lets them. */
  readonly tracesReturns?: boolean;
  /** Where the function graph tracer changes the hook; then it is proven in both forms (`ProofFacts.hook.graph`). */
  readonly graph?: { readonly site: bigint; readonly goesTo: bigint; readonly callee: bigint };
}

const limits: Limits = { steps: 5000, paths: 64 };
/** A kernel's stack is 8 or 16 KiB; nobody needs to go further. */
const stackReach = 8192;
/** How many frames may lie between the new function's and the caller's. */
const mostFrames = 8;

/** The note of where a function returned to before its return was traced. */
const returnBefore = 'return address';

const newFunctionRuns = 'the new function';
const oldCodeRuns = 'the old code';

/** One way in which the old function is called, and one form of the hook. */
interface Entry {
  readonly name: string;
  /** The first word that runs. */
  readonly index: number;
  /** Whether the caller calls into another module, and sees to its TOC pointer itself. */
  readonly fromAfar: boolean;
  readonly graph: boolean;
}

function* entriesOf({ convention }: ProofFacts, hook: Hook, { prologue }: Redirect): Iterable<Entry> {
  const local = convention.toc?.setUpWords(prologue) ?? 0;
  for (const graph of hook.graph ? [false, true] : [false]) {
    const form = graph ? ', with the graph tracer on' : '';
    if (local === 0) yield { name: `its entry${form}`, index: 0, fromAfar: false, graph };
    else {
      yield { name: `its global entry${form}`, index: 0, fromAfar: true, graph };
      yield { name: `its local entry${form}`, index: local, fromAfar: false, graph };
    }
  }
}

class Run {
  readonly failures: Failure[] = [];
  private readonly facts: ProofFacts;
  private readonly hook: Hook;
  private readonly redirect: Redirect;
  private readonly entry: Entry;
  private readonly terms: Terms;
  private readonly oldFunction: Term;
  private readonly stub: Term;
  private readonly newFunction: Term;
  private readonly redirected: Term;
  /** Whether the handler, or the graph tracer, asks to be told of the return, and where the function then returns to. */
  private readonly traced: Term;
  private readonly tracer: Term;
  /** The machine at the old function's entry. */
  private readonly begin: SymbolicMachine;

  constructor(facts: ProofFacts, hook: Hook, redirect: Redirect, entry: Entry) {
    const terms = new Terms(facts.instructionSet.bits);
    const code = Math.log2(facts.instructionSet.instructionSize);
    this.facts = facts;
    this.hook = hook;
    this.redirect = redirect;
    this.entry = entry;
    this.terms = terms;
    this.oldFunction = terms.initial('old function', code);
    this.stub = terms.initial('stub', code);
    this.newFunction = terms.initial('new function', code);
    this.redirected = terms.initial('whether the handler redirects', 0, 1);
    this.traced = terms.initial('whether the return is traced', 0, 1);
    this.tracer = terms.initial('the tracer of returns', code);
    this.begin = this.machine();
  }

  /** The reasons why something is not known, and how many paths there are. */
  run(): { reasons: string[]; paths: number } {
    const ends = explore(this.machine(), (machine) => this.step(machine), limits);
    const reasons: string[] = [];
    let arrived = false;
    for (const { machine, unknown } of ends) {
      arrived ||= ran(machine, newFunctionRuns) > 0;
      try {
        if (unknown !== undefined) throw new NotUnderstood(unknown);
        this.checkEnd(machine);
      } catch (error) {
        if (!(error instanceof NotUnderstood)) throw error;
        reasons.push(`at ${this.terms.describe(machine.pc)}: ${error.message}`);
      }
    }
    const [first] = ends;
    if (first && !arrived && reasons.length === 0)
      this.expect(first.machine, 'way', 'that any path reaches the new function', this.newFunction, first.machine.pc);
    return { reasons, paths: ends.length };
  }

  /** A machine at the old function's entry; `changed` says what is otherwise there than the caller has it. */
  private machine(changed: ReadonlyMap<number, Term> = new Map()): SymbolicMachine {
    const { instructionSet: set, convention } = this.facts;
    const { terms, entry } = this;
    const registers = new Map<number, Term>();
    for (const [register, zeros] of convention.alignment)
      registers.set(register, terms.initial(set.registers[register]!, zeros));
    const { ownAddress, returnAddress } = convention.atEntry;
    if (entry.fromAfar && ownAddress !== undefined) registers.set(ownAddress, this.oldFunction);
    for (const [register, value] of changed) registers.set(register, value);
    const machine: SymbolicMachine = new SymbolicMachine({
      set,
      terms,
      pc: this.behind(this.oldFunction, entry.index),
      registers,
      stackReach,
      elsewhere: (address, size) => {
        const isReturn = same(address, terms.initial(set.registers[returnAddress]!)) || same(address, this.tracer);
        if (size === 4 && isReturn && convention.toc) return terms.memory(address, size);
        const area = convention.processorArea;
        const isArea = area !== undefined && address.base === terms.initial(set.registers[area]!).base;
        return isArea ? 'any' : undefined;
      },
    });
    // A hook may look whether it is to go on where it came from. No other code is there.
    machine.assume(terms.apply('equal', this.destination, this.behind(this.site, 1)), false);
    const restores = this.callerRestores();
    if (restores && entry.fromAfar) machine.assume(restores, true);
    return machine;
  }

  /** Whether the word behind the call is the one that loads the caller's TOC pointer. */
  private callerRestores(): Term | undefined {
    const { convention, instructionSet } = this.facts;
    if (!convention.toc) return undefined;
    const { terms } = this;
    const behindCall = terms.memory(terms.initial(instructionSet.registers[convention.atEntry.returnAddress]!), 4);
    return terms.apply('equal', behindCall, terms.constant(convention.toc.restoreWord));
  }

  /** What the handler sends the hook to. */
  private get destination(): Term {
    return this.redirect.stub.words.length > 0 ? this.stub : this.newFunction;
  }

  private get site(): Term {
    return this.behind(this.oldFunction, this.redirect.prologue.length - 1);
  }

  /** The address of the n-th instruction from one on. */
  private behind(from: Term, n: number): Term {
    return this.terms.apply('add', from, this.terms.constant(n * this.facts.instructionSet.instructionSize));
  }

  private sp(machine: SymbolicMachine): Term {
    return machine.read(this.facts.instructionSet.stackPointer);
  }

  private above(address: Term, bytes: number): Term {
    return this.terms.apply('add', address, this.terms.constant(bytes));
  }

  private isSent(machine: SymbolicMachine): boolean {
    return holds(machine, this.redirected);
  }

  /** Where the function has to return to. */
  private get callersCode(): Term {
    return this.begin.read(this.facts.convention.atEntry.returnAddress);
  }

  /** One step of a path; false where it is at its end. */
  private step(machine: SymbolicMachine): boolean {
    const { pc, terms } = machine;
    const { hook, facts } = this;
    if (same(pc, this.callersCode)) return false;
    const tracedFrom = machine.notes.get(returnBefore);
    if (tracedFrom && same(pc, this.tracer)) {
      // It keeps all that matters to who is returned to.
      machine.step('the tracer of returns', () => machine.jump(tracedFrom));
      return true;
    }
    const runsAlready = ran(machine, newFunctionRuns) + ran(machine, oldCodeRuns) > 0;
    if (same(pc, this.newFunction)) {
      if (runsAlready || !this.isSent(machine)) return false;
      this.enterNewFunction(machine);
      return true;
    }
    if (same(pc, this.behind(this.site, 1))) {
      if (runsAlready || this.isSent(machine)) return false;
      this.goOnInOldCode(machine);
      return true;
    }
    if (same(pc, this.site)) {
      machine.execute(facts.hook.siteWord, () => terms.constant(hook.entry));
      return true;
    }
    if (!pc.base && pc.plus === hook.handlerCall) {
      this.callHandler(machine);
      return true;
    }
    if (this.entry.graph && !pc.base && pc.plus === hook.graph?.site) {
      const { goesTo } = hook.graph;
      machine.step('a branch of the graph tracer’s', () => machine.jump(terms.constant(goesTo)));
      return true;
    }
    if (this.entry.graph && !pc.base && pc.plus === hook.graph?.callee) {
      this.callGraphTracer(machine);
      return true;
    }
    return this.executeAt(machine);
  }

  /** Runs the instruction at the pc; false where no known code is. */
  private executeAt(machine: SymbolicMachine): boolean {
    const { facts, redirect } = this;
    const { pc } = machine;
    const size = BigInt(facts.instructionSet.instructionSize);
    if (!pc.base) {
      const word = this.hook.word(pc.plus);
      if (word !== undefined) machine.execute(word);
      return word !== undefined;
    }
    if (pc.plus % size !== 0n) return false;
    const index = Number(pc.plus / size);
    if (pc.base === this.oldFunction.base) return this.executePrologue(machine, redirect.prologue, index);
    const word = pc.base === this.stub.base ? redirect.stub.words[index] : undefined;
    if (word === undefined) return false;
    const relocation = redirect.stub.relocations.find(({ offset }) => BigInt(offset) === pc.plus);
    if (!relocation) machine.execute(word);
    else
      machine.step(word, () =>
        facts.executeRelocated(machine, word, relocation.type, relocation.addend, this.newFunction),
      );
    return true;
  }

  /** A word of the prologue. What a TOC pointer is set up to is one term, so that a proof is for every function. */
  private executePrologue(machine: SymbolicMachine, prologue: Uint32Array, index: number): boolean {
    const word = prologue[index];
    if (word === undefined) return false;
    const { toc, atEntry } = this.facts.convention;
    const setUp = toc?.setUpWords(prologue) ?? 0;
    if (!toc || index !== 0 || setUp === 0) machine.execute(word);
    else if (!same(machine.read(atEntry.ownAddress!), this.oldFunction)) return false;
    else
      machine.step('its TOC pointer is set up', () => {
        machine.write(toc.register, this.terms.initial('the old function’s TOC'));
        machine.jump(this.behind(this.oldFunction, setUp));
      });
    return true;
  }

  private callHandler(machine: SymbolicMachine): void {
    const { hook, instructionSet } = this.facts;
    const told = machine.read(hook.siteAddress);
    const size = (instructionSet.bits / 8) as 4 | 8;
    machine.step('the handler', () => {
      const saved = machine.read(hook.savedRegisters.register);
      if (machine.decide(this.redirected))
        machine.store(this.above(saved, hook.savedRegisters.pc), size, this.destination);
      const { returnAddress } = hook.savedRegisters;
      if (returnAddress !== undefined && this.hook.tracesReturns !== false && machine.decide(this.traced))
        this.traceReturn(machine, this.above(saved, returnAddress), size);
      callFunction(machine, this.facts, { stackArguments: 0, siblingCalls: false }, 'the handler');
    });
    this.expect(machine, 'site-address', 'the site’s address', this.site, told);
  }

  /**
   * What the hook calls while the graph tracer is on. It changes a return address where it can unwind to it, which from a
   * stub it cannot.
   */
  private callGraphTracer(machine: SymbolicMachine): void {
    const { instructionSet, convention, hook } = this.facts;
    const { siteAddress, returnAddressPlace } = hook.graph!;
    const told = machine.read(siteAddress);
    machine.step('the graph tracer', () => {
      const size = (instructionSet.bits / 8) as 4 | 8;
      const back = machine.read(convention.atEntry.returnAddress);
      if (!this.isSent(machine) && machine.decide(this.traced))
        this.traceReturn(machine, machine.read(returnAddressPlace), size);
      callFunction(machine, this.facts, { stackArguments: 0, siblingCalls: false }, 'the graph tracer');
      machine.jump(back);
    });
    if (!this.isSent(machine)) this.expect(machine, 'site-address', 'what the tracer is told', this.site, told);
  }

  private traceReturn(machine: SymbolicMachine, place: Term, size: 4 | 8): void {
    machine.notes.set(returnBefore, machine.load(place, size));
    machine.store(place, size, this.tracer);
  }

  private enterNewFunction(machine: SymbolicMachine): void {
    const { convention, instructionSet } = this.facts;
    const entered = machine.fork();
    this.callAndReturn(machine, newFunctionRuns, this.redirect, this.sp(machine), new Map());
    const { arguments: passed, calleeSaved, ownAddress } = convention.atEntry;
    const kept = (obligation: Obligation, register: number): void =>
      this.expect(
        entered,
        obligation,
        instructionSet.registers[register]!,
        this.begin.read(register),
        entered.read(register),
      );
    for (const register of passed) kept('arguments', register);
    for (const register of calleeSaved) kept('callee-saved', register);
    if (ownAddress !== undefined && convention.toc)
      this.expect(
        entered,
        'entry-address',
        instructionSet.registers[ownAddress]!,
        this.newFunction,
        entered.read(ownAddress),
      );
    this.checkStack(entered, this.sp(entered), this.redirect);
  }

  /**
   * The old code goes on behind its call site: all must be as if ftrace's own word for a site that nobody traces had stood
   * there. A hook may have put a frame of its own below the caller's, with a return address that leads through it; then
   * the old code has to be as if it had been called from there.
   */
  private goOnInOldCode(machine: SymbolicMachine): void {
    const { instructionSet, convention, hook } = this.facts;
    const { stackPointer } = instructionSet;
    const { returnAddress, arguments: passed, calleeSaved } = convention.atEntry;
    const found = machine.fork();
    const untraced = this.runPrologue(new Map());
    const callersSp = this.sp(this.begin);
    const depth = this.terms.apply('subtract', callersSp, this.sp(untraced));
    const sp = this.terms.apply('add', this.sp(found), depth);
    const below = found.distance(sp) ?? 1;
    const entered = below < 0 ? sp : callersSp;
    // What it does to its caller's frame it would do untraced as well.
    const callee = below < 0 ? (this.redirect.oldFunction ?? {}) : { stackArguments: 0, siblingCalls: false };
    // It gives back what it has saved, and its TOC pointer it keeps, as does all that it calls.
    const { toc } = convention;
    const given = new Map(calleeSaved.map((register) => [register, this.begin.read(register)]));
    if (toc) given.set(toc.register, found.read(toc.register));
    this.callAndReturn(machine, oldCodeRuns, callee, sp, given);

    const back = found.read(returnAddress);
    const plain = this.runPrologue(
      new Map([
        [stackPointer, entered],
        [returnAddress, back],
      ]),
    );
    for (const register of new Set([...passed, ...calleeSaved, ...hook.keptAtSite, stackPointer])) {
      const name = instructionSet.registers[register]!;
      this.expect(found, 'old-code', name, plain.read(register), found.read(register));
    }
    const { trace, stored } =
      below < 0 ? { trace: plain.trace, stored: plain } : { trace: untraced.trace, stored: untraced };
    for (const { at, size } of stackWrites(trace)) {
      const place = this.above(entered, at);
      if (at < Number(BigInt.asIntN(64, -depth.plus)) - instructionSet.redZone) continue;
      const name = `what the prologue stored at ${this.terms.describe(place)}`;
      this.expect(found, 'old-code', name, stored.load(place, size), found.load(place, size));
    }
    if (below < 0) this.checkStack(found, sp, callee);
  }

  /**
   * The prologue as it runs where nobody traces, from registers that may be others than the caller's. Throws
   * `NotUnderstood` for one that does not run straight on to its site.
   */
  private runPrologue(changed: ReadonlyMap<number, Term>): SymbolicMachine {
    const plain = this.machine(changed);
    const { length } = this.redirect.prologue;
    try {
      for (let steps = 0; steps < length && !same(plain.pc, this.site); steps++) this.executeAt(plain);
    } catch (error) {
      if (!(error instanceof Undecided)) throw error;
    }
    if (!same(plain.pc, this.site)) throw new NotUnderstood('its prologue does not run straight on to the call site');
    plain.execute(this.facts.hook.idleSiteWord);
    return plain;
  }

  /** A function runs from its entry's stack pointer and returns; `kept` says what else it gives back than the ABI has it. */
  private callAndReturn(
    machine: SymbolicMachine,
    name: string,
    callee: Callee,
    sp: Term,
    kept: ReadonlyMap<number, Term>,
  ): void {
    const { instructionSet, convention } = this.facts;
    const back = machine.read(convention.atEntry.returnAddress);
    machine.step(name, () => {
      machine.write(instructionSet.stackPointer, sp);
      callFunction(machine, this.facts, callee, name);
      for (const register of convention.results) machine.write(register, this.result(register));
      for (const [register, value] of kept) machine.write(register, value);
      machine.jump(back);
    });
  }

  private result(register: number): Term {
    return this.terms.initial(resultName(this.facts.instructionSet.registers[register]!));
  }

  /** The stack as a function finds it that is entered with this stack pointer. */
  private checkStack(machine: SymbolicMachine, sp: Term, callee: Callee): void {
    const { convention, instructionSet } = this.facts;
    const { terms } = this;
    const aligned = terms.apply('and', sp, terms.constant(-(2 ** instructionSet.stackAlignment)));
    this.expect(machine, 'alignment', instructionSet.registers[instructionSet.stackPointer]!, aligned, sp);
    const callersSp = this.sp(this.begin);
    const { at, size } = convention.stackArguments;
    for (let n = 0; n < stackArgumentsOf(callee); n++) {
      const expected = terms.memory(this.above(callersSp, at + n * size), size);
      const found = machine.load(this.above(sp, at + n * size), size);
      this.expect(machine, 'stack-arguments', `stack argument ${n + 1}`, expected, found);
      if (!same(expected, found)) break;
    }
    if (convention.backChain && !same(sp, callersSp)) this.checkBackChain(machine, sp, convention.backChain);
  }

  private checkBackChain(
    machine: SymbolicMachine,
    from: Term,
    chain: { readonly at: number; readonly returnAddressAt: number },
  ): void {
    const callersSp = this.sp(this.begin);
    const size = (this.facts.instructionSet.bits / 8) as 4 | 8;
    let frame = from;
    for (let n = 0; n < mostFrames && !same(frame, callersSp); n++) {
      const next = machine.load(this.above(frame, chain.at), size);
      const [here, there] = [machine.distance(frame), machine.distance(next)];
      if (here === undefined || there === undefined || there <= here || there > 0) {
        this.expect(machine, 'back-chain', 'the next frame', callersSp, next);
        return;
      }
      frame = next;
    }
    this.expect(machine, 'back-chain', 'the caller’s frame', callersSp, frame);
    // While the return is traced, who walks the stack knows the tracer's address for what it is.
    const kept = machine.load(this.above(callersSp, chain.returnAddressAt), size);
    if (!same(kept, this.tracer))
      this.expect(machine, 'back-chain', 'the return address in the caller’s frame', this.callersCode, kept);
  }

  /** What holds when a path has come to its end. */
  private checkEnd(machine: SymbolicMachine): void {
    // A hook may have ways that ask no handler; there the old code goes on.
    const isSent = this.isSent(machine);
    const entered = ran(machine, isSent ? newFunctionRuns : oldCodeRuns) > 0;
    const goal = isSent ? this.newFunction : this.behind(this.site, 1);
    const back = this.callersCode;
    if (!entered) this.expect(machine, 'way', 'the next instruction', goal, machine.pc);
    else if (!same(machine.pc, back)) this.expect(machine, 'return-address', 'the next instruction', back, machine.pc);
    else this.checkReturn(machine);
    this.checkWrites(machine);
  }

  private checkReturn(machine: SymbolicMachine): void {
    const { convention, instructionSet } = this.facts;
    const kept = (obligation: Obligation, register: number, expected: Term): void => {
      const what = `${instructionSet.registers[register]!} on return`;
      this.expect(machine, obligation, what, expected, machine.read(register));
    };
    for (const register of convention.results) kept('results', register, this.result(register));
    for (const register of convention.atEntry.calleeSaved) kept('callee-saved', register, this.begin.read(register));
    kept('stack-pointer', instructionSet.stackPointer, this.sp(this.begin));
    const restores = this.callerRestores();
    const { toc } = convention;
    if (toc && restores && !holds(machine, restores)) kept('toc', toc.register, this.callersToc());
  }

  /** The TOC pointer of a caller that shares it with the old function. */
  private callersToc(): Term {
    return this.begin.read(this.facts.convention.toc!.register);
  }

  /** What was written to the caller's stack on the way. */
  private checkWrites(machine: SymbolicMachine): void {
    const { convention } = this.facts;
    const { toc } = convention;
    for (let { trace } = machine; trace; trace = trace.before) {
      const isFunction = trace.what === newFunctionRuns || trace.what === oldCodeRuns;
      for (const write of trace.writes) {
        if (write.kind !== 'stack' || write.at + write.size <= 0) continue;
        const { at, size, value } = write;
        if (belongsToCallee(convention, at, size)) continue;
        // The caller's own pointer may be put there: whoever calls into another module for it does.
        if (toc && at === toc.savedAt && size === 8)
          this.expect(machine, 'toc', 'where the caller’s frame keeps its TOC pointer', this.callersToc(), value);
        else if (!isFunction || at < convention.callersFrame.parameters) {
          const untouched = this.terms.unknown('what belongs to the caller');
          this.expect(machine, 'callers-stack', `the caller’s stack at sp + ${at}`, untouched, value);
        }
      }
    }
  }

  /** Notes a failure unless two terms are the same. */
  private expect(machine: SymbolicMachine, obligation: Obligation, what: string, expected: Term, found: Term): void {
    if (same(expected, found)) return;
    const example = findExample(machine, expected, found);
    this.failures.push({
      obligation,
      entry: this.entry.name,
      what,
      expected,
      found,
      machine: machine.fork(),
      ...(example && { example }),
    });
  }
}

/** Whether a condition was taken to hold on a machine's path. */
const holds = (machine: SymbolicMachine, condition: Term): boolean =>
  machine.assumed.some((assumed) => assumed.holds && same(assumed.condition, condition));

/** All that was written to the stack. */
function* stackWrites(last: Trace | undefined): Iterable<Extract<Write, { kind: 'stack' }>> {
  for (let trace = last; trace; trace = trace.before)
    for (const write of trace.writes) if (write.kind === 'stack') yield write;
}

/** How often something of this name has run. */
function ran(machine: SymbolicMachine, name: string): number {
  let count = 0;
  for (let { trace } = machine; trace; trace = trace.before) if (trace.what === name) count++;
  return count;
}

/**
 * A text that only redirects of the same verdict have: what does not enter into a proof is left out, the call's target
 * and what a TOC pointer is set up to.
 */
export function proofKey({ convention }: ProofFacts, redirect: Redirect): string {
  const { prologue, stub, oldFunction } = redirect;
  const setUp = convention.toc?.setUpWords(prologue) ?? 0;
  const known = ({ stackArguments, siblingCalls }: Callee): string => `${stackArguments},${siblingCalls}`;
  const places = stub.relocations.map(({ offset, type, addend }) => `${offset}:${type}:${addend}`);
  const code = `${setUp}:${prologue.slice(setUp, -1)};${stub.words};${places}`;
  return `${code};${known(redirect)};${known(oldFunction ?? {})}`;
}

/**
 * Proves one redirect. It never throws for what it reads: code that it does not understand makes the verdict unknown.
 */
export function proveRedirect(facts: ProofFacts, hook: Hook, redirect: Redirect): Verdict {
  const reasons: string[] = [];
  const failures: Failure[] = [];
  let paths = 0;
  for (const entry of entriesOf(facts, hook, redirect)) {
    try {
      const run = new Run(facts, hook, redirect, entry);
      const result = run.run();
      reasons.push(...result.reasons);
      failures.push(...run.failures);
      paths += result.paths;
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      reasons.push(error.message);
    }
  }
  const refuted = failures.filter(({ example }) => example);
  if (refuted.length > 0) return { verdict: 'refuted', failures: refuted };
  const unclear = failures.map(({ obligation, what }) => `${obligation}: whether ${what} is kept cannot be told`);
  if (reasons.length + unclear.length > 0)
    return { verdict: 'unknown', reasons: [...new Set([...reasons, ...unclear])] };
  return { verdict: 'proven', paths };
}
