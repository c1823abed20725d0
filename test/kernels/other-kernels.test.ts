// Kernels that lack what Suture mostly uses: without function tracing the entry way serves. They run in the lab, where the
// machine is one that QEMU has.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

const withoutTracing = (kernel: 'arm-no-ftrace' | '6.1.0-50-marvell') => () => {
  it('has no call site, and its functions proven at their entries', async () => {
    const { exit, result } = await sutureJson(['audit', kernel]);
    expect([exit, result.way, result.codes['no-call-site']]).toEqual([0, 'entry', undefined]);
    // Callers of some count on registers that those leave alone.
    expect(result.codes.proven).toBeGreaterThan(0.88 * (result.functions - result.codes['init-text']));
  });

  it('has no hook to prove redirects of the ftrace way by', async () => {
    expect(await codes('prove', '--all', '--way', 'ftrace', '--kernel', kernel)).toEqual([2, 'way-missing']);
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

  it('has a patch applied and taken back, by way of the entry', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'suture-test-entry-'));
    const example = (name: string) => new URL(`../../examples/${name}`, import.meta.url).pathname;
    const patch = join(folder, 'patch.ko');
    try {
      const build = await sutureJson(['build', '--kernel', 'arm-no-ftrace', '-o', patch, example('cmdline.c')]);
      expect(build).toMatchObject({ exit: 0, result: { proven: true, redirects: [{ way: 'entry' }] } });
      const rehearse = ['rehearse', '--kernel', 'arm-no-ftrace', patch, '--check', example('cmdline.sh')];
      expect(await sutureJson(rehearse)).toMatchObject({ exit: 0, reasons: [] });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
await describeKernel('6.1.0-50-marvell', withoutTracing('6.1.0-50-marvell'));
