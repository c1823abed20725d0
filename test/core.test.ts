// The core by itself, on both stock kernels: it compiles cleanly, and it never lets go of a patch that somebody may still
// be inside of. What it refuses is shown in refusals.test.ts.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCore, checkLayout, coreSources } from '../src/compile/core-module.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import type { Section } from '../src/elf/model.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { patchSection, tableLayout } from '../src/kernel/patch-module.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { patchOf } from './support/patches.ts';

/** Its reader sleeps inside it until a signal comes. */
const sleeper = `
#include <linux/sched.h>
#include <linux/seq_file.h>

static int version_proc_show(struct seq_file *m, void *v)
{
	schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}
`;

/** What it is to wait in a place where no signal reaches it: until kernel.panic is something else. */
const waitingForPanic = 77;

const stubborn = `
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

static int version_proc_show(struct seq_file *m, void *v)
{
	while (panic_timeout == ${waitingForPanic})
		schedule_timeout_uninterruptible(1);
	return 0;
}
`;

/** Its init enables it, and enables it a second time when it has been disabled. */
const twice = `
#include <linux/delay.h>
#include <linux/livepatch.h>
#include <linux/panic.h>
#include <linux/seq_file.h>

static int cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "patched twice\\n");
	return 0;
}

static int __init enable_twice(struct klp_patch *patch)
{
	int ret = suture_enable_patch(patch, &suture_patch_table);

	while (!ret && panic_timeout == ${waitingForPanic})
		msleep(1);
	return ret ?: suture_enable_patch(patch, &suture_patch_table);
}
#undef klp_enable_patch
#define klp_enable_patch enable_twice
`;

/** Its init fails although the patch is in force. */
const failing = `
#include <linux/livepatch.h>
#include <linux/seq_file.h>

static int cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "still patched\\n");
	return 0;
}

static int enable_and_fail(struct klp_patch *patch)
{
	return suture_enable_patch(patch, &suture_patch_table) ?: -EIO;
}
#undef klp_enable_patch
#define klp_enable_patch enable_and_fail
`;

/**
 * Called by whoever takes a dead process out of the lists: the process itself if its parent does not want to know. Then it
 * is found by no number, and calls one more function that can be patched.
 */
const flushing = `
#include <linux/panic.h>
#include <linux/pid.h>
#include <linux/sched.h>

void proc_invalidate_siblings_dcache(struct hlist_head *inodes, spinlock_t *lock);

void proc_flush_pid(struct pid *pid)
{
	pr_info("flushed by %s\\n", current->exit_state ? "itself" : "another");
	while (current->exit_state && panic_timeout == ${waitingForPanic})
		schedule_timeout_uninterruptible(1);
	proc_invalidate_siblings_dcache(&pid->inodes, &pid->lock);
}
`;

/** Both at once. */
const invalidating = `
#include <linux/pid.h>
#include <linux/sched.h>

void proc_invalidate_siblings_dcache(struct hlist_head *inodes, spinlock_t *lock)
{
	pr_info("invalidated by %s\\n", current->exit_state ? "itself" : "another");
}

void proc_flush_pid(struct pid *pid)
{
	pr_info("newly flushed by %s\\n", current->exit_state ? "itself" : "another");
}
`;

/** Functions that the core could not see to be left; `suture build` refuses them before. */
const neverLeft = ['schedule', 'worker_thread', 'do_exit'];

/** What processors call that wait for the others in a stopped machine; ARM has no such function with a call site. */
const whileStopped = {
  arm: {},
  ppc64le: { watchdog: '#include <linux/nmi.h>\nvoid arch_touch_nmi_watchdog(void) { }\n' },
};

const sysfs = '/sys/kernel/livepatch';
/** A patch with its model changed, signed again. */
async function changed(patch: Uint8Array, change: (table: Section, offset: RedirectOffsets) => void) {
  const model = readElf((await checkSignature(patch)).module.slice(), 'patch.ko');
  const layout = tableLayout(model.header.class === 64 ? 8 : 4);
  // Behind the table and its one object.
  const first = Math.ceil(layout.suture_patch_table.size / 8) * 8 + layout.suture_object.size;
  const offsets = Object.entries(layout.suture_redirect.offset).map(([member, offset]) => [member, first + offset]);
  change(findSection(model, patchSection)!, Object.fromEntries(offsets));
  return signModule(writeElf(model));
}

/** Where the section of the table has the members of its first redirect. */
type RedirectOffsets = Record<keyof ReturnType<typeof tableLayout>['suture_redirect']['offset'], number>;

const viewOf = ({ data }: Section) => new DataView(data.buffer, data.byteOffset, data.byteLength);
const relocationAt = (table: Section, offset: number) => table.relocations.find((r) => r.offset === offset)!;

/** Has none of the old function's words compared. */
function maskAllWords(table: Section, offset: RedirectOffsets): void {
  const words = viewOf(table).getUint32(offset.old_size, true) / 4;
  const listAt = Math.ceil(table.data.length / 4) * 4;
  const data = new Uint8Array(listAt + 4 * words);
  data.set(table.data);
  table.data = data;
  const view = viewOf(table);
  for (let i = 0; i < words; i++) view.setUint32(listAt + 4 * i, i, true);
  view.setUint32(offset.masked_count, words, true);
  const masked = relocationAt(table, offset.masked);
  if (masked.addend === undefined) view.setUint32(offset.masked, listAt, true);
  else masked.addend = BigInt(listAt);
}

/** Has the table call the old function by another name, which must not be longer. */
function renameOldFunction(table: Section, offset: RedirectOffsets, name: string): void {
  const old = relocationAt(table, offset.old_name);
  const at = Number(old.addend ?? viewOf(table).getUint32(offset.old_name, true));
  table.data.set(new TextEncoder().encode(`${name}\0`), at);
}

/** Has the table say that the old function is at another address of the kernel. */
function moveOldFunction(table: Section, offset: RedirectOffsets, address: bigint, word: 4 | 8): void {
  if (word === 8) viewOf(table).setBigUint64(offset.old_address, address, true);
  else viewOf(table).setUint32(offset.old_address, Number(address), true);
}

/** Until a condition holds; the guest is ended by the lab if it never does. */
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
/** The directory goes a moment before the module can. */
const remove = (patch: string) => until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`);
const takeBack = (patch: string) => `echo 0 > ${sysfs}/${patch}/enabled; ${remove(patch)}`;
/** Has a process sleep in the patch `sleeper`, its number in /reader. */
const reading = `(cat /proc/version & echo $! > /reader); ${until('grep -q "^State:.[SD]" /proc/$(cat /reader)/status')}`;

describe.each(stockKernels)('the core on $name', ({ name, architecture }) => {
  let folder: string;
  let kernel: LoadedKernel;
  let core: Uint8Array;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-core-'));
    kernel = await loadKernel(name);
    core = new Uint8Array(await readFile((await buildCore(kernel.stored)).ko));
    const patch = async (as: string, source: string) => {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, source);
      return { path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as) };
    };
    const quick = await patch('quick', await readFile(examples[0]!.fix, 'utf8'));
    const sources = { sleeper, stubborn, twice, failing, flushing, invalidating, ...whileStopped[architecture] };
    const built = await Promise.all(Object.entries(sources).map(([as, source]) => patch(as, source)));
    for (const old of neverLeft) {
      const bytes = await changed(quick.bytes, (table, offset) => renameOldFunction(table, offset, old));
      built.push({ path: `/${old}.ko`, bytes });
    }
    const schedule = kernel.image.kallsyms.find((symbol) => symbol.name === 'schedule')!.address;
    const word = kernel.arch.elf.class === 64 ? 8 : 4;
    const files = [
      { path: '/suture.ko', bytes: core },
      quick,
      ...built,
      { path: '/masked.ko', bytes: await changed(quick.bytes, maskAllWords) },
      {
        path: '/moved.ko',
        bytes: await changed(quick.bytes, (table, offset) => moveOldFunction(table, offset, schedule, word)),
      },
    ];
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.succeed('insmod /suture.ko');
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  it('compiles without a warning', async () => {
    const copy = join(folder, 'core');
    await cp(coreSources(), copy, { recursive: true });
    // Without the check of comments that comes with W=1: it is written in Perl, with modules that a bare machine lacks.
    const targets = ['W=1', 'cmd_checkdoc=:', 'modules'];
    const { stderr } = await kbuild(kernel.stored, kernel.arch.platform, copy, targets);
    expect(stderr).toBe('');
  });

  it('says in one line that a kernel with livepatch of its own needs no core', async () => {
    const copy = join(folder, 'core-livepatch');
    await cp(coreSources(), copy, { recursive: true });
    const targets = ['CONFIG_LIVEPATCH=y', 'modules'];
    const { stderr } = await kbuild(kernel.stored, kernel.arch.platform, copy, targets, [2]);
    expect(stderr).toMatch(/^.*Kbuild:\d+: \*\*\* this kernel has livepatch of its own:.*\nmake: .*\n$/);
  });

  it('is not taken when its tables do not lie as the linker writes them', () => {
    const word = kernel.arch.elf.class === 64 ? 8 : 4;
    expect(() => checkLayout(core, word)).not.toThrow();
    const other = core.slice();
    const at = Buffer.from(other).indexOf('suture_redirect.stub=');
    other[at + 'suture_redirect.stub='.length]!++;
    expect(() => checkLayout(other, word)).toThrow(/suture_redirect\.stub is \d+ in .* and \d+ in/);
  });

  it('gives every reader the old text or the new one while a patch comes and goes', async () => {
    const output = await guest.succeed(
      `old=$(cat /proc/cmdline)
      reader() {
        while [ ! -e /stop ]; do
          read -r text < /proc/cmdline
          case "$text" in "$old" | 'hidden by a live patch') ;; *) echo "read: $text" ;; esac
        done
      }
      reader & reader &
      for i in $(seq 20); do
        insmod /quick.ko
        [ "$(cat /proc/cmdline)" = 'hidden by a live patch' ] || echo not applied
        echo 0 > ${sysfs}/quick/enabled
        [ "$(cat /proc/cmdline)" = "$old" ] || echo not reverted
        ${remove('quick')}
      done
      touch /stop; wait`,
      { timeout: 120 },
    );
    expect(output).toBe('');
  });

  it('keeps a patch that somebody sleeps in, lets it be put back in force, and releases it when it is left', async () => {
    const state = `cat ${sysfs}/sleeper/enabled ${sysfs}/sleeper/transition`;
    await guest.succeed(`insmod /sleeper.ko; ${reading}`);
    await guest.succeed(`echo 0 > ${sysfs}/sleeper/enabled`);
    expect(await guest.succeed('cat /proc/version')).toMatch(/^Linux version/);
    expect(await guest.succeed(state)).toBe('0\n1\n');
    expect(await guest.run('rmmod sleeper')).not.toMatchObject({ status: 0 });

    await guest.succeed(`echo 1 > ${sysfs}/sleeper/enabled`);
    expect(await guest.succeed(state)).toBe('1\n0\n');
    await guest.succeed(`echo 0 > ${sysfs}/sleeper/enabled; kill $(cat /reader)`);
    await guest.succeed(`${remove('sleeper')}`);
    expect(await guest.kernelLog()).toMatch(/livepatch: 'sleeper': unpatching complete/);
  });

  it('takes a patch back whose module is forced out', async () => {
    await guest.succeed('insmod /quick.ko && rmmod -f quick');
    expect(await guest.succeed('cat /proc/cmdline')).toMatch(/^console=/);
    expect(await guest.succeed(`ls ${sysfs}`)).toBe('');
    expect(await guest.kernelLog()).toMatch(/suture: quick: its module goes while the patch is there/);
  });

  it('names and signals who sleeps in a module that is forced out', async () => {
    await guest.succeed(`dmesg -c > /dev/null; insmod /sleeper.ko; ${reading}`);
    await guest.succeed('rmmod -f sleeper');
    expect(await guest.succeed(`ls ${sysfs}; cut -d" " -f1 /proc/modules`)).toBe('suture\n');
    const reader = (await guest.succeed('cat /reader')).trim();
    expect(await guest.succeed('dmesg -c')).toContain(
      `suture: sleeper: cat:${reader} is inside 'version_proc_show', and is signaled to leave it`,
    );
  });

  it('holds a module that is forced out until it is left', async () => {
    const log = async () => (await guest.succeed('dmesg -c')).match(/suture: stubborn: .*/g);
    const panic = '/proc/sys/kernel/panic';
    await guest.succeed(`dmesg -c > /dev/null; insmod /stubborn.ko; cat ${panic} > /panic; echo ${waitingForPanic} > ${panic}
      ${reading}`);
    await guest.succeed(`rmmod -f stubborn & echo $! > /remover; ${until('dmesg | grep -q "its module waits"')}`);
    expect(await guest.succeed('cat /proc/version')).toMatch(/^Linux version/);
    expect(await guest.run(`echo 1 > ${sysfs}/stubborn/enabled`)).not.toMatchObject({ status: 0 });
    expect(await guest.run('insmod /quick.ko')).not.toMatchObject({ status: 0 });
    expect(await log()).toEqual([
      expect.stringContaining('its module goes while the patch is there'),
      expect.stringContaining('somebody is inside the patch, so its module waits'),
      expect.stringContaining("is inside 'version_proc_show', and is signaled to leave it"),
    ]);
    expect(await guest.succeed('[ -d /proc/$(cat /remover) ] && cut -d" " -f1 /proc/modules')).toMatch(/^stubborn$/m);

    await guest.succeed(`cat /panic > ${panic}; ${until('[ ! -d /proc/$(cat /remover) ]')}`);
    expect(await guest.succeed(`ls ${sysfs}; cut -d" " -f1 /proc/modules`)).toBe('suture\n');
    expect(await log()).toBeNull();
  });

  it('takes a patch back whose init fails after it was enabled', async () => {
    for (let i = 0; i < 3; i++) expect(await guest.run('insmod /failing.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.succeed('cat /proc/cmdline')).toMatch(/^console=/);
    expect(await guest.succeed(`ls ${sysfs}; cut -d" " -f1 /proc/modules`)).toBe('suture\n');
    expect(await guest.kernelLog()).toMatch(/suture: failing: its module goes while the patch is there/);
  });

  // On ppc64le init stays with the rest of the module's code, so a patch cannot be left before its init has returned.
  it.runIf(architecture === 'arm')('enables a patch once each time that its module is loaded', async () => {
    const panic = '/proc/sys/kernel/panic';
    await guest.succeed(`dmesg -c > /dev/null; cat ${panic} > /panic; echo ${waitingForPanic} > ${panic}
      insmod /twice.ko & echo $! > /loader; ${until(`[ "$(cat ${sysfs}/twice/transition)" = 0 ]`)}
      echo 0 > ${sysfs}/twice/enabled; ${until(`[ ! -e ${sysfs}/twice ]`)}
      cat /panic > ${panic}; ${until('[ ! -d /proc/$(cat /loader) ]')}`);
    expect(await guest.succeed('cat /proc/cmdline; cut -d" " -f1 /proc/modules')).toMatch(/^console=.*\nsuture\n$/);
    expect(await guest.succeed('dmesg')).toContain('suture: twice: the patch was enabled before');
  });

  it.each(neverLeft)('refuses to patch %s, which it could not see to be left', async (old) => {
    expect(await guest.run(`dmesg -c > /dev/null; insmod /${old}.ko`)).not.toMatchObject({ status: 0 });
    const refusal = `suture: quick: '${old}' (cmdline_proc_show): some task may always be inside it`;
    expect(await guest.succeed('dmesg')).toContain(refusal);
  });

  it('knows such a function by the name that the kernel has for it too', async () => {
    expect(await guest.run('dmesg -c > /dev/null; insmod /moved.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.succeed('dmesg')).toContain("'cmdline_proc_show' (schedule): some task may always be inside it");
  });

  it('refuses a patch that would compare next to nothing with the running kernel', async () => {
    expect(await guest.run('dmesg -c > /dev/null; insmod /masked.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.succeed('dmesg')).toMatch(/only 0 of its \d+ instructions can be compared/);
  });

  describe('a task that is dying, and in no list any more', () => {
    const panic = '/proc/sys/kernel/panic';
    /** A helper that the kernel starts for a core: its parent, a kernel thread, does not want to know of its death. */
    const transition = (patch: string) => guest.succeed(`cat ${sysfs}/${patch}/transition`);

    beforeAll(async () => {
      await guest.copyIn('/helper', Buffer.from('#!/bin/sh\necho $$ > /helper.pid\n'), 0o755);
      await guest.copyIn('/dies', Buffer.from('#!/bin/sh\nulimit -c unlimited\nkill -ABRT $$\n'), 0o755);
      await guest.succeed(`echo '|/helper' > /proc/sys/kernel/core_pattern; cat ${panic} > /panic`);
    });
    const die = `rm -f /helper.pid; { /dies; } 2> /dev/null; ${until('[ -s /helper.pid ] && [ ! -d /proc/$(cat /helper.pid) ]')}`;
    const said = (text: string) => until(`dmesg | grep -q '${text}'`);

    it('gets new functions, and keeps them until it is dead', async () => {
      await guest.succeed(`dmesg -c > /dev/null; echo ${waitingForPanic} > ${panic}; insmod /flushing.ko; ${die}`);
      await guest.succeed(said('flushed by itself'));
      await guest.succeed(`echo 0 > ${sysfs}/flushing/enabled`);
      expect(await transition('flushing')).toBe('1\n');
      expect(await guest.run('rmmod flushing')).not.toMatchObject({ status: 0 });
      await guest.succeed(`cat /panic > ${panic}; ${remove('flushing')}`);
    });

    it('does not see half of a patch', async () => {
      await guest.succeed(`dmesg -c > /dev/null; echo ${waitingForPanic} > ${panic}; insmod /flushing.ko; ${die}`);
      await guest.succeed(said('flushed by itself'));
      await guest.succeed('insmod /invalidating.ko; true > /none & wait');
      expect(await transition('invalidating')).toBe('1\n');
      await guest.succeed(`cat /panic > ${panic}; ${until(`[ "$(cat ${sysfs}/invalidating/transition)" = 0 ]`)}`);
      const log = await guest.succeed('dmesg');
      expect(log).toContain('newly flushed by another');
      expect(log).not.toContain('invalidated by itself');
      await guest.succeed(`${takeBack('invalidating')}; ${takeBack('flushing')}`);
    });

    it('leaves room for the others, however many there are of its kind', async () => {
      await guest.succeed(`dmesg -c > /dev/null; echo ${waitingForPanic} > ${panic}; insmod /flushing.ko`);
      await guest.succeed(`i=0; while [ $i -lt 150 ]; do ${die}; i=$((i + 1)); done`, { timeout: 300 });
      await guest.succeed('insmod /invalidating.ko; true > /none & wait');
      expect(await guest.succeed('dmesg')).toContain('newly flushed by another');
      await guest.succeed(`cat /panic > ${panic}; ${until(`[ "$(cat ${sysfs}/invalidating/transition)" = 0 ]`)}`);
      await guest.succeed(`${takeBack('invalidating')}; ${takeBack('flushing')}`);
    });

    it('is known also when many more die at once than there were before', async () => {
      const sleepers = 'i=0; while [ $i -lt 1500 ]; do sleep 1000 & i=$((i + 1)); done';
      await guest.succeed('dmesg -c > /dev/null; rmmod suture; insmod /suture.ko');
      await guest.run(`setsid sh -c '${sleepers}; kill -9 0'; ${until('! pidof sleep')}`, { timeout: 300 });
      expect(await guest.succeed('dmesg')).not.toContain('no memory for tasks that die');
    });
  });

  it.each(Object.keys(whileStopped[architecture]))(
    'switches a function that runs while the machine is stopped: %s',
    async (patch) => {
      await guest.succeed(`for i in $(seq 20); do insmod /${patch}.ko; ${takeBack(patch)}; done`);
    },
  );

  it('refuses while ftrace is off, and does not let it be switched off under a patch', async () => {
    await guest.succeed('echo 0 > /proc/sys/kernel/ftrace_enabled');
    expect(await guest.run('insmod /quick.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.kernelLog()).toMatch(/suture: ftrace is switched off \(kernel\.ftrace_enabled is 0\)/);
    await guest.succeed('echo 1 > /proc/sys/kernel/ftrace_enabled; insmod /quick.ko');
    expect(await guest.run('echo 0 > /proc/sys/kernel/ftrace_enabled')).not.toMatchObject({ status: 0 });
    await guest.succeed(takeBack('quick'));
  });

  it('leaves nothing behind', async () => {
    await guest.succeed('rmmod suture');
    expect(await guest.succeed('cat /proc/modules; ls -d /sys/kernel/livepatch 2>/dev/null; true')).toBe('');
    await guest.run('mount -t tracefs t /sys/kernel/tracing');
    expect(await guest.succeed('cat /sys/kernel/tracing/enabled_functions')).toBe('');
    expect(await guest.kernelLog()).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
