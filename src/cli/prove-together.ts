// All functions of a kernel, proven by two threads: `prove --all` and `audit`.
//
// The functions are cut into parts. Each thread has a kernel and a prover of its own, and takes the next part when it is
// done with one; so what is found does not depend on who was faster. They tell each other what they prove, since many functions
// share a proof. What the second thread says of a part counts only if it is about the same functions; what is missing, for
// whatever reason, the first one proves.

import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { LinkAddress } from '../elf/units.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Way } from '../kernel/patch-module.ts';
import type { WantedWay } from '../link/choose-way.ts';
import type { TracedFunction } from '../link/link-whole-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import type { ProofExchange, ToldProof } from '../prove/shared-proofs.ts';
import { type JudgedFunction, proveFunctions } from './prove-functions.ts';

/** What the second thread is told. */
export interface Order {
  readonly kernel: string;
  readonly wanted: WantedWay;
  /** How many parts are taken. */
  readonly taken: Int32Array;
  /** Where it tells the first thread of proofs, and hears of that one's. */
  readonly proofs: MessagePort;
}

/** What it tells of one part. */
export interface ProvenPart {
  readonly part: number;
  readonly addresses: readonly LinkAddress[];
  /** Undefined where they cannot be handed over. */
  readonly answers: readonly Pick<JudgedFunction, 'code' | 'reasons' | 'verdict'>[] | undefined;
  /** As `Prover.differentRedirects`, so far. */
  readonly redirects: readonly string[];
}

/** Small enough that neither thread waits long for the other's last part, and large beside what a module costs by itself. */
const partSize = 256;

/** The next part that nobody has taken; undefined when all are. */
export function takePart(taken: Int32Array, functions: number): number | undefined {
  const part = Atomics.add(taken, 0, 1);
  return part < Math.ceil(functions / partSize) ? part : undefined;
}

export const partOf = <T>(functions: readonly T[], part: number): readonly T[] =>
  functions.slice(part * partSize, (part + 1) * partSize);

/** An exchange of proofs with who has the other end. */
export const exchangeBy = (port: MessagePort): ProofExchange => ({
  tell: (told) => port.postMessage(told),
  *heard() {
    for (let told = receiveMessageOnPort(port); told; told = receiveMessageOnPort(port))
      yield told.message as ToldProof;
  },
});

/**
 * Has V8 put fewer functions into those that it compiles for speed, 150 bytes of them instead of 920: both threads are at work
 * for few seconds, in which every part of the prover is new, and compiling it took a fifth of the processors' time.
 */
const compileLess = (): void => setFlagsFromString('--max-inlined-bytecode-size-cumulative=150');

/** Two threads for one kernel. The second begins to read it at once, while the first still does. */
export class ProvingThreads {
  readonly #taken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  readonly #parts = new Map<number, ProvenPart>();
  readonly #worker: Worker | undefined;
  readonly #proofs: MessagePort | undefined;
  /** Settled when the second thread is over. */
  readonly secondIsOver: Promise<unknown> = Promise.resolve();
  readonly #redirects = new Set<string>();

  /** `kernel` is its name. With one processor there is one thread. */
  constructor(kernel: string, wanted: WantedWay) {
    compileLess();
    if (availableParallelism() < 2) return;
    const { port1, port2 } = new MessageChannel();
    this.#proofs = port1;
    const order: Order = { kernel, wanted, taken: this.#taken, proofs: port2 };
    const worker = new Worker(new URL('proving-thread.js', import.meta.url), {
      workerData: order,
      transferList: [port2],
    });
    this.#worker = worker;
    worker.on('message', (proven: ProvenPart) => this.#parts.set(proven.part, proven));
    // Its parts are missing then.
    worker.on('error', () => {});
    this.secondIsOver = new Promise((resolve) => worker.on('exit', resolve));
  }

  /** How many different redirects have been proven. */
  get differentRedirects(): number {
    return this.#redirects.size;
  }

  /** Ends the second thread, whatever it does. */
  async stop(): Promise<void> {
    this.#proofs?.close();
    await this.#worker?.terminate();
  }

  /** All functions of the kernel, judged, in their order. `progress` is told how many are done. */
  async prove(
    kernel: Kernel,
    functions: readonly TracedFunction[],
    way: Way,
    progress: (done: number) => void,
  ): Promise<JudgedFunction[]> {
    const prover = new Prover(kernel, this.#proofs && exchangeBy(this.#proofs));
    const own = new Map<number, JudgedFunction[]>();
    const prove = (part: number): JudgedFunction[] => {
      const judged = proveFunctions(kernel, prover, partOf(functions, part), () => {}, way);
      own.set(part, judged);
      progress(Math.min(functions.length, (own.size + this.#parts.size) * partSize));
      return judged;
    };
    for (let part = this.#take(functions); part !== undefined; part = this.#take(functions)) {
      prove(part);
      // Lets in what the second thread has sent.
      await new Promise(setImmediate);
    }
    await this.secondIsOver;
    const judged: JudgedFunction[] = [];
    for (let part = 0; part * partSize < functions.length; part++)
      judged.push(...(own.get(part) ?? this.#told(part, functions) ?? prove(part)));
    for (const key of prover.differentRedirects) this.#redirects.add(key);
    return judged;
  }

  #take(functions: readonly TracedFunction[]): number | undefined {
    return takePart(this.#taken, functions.length);
  }

  /** What the second thread has said of a part. */
  #told(part: number, functions: readonly TracedFunction[]): JudgedFunction[] | undefined {
    const { addresses, answers, redirects } = this.#parts.get(part) ?? {};
    const asked = partOf(functions, part);
    if (!answers || answers.length !== asked.length) return undefined;
    if (asked.some(({ address }, i) => address !== addresses?.[i])) return undefined;
    for (const key of redirects ?? []) this.#redirects.add(key);
    return asked.map(({ name, address, site }, i): JudgedFunction => {
      const { code, reasons, verdict } = answers[i]!;
      return verdict ? { name, address, site, code, reasons, verdict } : { name, address, site, code, reasons };
    });
  }
}
