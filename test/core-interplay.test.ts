// Live patching is not alone with the kernel's code: probes and tracers sit on the same functions, processors and target
// modules go and come back, and others patch at the same time. On both stock kernels. (kernel.ftrace_enabled: core.test.ts.)

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stressModules } from '../src/cli/stress.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { alarm } from '../src/lab/kernel-log.ts';
import { stockKernels } from './stock-kernels.ts';
import { coreOf, patchOf } from './support/patches.ts';

const headers = '#include <linux/sched.h>\n#include <linux/seq_file.h>\n';
const says = (text: string) => `${headers}
static int version_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "${text}\\n");
	return 0;
}
`;

const patches = {
  one: says('one'),
  two: says('two'),
  dreamer: `${headers}
static int loadavg_proc_show(struct seq_file *m, void *v)
{
	schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}
`,
  sleeper: `${headers}
static int version_proc_show(struct seq_file *m, void *v)
{
	schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}
`,
  // Called by the idle task of a processor that has been switched off, so never here.
  leaving: `
#include <linux/printk.h>
#include <linux/sched/hotplug.h>

void idle_task_exit(void)
{
	pr_info("an idle task leaves\\n");
}
`,
};

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';
const cpu1 = '/sys/devices/system/cpu/cpu1/online';
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const load = (patch: string) => `insmod /${patch}.ko && ${until(`[ "$(cat ${sysfs}/${patch}/transition)" = 0 ]`)}`;
const unload = (patch: string) => until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`);
const takeBack = (patch: string) => `echo 0 > ${sysfs}/${patch}/enabled; ${unload(patch)}`;
/** Puts a probe on, and takes it off again; what it is comes before a colon. */
const probe = (kind: 'p' | 'r', place: string) =>
  `echo '${kind}:probe ${place}' > ${tracing}/kprobe_events && echo 1 > ${tracing}/events/kprobes/probe/enable`;
const noProbe = `echo 0 > ${tracing}/events/kprobes/probe/enable; echo > ${tracing}/kprobe_events`;
const hits = `awk '$1 == "probe" { print $2 }' ${tracing}/kprobe_profile`;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-interplay-'));
    const kernel = await loadKernel(name);
    const { target, patches: ofTarget } = await stressModules(name, fileURLToPath(new URL('stress', import.meta.url)));
    const files = [
      { path: '/suture.ko', bytes: await coreOf(kernel) },
      { path: '/stress_target.ko', bytes: target },
      { path: '/stress_a.ko', bytes: ofTarget[0] },
    ];
    for (const [as, source] of Object.entries(patches)) {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, source);
      files.push({ path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as) });
    }
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.succeed(`mount -t tracefs t ${tracing}; insmod /suture.ko`);
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });
  afterEach(async () => {
    const left = `ls ${sysfs}; cut -d' ' -f1,3 /proc/modules; cat ${tracing}/enabled_functions`;
    expect(await guest.succeed(left)).toBe('suture 0\n');
    expect(await guest.succeed('cat /proc/version')).toMatch(/^Linux version/);
    expect((await guest.succeed('dmesg')).split('\n').filter(alarm)).toEqual([]);
  });

  const version = () => guest.succeed('cat /proc/version');

  it.each([
    { kind: 'p', place: 'version_proc_show' },
    { kind: 'p', place: 'version_proc_show+24' },
    { kind: 'r', place: 'version_proc_show' },
  ] as const)('patches a function with a probe: $kind:$place', async ({ kind, place }) => {
    await guest.succeed(probe(kind, place));
    await guest.succeed(load('one'));
    expect(await version()).toBe('one\n');
    await guest.succeed(takeBack('one'));
    expect(await version()).toMatch(/^Linux version/);
    expect(Number(await guest.succeed(hits))).toBeGreaterThan(0);
    await guest.succeed(noProbe);
  });

  it.each(['p', 'r'] as const)('lets a patched function have a probe of kind %s', async (kind) => {
    await guest.succeed(load('one'));
    // The patch has a function of that name too.
    const address = await guest.succeed('awk \'$3 == "version_proc_show" { print "0x" $1; exit }\' /proc/kallsyms');
    await guest.succeed(probe(kind, address.trim()));
    expect(await version()).toBe('one\n');
    await guest.succeed(takeBack('one'));
    expect(await version()).toMatch(/^Linux version/);
    await guest.succeed(noProbe);
  });

  it.each(['function', 'function_graph'])('works while the tracer %s is switched on and off', async (tracer) => {
    await guest.succeed(`echo version_proc_show > ${tracing}/set_ftrace_filter`);
    await guest.succeed(`${load('one')}; echo ${tracer} > ${tracing}/current_tracer`);
    expect(await version()).toBe('one\n');
    await guest.succeed(load('two'));
    expect(await version()).toBe('two\n');
    await guest.succeed(`echo nop > ${tracing}/current_tracer`);
    expect(await version()).toBe('two\n');
    await guest.succeed(`echo ${tracer} > ${tracing}/current_tracer`);
    await guest.succeed(`${takeBack('two')}; ${takeBack('one')}`);
    expect(await version()).toMatch(/^Linux version/);
    expect(await guest.succeed(`cat ${tracing}/trace`)).toContain('version_proc_show');
    await guest.succeed(`echo nop > ${tracing}/current_tracer; echo > ${tracing}/set_ftrace_filter`);
  });

  it('waits for nobody whose kretprobe function_graph has forgotten', async () => {
    await guest.succeed(`echo seq_printf > ${tracing}/set_ftrace_filter
      echo function_graph > ${tracing}/current_tracer; ${probe('r', 'seq_printf')}`);
    // Whose return address the kretprobe keeps is in version_proc_show, which is left by then.
    await guest.succeed(`sh -c 'read -r line < /proc/version; : > /read; exec sleep 1000' & echo $! > /reader
      ${until('[ -e /read ]')}`);
    await guest.succeed(`${noProbe}; echo nop > ${tracing}/current_tracer; echo > ${tracing}/set_ftrace_filter`);
    await guest.succeed(`${load('one')}; ${takeBack('one')}; kill $(cat /reader)`);
  });

  it('waits for a task while a processor goes and comes back', async () => {
    await guest.succeed(`${load('sleeper')}; cat /proc/version & echo $! > /reader
      ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}`);
    await guest.succeed(`insmod /one.ko; echo 0 > ${cpu1}`);
    expect(await guest.succeed(`cat ${sysfs}/one/transition`)).toBe('1\n');
    expect(await version()).toBe('one\n');
    await guest.succeed(`echo 1 > ${cpu1}`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`kill $(cat /reader); ${until(`[ "$(cat ${sysfs}/one/transition)" = 0 ]`)}`);
    await guest.succeed(`echo 0 > ${cpu1}; ${takeBack('sleeper')}; echo 1 > ${cpu1}; ${takeBack('one')}`);
  });

  it("leaves the kernel's functions to a processor that is off", async () => {
    await guest.succeed(`dmesg -c > /dev/null; ${load('leaving')}; echo 0 > ${cpu1}; echo 1 > ${cpu1}`);
    await guest.succeed(`echo 0 > ${cpu1}; ${takeBack('leaving')}; echo 1 > ${cpu1}`);
    const log = await guest.succeed('dmesg');
    expect(log).toContain("'leaving': unpatching complete");
    expect(log).not.toContain('an idle task leaves');
  });

  it('takes two patches that are enabled at the same time one after the other', async () => {
    for (let i = 0; i < 5; i++) {
      await guest.succeed(`insmod /one.ko & first=$!; insmod /two.ko && wait $first`);
      expect(await version()).toMatch(/^(one|two)\n$/);
      await guest.succeed(`(${takeBack('one')}) & first=$!; until echo 0 > ${sysfs}/two/enabled; do :; done
        ${unload('two')}; wait $first; [ ! -e ${sysfs}/one ] || { ${takeBack('one')}; }`);
    }
  });

  it('lets the module that is patched go and come in the middle of a transition', async () => {
    await guest.succeed(`dmesg -c > /dev/null; insmod /stress_target.ko; ${load('dreamer')}
      cat /proc/loadavg & echo $! > /reader
      ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}; insmod /stress_a.ko`);
    await guest.succeed('rmmod stress_target');
    expect(await guest.succeed('dmesg')).toContain("reverting patch 'stress_a' on unloading module 'stress_target'");
    expect(await guest.succeed(`cat ${sysfs}/stress_a/transition; ls ${sysfs}/stress_a`)).toMatch(
      /^1\n(.*\n)*stress_target\n/,
    );
    await guest.succeed('insmod /stress_target.ko');
    expect(await guest.succeed('dmesg')).toContain("applying patch 'stress_a' to loading module 'stress_target'");
    expect(await guest.succeed('cat /proc/suture_stress')).toContain(' mixed 0 ');
    await guest.succeed(`kill $(cat /reader); ${until(`[ "$(cat ${sysfs}/stress_a/transition)" = 0 ]`)}`);
    await guest.succeed(`rmmod stress_target; ${takeBack('stress_a')}; ${takeBack('dreamer')}`);
  });
});
