// What Suture reads from the files of a kernel is what the kernel, once booted, says of itself: its symbols, its call
// sites, and that modules which Suture has written are as good as those that it has read.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { readElf, writeElf } from '../src/elf/elf.ts';
import { openKernel, type StoredKernel } from '../src/host/kernel-store.ts';
import { type KernelImage, readKernelImage } from '../src/kernel/image.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { modulesWithDependencies, type StockModule } from '../src/lab/target-modules.ts';
import { stockKernels } from './stock-kernels.ts';

/** The figures of 6.1.0-50 (6.1.176-1): a kernel of another version has others, and this test its table to grow. */
const figures = {
  arm: { kallsyms: 45_665, madeAtRunTime: 0, callSites: 39_757, traceable: 37_253 },
  ppc64le: { kallsyms: 39_180, madeAtRunTime: 2, callSites: 33_690, traceable: 32_181 },
} as const;

/** Modules that need no hardware, with what they depend on: a file system, a driver, tables, and plain code. */
const sample = ['ext4', 'vfat', 'nls_utf8', 'loop', 'dummy', 'crc32c_generic', 'libcrc32c'];

describe.each(stockKernels)('$name, as read and as booted', ({ name, architecture }) => {
  const expected = figures[architecture];
  const arch = architectureByName(architecture);
  let stored: StoredKernel;
  let image: KernelImage;
  let modules: StockModule[];
  let guest: Guest;

  beforeAll(async () => {
    stored = await openKernel(name);
    image = await readKernelImage(new Uint8Array(await readFile(stored.image)), name, arch);
    modules = await modulesWithDependencies(stored.modules, sample);
    guest = await bootGuest(guestKernel(stored), {
      files: modules.map((module) => ({
        path: `/rewritten/${module.name}.ko`,
        bytes: writeElf(readElf(module.bytes, module.name)),
      })),
    });
  });
  afterAll(() => guest?.stop());

  it('says the same release, banner and build id', async () => {
    expect(await guest.succeed('uname -r')).toBe(`${image.release}\n`);
    expect(await guest.succeed('cat /proc/version')).toBe(`${image.banner.trimEnd()}\n`);
    const notes = await guest.readFile('/sys/kernel/notes');
    expect(Buffer.from(notes).toString('hex')).toContain(Buffer.from(image.buildId.bytes).toString('hex'));
  });

  it('has the same kallsyms: address, type, name and order', async () => {
    const lines = (await guest.succeed('cat /proc/kallsyms')).trimEnd().split('\n');
    expect(lines).toHaveLength(expected.kallsyms);
    // Pages that kprobes takes for its own code are listed behind the image's symbols, as of a module: kernel/kprobes.c.
    const madeAtRunTime = lines.filter((line) => line.includes('\t'));
    expect(madeAtRunTime).toEqual(lines.slice(lines.length - expected.madeAtRunTime));
    for (const line of madeAtRunTime) expect(line).toMatch(/\t\[__builtin__kprobes\]$/);

    const digits = arch.elf.class / 4;
    const read = image.kallsyms.map(
      ({ address, type, name }) => `${address.toString(16).padStart(digits, '0')} ${type} ${name}`,
    );
    expect(read).toEqual(lines.slice(0, lines.length - expected.madeAtRunTime));
  });

  it('has every call site that ftrace lists, and beyond those only the ones in init text', async () => {
    const listed = (await guest.succeed('cat /sys/kernel/tracing/available_filter_functions')).trimEnd().split('\n');
    expect(listed.filter((line) => line.includes('['))).toEqual([]);
    expect(listed).toHaveLength(expected.traceable);

    const found = arch.findCallSites(image);
    expect(found).toHaveLength(expected.callSites);
    // Memory of init text is given back after start-up, and its call sites are taken off the list: ftrace_free_init_mem().
    const initStart = image.symbol('_sinittext')!;
    const initEnd = image.symbol('_einittext')!;
    const beyondInit = found.filter(({ address }) => address < initStart || address >= initEnd);
    console.log(
      `${name}: ${found.length} call sites found, ${found.length - beyondInit.length} of them in init text,`,
      `${listed.length} listed by the kernel`,
    );
    // The kernel's list is in another order, and many functions share a name: compared as sorted lists, so that every
    // name has to be there as many times.
    expect(beyondInit.map((site) => site.name).sort()).toEqual(listed.sort());
  });

  it('loads modules that were read and written again', async () => {
    for (const module of modules) {
      expect(await guest.run(`insmod /rewritten/${module.name}.ko`), module.name).toMatchObject({ status: 0 });
    }
    const loaded = (await guest.succeed('cut -d" " -f1 /proc/modules')).trim().split('\n');
    expect(loaded.sort()).toEqual(modules.map((module) => module.name).sort());
    // They do not only load: a file system is made, mounted and used through three of them.
    await guest.succeed(`
      truncate -s 8M /tmp/disk && mke2fs -F /tmp/disk && mkdir -p /tmp/mounted &&
      mount -t ext4 -o loop /tmp/disk /tmp/mounted && echo kept >/tmp/mounted/file && umount /tmp/mounted &&
      mount -t ext4 -o loop /tmp/disk /tmp/mounted && grep -x kept /tmp/mounted/file && umount /tmp/mounted`);
    for (const module of [...modules].reverse()) await guest.succeed(`rmmod ${module.name}`);
    expect(await guest.kernelLog()).not.toMatch(/BUG|Oops|WARNING|invalid module/);
  });
});
