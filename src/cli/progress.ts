// What is being done, said to nobody in particular: where stderr is no terminal but a log. A quick command says nothing; a long one
// shows now and then that it lives. So a line comes after ten seconds, and then after breaks that double, up to five minutes.

/** The time, and being called later; tests have their own. */
export interface Clock {
  /** In milliseconds from any moment on. */
  readonly now: () => number;
  /** Calls `then` after so many milliseconds, unless what it returns is called before. */
  readonly after: (milliseconds: number, then: () => void) => () => void;
}

/** This machine's. A command that is done does not wait for it. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, then) => {
    const timer = setTimeout(then, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};

const [firstBreak, longestBreak] = [10_000, 300_000];

export interface Progress {
  /** Says what is being done now. */
  readonly tell: (text: string) => void;
  /** Nothing is said from here on. */
  readonly stop: () => void;
}

/**
 * Progress for a log. A line is said when it is due, whether somebody tells of a new stage at that moment or the one that was told of
 * last goes on; work that lets no timer through has its line at the next telling.
 */
export function seldom(say: (line: string) => void, { now, after }: Clock = systemClock): Progress {
  const start = now();
  let latest: string | undefined;
  let pause = firstBreak;
  let due = start + pause;
  let cancel = () => {};
  const wait = (): void => {
    cancel();
    cancel = after(Math.max(0, due - now()), speak);
  };
  const speak = (): void => {
    if (latest !== undefined && now() >= due) {
      say(`${latest} (${Math.round((now() - start) / 1000)} s so far)`);
      pause = Math.min(2 * pause, longestBreak);
      due = now() + pause;
    }
    wait();
  };
  return {
    tell: (text) => {
      const isFirst = latest === undefined;
      latest = text;
      if (isFirst || now() >= due) speak();
    },
    stop: () => cancel(),
  };
}
