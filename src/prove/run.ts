// The run of one redirect, along every path: what stands in each place is run, and what nobody can know of is done as
// the ABI allows it.

import { type Callee, NotUnderstood } from '../arch/machine.ts';
import { explore, type Limits } from '../symbolic/explore.ts';
import type { SymbolicMachine } from '../symbolic/machine.ts';
import { same, type Term } from '../symbolic/terms.ts';
import { callFunction } from './callee.ts';
import { Checks, handlerRuns, newFunctionRuns, oldCodeRuns, ran, tracerRuns } from './checks.ts';
import type { Failure } from './obligations.ts';
import { holds, type Scene } from './scene.ts';

const limits: Limits = { steps: 5000, paths: 64 };

/** The notes of where a function returned to before its return was traced, and of where that is kept. */
const returnBefore = 'return address';
const returnPlace = 'place of the return address';
/** The note of where the handler was told that the function returns to. */
const returnTold = 'return address as told';

/** A handler has its arguments in registers, and is of the kernel itself. */
const handler: Callee = { stackArguments: 0, siblingCalls: false };
/** Whoever does nothing to the places of its parameters in its caller's frame. */
const leavesItsCaller: Callee = { stackArguments: 0, usesParameterArea: false, siblingCalls: false };

/** What a run has shown. */
export interface Shown {
  readonly failures: readonly Failure[];
  /** Why something is not known, and where. */
  readonly reasons: readonly string[];
  readonly paths: number;
}

/** Runs all paths of a scene. Throws `NotUnderstood` where nothing can be said. */
export function runScene(scene: Scene): Shown {
  const run = new Run(scene);
  const { checks } = run;
  const ends = explore(scene.machine(), (machine) => run.step(machine), limits);
  const reasons: string[] = [];
  for (const { machine, unknown } of ends) {
    try {
      if (unknown !== undefined) throw new NotUnderstood(unknown);
      checks.end(machine);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      reasons.push(`at ${scene.terms.describe(machine.pc)}: ${error.message}`);
    }
  }
  const [first] = ends;
  const arrived = ends.some(({ machine }) => ran(machine, newFunctionRuns) > 0);
  if (first && !arrived && reasons.length === 0) checks.never(first.machine);
  return { failures: checks.failures, reasons: [...scene.doubts, ...reasons], paths: ends.length };
}

class Run {
  readonly checks: Checks;
  private readonly scene: Scene;

  constructor(scene: Scene) {
    this.scene = scene;
    this.checks = new Checks(scene);
  }

  /** One step of a path; false where it is at its end. */
  step(machine: SymbolicMachine): boolean {
    const { pc, terms } = machine;
    const { scene } = this;
    const { hook, facts, entry } = scene;
    this.checks.moment(machine);
    if (same(pc, scene.callersCode)) return false;
    this.checkDepth(machine);
    const runsAlready = ran(machine, newFunctionRuns) + ran(machine, oldCodeRuns) > 0;
    const tracedFrom = machine.notes.get(returnBefore);
    if (tracedFrom && runsAlready && same(pc, scene.tracer)) {
      this.returnThroughTracer(machine, tracedFrom);
      return true;
    }
    if (same(pc, scene.newFunction)) {
      if (runsAlready || !scene.isSent(machine)) return false;
      this.enterNewFunction(machine);
      return true;
    }
    if (same(pc, scene.behind(scene.site, 1))) {
      if (runsAlready || scene.isSent(machine)) return false;
      this.goOnInOldCode(machine);
      return true;
    }
    if (scene.redirect.island && same(pc, scene.site)) {
      machine.step('the branch at its entry', () => machine.jump(entry.byIsland ? scene.island : scene.destination));
      return true;
    }
    if (same(pc, scene.site)) {
      machine.execute(facts.hook.siteWord, () => terms.constant(hook.entry));
      return true;
    }
    if (!pc.base && pc.plus === hook.handlerCall) {
      if (!this.checks.asksOnce(machine)) return false;
      this.callHandler(machine);
      return true;
    }
    if (entry.graph && !pc.base && pc.plus === hook.graph?.site) {
      const { goesTo } = hook.graph;
      machine.step('a branch of the graph tracer’s', () => machine.jump(terms.constant(goesTo)));
      return true;
    }
    if (entry.graph && !pc.base && pc.plus === hook.graph?.callee) {
      this.callGraphTracer(machine);
      return true;
    }
    return scene.executeAt(machine);
  }

  /** Throws `NotUnderstood` where hook and stub take more of the stack than they may. */
  private checkDepth(machine: SymbolicMachine): void {
    const { scene } = this;
    const { mostStack } = scene.facts;
    const depth = machine.distance(scene.sp(machine));
    // The old function's own frame is its own.
    if (depth === undefined || depth >= -mostStack || depth >= scene.depthAtSite - mostStack) return;
    throw new NotUnderstood(
      `here hook and stub have more than ${mostStack} bytes of the stack, which no function should`,
    );
  }

  private callHandler(machine: SymbolicMachine): void {
    const { scene } = this;
    const { hook, instructionSet } = scene.facts;
    const called = machine.fork();
    const size = (instructionSet.bits / 8) as 4 | 8;
    machine.step(handlerRuns, () => {
      const saved = machine.read(hook.savedRegisters.register);
      if (machine.decide(scene.redirected))
        machine.store(scene.above(saved, hook.savedRegisters.pc), size, scene.destination);
      const { returnAddress } = hook.savedRegisters;
      if (returnAddress !== undefined && scene.hook.tracesReturns !== false && machine.decide(scene.traced))
        this.traceReturn(machine, scene.above(saved, returnAddress), size);
      callFunction(machine, scene.facts, handler, handlerRuns);
    });
    machine.notes.set(returnTold, called.read(hook.handlerArguments.returnAddress));
    this.checks.handler(called);
  }

  /**
   * What the hook calls while the graph tracer is on. It changes a return address where it can unwind to it, which from a
   * stub it cannot; or, with frame pointers, where the old function's frame keeps it, whatever the handler has done
   * (`prepare_ftrace_return`, UNWINDER_FRAME_POINTER, in arch/arm/kernel/ftrace.c, Linux 6.1).
   */
  private callGraphTracer(machine: SymbolicMachine): void {
    const { scene } = this;
    const { instructionSet, convention, hook } = scene.facts;
    const { returnAddressPlace } = hook.graph!;
    const called = machine.fork();
    machine.step('the graph tracer', () => {
      const size = (instructionSet.bits / 8) as 4 | 8;
      const back = machine.read(convention.atEntry.returnAddress);
      const place = machine.read(returnAddressPlace);
      if ((scene.isInOldFrame(machine, place) || !scene.isSent(machine)) && machine.decide(scene.traced))
        this.traceReturn(machine, place, size);
      callFunction(machine, scene.facts, handler, 'the graph tracer');
      machine.jump(back);
    });
    this.checks.graphTracer(called);
  }

  private traceReturn(machine: SymbolicMachine, place: Term, size: 4 | 8): void {
    machine.notes.set(returnBefore, machine.load(place, size));
    machine.notes.set(returnPlace, place);
    machine.store(place, size, this.scene.tracer);
  }

  /**
   * Whoever traces returns stands between a function and its caller: they call functions of their own, give back the
   * results, what a callee gives back, and the TOC pointer where somebody relies on it (`return_to_handler` in
   * arch/…/kernel/…/ftrace*.S, Linux 6.1).
   */
  private returnThroughTracer(machine: SymbolicMachine, to: Term): void {
    const { scene } = this;
    const { results, toc } = scene.facts.convention;
    const restores = scene.callerRestores();
    const kept = [...results, ...(toc && !(restores && holds(machine, restores)) ? [toc.register] : [])];
    const values = kept.map((register) => [register, machine.read(register)] as const);
    machine.step(tracerRuns, () => {
      callFunction(machine, scene.facts, leavesItsCaller, tracerRuns);
      for (const [register, value] of values) machine.write(register, value);
      machine.jump(to);
    });
  }

  private enterNewFunction(machine: SymbolicMachine): void {
    const { scene } = this;
    const entered = machine.fork();
    this.callAndReturn(machine, newFunctionRuns, scene.redirect, scene.sp(machine), new Map());
    this.checks.newFunction(entered);
  }

  /** A hook may have put a frame of its own below the caller's, and a return address that leads through it. */
  private goOnInOldCode(machine: SymbolicMachine): void {
    const { scene } = this;
    const { atEntry, toc, processorArea } = scene.facts.convention;
    const found = machine.fork();
    const depth = scene.terms.apply('subtract', scene.callersSp, scene.sp(scene.runPrologue()));
    const sp = scene.terms.apply('add', scene.sp(found), depth);
    const below = found.distance(sp) ?? 1;
    // What it does to its own caller's frame it would do untraced as well.
    const callee = below < 0 ? (scene.redirect.oldFunction ?? {}) : leavesItsCaller;
    // It gives back what it has saved, and its TOC pointer it keeps, as does all that it calls.
    const saved = atEntry.calleeSaved.filter((register) => register !== processorArea?.register);
    const given = new Map(saved.map((register) => [register, scene.begin.read(register)]));
    if (toc) given.set(toc.register, found.read(toc.register));
    const tracedAt = scene.keptReturnAddress(found.notes.get(returnPlace));
    const size = (scene.facts.instructionSet.bits / 8) as 4 | 8;
    this.callAndReturn(machine, oldCodeRuns, callee, sp, given, tracedAt && found.load(tracedAt, size));
    if (ran(found, handlerRuns) === 0) this.checks.unasked(found);
    const told = machine.notes.get(returnTold);
    // A helper of the hook's own it must be that the function returns to, not any code of the hook's.
    if (told && !told.base && !holds(machine, scene.traced)) this.checks.returnsAsTold(found, told);
    this.checks.oldCode(found, { sp, below, callee, tracedAt });
  }

  /**
   * A function runs from its entry's stack pointer and returns, on another processor perhaps; `kept` says what else it
   * gives back than the ABI has it, `back` where it returns to if it does not by the register of the return address.
   */
  private callAndReturn(
    machine: SymbolicMachine,
    name: string,
    callee: Callee,
    sp: Term,
    kept: ReadonlyMap<number, Term>,
    back: Term = machine.read(this.scene.facts.convention.atEntry.returnAddress),
  ): void {
    const { scene } = this;
    const { instructionSet, convention } = scene.facts;
    const { processorArea } = convention;
    machine.step(name, () => {
      machine.write(instructionSet.stackPointer, sp);
      callFunction(machine, scene.facts, callee, name);
      // The caller may have told it where its own variables are.
      machine.loseFrom(scene.above(scene.callersSp, convention.callersFrame.parameters));
      for (const register of convention.results) machine.write(register, scene.result(register));
      for (const [register, value] of kept) machine.write(register, value);
      if (processorArea) machine.write(processorArea.register, scene.areaAfter(processorArea));
      machine.jump(back);
    });
  }
}
