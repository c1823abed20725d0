// Redirects run by QEMU, each from several states: the same that `redirect-run.ts` does on our own machine, by somebody
// who shares nothing with it. What was seen is held against the same expectations.
//
// A program puts one redirect's hook, stub and old function where they belong, in a child of its own, and calls the old
// function. Handler, new function and caller are the program's; the latter two, and what stands behind the call site, write
// down registers and the stack around the caller's stack pointer. A child that crashes or hangs is killed, and what is
// missing then is a fault. Interrupts there are none: those our own machine has.

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Platform } from '../../src/arch/arch.ts';
import type { ProofFacts } from '../../src/arch/machine.ts';
import { run } from '../../src/host/run.ts';
import type { Mutant } from './mutants.ts';
import { type Beginning, Expectations, Fault, type Places, type Seen } from './redirect-expectations.ts';
import { anyBeginning, anyNumber, type Kind, kindOf, type Random } from './redirect-run.ts';

/** Words of code in a case. */
export const room = { hook: 192, stub: 64, old: 8 } as const;
/** States that each redirect runs from: one of each kind. */
export const states = 16;
/** Bytes of the stack that a case sets from the caller's stack pointer on, and those that are written down around it. */
export const stack = { set: 512, below: 1536, above: 256 } as const;
/** Numbers in front of a state's registers. */
export const stateFields = 8;
/** How many places are written down in one run at most. */
export const mostEvents = 5;
/** What each place that is written down is. */
export const stops = { newFunction: 1, oldCode: 2, back: 3, tracer: 4, handler: 5, graphTracer: 6 } as const;

/** A program for one architecture. */
export interface Stage {
  readonly facts: ProofFacts;
  readonly platform: Platform;
  readonly qemu: string;
  /** Assembly of the whole program, and where the linker puts its sections. */
  readonly program: string;
  readonly sections: Readonly<Record<string, number>>;
  readonly compilerFlags: readonly string[];
  /** Registers in the order in which the program loads and stores them. */
  readonly registers: readonly number[];
  /** Where things are; `old`, `stub`, `sp` and `area` are the program's, the others symbols of it. */
  readonly places: Pick<Places, 'old' | 'stub' | 'sp' | 'area' | 'areaAfter' | 'toc' | 'ops'>;
  readonly hookAt: bigint;
  /** The hook's words as they run on the stage. */
  hook(mutant: Mutant, symbols: ReadonlyMap<string, bigint>): number[];
  /** The old function's words, and the stub's with its relocations applied. */
  old(mutant: Mutant, symbols: ReadonlyMap<string, bigint>): number[];
  stub(mutant: Mutant, newFunction: bigint): number[];
  /** The word that stands at the place that the graph tracer changes, if there is one. */
  graphWord?(mutant: Mutant, graph: boolean): number;
  /** The byte of the processor's area that the hook looks at, if it does. */
  readonly flagAt?: number;
}

interface State {
  readonly begin: Beginning;
  readonly kind: Kind;
  readonly results: readonly bigint[];
}

const bytesOf = (words: readonly number[], count: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4 * count));
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word, true);
  return new Uint8Array(view.buffer);
};

function bytesOfNumbers(numbers: readonly bigint[], size: 4 | 8): Uint8Array {
  const view = new DataView(new ArrayBuffer(size * numbers.length));
  for (const [i, number] of numbers.entries()) {
    if (size === 8) view.setBigUint64(8 * i, BigInt.asUintN(64, number), true);
    else view.setUint32(4 * i, Number(BigInt.asUintN(32, number)), true);
  }
  return new Uint8Array(view.buffer);
}

/** Registers as the program loads them: CR and flags in one. */
type Packed = (registers: readonly bigint[]) => bigint[];

function makeState(
  stage: Stage,
  mutant: Mutant,
  at: Places,
  pack: Packed,
  number: number,
  random: Random,
): { state: State; bytes: Uint8Array } {
  const { facts } = stage;
  const { instructionSet: set, convention, hook } = facts;
  const kind = kindOf(number);
  const { redirect } = mutant;
  const begin = anyBeginning(facts, redirect, at, kind, random, random(0x10000));
  const size = (set.bits / 8) as 4 | 8;
  const clobbers = (): bigint[] => set.registers.map((_, n) => anyNumber(random, set.widths.get(n) ?? set.bits));
  const [byHandler, byFunction] = [clobbers(), clobbers()];
  const { at: given, size: each } = convention.stackArguments;
  const count = redirect.stackArguments ?? 0;
  const fields = [
    at.old + BigInt(4 * begin.first),
    kind.redirects ? at.stub : 0n,
    hook.savedRegisters.returnAddress !== undefined && kind.traces ? at.tracer : 0n,
    kind.graph && kind.traces && !kind.redirects ? at.tracer : 0n,
    count > 0 ? BigInt(given + each * count) : 0n,
    redirect.siblingCalls === false ? 0n : 1n,
    stage.flagAt === undefined ? 0n : flagOf(stage, begin),
    BigInt(stage.graphWord?.(mutant, kind.graph) ?? 0),
  ];
  const memory = Uint8Array.from({ length: stack.set }, (_, i) => begin.byte(at.sp + BigInt(i)));
  const numbers = [...fields, ...pack(begin.registers), ...pack(byHandler), ...pack(byFunction)];
  return {
    state: { begin, kind, results: convention.results.map((n) => byFunction[n]!) },
    bytes: joined([bytesOfNumbers(numbers, size), memory]),
  };
}

/** What each byte of the processor's area is that the hook may look at: 0 or 1. */
const flagOf = ({ flagAt }: Stage, { at, byte }: Beginning): bigint =>
  flagAt === undefined || byte(at.area + BigInt(flagAt)) === 0 ? 0n : 1n;

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One place that was written down. */
class Snapshot implements Seen {
  readonly id: bigint;
  private readonly registers: ReadonlyMap<number, bigint>;
  private readonly window: Uint8Array;
  private readonly sp: bigint;

  constructor(id: bigint, registers: ReadonlyMap<number, bigint>, window: Uint8Array, sp: bigint) {
    this.id = id;
    this.registers = registers;
    this.window = window;
    this.sp = sp;
  }

  read(register: number): bigint {
    return this.registers.get(register) ?? 0n;
  }

  byte(address: bigint): number {
    const index = Number(BigInt.asIntN(64, address - this.sp)) + stack.below;
    const byte = this.window[index];
    if (byte === undefined) throw new Fault('it is far from the caller’s frame');
    return byte;
  }

  *changed(): Iterable<number> {
    for (let distance = 0; distance < stack.above; distance++) yield distance;
  }
}

/** What one run has written down: its number, what handler and graph tracer were told, the places. */
interface WrittenDown {
  readonly told: bigint;
  readonly traced: bigint;
  readonly events: readonly Snapshot[];
}

/** What is wrong with a run, or undefined. */
function faultOfRun(
  facts: ProofFacts,
  mutant: Mutant,
  { begin, kind, results }: State,
  seen: WrittenDown,
): string | undefined {
  const { redirect } = mutant;
  const site = begin.at.old + BigInt(4 * (redirect.prologue.length - 1));
  const expectations = new Expectations(facts, redirect, begin);
  const handled = seen.told !== 0n;
  const sent = handled && kind.redirects;
  const byHandler = handled && facts.hook.savedRegisters.returnAddress !== undefined && kind.traces;
  const byTracer = seen.traced !== 0n && kind.traces && !sent;
  const isTraced = byHandler || byTracer;
  const back = isTraced ? begin.at.tracer : begin.at.back;
  try {
    if (handled && seen.told !== site) return 'the handler is told another address';
    if (byTracer && seen.traced !== site) return 'the tracer is told another address';
    const at = (id: number): Snapshot[] => seen.events.filter((each) => each.id === BigInt(id));
    for (const each of at(stops.handler)) expectations.handler(each);
    for (const each of at(stops.graphTracer)) expectations.graphTracer(each);
    if (at(stops.handler).length > 1) return 'the handler is asked again';
    const [first, ...returns] = seen.events.filter(({ id }) => id <= stops.tracer);
    if (!first || first.id !== BigInt(sent ? stops.newFunction : stops.oldCode)) return 'it goes the wrong way';
    if (sent) expectations.newFunction(first, back);
    else expectations.oldCode(first, back);
    const goesTo = isTraced ? [stops.tracer, stops.back] : [stops.back];
    if (String(returns.map(({ id }) => id)) !== String(goesTo)) return 'it returns to somewhere else';
    expectations.caller(returns.at(-1)!, results, sent ? (redirect.stackArguments ?? 0) : 0);
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

/** For each mutant, what is wrong with it in one of its runs under QEMU, or undefined. `folder` is for the program. */
export async function qemuFaults(
  folder: string,
  stage: Stage,
  mutants: readonly Mutant[],
  random: Random,
): Promise<(string | undefined)[]> {
  const path = (name: string): string => join(folder, name);
  const { facts, platform, sections } = stage;
  const size = (facts.instructionSet.bits / 8) as 4 | 8;
  await writeFile(path('stage.s'), stage.program);
  await writeFile(path('cases'), new Uint8Array(size));
  const places = Object.entries(sections).map(([name, at]) => `-Wl,--section-start=${name}=0x${at.toString(16)}`);
  const options = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-o', 'stage', 'stage.s'];
  const link = () =>
    run(`${platform.cross.prefix}gcc`, [...stage.compilerFlags, ...places, ...options], { cwd: folder });
  await link();
  const { stdout: names } = await run(`${platform.cross.prefix}nm`, ['stage'], { cwd: folder });
  const symbols = new Map(
    [...names.matchAll(/^([0-9a-f]+) \w (\w+)$/gm)].map(([, at, name]) => [name!, BigInt(`0x${at}`)]),
  );
  const symbol = (name: string): bigint => symbols.get(name)!;
  const at: Places = {
    ...stage.places,
    newFunction: symbol('new_function'),
    back: symbol('back'),
    tracer: symbol('tracer'),
  };
  const pack: Packed = (registers) => packRegisters(stage, registers);

  const made: State[][] = [];
  const parts: Uint8Array[] = [];
  for (const mutant of mutants) {
    parts.push(bytesOf(stage.hook(mutant, symbols), room.hook));
    parts.push(bytesOf(stage.stub(mutant, at.newFunction), room.stub));
    parts.push(bytesOf(stage.old(mutant, symbols), room.old));
    const own = Array.from({ length: states }, (_, n) => makeState(stage, mutant, at, pack, n, random));
    parts.push(...own.map(({ bytes }) => bytes));
    made.push(own.map(({ state }) => state));
  }
  await writeFile(path('cases'), joined(parts));
  await link();
  const command = `ulimit -c 0; exec ${stage.qemu} "$0"`;
  const { stdout, error } = spawnSync('sh', ['-c', command, path('stage')], {
    maxBuffer: 1 << 29,
    timeout: 590_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (error) throw error;
  const seen = readBlocks(stage, stdout, at.sp);
  return mutants.map((mutant, n) => {
    let redirected = false;
    const asked = new Map<bigint, boolean>();
    for (const [i, state] of made[n]!.entries()) {
      const one = seen.get(n * states + i);
      if (!one) return 'it crashes, or never ends';
      const fault = faultOfRun(facts, mutant, state, one);
      if (fault !== undefined) return fault;
      redirected ||= one.events.some(({ id }) => id === BigInt(stops.newFunction));
      const flag = flagOf(stage, state.begin);
      const isAsked = one.told !== 0n;
      if ((asked.get(flag) ?? isAsked) !== isAsked) return 'whether a handler is asked depends on the caller';
      asked.set(flag, isAsked);
    }
    return redirected ? undefined : 'it never redirects';
  });
}

const eventSize = (stage: Stage, size: number): number =>
  size * (1 + stage.registers.length) + stack.below + stack.above;

function readBlocks(stage: Stage, output: Uint8Array, sp: bigint): Map<number, WrittenDown> {
  const { bits } = stage.facts.instructionSet;
  const size = bits / 8;
  const each = eventSize(stage, size);
  const block = 4 * size + mostEvents * each;
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const number = (at: number): bigint => (size === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
  const found = new Map<number, WrittenDown>();
  for (let at = 0; at + block <= output.length; at += block) {
    const events: Snapshot[] = [];
    for (let n = 0; n < Number(number(at + 3 * size)); n++) {
      const start = at + 4 * size + n * each;
      const values = stage.registers.map((_, i) => number(start + size * (1 + i)));
      const window = output.slice(start + each - stack.below - stack.above, start + each);
      events.push(new Snapshot(number(start), unpackRegisters(stage, values), window, sp));
    }
    found.set(Number(number(at)), { told: number(at + size), traced: number(at + 2 * size), events });
  }
  return found;
}

/**
 * Registers of the machine by the program's order. A register that the program has as one, and the machine in parts, stands
 * for the first of the parts; the parts have their places in it.
 */
function packRegisters(stage: Stage, registers: readonly bigint[]): bigint[] {
  const { widths, bits } = stage.facts.instructionSet;
  return stage.registers.map((register) => {
    const width = widths.get(register);
    if (width === undefined) return registers[register]!;
    // Parts of the same width, the first one uppermost of 32 bits.
    let value = 0n;
    for (let n = register, top = 32; widths.get(n) === width && top > 0; n++) {
      top -= width;
      value |= registers[n]! << BigInt(top);
    }
    return BigInt.asUintN(bits, value);
  });
}

function unpackRegisters(stage: Stage, values: readonly bigint[]): Map<number, bigint> {
  const { widths } = stage.facts.instructionSet;
  const registers = new Map<number, bigint>();
  for (const [i, register] of stage.registers.entries()) {
    const width = widths.get(register);
    if (width === undefined) registers.set(register, values[i]!);
    else
      for (let n = register, top = 32; widths.get(n) === width && top > 0; n++) {
        top -= width;
        registers.set(n, (values[i]! >> BigInt(top)) & ((1n << BigInt(width)) - 1n));
      }
  }
  return registers;
}
