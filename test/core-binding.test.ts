// The core calls functions that its kernel does not export. In another kernel something else is at their addresses, so it
// must not come so far there; and nothing may be bound that is not meant to be.

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { coreSources } from '../src/compile/core-module.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { bindCore, boundFunctions } from '../src/link/bind-core.ts';
import { stockKernels } from './stock-kernels.ts';
import { coreOf } from './support/patches.ts';

describe.each(stockKernels)('the core for $name', ({ name }) => {
  let folder: string;
  let kernel: LoadedKernel;
  /** As Kbuild makes it, and as it is delivered. */
  let unbound: Uint8Array;
  let core: Uint8Array;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-binding-'));
    kernel = await loadKernel(name);
    await cp(coreSources(), folder, { recursive: true });
    await kbuild(kernel.stored, kernel.arch.platform, folder, ['KCFLAGS=-g0', 'modules']);
    unbound = new Uint8Array(await readFile(join(folder, 'suture.ko')));
    core = await coreOf(kernel);
    const other = readElf((await checkSignature(core)).module.slice(), 'suture.ko');
    findSection(other, '.suture.core')!.data[8 + kernel.arch.elf.class / 4]! ^= 1;
    guest = await bootGuest(guestKernel(kernel.stored), {
      files: [
        { path: '/unbound.ko', bytes: await signModule(unbound) },
        { path: '/other.ko', bytes: await signModule(writeElf(other)) },
      ],
    });
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  it('has the addresses of the image, and is the same each time', async () => {
    const bound = bindCore(unbound, kernel.arch, kernel.image);
    expect(bound).toEqual(bindCore(unbound, kernel.arch, kernel.image));
    expect((await checkSignature(core)).module).toEqual(bound);
    const { symbols } = readElf(bound, 'suture.ko');
    // Some of them only kernels of another configuration need.
    const used = symbols.filter((symbol) => boundFunctions(kernel.arch).includes(symbol.name));
    expect(used.length).toBeGreaterThan(3);
    for (const symbol of used) {
      expect([symbol.name, symbol.value]).toEqual([symbol.name, kernel.image.symbol(symbol.name)]);
      expect(symbol.place).toEqual(kernel.arch.boundFunctionPlace);
    }
    expect(symbols.filter((each) => each.place === 'undefined' && each.name === 'suture_core_table')).toEqual([]);
  });

  it.each([
    ['a function that it is not to use', 'do_exit', /do_exit is neither exported nor among what/],
    ['what nobody has', 'no_such_function', /no_such_function is neither exported nor among what/],
  ])('is not bound to %s', (_, other, message) => {
    const model = readElf(unbound, 'suture.ko');
    model.symbols.find((symbol) => symbol.name === 'idle_task')!.name = other;
    const changed = writeElf(model);
    expect(() => bindCore(changed, kernel.arch, kernel.image)).toThrow(message);
  });

  it.each([
    ['other', 'this core was made for another kernel'],
    ['unbound', 'this core was not bound to a kernel'],
  ])('goes before it has called anything, if it is not for this kernel: %s', async (file, message) => {
    expect(await guest.run(`dmesg -c > /dev/null; insmod /${file}.ko`)).not.toMatchObject({ status: 0 });
    expect(await guest.succeed('dmesg')).toContain(`suture: ${message}`);
    expect(await guest.succeed('cat /proc/modules; ls -d /sys/kernel/livepatch 2> /dev/null; true')).toBe('');
  });
});
