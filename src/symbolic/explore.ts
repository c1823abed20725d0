// All the ways that a run can take.

import { NotUnderstood } from '../arch/machine.ts';
import { type SymbolicMachine, Undecided } from './machine.ts';

export interface Limits {
  /** Instructions, on all paths together. */
  readonly steps: number;
  /** Paths, those that have ended included. */
  readonly paths: number;
}

/** How one path ended: where it was told to, or, with the reason in words, where the machine could not go on. */
export interface End {
  readonly machine: SymbolicMachine;
  readonly unknown?: string;
}

/**
 * Runs `machine` and all that forks from it. `step` does one step of a machine and returns true, or returns false
 * where the path is to end. Every path that there is ends up in the result, a path beyond the limits as unknown.
 */
export function explore(machine: SymbolicMachine, step: (machine: SymbolicMachine) => boolean, limits: Limits): End[] {
  const ends: End[] = [];
  const waiting = [machine];
  let steps = 0;
  for (let current = waiting.pop(); current; current = waiting.pop()) {
    const end = (unknown?: string): void => {
      ends.push({ machine: current!, ...(unknown !== undefined && { unknown }) });
    };
    for (;;) {
      if (steps++ === limits.steps) {
        // What was not looked at is not known.
        for (const left of [current, ...waiting])
          ends.push({ machine: left, unknown: `more than ${limits.steps} steps` });
        return ends;
      }
      try {
        if (step(current)) continue;
        end();
      } catch (error) {
        if (error instanceof NotUnderstood) end(error.message);
        else if (!(error instanceof Undecided)) throw error;
        else if (ends.length + waiting.length + 2 > limits.paths) end(`more than ${limits.paths} paths`);
        else {
          const other = current.fork();
          other.assume(error.condition, false);
          waiting.push(other);
          current.assume(error.condition, true);
          continue;
        }
      }
      break;
    }
  }
  return ends;
}
