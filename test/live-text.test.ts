// What a kernel rewrites in its own text is told from its tables; here that is compared with what it really rewrote. On
// ARM on a machine with two CPUs and on one whose single CPU makes it take all the SMP code back; on ppc64le under both
// ways of translating addresses.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { stockKernels } from './stock-kernels.ts';
import { type LiveMachine, memoryAfterStart } from './support/live-memory.ts';

/** Where RAM is, where the kernel maps it to, and what a call site becomes while nothing traces. */
const memoryOf = {
  // `add sp, sp, #4`, which takes back what the site pushed.
  arm: { ramStart: 0x40000000, pageOffset: 0xc0000000n, ftraceNop: 0xe28dd004 },
  // `ori r0,r0,0`.
  ppc64le: { ramStart: 0, pageOffset: 0xc000000000000000n, ftraceNop: 0x60000000 },
} as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-live-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Boots, and compares all text but init text, whose memory is given back. */
async function compare(kernel: LoadedKernel, machine: Omit<LiveMachine, 'ramStart'>) {
  const { arch, image, stored } = kernel;
  const { ramStart, pageOffset, ftraceNop } = memoryOf[arch.platform.name];
  const { start, end } = image.textRanges[0]!;
  const size = Number(end - pageOffset);
  const memory = await memoryAfterStart(folder, { ...machine, ramStart }, stored.image, size);
  const live = wordsOf(memory.subarray(Number(start - pageOffset)));
  const shipped = wordsOf(image.bytes(start, Number(end - start))!);

  const sites = new Set(kernel.callSites.map(({ address }) => Number(address - start) / 4));
  const predicted = new Set(kernel.selfModified.words.map((address) => Number(address - start) / 4));
  const differing = [...shipped.keys()].filter((i) => live[i] !== shipped[i]);
  const beyondSites = differing.filter((i) => !sites.has(i));
  const place = (i: number): string => {
    const at = image.enclosing((start + BigInt(4 * i)) as typeof start)!;
    return `${at.name}+0x${(4 * i - Number(at.start - start)).toString(16)}`;
  };
  return {
    differing: beyondSites.length,
    notPredicted: beyondSites.filter((i) => !predicted.has(i)).map(place),
    sitesAreNops: [...sites].filter((i) => i < shipped.length).every((i) => live[i] === ftraceNop),
  };
}

interface Machine {
  readonly what: string;
  /** At least so many words differ, beyond call sites: a comparison that finds none has compared nothing. */
  readonly atLeast: number;
  machine(kernel: LoadedKernel): Omit<LiveMachine, 'ramStart'>;
}

const virtual = (...more: string[]): Machine['machine'] => {
  return ({ arch: { platform } }) => ({ ...platform.qemu, arguments: [...platform.qemu.arguments, ...more] });
};

const machines: Record<(typeof stockKernels)[number]['architecture'], readonly Machine[]> = {
  arm: [
    // Conversions between physical and virtual addresses, the division, and the few keys that are on.
    { what: 'two CPUs', atLeast: 400, machine: virtual('-smp', '2') },
    {
      what: 'one CPU, for which the SMP kernel takes its own code back',
      atLeast: 9000,
      machine: ({ arch, stored }) => {
        const trees = join(dirname(stored.image), '..', 'usr', 'lib', `linux-image-${stored.name}`);
        const board = ['-M', 'cubieboard', '-dtb', join(trees, 'sun4i-a10-cubieboard.dtb')];
        return { program: arch.platform.qemu.program, arguments: board, console: 'ttyS0,115200' };
      },
    },
  ],
  ppc64le: [
    { what: 'a POWER9 with a radix tree', atLeast: 4000, machine: virtual('-smp', '2') },
    { what: 'a POWER8 with a hash table', atLeast: 4000, machine: virtual('-cpu', 'power8', '-smp', '2') },
  ],
};

describe.each(stockKernels)('$name', ({ name, architecture }) => {
  let kernel: LoadedKernel;
  beforeAll(async () => {
    kernel = await loadKernel(name);
  });

  test.each(machines[architecture])('every word that differs in memory was predicted: $what', async (each) => {
    const result = await compare(kernel, each.machine(kernel));
    expect(result).toMatchObject({ notPredicted: [], sitesAreNops: true });
    expect(result.differing).toBeGreaterThan(each.atLeast);
  });
});
