// What must not outlive us: processes that we started, folders that we made.
//
// Whoever makes such a thing registers how to end it, and takes that back once it is gone. On SIGINT, SIGTERM and
// SIGHUP, and whenever the process ends, what is still registered is ended, the youngest first, so that a program
// dies before the folder that it writes to is removed. All of it is synchronous: nothing else of ours runs in between.

type CleanUp = () => void;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type EndingSignal = (typeof signals)[number];

const cleanUps = new Set<CleanUp>();
let listening = false;
let owner: ((signal: EndingSignal) => void) | undefined;

function cleanUpAll(): void {
  for (const cleanUp of [...cleanUps].reverse()) {
    cleanUps.delete(cleanUp);
    try {
      cleanUp();
    } catch {
      // The others must still have their turn; what is left here is swept at the next start.
    }
  }
}

function end(signal: EndingSignal): void {
  cleanUpAll();
  if (owner) {
    owner(signal);
    return;
  }
  // Nobody has anything to say about it: end as a program without a handler does.
  for (const each of signals) process.removeListener(each, end);
  process.kill(process.pid, signal);
}

function listen(): void {
  if (listening) return;
  listening = true;
  for (const signal of signals) process.on(signal, end);
  process.on('exit', cleanUpAll);
}

/** Registers a synchronous clean-up for the case that the process ends early; returns what takes it back. */
export function atEnd(cleanUp: CleanUp): () => void {
  listen();
  cleanUps.add(cleanUp);
  return () => {
    cleanUps.delete(cleanUp);
  };
}

/**
 * Has `report` called after the clean-up on an ending signal, in place of dying of it. `report` must end the process.
 * Returns what takes it back.
 */
export function onInterrupt(report: (signal: EndingSignal) => void): () => void {
  listen();
  owner = report;
  return () => {
    owner = undefined;
  };
}
