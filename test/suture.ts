// Runs bin/suture as a user does: the compiled program in a process of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type RunResult, run } from '../src/host/run.ts';

export const program = fileURLToPath(new URL('../bin/suture', import.meta.url));

type Environment = Readonly<Record<string, string>>;

/** Runs one command to its end; every exit status of the contract is accepted. */
export function suture(args: readonly string[], env: Environment = {}): Promise<RunResult> {
  return run(process.execPath, [program, ...args], { env, accept: [0, 1, 2] });
}

/** The document that a command prints with --json, and its exit status. */
export async function sutureJson(args: readonly string[], env: Environment = {}) {
  const { status, stdout } = await suture([...args, '--json'], env);
  return { exit: status, ...JSON.parse(stdout) };
}

/** Starts a command, to be interrupted. */
export function startSuture(args: readonly string[], env: Environment): ChildProcess {
  return spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
