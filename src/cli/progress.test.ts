// A log gets few lines, but never none for long: a command that says nothing for minutes looks as one that hangs. The clock is the
// test's own.

import { beforeEach, expect, it } from 'vitest';
import { type Clock, seldom } from './progress.ts';

let time: number;
let waiting: { at: number; then: () => void } | undefined;
let lines: string[];
const clock: Clock = {
  now: () => time,
  after: (milliseconds, then) => {
    const mine = { at: time + milliseconds, then };
    waiting = mine;
    return () => {
      if (waiting === mine) waiting = undefined;
    };
  },
};
const say = (line: string) => lines.push(line);

/** Seconds go by, and the timer is heard; or not, while the work leaves it no moment. */
function pass(seconds: number, isHeard = true): void {
  const until = time + 1000 * seconds;
  while (isHeard && waiting && waiting.at <= until) {
    const { at, then } = waiting;
    waiting = undefined;
    time = Math.max(time, at);
    then();
  }
  time = until;
}

beforeEach(() => {
  [time, waiting, lines] = [5000, undefined, []];
});

it('nothing is said of what is quick', () => {
  const { tell, stop } = seldom(say, clock);
  for (const stage of ['reading', 'compiling', 'linking']) {
    tell(stage);
    pass(3);
  }
  stop();
  pass(100);
  expect(lines).toEqual([]);
});

it('a stage that goes on is named after ten seconds, then after breaks that double up to five minutes', () => {
  const { tell } = seldom(say, clock);
  tell('booting');
  pass(160);
  expect(lines).toEqual([10, 30, 70, 150].map((seconds) => `booting (${seconds} s so far)`));
  pass(1300);
  expect(lines.slice(4)).toEqual([310, 610, 910, 1210].map((seconds) => `booting (${seconds} s so far)`));
});

it('work that lets no timer through is told of at its next stage', () => {
  const { tell } = seldom(say, clock);
  for (let part = 1; part <= 10; part++) {
    tell(`proving: ${part} of 10`);
    pass(4, false);
  }
  expect(lines).toEqual(['proving: 4 of 10 (12 s so far)', 'proving: 9 of 10 (32 s so far)']);
});

it('nothing is said before there is something to say', () => {
  const { tell } = seldom(say, clock);
  pass(60);
  expect(lines).toEqual([]);
  tell('compiling');
  expect(lines).toEqual(['compiling (60 s so far)']);
});
