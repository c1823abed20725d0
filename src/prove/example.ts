// Two terms that differ as terms may be equal as numbers. A redirect is refuted only by numbers: an example in which the
// path is taken and the two come out different.

import type { SymbolicMachine } from '../symbolic/machine.ts';
import { type Atom, equation, onlyAtom, type Term } from '../symbolic/terms.ts';

/** The numbers of an example, by what they are the value of. */
export type Example = ReadonlyMap<Atom, bigint>;

export interface Difference {
  /** What it is that differs: a register, a place on the stack. */
  readonly what: string;
  readonly expected: Term;
  readonly found: Term;
  /** Undefined where no numbers were found that tell the two apart. */
  readonly example?: Example;
}

/** Tries of random numbers, so many. The same in each run. */
const tries = 64;

class NotFree extends Error {}

/** A number that looks random, the same for the same atom and try. */
function numberFor({ id, lowZeros, width }: Atom, attempt: number): bigint {
  let hash = BigInt(id * 0x9e37 + attempt * 0x79b9 + 1);
  for (let i = 0; i < 3; i++) hash = BigInt.asUintN(64, (hash ^ (hash >> 29n)) * 0xbf58476d1ce4e5b9n);
  return (BigInt.asUintN(width, hash) >> BigInt(lowZeros)) << BigInt(lowZeros);
}

/** What a path says outright: `r0 == 7` is met by no random number. */
function* settled({ assumed }: SymbolicMachine): Iterable<readonly [Atom, bigint]> {
  for (const { condition, holds } of assumed) {
    const sides = holds ? equation(condition) : undefined;
    const atom = sides && !sides.b.base ? onlyAtom(sides.a) : undefined;
    if (atom && atom.origin.kind !== 'operation') yield [atom, sides!.b.plus];
  }
}

/** Numbers for which a machine's path is taken and two terms differ, if some are found. */
export function findExample(machine: SymbolicMachine, expected: Term, found: Term): Example | undefined {
  const { terms, assumed } = machine;
  for (let attempt = 0; attempt < tries; attempt++) {
    const example = new Map<Atom, bigint>(settled(machine));
    const number = (atom: Atom): bigint => {
      const { origin } = atom;
      if (origin.kind === 'unknown' && !origin.free) throw new NotFree();
      const value = example.get(atom) ?? numberFor(atom, attempt);
      example.set(atom, value);
      return value;
    };
    try {
      const taken = assumed.every(({ condition, holds }) => (terms.evaluate(condition, number) !== 0n) === holds);
      if (taken && terms.evaluate(expected, number) !== terms.evaluate(found, number)) return example;
    } catch (error) {
      if (!(error instanceof NotFree)) throw error;
      return undefined;
    }
  }
  return undefined;
}
