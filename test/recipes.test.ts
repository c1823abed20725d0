// Relocations that wait until a module is there, followed by the core's own code in guests: against a module that is just
// coming and against one that is there, whose kallsyms have forgotten its data. Nothing is written unless all can be.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSection, findSymbol, readElf, readNotes } from '../src/elf/elf.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature } from '../src/kernel/module-signature.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { guestModules } from './support/guest-modules.ts';

/** NT_GNU_BUILD_ID of elf(5). */
const buildIdNote = 3;

describe.each(stockKernels)('recipes on $name', ({ name }) => {
  let guest: Guest;
  /** What /proc/recipes prints, line by line. See test/support/in-guest/recipes.c. */
  let lines: string[];
  /** The addresses of what the recipes refer to. */
  let target: bigint[];
  let word: bigint;

  beforeAll(async () => {
    const kernel = await loadKernel(name);
    word = BigInt(kernel.arch.elf.class);
    const modules = await guestModules(kernel, {
      recipes: ['recipe', 'module-symbols', 'bound'],
      target: ['test-target-twin'],
    });
    const { module: ko } = await checkSignature(modules.target);
    const model = readElf(ko, 'target.ko');
    const notes = readNotes(findSection(model, '.note.gnu.build-id')!.data, 'target.ko');
    const secondAt = findSymbol(model, 'second')!.value;
    const buildId = Buffer.from(notes.find(({ type }) => type === buildIdNote)!.desc).toString('hex');
    guest = await bootGuest(guestKernel(kernel.stored), {
      files: Object.entries(modules).map(([file, bytes]) => ({ path: `/${file}.ko`, bytes })),
    });
    await guest.succeed(`insmod /recipes.ko build_id=${buildId} second_at=${secondAt}; insmod /target.ko`);
    target = (await guest.succeed('cat /proc/target'))
      .trim()
      .split(' ')
      .map((text) => BigInt(`0x${text}`));
    lines = (await guest.succeed('cat /proc/recipes')).trim().split('\n');
  });
  afterAll(() => guest?.stop());

  it.each([
    ['a module that comes', 0],
    ['a module that is there', 1],
  ])('are followed against %s', (_, line) => {
    const [error, ...rest] = lines[line]!.split(' ');
    const [f4, twin, second, unset, branch, split, built, text] = rest.map((each) => BigInt(`0x${each}`));
    const [function_, firstTwin, otherTwin, data, zeros] = target as [bigint, bigint, bigint, bigint, bigint];
    expect(error).toBe('0');
    expect([f4, twin, second, unset]).toEqual([function_ + 4n, otherTwin, data - 8n, zeros]);
    // The other bits of the words are as they were.
    expect(branch).toBe(0xea000000n | BigInt.asUintN(24, BigInt.asIntN(Number(word), function_ - text!) >> 2n));
    expect(split).toBe((0x12345678n & ~0xf0fffn) | (firstTwin & 0xfffn) | (((firstTwin >> 12n) & 0xfn) << 16n));
    expect(built).toBe(1n);
  });

  it('write nothing unless everything is there, is the only one, and is in reach', () => {
    const [ENOENT, EEXIST, ENOEXEC] = [-2, -17, -8];
    expect(lines[2]!.trim()).toBe([ENOENT, EEXIST, ENOENT, ENOENT, ENOENT, ENOEXEC].join(' '));
  });

  it('are refused with a place, a name or a field that cannot be', () => {
    expect(lines[3]).toBe('23 of 23');
  });

  it('leave no complaint in the log but the refusals', async () => {
    await guest.succeed('rmmod target; rmmod recipes');
    const log = await guest.kernelLog();
    expect(log).toMatch(/suture: recipes: 'target' has no symbol 'nowhere' that the patch refers to/);
    expect(log).toMatch(/suture: recipes: 'target' has more than one symbol 'twin' that the patch refers to/);
    expect(log).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
