// Whatever allocation of enabling a patch fails, the kernel is as it was before. The patch replaces others, so nops are made
// for it as well, and one goes the entry way; core/test.c has the core run out of memory.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadKernel } from '../src/host/read-kernel.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { faultyCoreOf, patchOf } from './support/patches.ts';

const says = (file: string, text: string) => `
#include <linux/livepatch.h>
#include <linux/seq_file.h>

static int ${file}_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "${text}\\n");
	return 0;
}
`;

const patches = {
  first: says('version', 'first'),
  replacing: `${says('cmdline', 'replaced')}
static int enable_changed(struct klp_patch *patch)
{
	patch->replace = true;
	return suture_enable_patch(patch, &suture_patch_table);
}
#undef klp_enable_patch
#define klp_enable_patch enable_changed
`,
};

const sleeper = `
#include <linux/sched.h>
#include <linux/seq_file.h>

static int loadavg_proc_show(struct seq_file *m, void *v)
{
	schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}
`;

const sysfs = '/sys/kernel/livepatch';
const parameter = '/sys/module/suture/parameters/fail_allocation';

/** What must not change. */
const state = `cat /proc/version /proc/cmdline ${sysfs}/*/enabled ${sysfs}/*/transition; find ${sysfs} | sort
cut -d' ' -f1,3 /proc/modules; cut -d' ' -f1 /sys/kernel/tracing/enabled_functions`;

/**
 * The same for a patch of the entry way, whose words need memory when they are written, again and again until it is there. Until
 * then the old function is in force.
 */
const failEachWrite = `
n=1
while true; do
  echo $n > ${parameter}
  if insmod /entered.ko 2> /dev/null; then
    [ "$(cat ${sysfs}/entered/transition)" = 1 ] || break
    grep -q entered /proc/uptime && echo "in force without memory: $n"
    echo $n >> /waited
    echo 0 > ${parameter}
    until [ "$(cat ${sysfs}/entered/transition)" = 0 ]; do usleep 10000; done
    grep -q entered /proc/uptime || echo "not in force: $n"
    echo 0 > ${sysfs}/entered/enabled
    until rmmod entered 2> /dev/null; do usleep 10000; done
  fi
  grep -q entered /proc/uptime && echo "left behind: $n"
  n=$((n + 1))
done
echo 0 > ${parameter}`;

/** Has memory run out at each allocation in turn, until there are no more; their number is in /count. */
const failEach = `
state() { ${state}
}
before=$(state)
n=1
until echo $n > ${parameter}; insmod /replacing.ko 2> /dev/null; do
  [ "$(cat ${parameter})" = 1 ] || echo "failed for another reason: $n"
  [ "$(state)" = "$before" ] || { echo "after allocation $n:"; state; }
  n=$((n + 1))
done
echo 0 > ${parameter}
echo $n > /count`;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-faults-'));
    const kernel = await loadKernel(name);
    const files = [{ path: '/suture.ko', bytes: await faultyCoreOf(kernel) }];
    for (const [as, source] of Object.entries({ ...patches, sleeper })) {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, source);
      files.push({ path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as) });
    }
    const entered = join(folder, 'entered.c');
    await writeFile(entered, says('uptime', 'entered'));
    files.push({ path: '/entered.ko', bytes: await patchOf(kernel, entered, 'entered', 'entry') });
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.run('mount -t tracefs t /sys/kernel/tracing');
    await guest.succeed('insmod /suture.ko; insmod /first.ko');
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  it('changes nothing when any allocation of enabling fails, and enables the patch when none does', async () => {
    expect(await guest.succeed(failEach, { timeout: 200 })).toBe('');
    expect(Number(await guest.succeed('cat /count'))).toBeGreaterThan(10);
    expect(await guest.succeed('cat /proc/version /proc/cmdline')).toMatch(/^Linux version.*\nreplaced\n$/);
  });

  it('leaves entries as they are until there is memory to write them', async () => {
    expect(await guest.succeed(failEachWrite, { timeout: 200 })).toBe('');
    // One for each: the laggards' room, the words, their pages, the mapping.
    expect((await guest.succeed('cat /waited')).trim().split('\n').length).toBeGreaterThanOrEqual(3);
    expect(await guest.succeed('cat /proc/uptime')).toBe('entered\n');
    await guest.succeed(`echo 0 > ${sysfs}/entered/enabled; until rmmod entered 2> /dev/null; do usleep 10000; done`);
  });

  it('counts nobody whom it has not looked at when a transition is forced', async () => {
    const reading = `(cat /proc/loadavg & echo $! > /reader); until grep -q "^State:.S" /proc/$(cat /reader)/status; do usleep 10000; done`;
    await guest.succeed(`insmod /sleeper.ko; ${reading}; echo 0 > ${sysfs}/sleeper/enabled; echo 1 > ${parameter}`);
    // The look in the other direction is for want of memory still to come.
    await guest.succeed(`echo 1 > ${sysfs}/sleeper/enabled; cat ${sysfs}/sleeper/transition | grep 1`);
    await guest.succeed(`dmesg -c > /dev/null; echo 1 > ${sysfs}/sleeper/force; echo 0 > ${parameter}`);
    expect(await guest.succeed('dmesg')).toContain(
      "'sleeper': forced: nobody has been looked at: any task may be inside",
    );
    await guest.succeed(
      `kill $(cat /reader); echo 0 > ${sysfs}/sleeper/enabled; until rmmod sleeper 2> /dev/null; do usleep 10000; done`,
    );
  });

  it('stays in force when it cannot be disabled for want of memory', async () => {
    const disable = `echo 0 > ${sysfs}/replacing/enabled`;
    expect(await guest.run(`echo 1 > ${parameter}; ${disable}`)).not.toMatchObject({ status: 0 });
    expect(await guest.run(`echo 2 > ${parameter}; ${disable}`)).not.toMatchObject({ status: 0 });
    expect(await guest.succeed(`cat ${sysfs}/replacing/enabled ${sysfs}/replacing/transition /proc/cmdline`)).toBe(
      '1\n0\nreplaced\n',
    );
    await guest.succeed(
      `echo 0 > ${parameter}; ${disable}; until rmmod replacing 2> /dev/null; do usleep 10000; done; rmmod first suture`,
    );
    expect(await guest.succeed('cat /proc/modules /sys/kernel/tracing/enabled_functions')).toBe('');
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
