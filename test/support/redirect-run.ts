// One redirect run with numbers, from the old function's entry to the caller: what the prover says of all numbers at once,
// tried on some. It shares the semantics with the prover and nothing else; that those are right, QEMU says.
//
// Everything around is as bad as it may be: what lies on the stack below the red zone is another number each time it is
// read, as if an interrupt had been there, the handler and the new function change all that a call may change, and memory
// holds anything.

import { NotUnderstood, type ProofFacts } from '../../src/arch/machine.ts';
import type { Hook, Redirect } from '../../src/prove/redirect.ts';
import { ConcreteMachine } from '../../src/symbolic/concrete.ts';

/** Numbers below what is asked for. */
export type Random = (below: number) => number;

/** Where things are in a run. The new function is in the stub's module. */
const places = {
  32: {
    old: 0xc0800000n,
    stub: 0xbf000000n,
    newFunction: 0xbf100000n,
    back: 0xc0123454n,
    tracer: 0xc0765430n,
    sp: 0xc5001f00n,
  },
  64: {
    old: 0xc000000000800000n,
    stub: 0xc008000000010000n,
    newFunction: 0xc008000000129870n,
    back: 0xc000000000123454n,
    tracer: 0xc000000000765430n,
    sp: 0xc00000000501f000n,
  },
} as const;

/** How far above and below the caller's sp code may write. */
const reach = { above: 1024, below: 4096 } as const;
const mostSteps = 600;

export interface Outcome {
  /** What is wrong, or undefined. */
  readonly fault: string | undefined;
  /** Whether the new function was entered. */
  readonly redirected: boolean;
}

class Fault extends Error {}

class RedirectRun {
  private readonly facts: ProofFacts;
  private readonly hook: Hook;
  private readonly redirect: Redirect;
  private readonly random: Random;
  private readonly at: (typeof places)[32 | 64];
  /** Bytes of the stack, by distance from the caller's sp. */
  private readonly written = new Map<number, number>();
  /** The distance below which there is nothing left; it follows the stack pointer. */
  private lowest = 0;
  private readonly m: ConcreteMachine;
  private readonly begin: readonly bigint[];
  private readonly salt: bigint;
  private readonly redirects: boolean;
  private readonly traces: boolean;
  private readonly graph: boolean;
  private readonly fromAfar: boolean;
  /** The word behind the caller's call. */
  private readonly behindCall: number;
  private handled = false;
  private traced = false;
  private entered: 'the new function' | 'the old code' | undefined;
  private results: readonly bigint[] = [];

  constructor(facts: ProofFacts, hook: Hook, redirect: Redirect, random: Random, kind: number) {
    const { instructionSet: set, convention } = facts;
    this.facts = facts;
    this.hook = hook;
    this.redirect = redirect;
    this.random = random;
    this.at = places[set.bits];
    this.salt = BigInt(random(0x10000));
    this.redirects = (kind & 1) === 0;
    this.traces = (kind & 2) === 0;
    this.graph = hook.graph !== undefined && (kind & 8) !== 0;
    const setUp = convention.toc?.setUpWords(redirect.prologue) ?? 0;
    this.fromAfar = setUp > 0 && (kind & 4) === 0;
    this.behindCall = convention.toc && (this.fromAfar || random(2) === 0) ? convention.toc.restoreWord : 0x60000000;
    const begin = set.registers.map((_, n) => this.number(set.widths.get(n)));
    begin[set.stackPointer] = this.at.sp;
    begin[convention.atEntry.returnAddress] = this.at.back;
    if (convention.processorArea !== undefined) begin[convention.processorArea] = 0xc00000000fff0000n;
    if (this.fromAfar) begin[convention.atEntry.ownAddress!] = this.at.old;
    this.begin = begin;
    const local = this.at.old + BigInt(this.fromAfar ? 0 : 4 * setUp);
    this.m = new ConcreteMachine(
      set,
      { byte: (a) => this.byte(a), setByte: (a, v) => this.setByte(a, v) },
      begin,
      local,
    );
  }

  run(): Outcome {
    let fault: string | undefined;
    try {
      this.runToTheEnd();
    } catch (error) {
      if (!(error instanceof Fault || error instanceof NotUnderstood)) throw error;
      fault = error.message;
    }
    return { fault, redirected: this.entered === 'the new function' };
  }

  private runToTheEnd(): void {
    const { m, hook, facts } = this;
    const site = this.site;
    for (let steps = 0; !(m.pc === this.callersCode && this.entered); steps++) {
      if (steps > mostSteps) throw new Fault('it never ends');
      this.interrupt();
      if (m.pc === this.at.newFunction) this.enterNewFunction();
      else if (m.pc === site + 4n) this.goOnInOldCode();
      else if (m.pc === site) {
        m.perform(() => facts.instructionSet.execute(m, facts.hook.siteWord));
        m.pc = hook.entry;
      } else if (m.pc === hook.handlerCall) this.callHandler();
      else if (this.graph && m.pc === hook.graph!.site) m.pc = hook.graph!.goesTo;
      else if (this.graph && m.pc === hook.graph!.callee) this.callGraphTracer();
      else this.step();
    }
    this.checkReturn();
  }

  private step(): void {
    const { m, redirect, at } = this;
    const index = (base: bigint): number => Number(m.pc - base) / 4;
    const inStub = redirect.stub.words[index(at.stub)];
    const word = redirect.prologue[index(at.old)] ?? inStub ?? this.hook.word(m.pc);
    if (word === undefined) throw new Fault('it jumps to no code');
    const relocation = redirect.stub.relocations.find(({ offset }) => at.stub + BigInt(offset) === m.pc);
    m.perform(() => {
      if (relocation) {
        const { type, addend } = relocation;
        this.facts.executeRelocated<bigint>(m, word, type, addend, at.newFunction);
      } else this.facts.instructionSet.execute(m, word);
    });
  }

  private callHandler(): void {
    const { m, facts } = this;
    const { savedRegisters, siteAddress } = facts.hook;
    const size = (m.bits / 8) as 4 | 8;
    if (m.read(siteAddress) !== this.site) throw new Fault('the handler is told another address');
    this.handled = true;
    const saved = m.read(savedRegisters.register);
    if (this.redirects) m.store(m.constant(saved + BigInt(savedRegisters.pc)), size, this.at.stub);
    if (savedRegisters.returnAddress !== undefined && this.traces) {
      m.store(m.constant(saved + BigInt(savedRegisters.returnAddress)), size, this.at.tracer);
      this.traced = true;
    }
    this.call(0, false);
    m.pc += 4n;
  }

  private callGraphTracer(): void {
    const { m, facts } = this;
    const { siteAddress, returnAddressPlace } = facts.hook.graph!;
    const back = m.read(facts.convention.atEntry.returnAddress);
    const sent = this.handled && this.redirects;
    if (!sent && m.read(siteAddress) !== this.site) throw new Fault('the tracer is told another address');
    if (!sent && this.traces) {
      m.store(m.read(returnAddressPlace), (m.bits / 8) as 4 | 8, this.at.tracer);
      this.traced = true;
    }
    this.call(0, false);
    m.pc = back;
  }

  private enterNewFunction(): void {
    const { m, redirect } = this;
    const { convention, instructionSet } = this.facts;
    if (this.entered || !this.handled || !this.redirects) throw new Fault('it enters the new function');
    this.entered = 'the new function';
    const { arguments: passed, calleeSaved, ownAddress } = convention.atEntry;
    for (const n of [...passed, ...calleeSaved]) this.same(m.read(n), this.begin[n]!, instructionSet.registers[n]!);
    if (ownAddress !== undefined) this.same(m.read(ownAddress), this.at.newFunction, 'its own address');
    if (this.sp % BigInt(2 ** instructionSet.stackAlignment) !== 0n) throw new Fault('the stack is not aligned');
    const { at, size } = convention.stackArguments;
    const count = redirect.stackArguments ?? 0;
    for (let n = 0; n < count; n++) {
      const place = BigInt(at + n * size);
      const expected = this.initial(this.at.sp + place, size);
      this.same(m.load(this.sp + place, size), expected, `stack argument ${n + 1}`);
    }
    if (convention.backChain && this.sp !== this.at.sp) {
      let frame = this.sp;
      for (let n = 0; n < 8 && frame !== this.at.sp; n++) frame = m.load(frame + BigInt(convention.backChain.at), 8);
      this.same(frame, this.at.sp, 'the chain of frames');
      const kept = m.load(this.at.sp + BigInt(convention.backChain.returnAddressAt), 8);
      this.same(kept, this.callersCode, 'the return address in the caller’s frame');
    }
    this.checkCallersStack();
    const back = m.read(convention.atEntry.returnAddress);
    this.call(count, redirect.siblingCalls !== false);
    this.takeResults();
    m.pc = back & ~3n;
  }

  private goOnInOldCode(): void {
    const { m, facts } = this;
    const { convention, instructionSet, hook } = facts;
    if (this.entered || (this.handled && this.redirects)) throw new Fault('it goes on in the old code');
    this.entered = 'the old code';
    const plain = new RedirectPlain(
      facts,
      this.redirect,
      this.at.old,
      this.begin,
      (a) => this.initialByte(a),
      this.fromAfar,
    );
    plain.m.registers[convention.atEntry.returnAddress] = this.callersCode;
    const registers = [...plain.m.registers];
    // What the prologue took of the return address is the tracer's, too, where it is kept in a register.
    const { arguments: passed, calleeSaved, returnAddress } = convention.atEntry;
    for (const n of [...passed, ...calleeSaved, returnAddress, instructionSet.stackPointer, ...hook.keptAtSite]) {
      const expected = registers[n] === this.at.back ? this.callersCode : registers[n]!;
      this.same(m.read(n), expected, `${instructionSet.registers[n]!} in the old code`);
    }
    for (const [address, value] of plain.written)
      if (address >= plain.m.registers[instructionSet.stackPointer]! - BigInt(instructionSet.redZone))
        this.same(BigInt(this.byte(address)), BigInt(value), 'what the prologue stored');
    this.checkCallersStack();
    const back = m.read(returnAddress);
    m.registers[instructionSet.stackPointer] = this.at.sp;
    this.call(0, false);
    if (convention.toc) m.registers[convention.toc.register] = registers[convention.toc.register]!;
    for (const n of calleeSaved) m.registers[n] = this.begin[n]!;
    this.takeResults();
    m.pc = back & ~3n;
  }

  private checkReturn(): void {
    const { m } = this;
    const { convention, instructionSet } = this.facts;
    for (const [i, n] of convention.results.entries()) this.same(m.read(n), this.results[i]!, `result ${i + 1}`);
    for (const n of [...convention.atEntry.calleeSaved, instructionSet.stackPointer])
      this.same(m.read(n), this.begin[n]!, `${instructionSet.registers[n]!} on return`);
    const { toc } = convention;
    if (toc && this.behindCall !== toc.restoreWord)
      this.same(m.read(toc.register), this.begin[toc.register]!, 'the TOC pointer on return');
    const count = this.entered === 'the new function' ? (this.redirect.stackArguments ?? 0) : 0;
    this.checkCallersStack(count);
  }

  /** Above the caller's sp nothing is changed but what belongs to a callee. */
  private checkCallersStack(stackArguments = 0): void {
    const { callersFrame, stackArguments: given, toc } = this.facts.convention;
    const owned = [...callersFrame.callees];
    if (stackArguments > 0) owned.push([callersFrame.parameters, given.at + given.size * stackArguments]);
    for (const distance of this.written.keys()) {
      if (distance < 0 || owned.some(([from, to]) => distance >= from && distance < to)) continue;
      if (toc && distance >= toc.savedAt && distance < toc.savedAt + 8) {
        // Where nobody has kept a pointer there, the caller's own may be put there.
        const slot = this.initial(this.at.sp + BigInt(toc.savedAt), 8);
        const now = this.m.load(this.at.sp + BigInt(toc.savedAt), 8);
        if (now === slot || now === this.begin[toc.register]) continue;
      }
      const address = this.at.sp + BigInt(distance);
      if (this.byte(address) !== this.initialByte(address)) throw new Fault('the caller’s stack is changed');
    }
  }

  /** A call: what it may change holds anything, and so does the stack below and what belongs to it above. */
  private call(stackArguments: number, siblingCalls: boolean): void {
    const { m } = this;
    const { convention, instructionSet } = this.facts;
    this.loseBelow(Number(this.sp - this.at.sp));
    const { callees, parameters } = convention.callersFrame;
    const { at, size } = convention.stackArguments;
    const areas: (readonly [number, number])[] = [...callees];
    if (stackArguments > 0) areas.push([parameters, at + size * stackArguments]);
    if (siblingCalls && convention.toc) areas.push([convention.toc.savedAt, convention.toc.savedAt + 8]);
    for (const [from, to] of areas)
      for (let place = from; place < to; place++) this.setByte(this.sp + BigInt(place), this.random(256));
    for (const n of convention.changedByCalls) m.registers[n] = this.number(instructionSet.widths.get(n));
  }

  private takeResults(): void {
    this.results = this.facts.convention.results.map((n) => this.m.read(n));
  }

  private same(found: bigint, expected: bigint, what: string): void {
    if (found !== expected) throw new Fault(what);
  }

  private get sp(): bigint {
    return this.m.registers[this.facts.instructionSet.stackPointer]!;
  }

  private get site(): bigint {
    return this.at.old + BigInt(4 * (this.redirect.prologue.length - 1));
  }

  private get callersCode(): bigint {
    return this.traced ? this.at.tracer : this.at.back;
  }

  /** What lies below the red zone is gone. */
  private interrupt(): void {
    this.loseBelow(Number(this.sp - this.at.sp) - this.facts.instructionSet.redZone);
  }

  private loseBelow(distance: number): void {
    for (let gone = Math.max(this.lowest, -reach.below); gone < Math.min(distance, 0); gone++)
      this.written.delete(gone);
    this.lowest = Math.min(distance, 0);
  }

  private number(width: number = this.facts.instructionSet.bits): bigint {
    let value = 0n;
    for (let i = 0; i < 4; i++) value = (value << 16n) | BigInt(this.random(0x10000));
    return BigInt.asUintN(width, value);
  }

  private byte(address: bigint): number {
    const distance = Number(BigInt.asIntN(64, address - this.at.sp));
    if (distance < 0 && distance >= -reach.below) {
      const stored = distance < this.lowest ? undefined : this.written.get(distance);
      if (stored !== undefined) return stored;
      const anything = this.random(256);
      if (distance >= this.lowest) this.written.set(distance, anything);
      return anything;
    }
    const known = this.written.get(distance);
    if (known !== undefined) return known;
    const text = this.hook.word(address & ~3n);
    return text === undefined ? this.initialByte(address) : (text >>> (8 * Number(address & 3n))) & 0xff;
  }

  private setByte(address: bigint, value: number): void {
    const distance = Number(BigInt.asIntN(64, address - this.at.sp));
    if (distance < -reach.below || distance >= reach.above) throw new Fault('it writes to what is not its own');
    this.written.set(distance, value);
  }

  private initial(address: bigint, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.initialByte(address + BigInt(i)));
    return value;
  }

  private initialByte(address: bigint): number {
    const { convention } = this.facts;
    const back = Number(address - this.at.back);
    if (back >= 0 && back < 4) return (this.behindCall >>> (8 * back)) & 0xff;
    if (convention.toc && this.fromAfar) {
      const slot = Number(address - this.at.sp) - convention.toc.savedAt;
      if (slot >= 0 && slot < 8) return Number((this.begin[convention.toc.register]! >> BigInt(8 * slot)) & 0xffn);
    }
    // Of the processor's area a quarter is zero.
    const area = convention.processorArea;
    const hash = Number(((address + this.salt) * 2654435761n) % 251n);
    const inArea = area !== undefined && BigInt.asIntN(64, address - this.begin[area]!) >> 12n === 0n;
    return inArea && hash % 4 === 0 ? 0 : hash;
  }
}

/** The prologue where nobody traces. */
class RedirectPlain {
  readonly written = new Map<bigint, number>();
  readonly m: ConcreteMachine;

  constructor(
    facts: ProofFacts,
    { prologue }: Redirect,
    old: bigint,
    begin: readonly bigint[],
    initialByte: (address: bigint) => number,
    fromAfar: boolean,
  ) {
    const setUp = facts.convention.toc?.setUpWords(prologue) ?? 0;
    const first = fromAfar ? 0 : setUp;
    this.m = new ConcreteMachine(
      facts.instructionSet,
      { byte: (a) => this.written.get(a) ?? initialByte(a), setByte: (a, v) => this.written.set(a, v) },
      begin,
      old + BigInt(4 * first),
    );
    for (const word of [...prologue.slice(first, -1), facts.hook.idleSiteWord])
      this.m.perform(() => facts.instructionSet.execute(this.m, word));
  }
}

/**
 * Runs a redirect once, from numbers that `random` gives. `kind` says by its bits whether the handler redirects (0),
 * whether the return is traced, by which entry the function is called, and whether the graph tracer is on.
 */
export const runRedirect = (facts: ProofFacts, hook: Hook, redirect: Redirect, random: Random, kind: number): Outcome =>
  new RedirectRun(facts, hook, redirect, random, kind).run();

/** What is wrong with a redirect in one of so many runs, or undefined. */
export function faultOf(
  facts: ProofFacts,
  hook: Hook,
  redirect: Redirect,
  random: Random,
  runs = 16,
): string | undefined {
  let redirected = false;
  for (let run = 0; run < runs || (!redirected && run < 4 * runs); run++) {
    const outcome = runRedirect(facts, hook, redirect, random, run);
    if (outcome.fault !== undefined) return outcome.fault;
    redirected ||= outcome.redirected;
  }
  return redirected ? undefined : 'it never redirects';
}
