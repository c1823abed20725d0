// Livepatch modules as people write them for mainline, adapted and loaded into stock kernels: functions of a module that no
// package holds, symbols of it that nobody exports, before and after the module is there.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adaptPatch } from '../src/cli/adapt-patch.ts';
import { buildPatch } from '../src/cli/build-patch.ts';
import { buildCore, coreSources } from '../src/compile/core-module.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import type { ElfModel, Section } from '../src/elf/model.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { patchSection, tableLayout } from '../src/kernel/patch-module.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { readTargetModule } from '../src/kernel/target-module.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { modulesWithDependencies } from '../src/lab/target-modules.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { stockKernels } from './stock-kernels.ts';
import { withKlpRelocations } from './support/klp-convert.ts';

/** /proc/target says "old 42"; `secret` and `helper` are nobody's but the module's. */
const target = (secret: number) => `
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static int secret = ${secret};
module_param(secret, int, 0444);

static int __attribute__((noipa)) helper(int more) { return secret + more; }

static int target_show(struct seq_file *m, void *v)
{
	seq_printf(m, "old %d\\n", helper(1));
	return 0;
}

static int __init target_init(void)
{
	return proc_create_single("target", 0444, NULL, target_show) ? 0 : -ENOMEM;
}

static void __exit target_exit(void) { remove_proc_entry("target", NULL); }

module_init(target_init);
module_exit(target_exit);
MODULE_LICENSE("GPL");
`;

const patch = `
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/seq_file.h>

extern int late_secret;
extern int late_helper(int more);
extern int kernels_show(struct seq_file *m, void *v);
/* A constant that is not known before the module is there. */
int (*const late_pointer)(int) = late_helper;

static noinline int new_show(struct seq_file *m, void *v)
{
	int (*volatile pointer)(int) = late_pointer;

	seq_printf(m, "new %d %d %d\\n", late_helper(1), late_secret, pointer(2));
	kernels_show(m, v);
	return 0;
}

static struct klp_func funcs[] = { { .old_name = "target_show", .new_func = new_show }, { } };
static struct klp_object objs[] = { { .name = "target", .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init patch_init(void) { return klp_enable_patch(&patch); }
static void __exit patch_exit(void) { }

module_init(patch_init);
module_exit(patch_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;

/** The same for `suture build`, in words of its own: what the module has, the fix may use. */
const fix = `
#include <linux/seq_file.h>
#include <suture/fix.h>

extern int secret;
extern int helper(int more);

static int my_show(struct seq_file *m, void *v)
{
	seq_printf(m, "built %d %d\\n", helper(1), secret);
	return 0;
}
SUTURE_REPLACES(my_show, target_show, 0, "target");
`;

/** A module of the kernel's own, which is found by its name; /proc/net/pktgen/pgctrl tells its version. */
const stockFix = `
#include <linux/seq_file.h>
#include <suture/fix.h>

static int my_show(struct seq_file *seq, void *v)
{
	seq_puts(seq, "nothing to generate\\n");
	return 0;
}
SUTURE_REPLACES(my_show, pgctrl_show, 0, "pktgen");
`;

/** What the patch's undefined symbols are. */
const meanings = {
  late_secret: 'target.secret,0',
  late_helper: 'target.helper,1',
  kernels_show: 'vmlinux.cmdline_proc_show,0',
};

/**
 * The patch with one number or one pointer of its table wrong, each signed again. Left out is what is right in other ways too:
 * an addend or a bit field can be anything, and a list of recipes can be shorter.
 */
async function withDamagedTables(patch: Uint8Array, word: 4 | 8): Promise<{ name: string; bytes: Uint8Array }[]> {
  const { module } = await checkSignature(patch);
  const layout = tableLayout(word);
  const tableOf = (model: ElfModel) => findSection(model, patchSection)!;
  const viewOf = ({ data }: Section) => new DataView(data.buffer, data.byteOffset, data.byteLength);
  const table = tableOf(readElf(module, 'patch.ko'));
  const relocationAt = (from: Section, offset: number) => from.relocations.find((r) => r.offset === offset)!;
  const pointee = (offset: number) =>
    Number(relocationAt(table, offset).addend ?? viewOf(table).getUint32(offset, true));

  const object = pointee(layout.suture_patch_table.offset.objects);
  const redirect = pointee(object + layout.suture_object.offset.redirects);
  const recipe = pointee(object + layout.suture_object.offset.recipes);
  const { suture_object: o, suture_redirect: r, suture_recipe: p } = layout;
  const numbers = [
    ...[o.offset.build_id_size, o.offset.redirect_count, o.offset.recipe_count, o.offset.reserved].map(
      (at) => object + at,
    ),
    ...[r.offset.old_address, r.offset.old_sympos, r.offset.old_size, r.offset.site].map((at) => redirect + at),
    ...[r.offset.stub_size, r.offset.way].map((at) => redirect + at),
    ...[p.offset.size, p.offset.reserved].map((at) => recipe + at),
  ];
  const made: { name: string; bytes: Uint8Array }[] = [];
  const add = async (name: string, change: (table: Section) => void) => {
    const model = readElf(module.slice(), 'patch.ko');
    change(tableOf(model));
    made.push({ name, bytes: await signModule(writeElf(model)) });
  };
  for (const offset of numbers) {
    const right = viewOf(table).getUint32(offset, true);
    const shorter = (value: number) => offset === object + o.offset.recipe_count && value > 0 && value < right;
    for (const value of [0, 1, 3, 0x7ffffffc, 0xffffffff].filter((odd) => odd !== right && !shorter(odd))) {
      await add(`number-${offset}-${value}`, (changed) => viewOf(changed).setUint32(offset, value, true));
    }
  }
  await add('flags', (changed) => viewOf(changed).setUint32(recipe + p.offset.flags, 2, true));
  await add('shift', (changed) => viewOf(changed).setUint32(recipe + p.offset.shift, 64, true));
  for (const { offset } of table.relocations) {
    for (const far of [0x100000, -0x100000]) {
      await add(`pointer-${offset}-${far}`, (changed) => {
        const relocation = relocationAt(changed, offset);
        if (relocation.addend !== undefined) relocation.addend += BigInt(far);
        else viewOf(changed).setInt32(offset, viewOf(changed).getInt32(offset, true) + far, true);
      });
    }
  }
  return made;
}

const sysfs = '/sys/kernel/livepatch';
const takeBack = `echo 0 > ${sysfs}/patch/enabled; until rmmod patch 2> /dev/null; do usleep 50000; done`;

describe.each(stockKernels)('a livepatch module adapted to $name', ({ name }) => {
  let folder: string;
  let kernel: LoadedKernel;
  let adapted: Uint8Array;
  let again: Uint8Array;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-adapt-'));
    kernel = await loadKernel(name);
    const { stored, arch, abi } = kernel;
    const core = await buildCore(stored);
    const compile = async (sources: Readonly<Record<string, string>>) => {
      const kbuildFile = `obj-m := ${Object.keys(sources).map((each) => `${each}.o`)}
LINUXINCLUDE := -I${coreSources()}/include $(LINUXINCLUDE)
ccflags-y += ${arch.platform.fixFlags.join(' ')}\n`;
      await writeFile(join(folder, 'Kbuild'), kbuildFile);
      for (const [file, text] of Object.entries(sources)) await writeFile(join(folder, `${file}.c`), text);
      await kbuild(stored, arch.platform, folder, ['KCFLAGS=-g0', 'KBUILD_MODPOST_WARN=1', 'modules']);
      const [first] = Object.keys(sources);
      return new Uint8Array(await readFile(join(folder, `${first}.ko`)));
    };
    const other = await compile({ target: target(50) });
    const real = await compile({ target: target(41) });
    const module = withKlpRelocations(arch, await compile({ patch }), meanings);
    const targets = new Map([['target', readTargetModule(real, 'target.ko', arch, abi)]]);
    const adapt = async () => (await adaptPatch(kernel, core, module, 'patch.ko', async () => targets)).bytes;
    adapted = await adapt();
    again = await adapt();
    await writeFile(join(folder, 'fix.c'), fix);
    const built = await buildPatch(
      kernel,
      join(folder, 'fix.c'),
      'built',
      () => {},
      async () => targets,
    );
    await writeFile(join(folder, 'stock.c'), stockFix);
    const stock = await buildPatch(kernel, join(folder, 'stock.c'), 'stock', () => {});
    const damaged = await withDamagedTables(adapted, arch.elf.class === 64 ? 8 : 4);
    const own = await modulesWithDependencies(stored.modules, ['pktgen']);
    guest = await bootGuest(guestKernel(stored), {
      files: [
        { path: '/suture.ko', bytes: new Uint8Array(await readFile(core.ko)) },
        { path: '/target.ko', bytes: real },
        { path: '/other/target.ko', bytes: other },
        { path: '/patch.ko', bytes: adapted },
        { path: '/built.ko', bytes: built.bytes },
        { path: '/stock.ko', bytes: stock.bytes },
        ...damaged.map(({ name: file, bytes }) => ({ path: `/x/${file}.ko`, bytes })),
        ...own.map(({ bytes }, i) => ({ path: `/own/${i}.ko`, bytes })),
      ],
    });
    await guest.succeed('insmod /suture.ko');
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  const applied = /^new 42 41 43\nconsole=.*\n$/;

  it('is proven, though its function is a module’s', async () => {
    const { module } = await checkSignature(adapted);
    const proofs = new Prover(kernel).proveModule(module, 'patch.ko');
    expect(proofs.map(({ oldName, verdict }) => [oldName, verdict.verdict])).toEqual([['target_show', 'proven']]);
  });

  it('is the same each time', () => {
    expect(again).toEqual(adapted);
  });

  it('says what it changes, and what it waits for', async () => {
    const { objects, redirects, recipes } = readPatchModule((await checkSignature(adapted)).module, 'patch.ko');
    expect(objects).toMatchObject([{ module: { name: 'target', buildId: { length: 20 } } }]);
    expect(redirects).toMatchObject([{ oldName: 'target_show', module: 'target', newFunction: { name: 'new_show' } }]);
    const waits = new Set(recipes.map(({ symbol, within }) => `${symbol} ${within?.section}`));
    expect(waits).toEqual(new Set(['secret .data', 'helper undefined']));
  });

  it('changes a module that is there already, and gives it back', async () => {
    await guest.succeed('insmod /target.ko');
    expect(await guest.succeed('cat /proc/target')).toBe('old 42\n');
    await guest.succeed('insmod /patch.ko');
    expect(await guest.succeed('cat /proc/target')).toMatch(applied);
    expect(await guest.succeed(`ls ${sysfs}/patch`)).toMatch(/\btarget\b/);
    await guest.succeed(takeBack);
    expect(await guest.succeed('cat /proc/target')).toBe('old 42\n');
    await guest.succeed('rmmod target');
  });

  it('changes a module whenever it comes, wherever it is loaded', async () => {
    await guest.succeed('insmod /patch.ko');
    for (let i = 0; i < 3; i++) {
      await guest.succeed('insmod /target.ko');
      expect(await guest.succeed('cat /proc/target')).toMatch(applied);
      await guest.succeed('rmmod target');
    }
    await guest.succeed('insmod /target.ko');
    await guest.succeed(takeBack);
    expect(await guest.succeed('cat /proc/target')).toBe('old 42\n');
    await guest.succeed('rmmod target');
  });

  it('stacks with what is built from a fix for the same module', async () => {
    await guest.succeed('insmod /target.ko; insmod /patch.ko; insmod /built.ko');
    expect(await guest.succeed('cat /proc/target')).toBe('built 42 41\n');
    await guest.succeed(`echo 0 > ${sysfs}/built/enabled; until rmmod built 2> /dev/null; do usleep 50000; done`);
    expect(await guest.succeed('cat /proc/target')).toMatch(applied);
    await guest.succeed(`${takeBack}; rmmod target`);
  });

  it('is refused with any number or pointer of its table wrong, and the module stays as it is', async () => {
    await guest.succeed('insmod /target.ko');
    const load = `for f in /x/*.ko; do
      insmod $f 2> /dev/null || continue
      echo $f
      ${takeBack}
    done`;
    expect(await guest.succeed(load, { timeout: 300 })).toBe('');
    expect(await guest.succeed(`cat /proc/target; ls ${sysfs}`)).toBe('old 42\n');
    await guest.succeed('rmmod target');
  });

  it('changes a module that came with the kernel', async () => {
    const read = 'cat /proc/net/pktgen/pgctrl';
    await guest.succeed('insmod /stock.ko; for module in /own/*; do insmod $module; done');
    expect(await guest.succeed(read)).toBe('nothing to generate\n');
    await guest.succeed(`echo 0 > ${sysfs}/stock/enabled; until rmmod stock 2> /dev/null; do usleep 50000; done`);
    expect(await guest.succeed(read)).toMatch(/^Packet Generator/);
    await guest.succeed('rmmod pktgen');
  });

  it('keeps out another build of the module, while it is there', async () => {
    await guest.succeed('insmod /patch.ko; dmesg -c > /dev/null');
    expect((await guest.run('insmod /other/target.ko')).status).not.toBe(0);
    expect(await guest.succeed('dmesg')).toMatch(/build/);
    await guest.succeed(takeBack);
    await guest.succeed('insmod /other/target.ko');
    expect(await guest.succeed('cat /proc/target')).toBe('old 51\n');
    await guest.succeed('rmmod target');
  });

  it('has printed no alarm, and leaves nothing behind', async () => {
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle|Call Trace|Backtrace)/);
    await guest.succeed('rmmod suture');
    expect(await guest.succeed('cat /proc/modules')).toBe('');
  });
});
