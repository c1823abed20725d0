// What is to be found, in numbers, where a redirect has come to: at the new function's entry, in the old code, and back at
// the caller. It does not matter who ran it, our own machine or QEMU.

import type { ProofFacts } from '../../src/arch/machine.ts';
import type { Redirect } from '../../src/prove/redirect.ts';
import { ConcreteMachine } from '../../src/symbolic/concrete.ts';

/** Something is not as it has to be. */
export class Fault extends Error {}

/** Where things are in a run. The new function is in the stub's module. */
export interface Places {
  readonly old: bigint;
  readonly stub: bigint;
  readonly newFunction: bigint;
  /** Where the caller has called from, and where a tracer of returns has them go. */
  readonly back: bigint;
  readonly tracer: bigint;
  /** The caller's stack pointer. */
  readonly sp: bigint;
  /** Where the processor's own area is, and that of the one on which the function returns. */
  readonly area: bigint;
  readonly areaAfter: bigint;
  /** The kernel's TOC pointer, and the value of `function_trace_op`. */
  readonly toc: bigint;
  readonly ops: bigint;
}

/** One run: what it begins with. */
export interface Beginning {
  readonly at: Places;
  /** Registers at the old function's entry. */
  readonly registers: readonly bigint[];
  /** The first word of the old function that runs. */
  readonly first: number;
  /** Whether the caller sees to its own TOC pointer. */
  readonly restoresToc: boolean;
  /** What memory holds at the beginning. */
  byte(address: bigint): number;
}

/** Registers and the stack as they are somewhere. */
export interface Seen {
  read(register: number): bigint;
  byte(address: bigint): number;
  /** The distances above the caller's sp where something may be another byte than at the beginning. */
  changed(): Iterable<number>;
}

const load = (byte: (address: bigint) => number, address: bigint, size: number): bigint => {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(byte(address + BigInt(i)));
  return value;
};

function same(found: bigint, expected: bigint, what: string): void {
  if (found !== expected) throw new Fault(what);
}

/** How many frames may lie between the handler's caller's and the function's caller's. */
const frameChainSteps = 8;

export class Expectations {
  private readonly facts: ProofFacts;
  private readonly redirect: Redirect;
  private readonly begin: Beginning;

  constructor(facts: ProofFacts, redirect: Redirect, begin: Beginning) {
    this.facts = facts;
    this.redirect = redirect;
    this.begin = begin;
  }

  /** What a handler finds. Throws `Fault`. */
  handler(seen: Seen): void {
    const { convention, hook } = this.facts;
    const { at } = this.begin;
    this.calledFunction(seen);
    same(seen.read(hook.handlerArguments.site), this.site, 'the handler is told another address');
    same(seen.read(hook.handlerArguments.returnAddress), at.back, 'the handler is told another caller');
    same(seen.read(hook.handlerArguments.ops), at.ops, 'the handler gets other ops');
    const plain = this.untraced().registers;
    const { instructionSet: set } = this.facts;
    const { register, size, pc, places } = hook.savedRegisters;
    const saved = seen.read(register);
    const lowest = seen.read(set.stackPointer) + BigInt(convention.stackArguments.at);
    if (saved < lowest || saved + BigInt(size) > plain[set.stackPointer]!)
      throw new Fault('the saved registers are not in the frame');
    const held = (place: number): bigint => this.word(seen, saved + BigInt(place));
    same(held(pc), this.site + 4n, 'the saved pc');
    for (const [n, place] of places)
      if (n !== set.stackPointer || !this.framesAbove(seen).includes(held(place)))
        same(held(place), plain[n]!, `${set.registers[n]!} among the saved registers`);
  }

  /** What the graph tracer finds that the hook calls. Throws `Fault`. */
  graphTracer(seen: Seen): void {
    this.calledFunction(seen);
    const plain = this.untraced().registers;
    for (const [register, n] of this.facts.hook.graph!.unwindsFrom)
      same(seen.read(register), plain[n]!, `${this.facts.instructionSet.registers[n]!} for the tracer`);
  }

  /** What any function of the kernel finds. */
  private calledFunction(seen: Seen): void {
    const { convention, instructionSet: set } = this.facts;
    const { at } = this.begin;
    const sp = seen.read(set.stackPointer);
    if (sp % BigInt(2 ** set.stackAlignment) !== 0n) throw new Fault('the handler’s stack is not aligned');
    if (convention.backChain) {
      const frames = this.framesAbove(seen);
      if (frames.at(-1) !== at.sp) throw new Fault('the handler’s chain of frames');
      if (frames[0]! < sp + BigInt(convention.stackArguments.at))
        throw new Fault('the handler’s caller has too small a frame');
      const back = this.word(seen, at.sp + BigInt(convention.backChain.returnAddressAt));
      same(back, at.back, 'the return address in the caller’s frame');
    }
    if (convention.toc) same(seen.read(convention.toc.register), at.toc, 'the handler’s TOC pointer');
  }

  private get site(): bigint {
    return this.begin.at.old + BigInt(4 * (this.redirect.prologue.length - 1));
  }

  private word(seen: Seen, address: bigint): bigint {
    return load((a) => seen.byte(a), address, this.facts.instructionSet.bits / 8);
  }

  /** The frames that the stack pointer's leads to. */
  private framesAbove(seen: Seen): bigint[] {
    const { convention, instructionSet } = this.facts;
    const { at } = this.begin;
    const frames: bigint[] = [];
    let frame = seen.read(instructionSet.stackPointer);
    for (let n = 0; convention.backChain && n < frameChainSteps && frame !== at.sp; n++) {
      const next = this.word(seen, frame + BigInt(convention.backChain.at));
      frames.push(next);
      if (next <= frame || next > at.sp) break;
      frame = next;
    }
    return frames;
  }

  /** Throws `Fault`. `back` is where the new function is to return to in the end. */
  newFunction(seen: Seen, back: bigint): void {
    const { convention, instructionSet } = this.facts;
    const { registers, at } = this.begin;
    const { arguments: passed, calleeSaved, ownAddress } = convention.atEntry;
    for (const n of [...passed, ...calleeSaved]) same(seen.read(n), registers[n]!, instructionSet.registers[n]!);
    if (ownAddress !== undefined) same(seen.read(ownAddress), at.newFunction, 'its own address');
    const sp = seen.read(instructionSet.stackPointer);
    if (sp % BigInt(2 ** instructionSet.stackAlignment) !== 0n) throw new Fault('the stack is not aligned');
    const given = convention.stackArguments;
    for (let n = 0; n < (this.redirect.stackArguments ?? 0); n++) {
      const place = BigInt(given.at + n * given.size);
      const expected = load((a) => this.begin.byte(a), at.sp + place, given.size);
      same(
        load((a) => seen.byte(a), sp + place, given.size),
        expected,
        `stack argument ${n + 1}`,
      );
    }
    if (convention.backChain && sp !== at.sp) {
      let frame = sp;
      for (let n = 0; n < 8 && frame !== at.sp; n++)
        frame = load((a) => seen.byte(a), frame + BigInt(convention.backChain.at), 8);
      same(frame, at.sp, 'the chain of frames');
      const kept = load((a) => seen.byte(a), at.sp + BigInt(convention.backChain.returnAddressAt), 8);
      same(kept, back, 'the return address in the caller’s frame');
    }
    this.callersStack(seen, 0);
  }

  /** Throws `Fault`. */
  oldCode(seen: Seen, back: bigint): void {
    const { convention, instructionSet, hook } = this.facts;
    const { registers } = this.begin;
    const plain = this.untraced();
    const { arguments: passed, calleeSaved, returnAddress } = convention.atEntry;
    for (const n of [...passed, ...calleeSaved, returnAddress, instructionSet.stackPointer, ...hook.keptAtSite]) {
      // What the prologue took of the return address is the tracer's, too, where it is kept in a register.
      const value = plain.registers[n]!;
      same(seen.read(n), value === registers[returnAddress] ? back : value, instructionSet.registers[n]!);
    }
    const lowest = plain.registers[instructionSet.stackPointer]! - BigInt(instructionSet.redZone);
    for (const [address, value] of plain.written)
      if (address >= lowest) same(BigInt(seen.byte(address)), BigInt(value), 'what the prologue stored');
    this.callersStack(seen, 0);
  }

  /** Throws `Fault`. `results` are those that the function left. */
  caller(seen: Seen, results: readonly bigint[], stackArguments: number): void {
    const { convention, instructionSet } = this.facts;
    const { registers } = this.begin;
    for (const [i, n] of convention.results.entries()) same(seen.read(n), results[i]!, `result ${i + 1}`);
    const area = convention.processorArea?.register;
    for (const n of [...convention.atEntry.calleeSaved, instructionSet.stackPointer])
      same(
        seen.read(n),
        n === area ? this.begin.at.areaAfter : registers[n]!,
        `${instructionSet.registers[n]!} on return`,
      );
    const { toc } = convention;
    if (toc && !this.begin.restoresToc)
      same(seen.read(toc.register), registers[toc.register]!, 'the TOC pointer on return');
    this.callersStack(seen, stackArguments);
  }

  /** Registers and what was stored where the prologue has run and nobody traces. */
  untraced(): { readonly registers: readonly bigint[]; readonly written: ReadonlyMap<bigint, number> } {
    const { instructionSet, hook } = this.facts;
    const { at, first, registers } = this.begin;
    const written = new Map<bigint, number>();
    const memory = {
      byte: (address: bigint) => written.get(address) ?? this.begin.byte(address),
      setByte: (address: bigint, value: number) => written.set(address, value),
    };
    const m = new ConcreteMachine(instructionSet, memory, registers, at.old + BigInt(4 * first));
    for (const word of [...this.redirect.prologue.slice(first, -1), hook.idleSiteWord])
      m.perform(() => instructionSet.execute(m, word));
    return { registers: m.registers, written };
  }

  /** Above the caller's sp nothing is changed but what belongs to a callee. */
  private callersStack(seen: Seen, stackArguments: number): void {
    const { callersFrame, stackArguments: given, toc } = this.facts.convention;
    const { at, registers } = this.begin;
    const owned = [...callersFrame.callees];
    if (stackArguments > 0) owned.push([callersFrame.parameters, given.at + given.size * stackArguments]);
    for (const distance of seen.changed()) {
      if (distance < 0 || owned.some(([from, to]) => distance >= from && distance < to)) continue;
      const address = at.sp + BigInt(distance);
      if (toc && distance >= toc.savedAt && distance < toc.savedAt + 8) {
        // Where nobody has kept a pointer there, the caller's own may be put there.
        const now = load((a) => seen.byte(a), at.sp + BigInt(toc.savedAt), 8);
        if (now === registers[toc.register]) continue;
      }
      if (seen.byte(address) !== this.begin.byte(address)) throw new Fault('the caller’s stack is changed');
    }
  }
}
