// What a proof is about: code at addresses that are terms, and the machine that begins to run it.

import type { IslandWord, RecipeField } from '../arch/arch.ts';
import { NotUnderstood, type ProcessorArea, type ProofFacts } from '../arch/machine.ts';
import { SymbolicMachine, Undecided } from '../symbolic/machine.ts';
import { onlyAtom, same, type Term, Terms } from '../symbolic/terms.ts';
import { resultName } from './callee.ts';
import type { Hook, Redirect } from './redirect.ts';

/** A kernel's stack is 8 or 16 KiB; nobody needs to go further. */
const stackReach = 8192;

/** One way in which the old function is called, and one form of the hook. */
export interface Entry {
  readonly name: string;
  /** The first word that runs. */
  readonly index: number;
  /** Whether the caller calls into another module, and sees to its TOC pointer itself. */
  readonly fromAfar: boolean;
  readonly graph: boolean;
  /** In the entry way: whether the branch leads to an island. */
  readonly byIsland?: boolean;
}

/** All ways and forms that there are. */
export function* entriesOf({ convention }: ProofFacts, hook: Hook, { prologue, island }: Redirect): Iterable<Entry> {
  const local = convention.toc?.setUpWords(prologue) ?? 0;
  if (island) {
    for (const byIsland of island.words.length > 0 ? [...(island.always ? [] : [false]), true] : [false]) {
      const form = byIsland ? ', by way of an island' : '';
      if (local > 0) yield { name: `its global entry${form}`, index: 0, fromAfar: true, graph: false, byIsland };
      yield {
        name: `its ${local > 0 ? 'local ' : ''}entry${form}`,
        index: local,
        fromAfar: false,
        graph: false,
        byIsland,
      };
    }
    return;
  }
  for (const graph of hook.graph ? [false, true] : [false]) {
    const form = graph ? ', with the graph tracer on' : '';
    if (local === 0) yield { name: `its entry${form}`, index: 0, fromAfar: false, graph };
    else {
      yield { name: `its global entry${form}`, index: 0, fromAfar: true, graph };
      yield { name: `its local entry${form}`, index: local, fromAfar: false, graph };
    }
  }
}

export class Scene {
  readonly facts: ProofFacts;
  readonly hook: Hook;
  readonly redirect: Redirect;
  readonly entry: Entry;
  readonly terms: Terms;
  readonly oldFunction: Term;
  readonly stub: Term;
  readonly island: Term;
  readonly newFunction: Term;
  /** Whether the handler sends the hook to the stub. */
  readonly redirected: Term;
  /** Whether the handler, or the graph tracer, asks to be told of the return, and where the function then returns to. */
  readonly traced: Term;
  readonly tracer: Term;
  /** What keeps a run from being a proof although it could go on. */
  readonly doubts = new Set<string>();
  /** The machine at the old function's entry. */
  readonly begin: SymbolicMachine;
  private plain: SymbolicMachine | undefined;

  constructor(facts: ProofFacts, hook: Hook, redirect: Redirect, entry: Entry) {
    const terms = new Terms(facts.instructionSet.bits);
    const code = Math.log2(facts.instructionSet.instructionSize);
    this.facts = facts;
    this.hook = hook;
    this.redirect = redirect;
    this.entry = entry;
    this.terms = terms;
    this.oldFunction = terms.initial('old function', code);
    this.island = terms.initial('island', code);
    const hasStub = redirect.stub.words.length > 0;
    const reached = (name: string): Term => this.targetOf(name, code);
    this.stub = hasStub ? reached('stub') : terms.initial('stub', code);
    this.newFunction = hasStub ? terms.initial('new function', code) : reached('new function');
    this.redirected = terms.initial('whether the handler redirects', 0, 1);
    this.traced = terms.initial('whether the return is traced', 0, 1);
    this.tracer = terms.initial('the tracer of returns', code);
    this.begin = this.machine();
  }

  /** A machine at the old function's entry; `changed` says what is otherwise there than the caller has it. */
  machine(changed: ReadonlyMap<number, Term> = new Map()): SymbolicMachine {
    const { instructionSet: set, convention } = this.facts;
    const { terms, entry } = this;
    const registers = new Map<number, Term>();
    for (const [register, zeros] of convention.alignment)
      registers.set(register, terms.initial(set.registers[register]!, zeros));
    const { ownAddress } = convention.atEntry;
    if (entry.fromAfar && ownAddress !== undefined) registers.set(ownAddress, this.oldFunction);
    for (const [register, value] of changed) registers.set(register, value);
    const machine: SymbolicMachine = new SymbolicMachine({
      set,
      terms,
      pc: this.behind(this.oldFunction, entry.index),
      registers,
      stackReach,
      unknowable: this.facts.mayBeAbsent,
      elsewhere: (address, size, pc) => this.elsewhere(address, size, pc),
      onStack: (distance, size, pc) => this.onStack(distance, size, pc),
    });
    // A hook may look whether it is to go on where it came from. No other code is there.
    machine.assume(terms.apply('equal', this.destination, this.behind(this.site, 1)), false);
    // At an entry nobody is asked.
    if (this.redirect.island) machine.assume(this.redirected, true);
    const restores = this.callerRestores();
    if (restores && entry.fromAfar) machine.assume(restores, true);
    return machine;
  }

  /** What memory holds beside the stack. A load that may find none would trap; that is noted, and it goes on. */
  private elsewhere(address: Term, size: number, pc: Term): Term | 'any' | undefined {
    const { terms, facts, hook } = this;
    this.checkAlignment(address, size, pc);
    const { convention, instructionSet: set } = facts;
    const back = terms.initial(set.registers[convention.atEntry.returnAddress]!);
    // The word behind the caller's call, and the tracer's first.
    if (size === 4 && convention.toc && (same(address, back) || same(address, this.tracer)))
      return terms.memory(address, size);
    const literal = this.islandWordAt(address);
    if (literal?.field) return 8 * size === literal.field.width ? this.fieldOfTarget(literal.field) : undefined;
    if (hook.ops !== undefined && 8 * size === set.bits && !address.base && address.plus === hook.ops) return this.ops;
    const area = convention.processorArea;
    if (area && this.isInProcessorArea(address)) {
      const at = Number(address.plus);
      const symbol = 8 * size === set.bits ? area.addresses.get(at) : undefined;
      const known = symbol === undefined ? undefined : hook.symbol?.(symbol);
      if (known !== undefined) return terms.constant(known);
      if (at + size <= area.size) return 'any';
    }
    // What the old function loads before its call site is there, or nobody calls it.
    const isOwn = pc.base === this.oldFunction.base;
    const isThere = !address.base && (hook.isThere?.(address.plus, size) ?? true);
    if (!isOwn && !isThere)
      this.doubts.add(
        `at ${terms.describe(pc)}: it loads from ${terms.describe(address)}, where there may be no memory`,
      );
    // A pointer that the caller has on its stack leads wherever the caller likes.
    return onlyAtom({ ...address, plus: 0n })?.origin.kind === 'memory' ? 'any' : undefined;
  }

  /**
   * What hook and stub access on the stack must be there. Above the caller's stack pointer that is a frame's header and the
   * stack arguments that there are; how many there may be nobody can read. Below it is as much as one function may have.
   */
  private onStack(distance: number, size: number, pc: Term): void {
    const { terms, facts, redirect } = this;
    this.checkAlignment(this.above(this.callersSp, distance), size, pc);
    if (pc.base && pc.base !== this.stub.base && pc.base !== this.island.base) return;
    const { stackArguments, callersFrame } = facts.convention;
    const count = redirect.stackArguments ?? 0;
    const hasArea = redirect.usesParameterArea === true || count > 0;
    const end = hasArea ? stackArguments.at + stackArguments.size * count : callersFrame.parameters;
    const isDeep = distance < -facts.mostStack && distance < this.depthAtSite - facts.mostStack;
    if (distance + size <= end && !isDeep) return;
    const place = terms.describe(this.above(this.callersSp, distance));
    this.doubts.add(`at ${terms.describe(pc)}: it accesses ${place}, where there may be no memory`);
  }

  /** Where a kernel's processors do something of their own with what is not aligned, it must be. */
  private checkAlignment(address: Term, size: number, pc: Term): void {
    const { terms, facts } = this;
    if (!facts.wantsAlignment || same(terms.apply('and', address, terms.constant(size - 1)), terms.constant(0))) return;
    const place = `${terms.describe(address)}, which may be no multiple of ${size}`;
    this.doubts.add(`at ${terms.describe(pc)}: it accesses ${place}, as processors of this kernel want it`);
  }

  /** Whether the word behind the caller’s call is the one that loads the caller's TOC pointer. */
  callerRestores(): Term | undefined {
    const { convention, instructionSet } = this.facts;
    if (!convention.toc) return undefined;
    const { terms } = this;
    const behindCall = terms.memory(terms.initial(instructionSet.registers[convention.atEntry.returnAddress]!), 4);
    return terms.apply('equal', behindCall, terms.constant(convention.toc.restoreWord));
  }

  /** What the handler sends the hook to. */
  get destination(): Term {
    return this.redirect.stub.words.length > 0 ? this.stub : this.newFunction;
  }

  /** The address of the call site. */
  get site(): Term {
    return this.behind(this.oldFunction, this.redirect.prologue.length - 1);
  }

  /** The address of the n-th instruction from one on. */
  behind(from: Term, n: number): Term {
    return this.terms.apply('add', from, this.terms.constant(n * this.facts.instructionSet.instructionSize));
  }

  /** The caller's stack pointer. */
  get callersSp(): Term {
    return this.sp(this.begin);
  }

  sp(machine: SymbolicMachine): Term {
    return machine.read(this.facts.instructionSet.stackPointer);
  }

  above(address: Term, bytes: number): Term {
    return this.terms.apply('add', address, this.terms.constant(bytes));
  }

  isSent(machine: SymbolicMachine): boolean {
    return holds(machine, this.redirected);
  }

  /** Whether a place is in what the old function's prologue has made its frame. */
  isInOldFrame(machine: SymbolicMachine, place: Term): boolean {
    const [at, sp] = [machine.distance(place), machine.distance(this.sp(this.untraced))];
    return at !== undefined && sp !== undefined && at >= sp && at < 0;
  }

  /** A place, if the old function's prologue has put its return address there: then it returns by what stands there. */
  keptReturnAddress(place: Term | undefined): Term | undefined {
    const size = (this.facts.instructionSet.bits / 8) as 4 | 8;
    if (!place || !this.isInOldFrame(this.untraced, place)) return undefined;
    return same(this.untraced.load(place, size), this.callersCode) ? place : undefined;
  }

  /** Where the function has to return to. */
  get callersCode(): Term {
    return this.begin.read(this.facts.convention.atEntry.returnAddress);
  }

  /** The TOC pointer of a caller that shares it with the old function. */
  get callersToc(): Term {
    return this.begin.read(this.facts.convention.toc!.register);
  }

  /** Whether an address is in the area of the processor that runs. */
  isInProcessorArea({ base }: Term): boolean {
    const { convention, instructionSet } = this.facts;
    const area = convention.processorArea;
    const areas = area ? [this.terms.initial(instructionSet.registers[area.register]!), this.areaAfter(area)] : [];
    return areas.some((each) => each.base === base);
  }

  /** Whether an address is that of the byte which says whether handlers may be asked. */
  isEnabledByte(address: Term): boolean {
    return this.isInProcessorArea(address) && address.plus === BigInt(this.hook.enabled ?? -1);
  }

  /** What the register of the processor's area holds once a function has run: it may have slept and gone on elsewhere. */
  areaAfter({ register }: ProcessorArea): Term {
    return this.terms.initial(`${this.facts.instructionSet.registers[register]!} of the processor that it returns on`);
  }

  /** What handlers are called with: the value of `function_trace_op`. Throws `NotUnderstood` where that is not known. */
  get ops(): Term {
    const { terms, facts, hook } = this;
    if (hook.ops === undefined) throw new NotUnderstood('where the kernel keeps the ops of its handlers is not known');
    return terms.memory(terms.constant(hook.ops), facts.instructionSet.bits / 8);
  }

  /** What a function leaves in one of the registers of its results. */
  result(register: number): Term {
    return this.terms.initial(resultName(this.facts.instructionSet.registers[register]!));
  }

  /** Runs an instruction as it stands. Throws `NotUnderstood`, also for one that the processor may not have. */
  private execute(machine: SymbolicMachine, word: number): void {
    if (this.facts.mayBeMissing?.(word))
      throw new NotUnderstood('a processor that this kernel is for may not have this instruction');
    machine.execute(word);
  }

  /** Runs the instruction at the pc; false where no known code is. */
  executeAt(machine: SymbolicMachine): boolean {
    const { facts, redirect } = this;
    const { pc } = machine;
    const size = BigInt(facts.instructionSet.instructionSize);
    if (!pc.base) {
      const word = this.hook.word(pc.plus);
      if (word !== undefined) this.execute(machine, word);
      return word !== undefined;
    }
    if (pc.plus % size !== 0n) return false;
    const ofIsland = this.islandWordAt(pc);
    if (ofIsland) {
      const { word, field } = ofIsland;
      if (!field) this.execute(machine, word);
      else if (!facts.executeFilled) throw new NotUnderstood('a word of an island that is filled in is run');
      else machine.step(word, () => facts.executeFilled!(machine, word, field, this.fieldOfTarget(field)));
      return true;
    }
    const index = Number(pc.plus / size);
    // An address made of parts has a number among them.
    const inStub = this.terms.apply('subtract', pc, this.stub);
    if (pc.base === this.oldFunction.base) return this.executePrologue(machine, redirect.prologue, index);
    const word = inStub.base ? undefined : redirect.stub.words[Number(inStub.plus / size)];
    if (word === undefined) return false;
    const relocation = redirect.stub.relocations.find(({ offset }) => BigInt(offset) === inStub.plus);
    if (!relocation) this.execute(machine, word);
    else
      machine.step(word, () =>
        facts.executeRelocated(machine, word, relocation.type, relocation.addend, this.newFunction),
      );
    return true;
  }

  /**
   * The address that the branch, or the island, leads to. One that an island builds of several fields is the sum of as many
   * numbers; kernel addresses have their highest bit set, and what no field takes is 0, or the core would not write it.
   */
  private targetOf(name: string, code: number): Term {
    const { terms, redirect } = this;
    const fields = (redirect.island?.words ?? []).flatMap(({ field }) => field ?? []);
    if (fields.every(({ width }) => width === terms.bits)) return terms.initial(name, code);
    const highest = terms.bits - 1;
    return fields.reduce(
      (sum, { from, width }) => {
        const free = from + width > highest ? highest - from : width;
        const part = terms.initial(`${name}, bits from ${from}`, from === 0 ? code : 0, free);
        return terms.apply('add', sum, terms.apply('shiftLeft', part, terms.constant(from)));
      },
      terms.constant(1n << BigInt(highest)),
    );
  }

  /** The word of the island at an address, if there is one. */
  private islandWordAt({ base, plus }: Term): IslandWord | undefined {
    const size = BigInt(this.facts.instructionSet.instructionSize);
    if (base !== this.island.base || plus % size !== 0n) return undefined;
    return this.redirect.island?.words[Number(plus / size)];
  }

  /** The bits of the pointer to where an island leads. */
  private fieldOfTarget({ from, width }: RecipeField): Term {
    const { terms, facts } = this;
    const pointer = terms.apply('add', this.destination, terms.constant(facts.instructionSet.codeBit ?? 0n));
    const shifted = terms.apply('shiftRight', pointer, terms.constant(from));
    return terms.apply('and', shifted, terms.constant((1n << BigInt(width)) - 1n));
  }

  /** A word of the prologue. What a TOC pointer is set up to is one term, so that a proof is for every function. */
  private executePrologue(machine: SymbolicMachine, prologue: Uint32Array, index: number): boolean {
    const word = prologue[index];
    if (word === undefined) return false;
    const { toc, atEntry } = this.facts.convention;
    const setUp = toc?.setUpWords(prologue) ?? 0;
    if (!toc || index !== 0 || setUp === 0) this.execute(machine, word);
    else if (!same(machine.read(atEntry.ownAddress!), this.oldFunction)) return false;
    else
      machine.step('its TOC pointer is set up', () => {
        machine.write(toc.register, this.terms.initial('the old function’s TOC'));
        machine.jump(this.behind(this.oldFunction, setUp));
      });
    return true;
  }

  /** The prologue as it runs where nobody traces. Throws `NotUnderstood` as `runPrologue` does. */
  get untraced(): SymbolicMachine {
    this.plain ??= this.runPrologue();
    return this.plain;
  }

  /** How far the stack pointer at the site is from the caller's; negative. Throws `NotUnderstood` as `runPrologue` does. */
  get depthAtSite(): number {
    return this.untraced.distance(this.sp(this.untraced)) ?? 0;
  }

  /**
   * The prologue as it runs where nobody traces, from registers that may be others than the caller's. Throws
   * `NotUnderstood` for one that does not run straight on to its site.
   */
  runPrologue(changed: ReadonlyMap<number, Term> = new Map()): SymbolicMachine {
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
}

/** Whether a condition was taken to hold on a machine's path. */
export const holds = (machine: SymbolicMachine, condition: Term): boolean =>
  machine.assumed.some((assumed) => assumed.holds && same(assumed.condition, condition));
