// Whether the obligations are met: at the new function's entry, where the old code goes on, and back at the caller.

import { type Callee, NotUnderstood } from '../arch/machine.ts';
import type { SymbolicMachine, Trace, Write } from '../symbolic/machine.ts';
import { type Atom, same, type Term } from '../symbolic/terms.ts';
import { belongsToCallee, hasAnyNumber, mostStackArguments, stackArgumentsOf } from './callee.ts';
import { findExample } from './example.ts';
import { handlerFinds, tracerFinds } from './handler-call.ts';
import type { Failure, Obligation } from './obligations.ts';
import { holds, type Scene } from './scene.ts';

/** How many frames may lie between the new function's and the caller's. */
const mostFrames = 8;

/** What runs in a step of its own: a function, as the ABI allows it to be. */
export const newFunctionRuns = 'the new function';
export const oldCodeRuns = 'the old code';
export const tracerRuns = 'the tracer of returns';
export const handlerRuns = 'the handler';

export class Checks {
  readonly failures: Failure[] = [];
  private readonly scene: Scene;
  /** The steps after which all has been looked at that holds at every moment. */
  private readonly seen = new WeakSet<Trace>();

  constructor(scene: Scene) {
    this.scene = scene;
  }

  /**
   * What holds between any two instructions, where an interrupt may come: it uses the stack from the stack pointer down, and
   * finds the processor's area, wherever the registers for that point just then.
   */
  moment(machine: SymbolicMachine): void {
    const { trace } = machine;
    if (!trace || this.seen.has(trace)) return;
    this.seen.add(trace);
    const { instructionSet, convention } = this.scene.facts;
    const { stackPointer } = instructionSet;
    const { terms, callersSp } = this.scene;
    const isWritten = (register: number): boolean =>
      trace.writes.some(({ kind, at }) => kind === 'register' && at === register);
    const always = (obligation: Obligation, register: number, expected: Term): void =>
      this.expectIn(machine, obligation, register, expected, ' at every moment');
    if (isWritten(stackPointer)) {
      const sp = this.scene.sp(machine);
      const zeros = terms.constant(-(2 ** convention.stackPointerZeros));
      always('alignment', stackPointer, terms.apply('and', sp, zeros));
      if ((machine.distance(sp) ?? 0) > 0) always('stack-pointer', stackPointer, callersSp);
    }
    const area = convention.processorArea;
    if (!area || !isWritten(area.register)) return;
    const hasMoved = ran(machine, newFunctionRuns) + ran(machine, oldCodeRuns) > 0;
    always('callee-saved', area.register, hasMoved ? this.scene.areaAfter(area) : this.scene.begin.read(area.register));
  }

  /** What a handler finds, and what it is told of the site; `called` is the machine where it is called. */
  handler(called: SymbolicMachine): void {
    this.told(called, 'the site’s address', this.scene.facts.hook.handlerArguments.site);
    for (const { what, expected, found } of handlerFinds(this.scene, called))
      this.expect(called, 'handler-call', what, expected, found);
  }

  /** Whether a handler is asked for the first time, and before any function has run. */
  asksOnce(called: SymbolicMachine): boolean {
    const before = [handlerRuns, newFunctionRuns, oldCodeRuns].reduce((sum, name) => sum + ran(called, name), 0);
    const { terms } = this.scene;
    this.expect(called, 'handler-call', 'what has run before it', terms.constant(0), terms.constant(before));
    return before === 0;
  }

  /** What the graph tracer finds. Of a site that is redirected it is told the stub's address. */
  graphTracer(called: SymbolicMachine): void {
    const { siteAddress } = this.scene.facts.hook.graph!;
    if (!this.scene.isSent(called)) this.told(called, 'what the tracer is told', siteAddress);
    for (const { what, expected, found } of tracerFinds(this.scene, called))
      this.expect(called, 'handler-call', `${what}, for the tracer`, expected, found);
  }

  /**
   * What holds where the old code goes on and no handler has been asked. A hook may have a way that asks none: while the
   * processor's own area says that it is where handlers must not run. It is no matter of who calls the function, with what, or in
   * which task.
   */
  unasked(machine: SymbolicMachine): void {
    const { terms, begin, hook } = this.scene;
    const own = machine.assumed
      .slice(begin.assumed.length)
      .filter(({ condition }) => !same(condition, this.scene.traced));
    const isEnabled = ({ origin, width }: Atom): boolean =>
      origin.kind === 'unknown' && width === 8 && origin.at !== undefined && this.scene.isEnabledByte(origin.at);
    const depends = [...terms.atomsOf(...own.map(({ condition }) => condition))].some((atom) => !isEnabled(atom));
    const isTaken = (enabled: number): boolean =>
      own.every(({ condition, holds }) => (terms.evaluate(condition, () => BigInt(enabled)) !== 0n) === holds);
    if (!depends && !Array.from({ length: 255 }, (_, i) => i + 1).some(isTaken)) return;
    this.expect(machine, 'way', 'that a handler is asked', terms.constant(hook.handlerCall), machine.pc);
  }

  /** The old code returns to where the handler was told that the function does. */
  returnsAsTold(machine: SymbolicMachine, told: Term): void {
    const back = machine.read(this.scene.facts.convention.atEntry.returnAddress);
    this.expect(machine, 'handler-call', 'where the handler is told that the function returns to', back, told);
  }

  private told(machine: SymbolicMachine, what: string, register: number): void {
    this.expect(machine, 'site-address', what, this.scene.site, machine.read(register), register);
  }

  /** No path comes to the new function; this is one of them. */
  never(machine: SymbolicMachine): void {
    this.expect(machine, 'way', 'that any path reaches the new function', this.scene.newFunction, machine.pc);
  }

  /** What holds where the new function is entered. */
  newFunction(entered: SymbolicMachine): void {
    const { convention } = this.scene.facts;
    const { arguments: passed, calleeSaved, ownAddress } = convention.atEntry;
    const kept = (obligation: Obligation, register: number): void =>
      this.expectIn(entered, obligation, register, this.scene.begin.read(register));
    for (const register of passed) kept('arguments', register);
    for (const register of calleeSaved) kept('callee-saved', register);
    if (ownAddress !== undefined && convention.toc)
      this.expectIn(entered, 'entry-address', ownAddress, this.scene.newFunction);
    this.checkStack(entered, this.scene.sp(entered), this.scene.redirect);
  }

  /**
   * What holds where the old code goes on behind its call site: all is as if ftrace's own word for a site that nobody
   * traces had stood there. Where the old code runs in a frame below the caller's, `below` is its distance and `sp` the
   * stack pointer that it was entered with, as it were: then all is as if it had been called from there.
   */
  oldCode(found: SymbolicMachine, { sp, below, callee, tracedAt }: OldCode): void {
    const { scene } = this;
    const { instructionSet, convention, hook } = scene.facts;
    const { returnAddress, arguments: passed, calleeSaved } = convention.atEntry;
    const entered = below < 0 ? sp : scene.callersSp;
    const plain = scene.runPrologue(
      new Map([
        [instructionSet.stackPointer, entered],
        [returnAddress, found.read(returnAddress)],
      ]),
    );
    for (const register of new Set([...passed, ...calleeSaved, ...hook.keptAtSite, instructionSet.stackPointer]))
      this.expectIn(found, 'old-code', register, plain.read(register));
    const stored = below < 0 ? plain : scene.runPrologue();
    const lowest = plain.distance(scene.sp(plain))! - instructionSet.redZone;
    for (const { at, size } of stackWrites(stored.trace)) {
      if (at < lowest) continue;
      const place = scene.above(entered, at);
      // By what stands there the old code comes to the tracer of its return: `end` sees that it does.
      if (tracedAt && same(place, tracedAt)) continue;
      const name = `what the prologue stored at ${scene.terms.describe(place)}`;
      this.expect(found, 'old-code', name, stored.load(place, size), found.load(place, size));
    }
    if (below < 0) this.checkStack(found, sp, callee);
  }

  /** What holds when a path has come to its end. */
  end(machine: SymbolicMachine): void {
    // A hook may have ways that ask no handler; there the old code goes on.
    const isSent = this.scene.isSent(machine);
    const entered = ran(machine, isSent ? newFunctionRuns : oldCodeRuns) > 0;
    const goal = isSent ? this.scene.newFunction : this.scene.behind(this.scene.site, 1);
    const back = this.scene.callersCode;
    // Whoever traces a return waits for it.
    const missesTracer = holds(machine, this.scene.traced) && ran(machine, tracerRuns) !== 1;
    if (!entered) this.expect(machine, 'way', 'the next instruction', goal, machine.pc);
    else if (missesTracer) this.expect(machine, 'return-address', 'where it returns to', this.scene.tracer, machine.pc);
    else if (!same(machine.pc, back)) this.expect(machine, 'return-address', 'the next instruction', back, machine.pc);
    else this.checkReturn(machine);
    this.checkWrites(machine);
  }

  private checkReturn(machine: SymbolicMachine): void {
    const { convention, instructionSet } = this.scene.facts;
    const kept = (obligation: Obligation, register: number, expected: Term): void =>
      this.expectIn(machine, obligation, register, expected, ' on return');
    for (const register of convention.results) kept('results', register, this.scene.result(register));
    const { processorArea: area } = convention;
    for (const register of convention.atEntry.calleeSaved) {
      const isArea = register === area?.register;
      kept('callee-saved', register, isArea ? this.scene.areaAfter(area!) : this.scene.begin.read(register));
    }
    kept('stack-pointer', instructionSet.stackPointer, this.scene.callersSp);
    const restores = this.scene.callerRestores();
    const { toc } = convention;
    if (toc && restores && !holds(machine, restores)) kept('toc', toc.register, this.scene.callersToc);
  }

  /** What was written to the caller's stack on the way. */
  private checkWrites(machine: SymbolicMachine): void {
    const { convention } = this.scene.facts;
    const { toc } = convention;
    for (let { trace } = machine; trace; trace = trace.before) {
      const isFunction = trace.what === newFunctionRuns || trace.what === oldCodeRuns;
      for (const write of trace.writes) {
        if (write.kind !== 'stack' || write.at + write.size <= 0) continue;
        const { at, size, value } = write;
        if (belongsToCallee(convention, at, size)) continue;
        // The caller's own pointer may be put there: whoever calls into another module for it does.
        if (toc && at === toc.savedAt && size === 8)
          this.expect(machine, 'toc', 'where the caller’s frame keeps its TOC pointer', this.scene.callersToc, value);
        else if (!isFunction || at < convention.callersFrame.parameters) {
          const untouched = this.scene.terms.unknown('what belongs to the caller');
          this.expect(machine, 'callers-stack', `the caller’s stack at sp + ${at}`, untouched, value);
        }
      }
    }
  }

  /** The stack as a function finds it that is entered with this stack pointer. */
  private checkStack(machine: SymbolicMachine, sp: Term, callee: Callee): void {
    const { convention, instructionSet } = this.scene.facts;
    const { terms } = this.scene;
    const aligned = terms.apply('and', sp, terms.constant(-(2 ** instructionSet.stackAlignment)));
    this.expect(machine, 'alignment', instructionSet.registers[instructionSet.stackPointer]!, aligned, sp);
    const { callersSp } = this.scene;
    const { at, size } = convention.stackArguments;
    let areKept = true;
    for (let n = 0; areKept && n < stackArgumentsOf(callee); n++) {
      const expected = terms.memory(this.scene.above(callersSp, at + n * size), size);
      const found = machine.load(this.scene.above(sp, at + n * size), size);
      const moved = same(sp, callersSp) ? undefined : instructionSet.stackPointer;
      this.expect(machine, 'stack-arguments', `stack argument ${n + 1}`, expected, found, moved);
      areKept = same(expected, found);
    }
    if (convention.backChain && !same(sp, callersSp)) this.checkBackChain(machine, sp, convention.backChain);
    if (areKept && hasAnyNumber(callee) && !same(sp, callersSp))
      throw new NotUnderstood(`${mostStackArguments} stack arguments are kept, and a function may have more`);
  }

  private checkBackChain(
    machine: SymbolicMachine,
    from: Term,
    chain: { readonly at: number; readonly returnAddressAt: number },
  ): void {
    const { callersSp } = this.scene;
    const size = (this.scene.facts.instructionSet.bits / 8) as 4 | 8;
    let frame = from;
    for (let n = 0; n < mostFrames && !same(frame, callersSp); n++) {
      const next = machine.load(this.scene.above(frame, chain.at), size);
      const [here, there] = [machine.distance(frame), machine.distance(next)];
      if (here === undefined || there === undefined || there <= here || there > 0) {
        this.expect(machine, 'back-chain', 'the next frame', callersSp, next);
        return;
      }
      frame = next;
    }
    this.expect(machine, 'back-chain', 'the caller’s frame', callersSp, frame);
    // While the return is traced, who walks the stack knows the tracer's address for what it is.
    const kept = machine.load(this.scene.above(callersSp, chain.returnAddressAt), size);
    if (!same(kept, this.scene.tracer))
      this.expect(machine, 'back-chain', 'the return address in the caller’s frame', this.scene.callersCode, kept);
  }

  /** Notes a failure unless a register holds what it must; `when` is said behind its name. */
  private expectIn(
    machine: SymbolicMachine,
    obligation: Obligation,
    register: number,
    expected: Term,
    when = '',
  ): void {
    const what = `${this.scene.facts.instructionSet.registers[register]!}${when}`;
    this.expect(machine, obligation, what, expected, machine.read(register), register);
  }

  /** Notes a failure unless two terms are the same. */
  private expect(
    machine: SymbolicMachine,
    obligation: Obligation,
    what: string,
    expected: Term,
    found: Term,
    register?: number,
  ): void {
    if (same(expected, found)) return;
    const example = findExample(machine, expected, found);
    this.failures.push({
      obligation,
      entry: this.scene.entry.name,
      register,
      what,
      expected,
      found,
      machine: machine.fork(),
      ...(example && { example }),
    });
  }
}

/** How the old code goes on. */
export interface OldCode {
  /** The stack pointer of its entry, by what its prologue does to that. */
  readonly sp: Term;
  /** The distance of that from the caller's. */
  readonly below: number;
  readonly callee: Callee;
  /** Where its frame keeps its return address, if that is traced there. */
  readonly tracedAt: Term | undefined;
}

/** All that was written to the stack. */
function* stackWrites(last: Trace | undefined): Iterable<Extract<Write, { kind: 'stack' }>> {
  for (let trace = last; trace; trace = trace.before)
    for (const write of trace.writes) if (write.kind === 'stack') yield write;
}

/** How often something of this name has run. */
export function ran(machine: SymbolicMachine, name: string): number {
  let count = 0;
  for (let { trace } = machine; trace; trace = trace.before) if (trace.what === name) count++;
  return count;
}
