// What is read from the stock kernels' images and modules, against what the packages beside them say.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { readElf } from '../src/elf/elf.ts';
import { openKernel, type StoredKernel } from '../src/host/kernel-store.ts';
import { parseConfig } from '../src/kernel/config.ts';
import { readFurtherSymbols } from '../src/kernel/further-symbols.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { isInitMemory } from '../src/kernel/init-memory.ts';
import { learnModuleAbi } from '../src/kernel/module-abi.ts';
import { moduleExports } from '../src/kernel/module-exports.ts';
import { stockKernels } from './stock-kernels.ts';
import { moduleFiles } from './support/modules.ts';
import { stockImage } from './support/stock-image.ts';

/** A line of Module.symvers: CRC, name, module, kind of export, namespace. */
interface Symver {
  readonly crc: number;
  readonly name: string;
  readonly gplOnly: boolean;
  readonly namespace: string;
}

/** Module.symvers by module, `vmlinux` or `drivers/…/name`. */
async function readSymvers(kernel: StoredKernel): Promise<Map<string, Symver[]>> {
  const symvers = new Map<string, Symver[]>();
  for (const line of (await readFile(join(kernel.headers, 'Module.symvers'), 'utf8')).trimEnd().split('\n')) {
    const [crc, name, module, kind, namespace = ''] = line.split('\t') as [string, string, string, string, string?];
    const list = symvers.get(module) ?? [];
    symvers.set(module, list);
    list.push({ crc: Number(crc), name, gplOnly: kind === 'EXPORT_SYMBOL_GPL', namespace });
  }
  return symvers;
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
const asSymvers = (exports: Iterable<{ crc: number | undefined } & Omit<Symver, 'crc'>>) =>
  [...exports].map(({ crc, name, gplOnly, namespace }) => ({ crc, name, gplOnly, namespace })).sort(byName);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe.each([
  {
    name: '6.1.0-50-armmp',
    kallsyms: 45_665,
    exports: 10_173,
    base: 0xc0208000n,
    struct: { structModuleSize: 576, structModuleAlign: 64, nameOffset: 12, initOffset: 204, exitOffset: 560 },
    required: ['.plt', '.init.plt'],
  },
  {
    name: '6.1.0-50-powerpc64le',
    kallsyms: 39_178,
    exports: 9_494,
    base: 0xc000000000000000n,
    struct: { structModuleSize: 1024, structModuleAlign: 128, nameOffset: 24, initOffset: 312, exitOffset: 944 },
    required: ['.sfpr', '.stubs', '.ftrace.tramp'],
  },
])('$name', (expected) => {
  let kernel: StoredKernel;
  let image: KernelImage;
  beforeAll(async () => {
    kernel = await openKernel(expected.name);
    image = await stockImage(expected.name);
  });

  test('The banner tells the release and the version of the package', () => {
    expect(image.release).toBe(kernel.name);
    expect(image.banner).toContain(`Debian ${kernel.version} (`);
  });

  test('kallsyms is whole and in ascending order', () => {
    expect(image.kallsyms).toHaveLength(expected.kallsyms);
    expect(image.kallsyms.every(({ address }, i) => i === 0 || address >= image.kallsyms[i - 1]!.address)).toBe(true);
    expect(image.base).toBe(expected.base);
  });

  test('Exports, CRCs, kinds and namespaces equal Module.symvers', async () => {
    const vmlinux = (await readSymvers(kernel)).get('vmlinux')!;
    expect(image.exports.size).toBe(expected.exports);
    expect(asSymvers(image.exports.values())).toEqual(vmlinux.sort(byName));
  });

  test('An exported function has an address that kallsyms has for its name', () => {
    const named = new Set(image.kallsyms.map(({ name }) => name));
    const placed = new Set(image.kallsyms.map(({ name, address }) => `${name} ${address}`));
    const functions = [...image.exports.values()].filter(({ name }) => named.has(name));
    expect(functions.length).toBeGreaterThan(expected.exports * 0.8);
    expect(functions.filter(({ name, address }) => !placed.has(`${name} ${address}`))).toEqual([]);
  });

  test('All modules agree on what the loader expects, and export what Module.symvers says', async () => {
    const symvers = await readSymvers(kernel);
    const arch = architectureByName(kernel.architecture);
    const files = moduleFiles(kernel);
    const modules = await Promise.all(files.map(async (file) => ({ name: file, bytes: await readFile(file) })));
    const abi = learnModuleAbi(modules, arch);
    expect(abi).toMatchObject(expected.struct);
    expect(abi.vermagic.startsWith(`${image.release} `)).toBe(true);
    expect(abi.modversions).toBe(true);
    expect(abi.requiredSections.map(({ name }) => name)).toEqual(expected.required);

    for (const { name, bytes } of modules) {
      const path = name.slice(name.indexOf('/kernel/') + '/kernel/'.length, -'.ko'.length);
      const told = asSymvers(moduleExports(readElf(bytes, name)).values());
      expect(told, path).toEqual((symvers.get(path) ?? []).sort(byName));
    }
  });

  test('The configuration beside the image says why Suture is needed', async () => {
    const config = parseConfig(await readFile(kernel.config, 'utf8'));
    const wanted = ['KALLSYMS', 'MODVERSIONS', 'DYNAMIC_FTRACE_WITH_REGS'];
    expect(wanted.map((option) => config.get(option))).toEqual(['y', 'y', 'y']);
    expect(['KALLSYMS_ALL', 'LIVEPATCH'].filter((option) => config.has(option))).toEqual([]);
  });
});

describe('A System.map', () => {
  /** What kallsyms and the exports tell, in the form of one; the packages bring none. */
  const mapOf = ({ kallsyms, exports }: KernelImage) => {
    const data = [...exports.values()].map((each) => ({ ...each, type: 'D' }));
    const lines = [...kallsyms, ...data].map(
      ({ address, type, name }) => `${address.toString(16).padStart(address >> 32n ? 16 : 8, '0')} ${type} ${name}\n`,
    );
    return { name: 'System.map', bytes: new TextEncoder().encode(lines.join('')) };
  };

  test.each([0, 1] as const)('is taken for its own kernel, and refused for the other (%i)', async (i) => {
    const image = await stockImage(stockKernels[i].name);
    const other = await stockImage(stockKernels[1 - i]!.name);
    const symbols = readFurtherSymbols(image, { systemMap: mapOf(image) });
    expect(symbols.get('init_task')).toContain(image.exports.get('init_task')!.address);
    expect(() => readFurtherSymbols(image, { systemMap: mapOf(other) })).toThrow(/in the image and .* more symbols/);
  });
});

test('What ppc64le gives back lies between __init_begin and __init_end, without the per-CPU area', async () => {
  const image = await stockImage('6.1.0-50-powerpc64le');
  const given = (name: string) => isInitMemory(image.symbol(name)!, (known) => image.symbol(known));
  expect(['start_kernel', '__init_begin', '__con_initcall_start'].map(given)).toEqual([true, true, true]);
  expect(['vfs_read', '__per_cpu_start', '_sdata', 'init_task'].map(given)).toEqual([false, false, false, false]);
});

test('The build id of the ppc64le image is that of its .notes', async () => {
  const image = await stockImage('6.1.0-50-powerpc64le');
  const notes = image.section('.notes')!;
  expect(hex(notes.bytes)).toContain(hex(image.buildId.bytes));
  expect(image.buildId.address > notes.address).toBe(true);
  expect(image.symbol('__start_notes')).toBe(notes.address);
});

test('The ppc64le image’s own symbol table has the addresses that kallsyms and the exports have', async () => {
  const image = await stockImage('6.1.0-50-powerpc64le');
  const table = new Set(image.symbolTable.map(({ name, value }) => `${name} ${value}`));
  expect(image.kallsyms.filter(({ name, address }) => !table.has(`${name} ${address}`))).toEqual([]);
  expect([...image.exports.values()].filter(({ name, address }) => !table.has(`${name} ${address}`))).toEqual([]);
});
