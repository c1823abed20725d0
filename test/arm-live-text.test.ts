// What the kernel rewrites in its own text is told from its tables; here that is compared with what it really rewrote, on
// a machine with two CPUs and on one whose single CPU makes it take all the SMP code back.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { arm } from '../src/arch/arm/arm.ts';
import { encode } from '../src/arch/arm/instructions.ts';
import { platform } from '../src/arch/arm/platform.ts';
import { openKernel, type StoredKernel } from '../src/host/kernel-store.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { memoryAfterStart } from './support/live-memory.ts';
import { stockImage } from './support/stock-image.ts';

const name = '6.1.0-50-armmp';
/** Both machines have their RAM there, and the kernel maps it from PAGE_OFFSET on. */
const ramStart = 0x40000000;
const pageOffset = 0xc0000000n;
/** `add sp, sp, #4`: what a call site becomes while nothing traces. */
const ftraceNop = encode('ADD (immediate)', { S: 0, Rn: 13, Rd: 13, imm12: 4 });

let folder: string;
let kernel: StoredKernel;
let image: KernelImage;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-live-'));
  kernel = await openKernel(name);
  image = await stockImage(name);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Boots, and compares all text but init text, whose memory is given back. */
async function compare(machine: { program: string; arguments: readonly string[]; console: string }) {
  const [{ start, end }] = image.textRanges as [KernelImage['textRanges'][0]];
  const size = Number(end - pageOffset);
  const memory = await memoryAfterStart(folder, { ...machine, ramStart }, kernel.image, size);
  const live = wordsOf(memory.subarray(Number(start - pageOffset)));
  const shipped = wordsOf(image.bytes(start, Number(end - start))!);

  const sites = new Set(arm.findCallSites(image).map(({ address }) => Number(address - start) / 4));
  const predicted = new Set(arm.selfModified(image).words.map((address) => Number(address - start) / 4));
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

test('Two CPUs: every word that differs in memory was predicted', async () => {
  const { program, arguments: virtual, console } = platform.qemu;
  const result = await compare({ program, arguments: [...virtual, '-smp', '2'], console });
  expect(result).toMatchObject({ notPredicted: [], sitesAreNops: true });
  // Conversions between physical and virtual addresses, the division, and the few keys that are on.
  expect(result.differing).toBeGreaterThan(400);
});

test('One CPU: so was all that the SMP kernel took back', async () => {
  const board = join(dirname(kernel.image), '..', 'usr', 'lib', `linux-image-${name}`, 'sun4i-a10-cubieboard.dtb');
  const { program } = platform.qemu;
  const machine = { program, arguments: ['-M', 'cubieboard', '-dtb', board], console: 'ttyS0,115200' };
  const result = await compare(machine);
  expect(result).toMatchObject({ notPredicted: [], sitesAreNops: true });
  expect(result.differing).toBeGreaterThan(9000);
});
