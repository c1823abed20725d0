// The second thread of the commands that prove whole kernels (prove-together.ts). To start it takes as long as to read the program,
// so it is started before the program is read (start.ts), and waits for its order.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

export interface SecondThread {
  readonly worker: Worker;
  /** Settled when it has come to its end, or has failed. */
  readonly isOver: Promise<unknown>;
}

let started: SecondThread | undefined;

/** Starts it, if there is a second processor and the machine lets us. Nobody waits for one that gets no order. */
export function startSecondThread(): void {
  if (availableParallelism() < 2) return;
  let worker: Worker;
  try {
    worker = new Worker(new URL('proving-thread.js', import.meta.url));
  } catch {
    return;
  }
  worker.unref();
  // Whoever gives it an order finds out that nothing comes of it.
  worker.on('error', () => {});
  started = { worker, isOver: new Promise((resolve) => worker.on('exit', resolve)) };
}

/** The thread, for one order; undefined where there is none. */
export function takeSecondThread(): SecondThread | undefined {
  if (!started) startSecondThread();
  const thread = started;
  started = undefined;
  thread?.worker.ref();
  return thread;
}
