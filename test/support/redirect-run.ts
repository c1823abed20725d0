// One redirect run with numbers, from the old function's entry to the caller: what the prover says of all numbers at once,
// tried on some. It shares the semantics with the prover and nothing else; that those are right, QEMU says.
//
// Everything around is as bad as it may be: what lies on the stack below the red zone is another number each time it is
// read, as if an interrupt had been there, the handler and the new function change all that a call may change, and memory
// holds anything.

import { NotUnderstood, type ProofFacts } from '../../src/arch/machine.ts';
import type { Hook, Redirect } from '../../src/prove/redirect.ts';
import { ConcreteMachine } from '../../src/symbolic/concrete.ts';
import { type Beginning, Expectations, Fault, type Places, type Seen } from './redirect-expectations.ts';

/** Numbers below what is asked for. */
export type Random = (below: number) => number;

const places: Readonly<Record<32 | 64, Omit<Places, 'toc' | 'ops'>>> = {
  32: {
    old: 0xc0800000n,
    stub: 0xbf000000n,
    newFunction: 0xbf100000n,
    back: 0xc0123454n,
    tracer: 0xc0765430n,
    sp: 0xc5001f00n,
    area: 0n,
    areaAfter: 0n,
  },
  64: {
    old: 0xc000000000800000n,
    stub: 0xc008000000010000n,
    newFunction: 0xc008000000129870n,
    back: 0xc000000000123454n,
    tracer: 0xc000000000765430n,
    sp: 0xc00000000501f000n,
    area: 0xc00000000fff0000n,
    areaAfter: 0xc00000000ffd0000n,
  },
};

/** How far above and below the caller's sp code may write. */
const reach = { above: 1024, below: 4096 } as const;
const mostSteps = 600;

/** An instruction behind a call that loads nothing. */
const anyInstruction = 0x60000000;

/** A number of so many bits. */
export function anyNumber(random: Random, bits: number): bigint {
  let value = 0n;
  for (let i = 0; i < 4; i++) value = (value << 16n) | BigInt(random(0x10000));
  return BigInt.asUintN(bits, value);
}

/** How a run goes, by the bits of a number: each of the first sixteen goes another way. */
export interface Kind {
  readonly redirects: boolean;
  readonly traces: boolean;
  /** Whether the old function is called at its global entry, where it has two. */
  readonly fromAfar: boolean;
  readonly graph: boolean;
}

export const kindOf = (kind: number): Kind => ({
  redirects: (kind & 1) === 0,
  traces: (kind & 2) === 0,
  fromAfar: (kind & 4) === 0,
  graph: (kind & 8) !== 0,
});

/**
 * A beginning with anything in registers and memory; many an argument is 0. `areaSalt` says what the processor's area has:
 * the same each time for the same number.
 */
export function anyBeginning(
  facts: ProofFacts,
  redirect: Redirect,
  at: Places,
  kind: Kind,
  random: Random,
  areaSalt: number,
): Beginning {
  const { instructionSet: set, convention } = facts;
  const setUp = convention.toc?.setUpWords(redirect.prologue) ?? 0;
  const fromAfar = setUp > 0 && kind.fromAfar;
  const behindCall = convention.toc && (fromAfar || random(2) === 0) ? convention.toc.restoreWord : anyInstruction;
  const registers = set.registers.map((_, n) => anyNumber(random, set.widths.get(n) ?? set.bits));
  for (const n of convention.atEntry.arguments) if (random(2) === 0) registers[n] = 0n;
  registers[set.stackPointer] = at.sp;
  registers[convention.atEntry.returnAddress] = at.back;
  if (convention.processorArea) registers[convention.processorArea.register] = at.area;
  if (fromAfar) registers[convention.atEntry.ownAddress!] = at.old;
  const salt = BigInt(random(0x10000));
  return {
    at,
    registers,
    first: fromAfar ? 0 : setUp,
    restoresToc: behindCall !== anyInstruction,
    byte: (address) => {
      const back = Number(address - at.back);
      if (back >= 0 && back < 4) return (behindCall >>> (8 * back)) & 0xff;
      // Whoever calls into another module has kept its pointer.
      const slot = convention.toc && fromAfar ? Number(address - at.sp) - convention.toc.savedAt : -1;
      if (slot >= 0 && slot < 8) return Number((registers[convention.toc!.register]! >> BigInt(8 * slot)) & 0xffn);
      const hashOf = (more: bigint): number => Number(((address + more) * 2654435761n) % 251n);
      const area = convention.processorArea;
      const inArea = area ? [at.area, at.areaAfter].find((start) => (address - start) >> 12n === 0n) : undefined;
      if (inArea === undefined) return hashOf(salt);
      const place = Number(address - inArea);
      if ([...area!.addresses.keys()].includes(place & ~7)) return Number((at.toc >> BigInt(8 * (place & 7))) & 0xffn);
      // Of the processor's area a quarter is zero.
      const hash = hashOf(BigInt(areaSalt));
      return hash % 4 === 0 ? 0 : hash;
    },
  };
}

export interface Outcome {
  /** What is wrong, or undefined. */
  readonly fault: string | undefined;
  /** Whether the new function was entered. */
  readonly redirected: boolean;
  /** Whether a handler was asked. */
  readonly asked: boolean;
}

class RedirectRun implements Seen {
  private readonly facts: ProofFacts;
  private readonly hook: Hook;
  private readonly redirect: Redirect;
  private readonly random: Random;
  private readonly kind: Kind;
  private readonly begin: Beginning;
  private readonly expectations: Expectations;
  private readonly m: ConcreteMachine;
  /** Bytes of the stack, by distance from the caller's sp. */
  private readonly written = new Map<number, number>();
  /** The distance below which there is nothing left; it follows the stack pointer. */
  private lowest = 0;
  private handled = false;
  /** Where the tracer of returns sends whoever comes to it; undefined where nobody is to come, or has come. */
  private traced: bigint | undefined;
  private entered: 'the new function' | 'the old code' | undefined;
  private results: readonly bigint[] = [];

  constructor(facts: ProofFacts, hook: Hook, redirect: Redirect, random: Random, kind: Kind, areaSalt: number) {
    this.facts = facts;
    this.hook = hook;
    this.redirect = redirect;
    this.random = random;
    this.kind = kind;
    const { bits } = facts.instructionSet;
    const toc = hook.symbol?.(facts.convention.toc?.kernels ?? '') ?? 0n;
    const ops = anyNumber(random, bits);
    this.begin = anyBeginning(facts, redirect, { ...places[bits], toc, ops }, kind, random, areaSalt);
    this.expectations = new Expectations(facts, redirect, this.begin);
    const { at, registers, first } = this.begin;
    const memory = {
      byte: (address: bigint) => this.byte(address),
      setByte: (address: bigint, value: number) => this.setByte(address, value),
    };
    this.m = new ConcreteMachine(facts.instructionSet, memory, registers, at.old + BigInt(4 * first));
  }

  run(): Outcome {
    let fault: string | undefined;
    try {
      this.runToTheEnd();
    } catch (error) {
      if (!(error instanceof Fault || error instanceof NotUnderstood)) throw error;
      fault = error.message;
    }
    return { fault, redirected: this.entered === 'the new function', asked: this.handled };
  }

  private runToTheEnd(): void {
    const { m, hook, facts, begin } = this;
    const graph = this.kind.graph ? hook.graph : undefined;
    for (let steps = 0; !(m.pc === begin.at.back && this.entered); steps++) {
      if (steps > mostSteps) throw new Fault('it never ends');
      this.loseBelow(this.distance - facts.instructionSet.redZone);
      if (m.pc === begin.at.newFunction) this.enterNewFunction();
      else if (m.pc === this.site + 4n) this.goOnInOldCode();
      else if (m.pc === this.site) {
        m.perform(() => facts.instructionSet.execute(m, facts.hook.siteWord));
        m.pc = hook.entry;
      } else if (m.pc === hook.handlerCall) this.callHandler();
      else if (m.pc === graph?.site) m.pc = graph.goesTo;
      else if (m.pc === graph?.callee) this.callGraphTracer();
      else if (m.pc === begin.at.tracer && this.entered) this.returnThroughTracer();
      else this.step();
    }
    if (this.traced !== undefined) throw new Fault('it returns past who traces it');
    const isNew = this.entered === 'the new function';
    this.expectations.caller(this, this.results, isNew ? (this.redirect.stackArguments ?? 0) : 0);
  }

  private step(): void {
    const { m, redirect } = this;
    const { at } = this.begin;
    const index = (base: bigint): number => Number(m.pc - base) / 4;
    const word = redirect.prologue[index(at.old)] ?? redirect.stub.words[index(at.stub)] ?? this.hook.word(m.pc);
    if (word === undefined) throw new Fault('it jumps to no code');
    const relocation = redirect.stub.relocations.find(({ offset }) => at.stub + BigInt(offset) === m.pc);
    m.perform(() => {
      if (relocation) this.facts.executeRelocated<bigint>(m, word, relocation.type, relocation.addend, at.newFunction);
      else this.facts.instructionSet.execute(m, word);
    });
  }

  private callHandler(): void {
    const { m, facts, kind } = this;
    const { savedRegisters } = facts.hook;
    const size = (m.bits / 8) as 4 | 8;
    if (this.handled || this.entered) throw new Fault('the handler is asked again');
    this.expectations.handler(this);
    this.handled = true;
    const saved = m.read(savedRegisters.register);
    if (kind.redirects) m.store(m.constant(saved + BigInt(savedRegisters.pc)), size, this.begin.at.stub);
    if (savedRegisters.returnAddress !== undefined && kind.traces) {
      this.traceReturn(m.constant(saved + BigInt(savedRegisters.returnAddress)), size);
    }
    this.call(0, false, true);
    m.pc += 4n;
  }

  private callGraphTracer(): void {
    const { m, facts, kind } = this;
    const { siteAddress, returnAddressPlace } = facts.hook.graph!;
    const back = m.read(facts.convention.atEntry.returnAddress);
    this.expectations.graphTracer(this);
    const sent = this.handled && kind.redirects;
    if (!sent && m.read(siteAddress) !== this.site) throw new Fault('the tracer is told another address');
    if (!sent && kind.traces) {
      this.traceReturn(m.read(returnAddressPlace), (m.bits / 8) as 4 | 8);
    }
    this.call(0, false);
    m.pc = back;
  }

  private traceReturn(place: bigint, size: 4 | 8): void {
    this.traced = this.m.load(place, size);
    this.m.store(place, size, this.begin.at.tracer);
  }

  /** It gives back what a function gives back, and its TOC pointer to whoever relies on it. */
  private returnThroughTracer(): void {
    const { m } = this;
    const { results, toc } = this.facts.convention;
    if (this.traced === undefined) throw new Fault('it returns to a tracer that does not wait for it');
    const to = this.traced;
    this.traced = undefined;
    const kept = [...results, ...(toc && !this.begin.restoresToc ? [toc.register] : [])];
    const values = kept.map((n) => [n, m.read(n)] as const);
    this.call(0, false);
    for (const [n, value] of values) m.registers[n] = value;
    m.pc = to;
  }

  private enterNewFunction(): void {
    const { m, redirect } = this;
    if (this.entered || !this.handled || !this.kind.redirects) throw new Fault('it enters the new function');
    this.entered = 'the new function';
    this.expectations.newFunction(this, this.back);
    const back = m.read(this.facts.convention.atEntry.returnAddress);
    this.call(redirect.stackArguments ?? 0, redirect.siblingCalls !== false, redirect.usesParameterArea !== false);
    this.goOnElsewhere();
    this.results = this.facts.convention.results.map((n) => m.read(n));
    m.pc = back & ~3n;
  }

  private goOnInOldCode(): void {
    const { m, facts } = this;
    const { convention, instructionSet } = facts;
    if (this.entered || (this.handled && this.kind.redirects)) throw new Fault('it goes on in the old code');
    this.entered = 'the old code';
    this.expectations.oldCode(this, this.back);
    const back = m.read(convention.atEntry.returnAddress);
    const toc = convention.toc && m.read(convention.toc.register);
    m.registers[instructionSet.stackPointer] = this.begin.at.sp;
    this.call(0, false);
    if (convention.toc) m.registers[convention.toc.register] = toc!;
    for (const n of convention.atEntry.calleeSaved) m.registers[n] = this.begin.registers[n]!;
    this.goOnElsewhere();
    this.results = convention.results.map((n) => m.read(n));
    m.pc = back & ~3n;
  }

  /** Whoever has slept may be on another processor. */
  private goOnElsewhere(): void {
    const area = this.facts.convention.processorArea;
    if (area) this.m.registers[area.register] = this.begin.at.areaAfter;
  }

  /** A call: what it may change holds anything, and so does the stack below and what belongs to it above. */
  private call(stackArguments: number, siblingCalls: boolean, usesParameterArea = false): void {
    const { m } = this;
    const { convention, instructionSet } = this.facts;
    const sp = m.registers[instructionSet.stackPointer]!;
    this.loseBelow(this.distance);
    for (const [from, to] of areasOf(this.facts, stackArguments, siblingCalls, usesParameterArea))
      for (let place = from; place < to; place++) this.setByte(sp + BigInt(place), this.random(256));
    for (const n of convention.changedByCalls)
      m.registers[n] = anyNumber(this.random, instructionSet.widths.get(n) ?? instructionSet.bits);
  }

  private get site(): bigint {
    return this.begin.at.old + BigInt(4 * (this.redirect.prologue.length - 1));
  }

  private get back(): bigint {
    return this.traced === undefined ? this.begin.at.back : this.begin.at.tracer;
  }

  /** From the caller's stack pointer to where it is now. */
  private get distance(): number {
    const sp = this.m.registers[this.facts.instructionSet.stackPointer]!;
    return Number(BigInt.asIntN(64, sp - this.begin.at.sp));
  }

  private loseBelow(distance: number): void {
    const end = Math.min(distance, 0);
    for (let gone = Math.max(this.lowest, -reach.below); gone < end; gone++) this.written.delete(gone);
    this.lowest = end;
  }

  read(register: number): bigint {
    return this.m.read(register);
  }

  changed(): Iterable<number> {
    return this.written.keys();
  }

  byte(address: bigint): number {
    const distance = Number(BigInt.asIntN(64, address - this.begin.at.sp));
    if (distance < 0 && distance >= -reach.below) {
      const stored = distance < this.lowest ? undefined : this.written.get(distance);
      if (stored !== undefined) return stored;
      const anything = this.random(256);
      if (distance >= this.lowest) this.written.set(distance, anything);
      return anything;
    }
    const known = this.written.get(distance);
    if (known !== undefined) return known;
    const inOps = this.hook.ops === undefined ? -1 : Number(address - this.hook.ops);
    if (inOps >= 0 && inOps < this.m.bits / 8) return Number((this.begin.at.ops >> BigInt(8 * inOps)) & 0xffn);
    const text = this.hook.word(address & ~3n);
    return text === undefined ? this.begin.byte(address) : (text >>> (8 * Number(address & 3n))) & 0xff;
  }

  private setByte(address: bigint, value: number): void {
    const distance = Number(BigInt.asIntN(64, address - this.begin.at.sp));
    if (distance < -reach.below || distance >= reach.above) throw new Fault('it writes to what is not its own');
    this.written.set(distance, value);
  }
}

/** What a function may write above the stack pointer that it was entered with, as [from, to). */
export function areasOf(
  { convention }: ProofFacts,
  stackArguments: number,
  siblingCalls: boolean,
  usesParameterArea: boolean,
): readonly (readonly [from: number, to: number])[] {
  const { callersFrame, stackArguments: given, toc } = convention;
  const areas: (readonly [number, number])[] = [...callersFrame.callees];
  if (stackArguments > 0 || usesParameterArea)
    areas.push([callersFrame.parameters, given.at + given.size * stackArguments]);
  if (siblingCalls && toc) areas.push([toc.savedAt, toc.savedAt + 8]);
  return areas;
}

/** What is wrong with a redirect in one of so many runs from other numbers, each of another kind, or undefined. */
export function faultOf(
  facts: ProofFacts,
  hook: Hook,
  redirect: Redirect,
  random: Random,
  runs = 16,
): string | undefined {
  let redirected = false;
  const asked = new Map<number, boolean>();
  const salts = [random(0x10000), random(0x10000)];
  for (let run = 0; run < runs || (!redirected && run < 4 * runs); run++) {
    // Each half with what one processor has; more, if none of them lets a handler be asked.
    const areaSalt = salts[Math.floor((2 * run) / runs)] ?? random(0x10000);
    const outcome = new RedirectRun(facts, hook, redirect, random, kindOf(run), areaSalt).run();
    if (outcome.fault !== undefined) return outcome.fault;
    if ((asked.get(areaSalt) ?? outcome.asked) !== outcome.asked)
      return 'whether a handler is asked depends on the caller';
    asked.set(areaSalt, outcome.asked);
    redirected ||= outcome.redirected;
  }
  return redirected ? undefined : 'it never redirects';
}
