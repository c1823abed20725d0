// What a handler must find where the hook calls it, and what a tracer must that the hook calls beside it: a stack as the ABI
// gives it to any function, the kernel's TOC pointer where there is one, and the arguments of ftrace's contract
// (`ftrace_func_t`: ip, parent_ip, op, regs). The address of the site is an obligation of its own.

import { NotUnderstood } from '../arch/machine.ts';
import type { SymbolicMachine } from '../symbolic/machine.ts';
import { same, type Term } from '../symbolic/terms.ts';
import type { Scene } from './scene.ts';

/** One thing that must be so. */
export interface Expected {
  readonly what: string;
  readonly expected: Term;
  readonly found: Term;
}

/** How many frames may lie between the handler's caller's and the caller's of the function. */
const mostFrames = 8;

/** What a handler must find; `machine` is where it is called. Throws `NotUnderstood` where that cannot be said. */
export function* handlerFinds(scene: Scene, machine: SymbolicMachine): Iterable<Expected> {
  const { handlerArguments, savedRegisters } = scene.facts.hook;
  const frames = framesFrom(scene, machine);
  yield* stackFinds(scene, machine, frames);
  yield { what: 'what handlers are called with', expected: scene.ops, found: machine.read(handlerArguments.ops) };
  const back = machine.read(handlerArguments.returnAddress);
  // A hook may have put a frame of its own in between, and a return address that leads through it.
  const isOwn = !back.base && scene.hook.word(back.plus) !== undefined;
  if (!isOwn) yield { what: 'where the function returns to', expected: scene.callersCode, found: back };
  const saved = machine.read(savedRegisters.register);
  const misplaced = misplacedRegisters(scene, machine, saved);
  if (misplaced) yield misplaced;
  else yield* savedRegistersHold(scene, machine, saved, frames, isOwn ? back : scene.callersCode);
}

/** What the graph tracer must find where a hook calls it. */
export function* tracerFinds(scene: Scene, machine: SymbolicMachine): Iterable<Expected> {
  const { instructionSet, hook } = scene.facts;
  yield* stackFinds(scene, machine, framesFrom(scene, machine));
  const plain = scene.untraced;
  for (const [register, at] of hook.graph!.unwindsFrom)
    yield {
      what: `what ${instructionSet.registers[at]!} held at the site`,
      expected: plain.read(at),
      found: machine.read(register),
    };
}

/** Stack and TOC pointer as any function of the kernel must find them. */
function* stackFinds(scene: Scene, machine: SymbolicMachine, frames: readonly Term[]): Iterable<Expected> {
  const { terms, callersSp } = scene;
  const { instructionSet: set, convention } = scene.facts;
  const sp = scene.sp(machine);
  const aligned = terms.apply('and', sp, terms.constant(-(2 ** set.stackAlignment)));
  yield { what: set.registers[set.stackPointer]!, expected: aligned, found: sp };
  const { backChain, toc, stackArguments } = convention;
  if (backChain) {
    yield { what: 'the chain of frames', expected: callersSp, found: frames.at(-1)! };
    // Each frame begins with what belongs to callees: where they keep what is theirs, and the places of their parameters.
    const least = scene.above(sp, stackArguments.at);
    const next = frames[1] ?? sp;
    if (machine.distance(next)! < machine.distance(least)!)
      yield { what: 'the end of the frame', expected: least, found: next };
    const back = machine.load(scene.above(callersSp, backChain.returnAddressAt), wordSize(scene));
    const leadsBack = same(back, scene.tracer) || same(back, scene.callersCode);
    if (!leadsBack)
      yield { what: 'the return address in the caller’s frame', expected: scene.callersCode, found: back };
  }
  if (!toc) return;
  const kernels = scene.hook.symbol?.(toc.kernels);
  if (kernels === undefined) throw new NotUnderstood('where the kernel’s TOC pointer points is not known');
  yield { what: set.registers[toc.register]!, expected: terms.constant(kernels), found: machine.read(toc.register) };
}

const wordSize = ({ facts }: Scene): 4 | 8 => (facts.instructionSet.bits / 8) as 4 | 8;

/** The frames from the stack pointer up to the caller's; the last one is where the chain leaves the stack, if it does. */
function framesFrom(scene: Scene, machine: SymbolicMachine): Term[] {
  const frames = [scene.sp(machine)];
  const { backChain } = scene.facts.convention;
  for (let frame = frames[0]!; backChain && frames.length <= mostFrames && !same(frame, scene.callersSp); ) {
    const next = machine.load(scene.above(frame, backChain.at), wordSize(scene));
    frames.push(next);
    const [here, there] = [machine.distance(frame)!, machine.distance(next)];
    if (there === undefined || there <= here || there > 0) break;
    frame = next;
  }
  return frames;
}

/** Saved registers that are not wholly in a frame of the hook's own, above what its callees may write to. */
function misplacedRegisters(scene: Scene, machine: SymbolicMachine, saved: Term): Expected | undefined {
  const { convention, hook } = scene.facts;
  const [at, sp, site] = [saved, scene.sp(machine), scene.sp(scene.untraced)].map((term) => machine.distance(term));
  const isIn = at !== undefined && at >= sp! + convention.stackArguments.at && at + hook.savedRegisters.size <= site!;
  const lowest = scene.above(scene.sp(machine), convention.stackArguments.at);
  return isIn ? undefined : { what: 'where the saved registers are', expected: lowest, found: saved };
}

/** What the saved registers hold. */
function* savedRegistersHold(
  scene: Scene,
  machine: SymbolicMachine,
  saved: Term,
  frames: readonly Term[],
  back: Term,
): Iterable<Expected> {
  const { instructionSet: set, convention, hook } = scene.facts;
  const held = (place: number): Term => machine.load(scene.above(saved, place), wordSize(scene));
  const what = (name: string): string => `${name} among the saved registers`;
  yield { what: what('pc'), expected: scene.behind(scene.site, 1), found: held(hook.savedRegisters.pc) };
  for (const [register, place] of hook.savedRegisters.places) {
    const found = held(place);
    // Where there are frames between the site's and the hook's, each of them is one to begin a backtrace with.
    if (register === set.stackPointer && frames.slice(1).some((frame) => same(frame, found))) continue;
    const isBack = register === convention.atEntry.returnAddress;
    yield {
      what: what(set.registers[register]!),
      expected: isBack ? back : scene.untraced.read(register),
      found,
    };
  }
}
