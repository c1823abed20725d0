// Running other programs. Never through a shell: arguments are passed as they are.
//
// Each program leads a process group of its own, which is killed as a whole when it exceeds its time or when we end.
// Against our own sudden death (kill -9) the kernel is asked to kill it too: `setpriv --pdeathsig`, where there is one.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { reasonError } from '../reason.ts';
import { atEnd } from './interrupt.ts';
import { findProgram, toolMissing } from './tools.ts';

export interface RunOptions {
  readonly cwd?: string;
  /** Added to our own environment; `undefined` takes a variable out of it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to the program's standard input; without it that is empty. */
  readonly input?: string | Uint8Array;
  /** Seconds after which the program is killed and the run fails. */
  readonly timeout?: number;
  /** How what it prints is text; UTF-8 if left out. */
  readonly encoding?: 'utf8' | 'latin1';
  /** Is given the output as it comes; what is streamed is not captured. */
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
  /** Exit statuses that are not a failure; 0 alone if it is left out. */
  readonly accept?: readonly number[];
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const tryAgain = 'try again when the machine is less busy';
const itsWords = 'mend what it complains of, then try again';

/** Kills a program that `start` or `run` started, with everything that it started itself. */
export function kill(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/**
 * Starts a program that goes on beside us and is killed when we end. Throws `tool-missing`.
 * The caller listens to `error` and `exit`, and stops it with `kill`.
 */
export function start(program: string, args: readonly string[], options: Omit<SpawnOptions, 'detached'>): ChildProcess {
  const file = findProgram(program, options.env?.PATH ?? process.env.PATH);
  if (file === undefined) throw toolMissing(program);
  const guard = findProgram('setpriv');
  const child = guard
    ? spawn(guard, ['--pdeathsig', 'KILL', '--', file, ...args], { ...options, detached: true })
    : spawn(file, args, { ...options, detached: true });
  const forget = atEnd(() => kill(child));
  child.once('exit', forget);
  child.once('error', forget);
  return child;
}

/**
 * Runs a program to its end. Throws `tool-missing`, and `tool-failed` with the last lines that it wrote when it ends
 * with a status that is not accepted, by a signal, or not in time.
 */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = start(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const stdout = collect(child.stdout!, options.onStdout, options.encoding);
    const stderr = collect(child.stderr!, options.onStderr, options.encoding);
    if (child.stdin) {
      // A program may end without reading its input to the end; its exit status says whether that was an error.
      child.stdin.on('error', () => {});
      child.stdin.end(options.input);
    }

    let timedOut = false;
    const timer =
      options.timeout === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            kill(child);
          }, options.timeout * 1000);

    child.once('error', (error) => {
      clearTimeout(timer);
      reject(
        reasonError(
          'tool-failed',
          program,
          `cannot be started: ${error.message}`,
          'see that it can be run from a shell',
        ),
      );
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      const result = { status: status ?? -1, stdout: stdout.text(), stderr: stderr.text() };
      if (status !== null && (options.accept ?? [0]).includes(status)) return resolve(result);
      const how = timedOut
        ? `did not end within ${options.timeout} s`
        : signal
          ? `was ended by ${signal}`
          : `ended with status ${status}`;
      const said = stderr.tail() || stdout.tail();
      reject(reasonError('tool-failed', program, said ? `${how}: ${said}` : how, timedOut ? tryAgain : itsWords));
    });
  });
}

function collect(
  stream: NodeJS.ReadableStream,
  listener: ((text: string) => void) | undefined,
  encoding: RunOptions['encoding'] = 'utf8',
) {
  const decoder = new StringDecoder(encoding);
  const chunks: string[] = [];
  let recent = '';
  stream.on('data', (bytes: Buffer) => {
    const text = decoder.write(bytes);
    if (listener) listener(text);
    else chunks.push(text);
    recent = (recent + text).slice(-4096);
  });
  return {
    text: () => chunks.join(''),
    /** The last lines, for the message of a failure. */
    tail: () => recent.trim().split('\n').slice(-8).join('\n'),
  };
}
