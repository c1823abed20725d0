// Reads a kernel as every command does, and then once more what takes the most of it, each by itself.

import { architectureOf, loadKernel, readImage } from '../../src/host/read-kernel.ts';
import { unpackIfPacked } from '../../src/kernel/compression.ts';
import { readKallsyms } from '../../src/kernel/kallsyms.ts';
import { isZimage, unpackZimage } from '../../src/kernel/zimage.ts';

const [name = ''] = process.argv.slice(2);
const figures: Record<string, number> = {};

async function timed<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  figures[what] = performance.now() - start;
  return result;
}

const { stored } = await timed('load ms', () => loadKernel(name));
// The peak is that of loading: what follows is only there to say where the time goes.
figures['peak of loading MB'] = process.resourceUsage().maxRSS / 1024;
const arch = architectureOf(stored);
const packed = await readImage(stored);
const unpacked = await timed('unpack ms', async () => {
  const bytes = await unpackIfPacked(packed, name);
  return isZimage(bytes) ? unpackZimage(bytes, name) : bytes;
});
await timed('kallsyms ms', () => readKallsyms(unpacked, arch.elf.class === 32 ? 4 : 8, name));
process.stdout.write(JSON.stringify(figures));
