// A failure for people who design trampolines: which obligation is broken, on which path, at which instruction, what was
// expected and what found, and the run that led there with what each step wrote.

import type { SymbolicMachine, Trace, Write } from '../symbolic/machine.ts';
import { onlyAtom, same, type Term, type Terms } from '../symbolic/terms.ts';
import { type Failure, obligations } from './obligations.ts';

/** An instruction as a person reads it; undefined for a word that the architecture's tables do not hold. */
export type Disassemble = (word: number, address: bigint) => string | undefined;

/** Of an example's numbers, so many are named. */
const mostNumbers = 12;
/** Columns of the run: where, and what runs there. */
const [whereWidth, whatWidth] = [24, 36];

/** A failure as lines of text. */
export function describeFailure(failure: Failure, disassemble: Disassemble): string {
  const { obligation, entry, what, expected, found, register, machine } = failure;
  const { terms } = machine;
  const steps = stepsOf(machine);
  const culprit =
    register !== undefined
      ? changerOf(register, machine, steps)
      : (writerOf(found, steps) ?? (same(found, machine.pc) ? steps.at(-1) : undefined));
  return [
    `${obligation}: ${obligations[obligation]}`,
    `  ${what} should be ${terms.describe(expected)}`,
    `  and is ${terms.describe(found)}${culprit ? `, since ${describePlace(culprit, terms, disassemble)}` : ''}`,
    `The old function is called at ${entry}.`,
    ...describePath(machine).map((line) => `  ${line}`),
    ...describeExample(failure),
    'The run, with what each step writes:',
    ...steps.map((step) => `${step === culprit ? '>' : ' '} ${describeStep(step, machine, disassemble)}`),
    ...describeState(machine),
  ].join('\n');
}

/** The steps of a run, first to last. */
function stepsOf({ trace: last }: SymbolicMachine): Trace[] {
  const steps: Trace[] = [];
  for (let trace = last; trace; trace = trace.before) steps.push(trace);
  return steps.reverse();
}

/** The last step that wrote a value somewhere. */
const writerOf = (found: Term, steps: readonly Trace[]): Trace | undefined =>
  steps.findLast(({ writes }) => writes.some(({ value }) => same(value, found)));

/** The last step behind which a register holds another value than before; to write the same again changes nothing. */
function changerOf(register: number, { set, terms }: SymbolicMachine, steps: readonly Trace[]): Trace | undefined {
  let held = terms.initial(set.registers[register]!);
  let changer: Trace | undefined;
  for (const step of steps) {
    const written = step.writes.findLast(({ kind, at }) => kind === 'register' && at === register);
    if (!written || same(written.value, held)) continue;
    held = written.value;
    changer = step;
  }
  return changer;
}

/** Which way was taken where there was a choice. */
const describePath = ({ assumed, terms }: SymbolicMachine): string[] =>
  assumed.map(({ condition, holds }) => `${terms.describe(condition)}: ${holds ? 'yes' : 'no'}`);

function describeExample({ example, machine: { terms } }: Failure): string[] {
  if (!example) return ['No numbers were found that tell the two apart.'];
  const numbers = [...example].map(([atom, value]) => `${terms.describeAtom(atom)} = 0x${value.toString(16)}`);
  const more = numbers.length - mostNumbers;
  const listed = numbers.slice(0, mostNumbers).map((number) => `  ${number}`);
  return ['For example with', ...listed, ...(more > 0 ? [`  and ${more} more`] : [])];
}

const describeWhat = ({ what, pc }: Trace, disassemble: Disassemble): string =>
  typeof what === 'string' ? what : (disassemble(what, pc.plus)?.replace('\t', ' ') ?? `0x${what.toString(16)}`);

const describePlace = (step: Trace, terms: Terms, disassemble: Disassemble): string =>
  `${describeWhat(step, disassemble)} at ${terms.describe(step.pc)}`;

function describeStep(step: Trace, machine: SymbolicMachine, disassemble: Disassemble): string {
  const { terms } = machine;
  const where = terms.describe(step.pc).padEnd(whereWidth);
  const values = step.writes.map((write) => ({ place: placeOf(write, machine), value: write.value }));
  const writes = valuesOf(values, terms).join(', ');
  return `${where} ${describeWhat(step, disassemble).padEnd(whatWidth)} ${writes}`.trimEnd();
}

/** Places with what they hold. What nobody knows is said in one go, at the end. */
function valuesOf(values: readonly { readonly place: string; readonly value: Term }[], terms: Terms): string[] {
  const isUnknown = (value: Term): boolean => onlyAtom(value)?.origin.kind === 'unknown';
  const known = values.filter(({ value }) => !isUnknown(value));
  const unknown = values.filter(({ value }) => isUnknown(value)).map(({ place }) => place);
  const lines = known.map(({ place, value }) => `${place} = ${terms.describe(value)}`);
  return unknown.length > 0 ? [...lines, `unknown: ${unknown.join(' ')}`] : lines;
}

function placeOf({ kind, at }: Write, { set, terms }: SymbolicMachine): string {
  if (kind === 'register') return set.registers[at]!;
  const sp = terms.initial(set.registers[set.stackPointer]!);
  return `[${terms.describe(terms.apply('add', sp, terms.constant(at)))}]`;
}

/** Registers that hold something else than at the start, and the stack. */
function describeState(machine: SymbolicMachine): string[] {
  const { set, terms } = machine;
  const isChanged = (name: string, value: Term): boolean => !same(value, terms.initial(name));
  const registers = set.registers
    .map((place, n) => ({ place, value: machine.read(n) }))
    .filter(({ place, value }) => isChanged(place, value));
  const stack = machine.describeStack().map((line) => `  ${line}`);
  return [
    `Then, at ${terms.describe(machine.pc)}:`,
    ...(registers.length > 0
      ? valuesOf(registers, terms).map((line) => `  ${line}`)
      : ['  all registers are as at the start']),
    ...(stack.length > 0 ? ['and on the stack:', ...stack] : []),
  ];
}
