// Wrong redirects by the thousand, each judged by the prover, run on our own machine from many states with interrupts, and
// run by QEMU, which knows nothing of us. None that either shows to be wrong may be called proven; and of those that keep
// everything most are to be. `npm run mutants` runs this and prints the table that docs/proof.md has.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { armStage } from './support/arm-mutant-stage.ts';
import { judgeMutants, type Mutant, mutants, type Originals } from './support/mutants.ts';
import { originalsOf } from './support/originals.ts';
import { ppc64leStage } from './support/ppc64le-mutant-stage.ts';
import { qemuFaults, type Stage } from './support/qemu-redirects.ts';
import { randomNumbers } from './support/random.ts';
import { faultOf } from './support/redirect-run.ts';

const count = 2000;
/** Milliseconds: minutes on two idle cores, but these are rarely idle. */
const longest = 30 * 60_000;
/** Under QEMU so many at a time: what they write down is held in memory. */
const batch = 250;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-mutants-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(['6.1.0-50-armmp', '6.1.0-50-powerpc64le'])('On %s', (kernel) => {
  let originals: Originals;
  let stage: Stage;
  beforeAll(async () => {
    originals = await originalsOf(kernel);
    stage = kernel.includes('arm') ? armStage(originals.hook) : ppc64leStage;
  });

  /** What is wrong with each under QEMU. */
  async function underQemu(all: readonly Mutant[]): Promise<(string | undefined)[]> {
    const random = randomNumbers(0x9e3779);
    const faults: (string | undefined)[] = [];
    for (let at = 0; at < all.length; at += batch)
      faults.push(...(await qemuFaults(folder, stage, all.slice(at, at + batch), random)));
    return faults;
  }

  test('what mutants are made of is right', async () => {
    const { facts, hook, redirects } = originals;
    const right = redirects.slice(0, 60).map((each) => ({ ...each, hook }));
    const faults = await underQemu(right);
    const random = randomNumbers(1);
    const wrong = right.flatMap(({ name, redirect }, n) => {
      const own = faultOf(facts, hook, redirect, random);
      return faults[n] === undefined && own === undefined ? [] : [`${name}: ${faults[n]} under QEMU, ${own} here`];
    });
    expect(wrong).toEqual([]);
  });

  test(
    'of mutants none that a run shows to be wrong is called proven, and most that keep everything are',
    async () => {
      const random = randomNumbers(0x5075e);
      const all = [...mutants(originals, count, random)];
      const tally = judgeMutants(originals, all, random, await underQemu(all));
      console.log(`${count} mutants on ${kernel}`, tally);
      expect(tally.wrong).toEqual([]);
      const { proven, refuted, unknown } = tally.right;
      expect(proven / (proven + refuted + unknown)).toBeGreaterThan(0.95);
    },
    longest,
  );
});
