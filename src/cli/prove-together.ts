// All functions of a kernel, proven by two threads: `prove --all` and `audit`.
//
// The first thread links the functions, a part of them at a time, and reads back what is to be proven. The second makes the proofs that
// the first asks for, and goes ahead of it through the words of functions where that takes long (stack-arguments). So each runs code of
// its own: two that did the same would both compile all of it, which is half of what such a short run costs. Nothing hangs on the
// second: what it has not done in time, for whatever reason, the first does, and nobody sees a difference.

import { setFlagsFromString } from 'node:v8';
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import type { Architecture, StackArguments } from '../arch/arch.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Way } from '../kernel/patch-module.ts';
import type { WantedWay } from '../link/choose-way.ts';
import type { TracedFunction } from '../link/link-whole-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import { AskedProofs, type ToldProof } from './asked-proofs.ts';
import { type AskedFunction, askForFunctions, type JudgedFunction, judge } from './prove-functions.ts';
import { takeSecondThread } from './second-thread.ts';

/** What the second thread is told. */
export interface Order {
  readonly kernel: string;
  readonly wanted: WantedWay;
  /** `SecondProver.taken`. */
  readonly taken: Int32Array;
  /** In which part the first thread is. */
  readonly part: Int32Array;
  /** Where it is asked for proofs, and tells of them and of what it has found ahead. */
  readonly port: MessagePort;
}

/** What it has found of the stack arguments of one part. */
export interface FoundAhead {
  readonly part: number;
  /** The words of all functions, one behind the other, and how many each has. */
  readonly words: Uint32Array;
  readonly lengths: readonly number[];
  readonly found: readonly StackArguments[];
}

/** Of which kernel all is that it tells: whoever fetches one anew between two readers of it gives them two. It comes first. */
export interface ReadKernel {
  readonly buildId: Uint8Array;
}

type Told = ReadKernel | ToldProof | FoundAhead;

/** Small enough that what is found ahead comes in time, and large beside what a module costs by itself. */
const partSize = 256;

export const partOf = <T>(functions: readonly T[], part: number): readonly T[] =>
  functions.slice(part * partSize, (part + 1) * partSize);

export const countParts = (functions: readonly unknown[]): number => Math.ceil(functions.length / partSize);

/** More different redirects than this no kernel has; the first thread proves what comes behind. */
const mostShared = 1 << 16;

const shared = (numbers: number): Int32Array =>
  new Int32Array(new SharedArrayBuffer(numbers * Int32Array.BYTES_PER_ELEMENT));

/**
 * Has V8 put fewer functions into those that it compiles for speed, 150 bytes of them instead of 920: both threads are at work
 * for few seconds, in which every part of the prover is new, and compiling it took a fifth of the processors' time.
 */
const compileLess = (): void => setFlagsFromString('--max-inlined-bytecode-size-cumulative=150');

/** Two threads for one kernel. The second begins to read it at once, while the first still does. */
export class ProvingThreads {
  readonly #taken = shared(mostShared);
  readonly #part = shared(1);
  readonly #worker: Worker | undefined;
  readonly #port: MessagePort | undefined;
  /** Settled when the second thread is over. */
  readonly secondIsOver: Promise<unknown> = Promise.resolve();
  #different = 0;
  #isUsed = false;

  /** `kernel` is its name. With one processor there is one thread. */
  constructor(kernel: string, wanted: WantedWay) {
    compileLess();
    const second = takeSecondThread();
    if (!second) return;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = second.worker;
    this.secondIsOver = second.isOver;
    const order: Order = { kernel, wanted, taken: this.#taken, part: this.#part, port: port2 };
    second.worker.postMessage(order, [port2]);
  }

  /** How many different redirects have been proven. */
  get differentRedirects(): number {
    return this.#different;
  }

  /** Ends the second thread, whatever it does. */
  async stop(): Promise<void> {
    this.#port?.close();
    await this.#worker?.terminate();
  }

  /** All functions of the kernel, judged, in their order. `progress` is told how many are done. Only once: what comes late is of the first time. */
  async prove(
    kernel: Kernel,
    functions: readonly TracedFunction[],
    way: Way,
    progress: (done: number) => void,
  ): Promise<JudgedFunction[]> {
    if (this.#isUsed) throw new Error('these threads have proven a kernel already');
    this.#isUsed = true;
    const prover = new Prover(kernel);
    const port = this.#port;
    const proofs = new AskedProofs(prover, port && { port, taken: this.#taken });
    const ahead = new Map<number, FoundAhead>();
    let isSameKernel = false;
    const note = (told: Told): void => {
      if ('buildId' in told) isSameKernel = isSame(told.buildId, kernel.image.buildId.bytes);
      else if ('index' in told) proofs.note(isSameKernel ? told : { index: told.index, verdict: undefined });
      else if (isSameKernel) ahead.set(told.part, told);
    };
    const found: (JudgedFunction | AskedFunction)[] = [];
    for (let part = 0; part < countParts(functions); part++) {
      Atomics.store(this.#part, 0, part);
      for (const told of heard(port)) note(told);
      learn(kernel.arch, ahead.get(part));
      for (const past of ahead.keys()) if (past <= part) ahead.delete(past);
      found.push(...askForFunctions(kernel, prover, partOf(functions, part), way, (each) => proofs.ask(each)));
      progress(found.length);
      // Lets in an interrupt.
      await new Promise(setImmediate);
    }
    await this.#settle(proofs, note);
    this.#different = proofs.size;
    return found.map((each) => ('asked' in each ? judge(each, proofs.verdict(each.asked)) : each));
  }

  /** Has all proven that has been asked for, but for what the second thread should have and cannot. */
  async #settle(proofs: AskedProofs, note: (told: Told) => void): Promise<void> {
    const port = this.#port;
    for (const told of heard(port)) note(told);
    for (const _ of proofs.theRest()) await new Promise(setImmediate);
    if (!port || proofs.isDone) return;
    const allTold = new Promise<void>((resolve) => {
      port.on('message', (told: Told) => {
        note(told);
        if (proofs.isDone) resolve();
      });
    });
    await Promise.race([allTold, this.secondIsOver]);
  }
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** What the second thread has told since this was asked last. */
function* heard(port: MessagePort | undefined): Generator<Told> {
  for (let told = port && receiveMessageOnPort(port); told; told = receiveMessageOnPort(port!)) yield told.message;
}

/** What the second thread has found of a part becomes known to whoever asks of the same words. */
function learn({ stackArguments }: Architecture, ahead: FoundAhead | undefined): void {
  let at = 0;
  ahead?.lengths.forEach((length, i) => {
    stackArguments?.learn(ahead.words.subarray(at, at + length), ahead.found[i]!);
    at += length;
  });
}
