// Kernels that have what Suture does not read, or lack what it needs: each is refused by a code that says so, and none is
// guessed at. They run in the lab all the same, where the machine is one that QEMU has.

import { expect, it } from 'vitest';
import { openKernel } from '../../src/host/kernel-store.ts';
import { loadKernel } from '../../src/host/read-kernel.ts';
import { withGuest } from '../../src/lab/guest.ts';
import { guestKernel } from '../../src/lab/guest-kernel.ts';
import { sutureJson } from '../suture.ts';
import { describeKernel } from './wanted-kernels.ts';

const codes = async (...args: string[]) => {
  const { exit, reasons } = await sutureJson(args);
  return [exit, ...reasons.map(({ code }: { code: string }) => code)];
};

const boots = async (name: string) => {
  const release = await withGuest(guestKernel(await openKernel(name)), {}, (guest) => guest.succeed('uname -r'));
  expect(release).toBe(`6.1.176-${name}\n`);
};

await describeKernel('arm-thumb2', () => {
  const kernel = 'arm-thumb2';
  it('boots', () => boots(kernel));

  it('is refused as one in Thumb code', async () => {
    expect(await codes('audit', kernel)).toEqual([2, 'kernel-unsupported']);
    expect(await codes('prove', '--all', '--kernel', kernel)).toEqual([2, 'kernel-unsupported']);
    expect(await codes('kernel', 'show', kernel)).toEqual([2, 'kernel-unsupported']);
  });
});

const withoutTracing = (kernel: 'arm-no-ftrace' | '6.1.0-50-marvell') => () => {
  it('has functions that are redirected at their entries, and not otherwise', async () => {
    const { exit, result } = await sutureJson(['audit', kernel]);
    expect([exit, result.way]).toEqual([0, 'entry']);
    expect(result.codes.proven).toBeGreaterThan(10_000);
    expect(await codes('audit', '--way', 'ftrace', kernel)).toEqual([2, 'way-missing']);
  });

  it('has them proven, all that can be redirected', async () => {
    expect(await codes('prove', '--all', '--kernel', kernel)).toEqual([0]);
  });

  it('tells all the words that it rewrites itself', async () => {
    const { selfModified } = await loadKernel(kernel);
    expect(selfModified.unknown).toEqual([]);
    expect(selfModified.words.length).toBeGreaterThan(300);
  });
};

await describeKernel('arm-no-ftrace', () => {
  it('boots', () => boots('arm-no-ftrace'));
  withoutTracing('arm-no-ftrace')();
});
await describeKernel('6.1.0-50-marvell', withoutTracing('6.1.0-50-marvell'));
