// What a loader expects of modules is learnt from some that came with the kernel. A list names them all, so that nobody has to go through
// their folders; whatever becomes of the list, what is learnt must be the same.

import { link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { kernelsFolder, openKernel, type StoredKernel, writeKernelFile } from '../src/host/kernel-store.ts';
import { loadKernel, moduleFiles } from '../src/host/read-kernel.ts';
import type { ModuleAbi } from '../src/kernel/module-abi.ts';
import { stockKernels } from './stock-kernels.ts';

const { name } = stockKernels[1]!;
let cache: string;
let stored: StoredKernel;
let files: string[];
let expected: ModuleAbi;

beforeAll(async () => {
  stored = await openKernel(name);
  expected = (await loadKernel(name)).abi;
  files = (await moduleFiles(stored)).filter((_, i) => i % 8 === 0);
  // Links do not lead from one file system to another.
  cache = await mkdtemp(join(kernelsFolder(), '..', 'test-sampled-'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(cache, { recursive: true, force: true });
});

/** The ABI as it is learnt where `modules.order` has this text, from modules of the kernel's own in a folder of our own. */
async function learnt(order: string | undefined): Promise<ModuleAbi> {
  const modules = join(cache, 'suture', 'modules');
  await rm(join(cache, 'suture'), { recursive: true, force: true });
  for (const file of files) {
    await mkdir(join(modules, dirname(file)), { recursive: true });
    await link(join(stored.modules, file), join(modules, file));
  }
  if (order !== undefined) await writeFile(join(modules, 'modules.order'), order);
  const folder = join(cache, 'suture', 'kernels', name);
  await mkdir(folder, { recursive: true });
  const { folder: _, ...description } = stored;
  await writeFile(join(folder, 'kernel.json'), writeKernelFile({ ...description, modules }, folder));
  vi.stubEnv('XDG_CACHE_HOME', cache);
  try {
    return (await loadKernel(name)).abi;
  } finally {
    vi.unstubAllEnvs();
  }
}

const lines = (all: readonly string[]): string => all.map((file) => `${file}\n`).join('');

test.each<[what: string, order: () => string | undefined]>([
  ['that is not there', () => undefined],
  ['of all of them', () => lines(files)],
  ['of one that is missing', () => lines([...files.slice(1), 'kernel/none.ko'])],
  ['of a folder', () => lines([...files.slice(1), 'kernel/drivers/../drivers.ko', 'kernel'])],
  ['of others, outside', () => lines(files.map((file) => join('..', '..', 'elsewhere', file)))],
  ['of others, by absolute paths', () => lines(files.map((file) => join('/elsewhere', file)))],
  ['of a few without init and exit', () => lines(files.filter((file) => /crc/.test(file)))],
])('a list %s', async (_, order) => {
  expect(await learnt(order())).toEqual(expected);
});

test('the list of the kernel as shipped names what is there', async () => {
  const order = await readFile(join(stored.modules, 'modules.order'), 'utf8');
  expect(order.trim().split('\n').sort()).toEqual(await moduleFiles(stored));
});
