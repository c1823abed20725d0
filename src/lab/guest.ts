// A booted guest: commands run in it one after the other, each with its output and exit status.
//
// A guest that panics, hangs or goes away is ended at once, and whoever waits for it gets a `GuestError` with the last
// of its log. An oops counts as a panic (oops=panic): afterwards locks are held by nobody and memory is anybody's, so
// whatever such a kernel answers would be hearsay.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ReasonError } from '../reason.ts';
import { Console } from './console.ts';
import { type Frame, FrameError, FrameReader } from './frame.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { type GuestFile, makeInitramfs, readyId } from './initramfs.ts';
import { type Qemu, startQemu } from './qemu.ts';

export type { GuestKernel };

export interface GuestOptions {
  /** Put into the guest before it starts. */
  readonly files?: readonly GuestFile[];
  /** 2 if left out: some faults need a second processor. */
  readonly cpus?: number;
  readonly memoryMegabytes?: number;
  /** Added to the kernel's command line. */
  readonly kernelArguments?: readonly string[];
  /** See `Machine.icount`. */
  readonly icount?: number;
  /** Seconds that it may take to boot. */
  readonly bootTimeout?: number;
}

export interface RunOptions {
  /** Seconds after which the guest, not just the command, is ended. */
  readonly timeout?: number;
}

export interface RunResult {
  /** As a shell gives it: 128 and the signal's number for a command that a signal ended. */
  readonly status: number;
  /** Standard output and standard error, in the order in which they were written. */
  readonly bytes: Uint8Array;
  /** The same as text. */
  readonly output: string;
}

export interface Guest {
  /** Runs a line or a script of busybox's shell, in a shell of its own, in the folder /. Throws `GuestError`. */
  run(command: string, options?: RunOptions): Promise<RunResult>;
  /** As `run`, for a command that has to succeed: returns its output. Throws `GuestError` also when its status is not 0. */
  succeed(command: string, options?: RunOptions): Promise<string>;
  /** Writes a file; its folder must be there. */
  copyIn(path: string, bytes: Uint8Array, permissions?: number): Promise<void>;
  readFile(path: string): Promise<Uint8Array>;
  /** The kernel's log from its first line on; of a guest that has ended, what reached the console. */
  kernelLog(): Promise<string>;
  /** What came to the console until now. */
  readonly consoleText: string;
  /** Milliseconds from the start of QEMU until the guest took commands. */
  readonly bootTime: number;
  /** Ends the guest; resolves once its process is gone. May be called again. */
  stop(): Promise<void>;
}

/**
 * What became of the guest. `panic`: the kernel gave up. `timeout`: it did not answer in time. `ended`: it powered off,
 * rebooted, or QEMU failed. `garbled`: the channel delivered bytes that the guest did not send. `command`: none of
 * these; a command that has to succeed did not.
 */
export type GuestFate = 'panic' | 'timeout' | 'ended' | 'garbled' | 'command';

/** Thrown when the guest did not do what it was told. The code is `guest-failed`. */
export class GuestError extends ReasonError {
  readonly fate: GuestFate;
  /** The last lines of its console. */
  readonly log: string;

  constructor(fate: GuestFate, place: string, message: string, log: string) {
    super({ code: 'guest-failed', place, message, remedy: log && `the guest's last words:\n${log}` });
    this.name = 'GuestError';
    this.fate = fate;
    this.log = log;
  }
}

const defaults = { cpus: 2, bootTimeout: 120, timeout: 60 } as const;

/** Bytes that are sent without waiting for an answer. Below what the kernel's tty layer holds for a slow reader (64 KiB). */
const pieceSize = 16 << 10;

/** Boots a kernel and waits until it takes commands. Throws `GuestError`, `tool-missing`. */
export async function bootGuest(kernel: GuestKernel, options: GuestOptions = {}): Promise<Guest> {
  const started = performance.now();
  const busybox = new Uint8Array(await readFile(kernel.busybox));
  const guest = new RunningGuest(
    startQemu({
      platform: kernel.platform,
      image: kernel.image,
      initramfs: makeInitramfs(busybox, options.files ?? []),
      cpus: options.cpus ?? defaults.cpus,
      memoryMegabytes: options.memoryMegabytes ?? kernel.platform.qemu.memoryMegabytes,
      kernelArguments: [
        'quiet',
        'rdinit=/init',
        // An oops is a panic, a panic a reboot, and a reboot ends QEMU (-no-reboot).
        'oops=panic',
        'panic=-1',
        'log_buf_len=1M',
        ...(options.kernelArguments ?? []),
      ],
      icount: options.icount,
    }),
  );
  await guest.answer(readyId, 'boot', [], options.bootTimeout ?? defaults.bootTimeout);
  guest.bootTime = Math.round(performance.now() - started);
  return guest;
}

/** Boots a guest for a task, and ends it when the task is done or has failed. */
export async function withGuest<T>(
  kernel: GuestKernel,
  options: GuestOptions,
  task: (guest: Guest) => Promise<T>,
): Promise<T> {
  const guest = await bootGuest(kernel, options);
  try {
    return await task(guest);
  } finally {
    await guest.stop();
  }
}

/** A word for the guest's shell that stands for exactly this text. */
export const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const base64 = (text: string): string => Buffer.from(text).toString('base64');

class RunningGuest implements Guest {
  bootTime = 0;
  readonly #qemu: Qemu;
  readonly #console = new Console();
  /** How QEMU ended, once it has. */
  #end: string | undefined;
  /** The last question's turn: settles when the next may be asked. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Takes what the channel delivers. Between questions nothing should come. */
  #listener: { push(bytes: Uint8Array): void; ended(): void } | undefined;

  constructor(qemu: Qemu) {
    this.#qemu = qemu;
    qemu.console.on('data', (bytes: Uint8Array) => this.#console.push(bytes));
    qemu.channel.on('data', (bytes: Uint8Array) => this.#listener?.push(bytes));
    qemu.ended.then((how) => {
      this.#end = how;
      this.#listener?.ended();
    });
  }

  async run(command: string, options: RunOptions = {}): Promise<RunResult> {
    let script = command;
    if (command.length * 2 > pieceSize) {
      await this.copyIn('/run/suture/script', encode(command));
      script = '. /run/suture/script';
    }
    const { status, output } = await this.#ask(command, `run ${base64(script)}`, undefined, options.timeout);
    return { status, bytes: output, output: decode(output) };
  }

  async succeed(command: string, options: RunOptions = {}): Promise<string> {
    const { status, output } = await this.run(command, options);
    if (status !== 0) throw new GuestError('command', command, `ended with status ${status}: ${output.trim()}`, '');
    return output;
  }

  async copyIn(path: string, bytes: Uint8Array, permissions = 0o644): Promise<void> {
    await this.succeed(`: >${quote(path)} && chmod ${permissions.toString(8)} ${quote(path)}`);
    for (let at = 0; at < bytes.length; at += pieceSize) {
      const piece = bytes.subarray(at, at + pieceSize);
      const { status, output } = await this.#ask(path, `put ${piece.length} ${base64(path)}`, piece);
      if (status !== 0) throw new GuestError('command', path, `cannot be written: ${decode(output)}`, '');
    }
    await this.succeed(`test $(stat -c %s ${quote(path)}) = ${bytes.length}`);
  }

  async readFile(path: string): Promise<Uint8Array> {
    const { status, bytes, output } = await this.run(`cat ${quote(path)}`);
    if (status !== 0) throw new GuestError('command', path, `cannot be read: ${output.trim()}`, '');
    return bytes;
  }

  async kernelLog(): Promise<string> {
    return this.#end === undefined ? await this.succeed('dmesg') : this.#console.text;
  }

  get consoleText(): string {
    return this.#console.text;
  }

  async stop(): Promise<void> {
    this.#qemu.kill();
    await this.#qemu.ended;
  }

  #ask(place: string, question: string, data?: Uint8Array, timeout: number = defaults.timeout): Promise<Frame> {
    const id = randomBytes(12).toString('hex');
    const bytes = encode(`${id} ${question}\n`);
    const answer = this.#turn.then(() => this.answer(id, place, data ? [bytes, data] : [bytes], timeout));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  /** Sends bytes and waits for the answer to `id`. Whatever else happens ends the guest. */
  async answer(id: string, place: string, question: readonly Uint8Array[], timeout: number): Promise<Frame> {
    const reader = new FrameReader(id);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Frame>((resolve, reject) => {
        const fail = (fate: GuestFate, message: string) => {
          reject(new GuestError(this.#console.panicked ? 'panic' : fate, place, message, this.#console.tail()));
        };
        const ended = () => fail('ended', this.#console.panicked ? 'the kernel panicked' : `QEMU ended: ${this.#end}`);
        if (this.#end !== undefined) return ended();
        const push = (bytes: Uint8Array) => {
          try {
            const frame = reader.push(bytes);
            if (frame) resolve(frame);
          } catch (error) {
            if (error instanceof FrameError) fail('garbled', error.message);
            else reject(error);
          }
        };
        this.#listener = { push, ended };
        timer = setTimeout(() => fail('timeout', `did not answer within ${timeout} s`), timeout * 1000);
        for (const bytes of question) this.#qemu.channel.write(bytes);
      });
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#listener = undefined;
    }
  }
}
