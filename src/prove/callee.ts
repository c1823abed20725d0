// A function that is called and of which nothing is known but what the ABI lets it do.

import { type Callee, type CallingConvention, NotUnderstood, type ProofFacts } from '../arch/machine.ts';
import type { SymbolicMachine } from '../symbolic/machine.ts';
import type { Term } from '../symbolic/terms.ts';

/**
 * How many stack arguments are looked at, also where a function may have any number: more than any function of a kernel has.
 * A stub that copies some breaks at the first that it does not copy; one that moves nothing keeps them all.
 */
export const mostStackArguments = 72;

/** Whether a function is known not to use the parameters' place; its stack arguments lie there. */
export const leavesParameterArea = ({ stackArguments, usesParameterArea }: Callee): boolean =>
  usesParameterArea === false && !stackArguments;

/** How many are looked at of a function. Throws `NotUnderstood` for one that has more. */
export function stackArgumentsOf(callee: Callee): number {
  if (leavesParameterArea(callee)) return 0;
  const { stackArguments = mostStackArguments } = callee;
  if (stackArguments > mostStackArguments)
    throw new NotUnderstood(
      `a function has ${stackArguments} stack arguments, and no more than ${mostStackArguments} are looked at`,
    );
  return stackArguments;
}

/** Whether a function may have more stack arguments than are looked at. */
export const hasAnyNumber = ({ stackArguments, usesParameterArea }: Callee): boolean =>
  usesParameterArea !== false && stackArguments === undefined;

/** What a function's result is called. */
export const resultName = (register: string): string => `${register} as returned`;

/** Stores numbers that nobody knows at [from, to) above an address. */
function change(machine: SymbolicMachine, base: Term, from: number, to: number, size: 4 | 8, why: string): void {
  for (let at = from; at < to; at += size)
    machine.store(machine.apply('add', base, machine.constant(at)), size, machine.unknown(why));
}

/**
 * Calls a function, within a step of the machine: it changes all that a call may change, loses what lies below the stack
 * pointer, and uses what is its own in its caller's frame. Where it goes on is left to the caller of this.
 */
export function callFunction(
  machine: SymbolicMachine,
  { instructionSet, convention }: ProofFacts,
  callee: Callee,
  name: string,
): void {
  const why = (what: string): string => `${what} after ${name}`;
  const sp = machine.read(instructionSet.stackPointer);
  machine.loseBelowStackPointer();
  const word = (instructionSet.bits / 8) as 4 | 8;
  for (const [from, to] of convention.callersFrame.callees)
    change(machine, sp, from, to, word, why('what a callee keeps in its caller’s frame'));
  const { at, size } = convention.stackArguments;
  if (!leavesParameterArea(callee)) {
    const end = at + size * stackArgumentsOf(callee);
    change(machine, sp, convention.callersFrame.parameters, end, word, why('the parameters’ place'));
  }
  const { toc } = convention;
  if (toc && callee.siblingCalls !== false)
    change(machine, sp, toc.savedAt, toc.savedAt + word, word, `a sibling call of ${name} stores its own TOC pointer`);
  for (const register of convention.changedByCalls)
    machine.write(
      register,
      machine.unknown(why(instructionSet.registers[register]!), instructionSet.widths.get(register)),
    );
}

/** Whether the place [at, at + size) above the caller's stack pointer is a callee's to change. */
export const belongsToCallee = ({ callersFrame }: CallingConvention, at: number, size: number): boolean =>
  callersFrame.callees.some(([from, to]) => at >= from && at + size <= to);
