// Whatever allocation of enabling a patch fails, the kernel is as it was before. The patch replaces others, so nops are made
// for it as well, and one goes the entry way; core/test.c has the core run out of memory. Between the check of an entry and the
// stop in which it is written there are others, too: a kprobe must wait, and somebody else's word must not be lost.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature } from '../src/kernel/module-signature.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { guestModules } from './support/guest-modules.ts';
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
const tracing = '/sys/kernel/tracing';
const parameters = '/sys/module/suture/parameters';
const parameter = `${parameters}/fail_allocation`;

/** What must not change. */
const state = `cat /proc/version /proc/cmdline ${sysfs}/*/enabled ${sysfs}/*/transition; find ${sysfs} | sort
cut -d' ' -f1,3 /proc/modules; cut -d' ' -f1 ${tracing}/enabled_functions`;

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

/** The entry way, in a core that waits between the check of an entry and the stop as long as this is not 0. */
const hold = `${parameters}/hold_checked`;
const probed = `${tracing}/events/kprobes/late/enable`;
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const load = `insmod /entered.ko; ${until(`grep -q 0 ${sysfs}/entered/transition`)}`;
const takeBack = `echo 0 > ${sysfs}/entered/enabled; ${until('rmmod entered 2> /dev/null')}`;
/** A word that nobody ever executes. */
const somebodys = 0x12345678;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let guest: Guest;
  /** Of the word in uptime_proc_show that becomes a branch, and what it is before. */
  let address: string;
  let oldWord: string;

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
    const bytes = await patchOf(kernel, entered, 'entered', 'entry');
    const { oldAddress, oldWords, site } = readPatchModule((await checkSignature(bytes)).module, 'entered.ko')
      .redirects[0]!;
    address = `0x${(oldAddress + BigInt(site)).toString(16)}`;
    oldWord = `0x${oldWords[site / 4]!.toString(16)}`;
    files.push({ path: '/entered.ko', bytes });
    files.push({ path: '/poke.ko', bytes: (await guestModules(kernel, { poke: [] })).poke });
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.run(`mount -t tracefs t ${tracing}`);
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

  it.each([
    ['the patch comes', ':', load, /^entered$/m],
    ['it is taken back', load, takeBack, /^\d/],
  ])(
    'lets no kprobe be made between the check of an entry and its writing, when %s',
    async (_, before, change, after) => {
      const probe = `echo 'p:late ${address}' > ${tracing}/kprobe_events && echo 1 > ${probed}; echo $? > /made`;
      await guest.succeed(`${before}; rm -f /made /changed; dmesg -c > /dev/null; echo 1 > ${hold}
      (${change}; echo > /changed) > /dev/null 2>&1 &
      ${until(`grep -q 2 ${hold}`)}; (${probe}) > /dev/null 2>&1 & echo $! > /prober`);
      // It sleeps uninterruptibly for the mutex. Had it been let in, it would be done.
      await guest.succeed(until('[ -e /made ] || grep -q "^State:.D" /proc/$(cat /prober)/status'));
      expect((await guest.run('cat /made')).status).not.toBe(0);
      await guest.succeed(`echo 0 > ${hold}; ${until('[ -e /changed ] && [ -e /made ]')}; grep 0 /made`);
      expect(await guest.succeed('cat /proc/uptime')).toMatch(after);
      await guest.succeed(`echo 0 > ${probed}; echo > ${tracing}/kprobe_events`);
      expect(await guest.succeed('dmesg')).not.toContain('somebody else');
      if (change === load) await guest.succeed(takeBack);
      expect(await guest.succeed('cat /proc/uptime')).toMatch(/^\d/);
    },
  );

  it.each([
    ['the patch’s', (said: string) => said],
    ['the kernel’s own', () => oldWord],
  ])(
    'gives somebody his word back who has written between the check of an entry and its writing, and goes on when he puts back %s',
    async (_, back) => {
      // Nobody calls the function now.
      await guest.succeed(`dmesg -c > /dev/null; echo ${somebodys} > ${parameters}/meddle; ${load}`);
      const said = /entry: (0x[0-9a-f]+) instead of (0x[0-9a-f]+) at (0x[0-9a-f]+)/.exec(await guest.succeed('dmesg'));
      expect(Number(said?.[1])).toBe(somebodys);
      expect(await guest.succeed('dmesg')).toContain('it does not go the way of its patch until that is taken back');
      expect((await guest.run(`echo 0 > ${sysfs}/entered/enabled; cat ${sysfs}/entered/transition`)).output).toBe(
        '1\n',
      );
      // He has saved one or the other, as he came before ours was written or behind it.
      await guest.succeed(`insmod /poke.ko address=${said?.[3]} word=${back(said?.[2] ?? '')} keep=1`);
      await guest.succeed(`${until('rmmod entered 2> /dev/null')}; rmmod poke`);
    },
  );

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
    expect(await guest.succeed(`cat /proc/modules ${tracing}/enabled_functions`)).toBe('');
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
