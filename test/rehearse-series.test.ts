// Many patches go through few guests. One that fails must cost no other its turn, and must never pass for another one.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCore } from '../src/compile/core-module.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { type GuestKernel, guestKernel } from '../src/lab/guest-kernel.ts';
import { rehearseSeries, type SeriesOutcome, type SeriesPatch } from '../src/lab/rehearse-series.ts';
import { modulesWithDependencies, type StockModule } from '../src/lab/target-modules.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { sutureJson } from './suture.ts';

describe('a series', () => {
  const kernelName = stockKernels[0].name;
  let folder: string;
  let kernel: GuestKernel;
  let core: Uint8Array;
  let good: Uint8Array;
  let dummy: StockModule[];
  const damaged = (bytes: Uint8Array) => bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-series-'));
    const stored = await openKernel(kernelName);
    kernel = guestKernel(stored);
    core = new Uint8Array(await readFile((await buildCore(stored)).ko));
    const output = join(folder, 'hide.ko');
    const { fix } = examples.find(({ name }) => name === 'cmdline')!;
    expect(await sutureJson(['build', '--kernel', kernelName, '-o', output, fix])).toMatchObject({ exit: 0 });
    good = new Uint8Array(await readFile(output));
    dummy = await modulesWithDependencies(stored.modules, ['dummy']);
  });
  afterAll(() => rm(folder, { recursive: true }));

  const series = async (patches: readonly SeriesPatch[]) => {
    const outcomes: SeriesOutcome[] = [];
    const boots: string[] = [];
    await rehearseSeries(
      kernel,
      core,
      patches,
      { perGuest: 3 },
      async (outcome) => {
        outcomes.push(outcome);
      },
      (text) => {
        if (text.startsWith('booting')) boots.push(text);
      },
    );
    return { outcomes, boots };
  };
  const patch = (name: string, module: Uint8Array, more: Partial<SeriesPatch> = {}): SeriesPatch => ({
    ...{ name, module, targets: [], patched: [] },
    ...more,
  });

  it('goes on in another guest behind a patch that fails', async () => {
    const { outcomes, boots } = await series([
      patch('first', good),
      patch('second', damaged(good)),
      patch('third', good),
      patch('fourth', good),
    ]);
    expect(outcomes.map(({ name, reasons }) => [name, reasons.length])).toEqual([
      ['first', 0],
      ['second', 1],
      ['third', 0],
      ['fourth', 0],
    ]);
    expect(outcomes[1]!.reasons[0]).toMatchObject({ code: 'rehearsal-failed', place: 'second: apply' });
    expect(boots).toHaveLength(2);
  });

  it('says which targets were missing, and does not take a patch that waits for one in effect', async () => {
    const broken = dummy.map((module) => ({ ...module, bytes: damaged(module.bytes).subarray(0, 1000) }));
    const { outcomes } = await series([patch('without', good, { targets: broken, patched: ['dummy'] })]);
    expect(outcomes).toMatchObject([{ reasons: [] }]);
    expect([...outcomes[0]!.missingTargets.keys()]).toEqual(['dummy']);
    // The module is there, and the patch has nothing for it.
    const other = (await series([patch('idle', good, { targets: dummy, patched: ['dummy'] })])).outcomes[0]!;
    expect(other.missingTargets.size).toBe(0);
    expect(other.reasons[0]!.message).toContain('dummy is not patched');
  });
});
