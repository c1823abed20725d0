// Patches come and go again and again while two processors call the patched functions, some of the calls sleep, and tracers
// and a kretprobe are switched on and off. No call may see half a patch, nothing may be left behind.
//
// A patch has two functions. The outer one sees by its result which version of the inner one it has called, twice, with a
// sleep between; the kernel's own outer one shows it in its line.
//
// SUTURE_STRESS=1000 npx vitest run test/core-stress.test.ts does that many cycles, instead of a few.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadKernel } from '../src/host/read-kernel.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { coreOf, patchOf } from './support/patches.ts';

const cycles = Number(process.env.SUTURE_STRESS ?? 10);
/** Seconds; a cycle takes less than one where nothing else runs. */
const timeout = 120 + 6 * cycles;

/** Whoever calls the version's inner function through the kernel's name for it finds its number. */
const version = (number: number, replace: boolean) => `
#include <linux/livepatch.h>
#include <linux/sched.h>
#include <linux/sched/loadavg.h>
#include <linux/seq_file.h>
#include <suture/fix.h>

static void new_avenrun(unsigned long *loads, unsigned long offset, int shift)
{
	loads[0] = loads[1] = loads[2] = ${number} * FIXED_1;
}
SUTURE_REPLACES(new_avenrun, get_avenrun, 0, "");

static int loadavg_proc_show(struct seq_file *m, void *v)
{
	unsigned long before[3], after[3];

	get_avenrun(before, 0, 0);
	if (current->pid & 1)
		schedule_timeout_uninterruptible(1);
	get_avenrun(after, 0, 0);
	seq_printf(m, "%lu and %lu in ${number}\\n", before[0] / FIXED_1, after[0] / FIXED_1);
	return 0;
}

static int enable_changed(struct klp_patch *patch)
{
	patch->replace = ${replace};
	return suture_enable_patch(patch, &suture_patch_table);
}
#undef klp_enable_patch
#define klp_enable_patch enable_changed
`;

const patches = { alone: version(71, false), even: version(72, true), odd: version(73, true) };

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const settled = (patch: string) => until(`[ "$(cat ${sysfs}/${patch}/transition)" = 0 ]`);
const unload = (patch: string) => until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`);

/** Reads until the file /stop is there; writes what is half a patch to /half, and how many reads there were to /reads. */
const reader = `
reads=0
while [ ! -e /stop ]; do
  read -r line < /proc/loadavg
  case "$line" in
    '71 and 71 in 71' | '72 and 72 in 72' | '73 and 73 in 73') ;;
    7[123].*' '7[123].* | *and*) echo "$line" >> /half ;;
  esac
  reads=$((reads + 1))
done
echo $reads >> /reads
`;

/**
 * The stock ppc64le kernel loses kretprobes that are switched on under function_graph, patched or not: their calls are
 * counted as missed, and tasks keep return addresses for ever that nobody returns to. So there is one at a time.
 */
const tracers = `
while [ ! -e /stop ]; do
  for tracer in function function_graph nop; do
    echo $tracer > ${tracing}/current_tracer
    [ $tracer = function_graph ] || echo 1 > ${tracing}/events/kprobes/probe/enable
    usleep 50000
    echo 0 > ${tracing}/events/kprobes/probe/enable
  done
done
`;

/** Starts what runs beside the cycles, does them, and ends it. */
const during = (cycle: string) => `
rm -f /stop /half /reads
sh /reader.sh & sh /reader.sh & sh /reader.sh & sh /tracers.sh &
for i in $(seq ${cycles}); do ${cycle}
done
touch /stop; wait
cat /half 2> /dev/null
true`;

const unreclaimable = `sync; awk '$1 == "SUnreclaim:" { print $2 }' /proc/meminfo`;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-stress-'));
    const kernel = await loadKernel(name);
    const files = [
      { path: '/suture.ko', bytes: await coreOf(kernel) },
      { path: '/reader.sh', bytes: Buffer.from(reader) },
      { path: '/tracers.sh', bytes: Buffer.from(tracers) },
    ];
    for (const [as, source] of Object.entries(patches)) {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, source);
      files.push({ path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as) });
    }
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.succeed(`mount -t tracefs t ${tracing}; insmod /suture.ko`);
    await guest.succeed(`echo 'r:probe get_avenrun' > ${tracing}/kprobe_events`);
    const traced = 'loadavg_proc_show get_avenrun seq_read_iter vfs_read schedule_timeout';
    await guest.succeed(`for f in ${traced}; do echo $f >> ${tracing}/set_ftrace_filter; done`);
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  async function report(what: string): Promise<void> {
    const reads = (await guest.succeed('cat /reads')).trim().split('\n');
    console.log(
      `${name}: ${cycles} cycles of ${what}, ${reads.join(' + ')} reads, ${await guest.succeed(unreclaimable)}`,
    );
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle|Call Trace|Backtrace)/);
    expect(await guest.succeed(`ls ${sysfs}; cut -d' ' -f1 /proc/modules`)).toBe('suture\n');
  }

  it('shows nobody half a patch that is enabled and disabled', { timeout: timeout * 1000 }, async () => {
    const cycle = `
      insmod /alone.ko; ${settled('alone')}
      echo 0 > ${sysfs}/alone/enabled; ${unload('alone')}`;
    expect(await guest.succeed(during(cycle), { timeout })).toBe('');
    await report('enabling and disabling');
  });

  it('shows nobody half a patch that replaces another', { timeout: timeout * 1000 }, async () => {
    const cycle = `
      insmod /even.ko; ${settled('even')}; ${'[ ! -e /sys/module/odd ] ||'} { ${unload('odd')}; }
      insmod /odd.ko; ${settled('odd')}; ${unload('even')}`;
    expect(await guest.succeed(during(cycle), { timeout })).toBe('');
    await guest.succeed(`echo 0 > ${sysfs}/odd/enabled; ${unload('odd')}`);
    await report('replacing');
  });

  it('leaves nothing behind', async () => {
    await guest.succeed(`echo > ${tracing}/kprobe_events; echo > ${tracing}/set_ftrace_filter; rmmod suture`);
    expect(await guest.succeed(`cat ${tracing}/enabled_functions /proc/modules`)).toBe('');
  });
});
