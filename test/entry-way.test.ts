// The entry way, on stock kernels: a word at a function's entry becomes a branch to the new function and is given back, by
// patches over each other too; nobody is inside when that happens, and whoever else uses that word is asked first.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { stressModules } from '../src/cli/stress.ts';
import { readElf, writeElf } from '../src/elf/elf.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import type { tableLayout } from '../src/kernel/patch-module.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { alarm } from '../src/lab/kernel-log.ts';
import { rehearse } from '../src/lab/rehearse.ts';
import type { WantedWay } from '../src/link/choose-way.ts';
import { examples } from './examples.ts';
import { fetchOnce, preemptibleKernel, stockKernels } from './stock-kernels.ts';
import { guestModules } from './support/guest-modules.ts';
import { PatchTable } from './support/patch-table.ts';
import { coreOf, patchOf } from './support/patches.ts';

const withWay = <K extends { readonly architecture: string }>(kernels: readonly K[]): K[] =>
  kernels.filter(({ architecture }) => architectureByName(architecture as 'arm').entryWay !== undefined);

describe.each(withWay([...stockKernels, preemptibleKernel]))('at their entry, on $name', (stock) => {
  it('the examples work and are taken back', async () => {
    await fetchOnce(stock);
    const kernel = await loadKernel(stock.name);
    const patches = [];
    for (const { name, fix, check } of examples) {
      patches.push({
        name,
        module: await patchOf(kernel, fix, undefined, 'entry'),
        check: await readFile(check, 'utf8'),
      });
    }
    const { verdict, reasons, steps } = await rehearse(guestKernel(kernel.stored), {
      core: await coreOf(kernel),
      patches,
    });
    expect(reasons).toEqual([]);
    expect(verdict).toBe('passed');
    for (const { name } of patches) {
      const [before, , applied, , reverted] = steps.filter(({ patch }) => patch === name).map(({ output }) => output);
      expect(applied).not.toBe(before);
      expect(reverted).toBe(before);
    }
  });
});

const headers = '#include <linux/livepatch.h>\n#include <linux/sched.h>\n#include <linux/seq_file.h>\n';
const show = (of: string, body: string) => `${headers}
static int ${of}_proc_show(struct seq_file *m, void *v)
{
	${body}
	return 0;
}
`;
const says = (text: string, of = 'version') => show(of, `seq_puts(m, "${text}\\n");`);
const sleeps = 'schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);';

const patches: Record<string, { source: string; way: WantedWay }> = {
  one: { source: says('one'), way: 'entry' },
  two: { source: says('two'), way: 'entry' },
  three: { source: says('three'), way: 'entry' },
  sleeper: { source: show('version', sleeps), way: 'entry' },
  traced: { source: says('traced'), way: 'ftrace' },
  load: { source: says('load', 'loadavg'), way: 'ftrace' },
  dreamer: { source: show('loadavg', sleeps), way: 'ftrace' },
};

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const load = (patch: string) => `insmod /${patch}.ko && ${until(`[ "$(cat ${sysfs}/${patch}/transition)" = 0 ]`)}`;
const unload = (patch: string) => until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`);
const takeBack = (patch: string) => `echo 0 > ${sysfs}/${patch}/enabled; ${unload(patch)}`;
const waits = (patch: string) => `cat ${sysfs}/${patch}/transition`;
const probe = (place: string) =>
  `echo 'p:probe ${place}' > ${tracing}/kprobe_events && echo 1 > ${tracing}/events/kprobes/probe/enable`;
const noProbe = `echo 0 > ${tracing}/events/kprobes/probe/enable; echo > ${tracing}/kprobe_events`;
/** A reader of a file in /proc that sleeps inside. */
const startReader = (file: string) => `cat /proc/${file} & echo $! > /reader
  ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}`;

/** What is put into `suture_entry`, so that what it says of branches cannot be. */
const damages: [string, keyof ReturnType<typeof tableLayout>['suture_entry']['offset'], number][] = [
  ['an island of more words than there may be', 'island_count', 17],
  ['lists of words that are longer than the module', 'island_count', 0x4000_0000],
  ['a branch that reaches nothing', 'branch_range', 0],
  ['a branch of more bits than an address has', 'branch_range', 65],
  ['a branch whose distance is shifted away', 'branch_shift', 32],
  ['a field beyond the word', 'branch_fields', 0xffff_ffff],
  ['islands neither always nor where needed', 'island_always', 2],
  ['a branch without a field', 'branch_fields', 0],
];

describe.each(withWay(stockKernels))('the entry way on $name', ({ name, architecture }) => {
  let folder: string;
  let guest: Guest;
  let one: Uint8Array;
  const nop = architecture === 'arm' ? 0xe1a00000 : 0x60000000;
  /** Of the word in version_proc_show that becomes a branch. */
  let address: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-entry-'));
    const kernel = await loadKernel(name);
    const stress = await stressModules(name, fileURLToPath(new URL('stress', import.meta.url)), 'entry');
    const files = [
      { path: '/suture.ko', bytes: await coreOf(kernel) },
      { path: '/stress_target.ko', bytes: stress.target },
      { path: '/stress_a.ko', bytes: stress.patches[0] },
      { path: '/stress_b.ko', bytes: stress.patches[1] },
    ];
    for (const [as, { source, way }] of Object.entries(patches)) {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, source);
      files.push({ path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as, way) });
    }
    one = files.find(({ path }) => path === '/one.ko')!.bytes;
    const { module } = await checkSignature(one);
    const { oldAddress, site } = readPatchModule(module, 'one.ko').redirects[0]!;
    address = `0x${(oldAddress + BigInt(site)).toString(16)}`;
    files.push({ path: '/poke.ko', bytes: (await guestModules(kernel, { poke: [] })).poke });
    if (architecture === 'arm') files.push(...(await hogs(kernel)));
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.succeed(`mount -t tracefs t ${tracing}; insmod /suture.ko`);
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });
  afterEach(async () => {
    const left = `ls ${sysfs}; cut -d' ' -f1,3 /proc/modules | grep -v hog; cat ${tracing}/enabled_functions`;
    expect(await guest.succeed(left)).toBe('suture 0\n');
    expect(await version()).toMatch(/^Linux version/);
    expect((await guest.succeed('dmesg')).split('\n').filter(alarm)).toEqual([]);
  });

  const version = () => guest.succeed('cat /proc/version');
  const said = async (text: string) => expect(await guest.succeed('dmesg -c')).toContain(text);
  const fails = async (command: string) => expect((await guest.run(command)).status).not.toBe(0);

  it('has the newest of several patches in force, in whatever order they are taken back', async () => {
    await guest.succeed(load('one'));
    expect(await version()).toBe('one\n');
    await guest.succeed(`${load('two')}; ${load('three')}`);
    expect(await version()).toBe('three\n');
    await guest.succeed(takeBack('two'));
    expect(await version()).toBe('three\n');
    await guest.succeed(takeBack('three'));
    expect(await version()).toBe('one\n');
    await guest.succeed(takeBack('one'));
  });

  it('redirects other functions at their call sites at the same time', async () => {
    await guest.succeed(`${load('one')}; ${load('load')}`);
    expect(await guest.succeed('cat /proc/version /proc/loadavg')).toBe('one\nload\n');
    await guest.succeed(`${takeBack('one')}`);
    expect(await guest.succeed('cat /proc/loadavg')).toBe('load\n');
    await guest.succeed(takeBack('load'));
  });

  it.each([
    ['one', 'traced'],
    ['traced', 'one'],
  ])('does not mix the ways on one function: %s, then %s', async (first, second) => {
    await guest.succeed(load(first));
    await fails(`insmod /${second}.ko`);
    await said("'version_proc_show' is redirected in another way by a patch that is there");
    expect(await version()).toBe(`${first}\n`);
    await guest.succeed(takeBack(first));
  });

  it('waits until nobody is inside the old function, and changes nothing before', async () => {
    await guest.succeed(`${load('sleeper')}; ${startReader('version')}; insmod /one.ko`);
    expect(await guest.succeed(waits('one'))).toBe('1\n');
    // Who comes now uses what it has used: nothing is written yet.
    await guest.succeed(`cat /proc/version & echo $! > /late
      ${until('grep -q "^State:.S" /proc/$(cat /late)/status')}`);
    await guest.succeed('kill $(cat /late)');
    expect(await guest.succeed(waits('one'))).toBe('1\n');
    await guest.succeed(`kill $(cat /reader); ${until(`[ "$(${waits('one')})" = 0 ]`)}`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`${takeBack('sleeper')}; ${takeBack('one')}`);
  });

  it('lets a transition that waits be turned round', async () => {
    await guest.succeed(`${load('sleeper')}; ${startReader('version')}; insmod /one.ko; echo 0 > ${sysfs}/one/enabled`);
    await guest.succeed(`${unload('one')}; kill $(cat /reader); ${takeBack('sleeper')}`);
  });

  it('is taken back when nobody is inside any more', async () => {
    await guest.succeed(`${load('sleeper')}; ${startReader('version')}; echo 0 > ${sysfs}/sleeper/enabled`);
    expect(await guest.succeed(waits('sleeper'))).toBe('1\n');
    await guest.succeed(`kill $(cat /reader); ${unload('sleeper')}`);
  });

  it('writes although somebody is inside if it is forced to', async () => {
    await guest.succeed(`${load('sleeper')}; ${startReader('version')}; insmod /one.ko; echo 1 > ${sysfs}/one/force`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`kill $(cat /reader); ${takeBack('one')}; ${takeBack('sleeper')}`);
  });

  it('is not put where a kprobe is, and not given back under one', async () => {
    await guest.succeed(probe(address));
    await fails('insmod /one.ko');
    await said("'version_proc_show': a kprobe is on its entry");
    await guest.succeed(`${noProbe}; ${load('one')}; ${probe(address)}`);
    expect(await version()).toBe('one\n');
    await fails(`echo 0 > ${sysfs}/one/enabled`);
    await said('has saved the branch that is there');
    expect(await version()).toBe('one\n');
    await guest.succeed(`${noProbe}; ${takeBack('one')}`);
  });

  it('waits for a kprobe that comes during the transition', async () => {
    await guest.succeed(`${load('sleeper')}; ${startReader('version')}; insmod /one.ko; ${probe(address)}`);
    await guest.succeed(`kill $(cat /reader); ${until('dmesg | grep -q "waits for the kprobe on the entry"')}`);
    expect(await guest.succeed(waits('one'))).toBe('1\n');
    await guest.succeed(`${noProbe}; ${until(`[ "$(${waits('one')})" = 0 ]`)}`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`${takeBack('sleeper')}; ${takeBack('one')}`);
  });

  it('writes nothing over what somebody else has written, and says so', async () => {
    const poke = `insmod /poke.ko address=${address} word=${nop}`;
    await guest.succeed(`${load('sleeper')}; ${poke}`);
    await fails('insmod /one.ko');
    await said("'version_proc_show': somebody else has changed its entry");
    await fails(`echo 0 > ${sysfs}/sleeper/enabled; echo 1 > ${sysfs}/sleeper/force`);
    await said("'version_proc_show': somebody else has changed its entry");
    expect(await guest.succeed(waits('sleeper'))).toBe('1\n');
    await guest.succeed(`rmmod poke; ${unload('sleeper')}`);
  });

  it.each(['function', 'function_graph'])('works with the tracer %s on the same function', async (tracer) => {
    await guest.succeed(`echo version_proc_show > ${tracing}/set_ftrace_filter`);
    await guest.succeed(`echo ${tracer} > ${tracing}/current_tracer; ${load('one')}`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`echo nop > ${tracing}/current_tracer; echo ${tracer} > ${tracing}/current_tracer`);
    expect(await version()).toBe('one\n');
    await guest.succeed(`echo > ${tracing}/trace; ${takeBack('one')}`);
    expect(await version()).toMatch(/^Linux version/);
    expect(await guest.succeed(`cat ${tracing}/trace`)).toContain('version_proc_show');
    await guest.succeed(`echo nop > ${tracing}/current_tracer; echo > ${tracing}/set_ftrace_filter`);
  });

  it('takes the place of other patches, and what it does not patch goes back', async () => {
    await guest.succeed(`insmod /stress_target.ko; ${load('one')}; insmod /stress_a.ko version=1 replace=1`);
    await guest.succeed(until(`[ ! -e ${sysfs}/one ]`));
    expect(await version()).toMatch(/^Linux version/);
    expect(await guest.succeed('cat /proc/loadavg')).toBe('71 and 71 in 71\n');
    await guest.succeed(`insmod /stress_b.ko version=2 replace=1; ${until(`[ ! -e ${sysfs}/stress_a ]`)}`);
    expect(await guest.succeed('cat /proc/loadavg')).toBe('72 and 72 in 72\n');
    await guest.succeed(`rmmod one; rmmod stress_a; ${takeBack('stress_b')}; rmmod stress_target`);
  });

  it('redirects functions of modules that go and come', async () => {
    await guest.succeed(`dmesg -c > /dev/null; ${load('stress_a')}; insmod /stress_target.ko`);
    await said("applying patch 'stress_a' to loading module 'stress_target'");
    await guest.succeed(`rmmod stress_target; insmod /stress_target.ko; cat /proc/suture_stress`);
    const line = await guest.succeed('cat /proc/suture_stress');
    expect(line).toContain(' mixed 0 ');
    await guest.succeed(`${takeBack('stress_a')}; cat /proc/suture_stress; rmmod stress_target`);
  });

  it('is switched while a processor goes and comes', async () => {
    const cpu1 = '/sys/devices/system/cpu/cpu1/online';
    await guest.succeed(`echo 0 > ${cpu1}; ${load('one')}; echo 1 > ${cpu1}`);
    expect(await guest.succeed('taskset 2 cat /proc/version')).toBe('one\n');
    await guest.succeed(`echo 0 > ${cpu1}; ${takeBack('one')}; echo 1 > ${cpu1}`);
    expect(await guest.succeed('taskset 2 cat /proc/version')).toMatch(/^Linux version/);
  });

  /** As `one`, but with another value in its `suture_entry`. */
  async function insmodDamaged(member: (typeof damages)[number][1], value: number): Promise<void> {
    const { module } = await checkSignature(one);
    const table = new PatchTable(readElf(module, 'one.ko'));
    table.put(table.entry + table.layout.suture_entry.offset[member], () => value);
    await guest.copyIn('/damaged.ko', await signModule(writeElf(table.model)));
    await fails('dmesg -c > /dev/null; insmod /damaged.ko');
  }

  it.each(damages)('refuses a table that says of %s', async (_, member, value) => {
    await insmodDamaged(member, value);
    await said('the patch table is damaged: what it says of branches lies outside the module, or cannot be');
  });

  it('refuses what no branch reaches, and keeps no room of it', async () => {
    await insmodDamaged('branch_range', 8);
    await said('there is no room left within its reach');
    await guest.succeed(load('one'));
    expect(await version()).toBe('one\n');
    await guest.succeed(takeBack('one'));
  });

  if (architecture !== 'arm') return;
  it('goes by way of an island where a branch does not reach the new function', async () => {
    const taken =
      await guest.succeed(`for hog in ${hogSizes.map((_, i) => `/${hogName(i)}.ko`).join(' ')}; do insmod $hog; done
      ${load('one')}; ${load('two')}; awk '$1 == "two" { print $6 }' /proc/modules`);
    // Outside of the module area, which ends where the kernel begins.
    expect(Number(taken.trim())).toBeGreaterThan(0xe0000000);
    expect(await version()).toBe('two\n');
    await guest.succeed(takeBack('two'));
    expect(await version()).toBe('one\n');
    await guest.succeed(`${takeBack('one')}; ${hogSizes.map((_, i) => `rmmod ${hogName(i)}`).join('; ')}`);
  });
});

/**
 * The module area of 32-bit ARM has 16 MB at most; these take all of it, one after the other as far as each finds room, the last
 * ones what is left between the others.
 */
const hogSizes = [8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, ...Array(12).fill(0)].map((k) => 1024 * k + 4);
const hogName = (i: number) => `hog_${String.fromCharCode(0x61 + i)}`;

async function hogs(kernel: Awaited<ReturnType<typeof loadKernel>>) {
  const { hog_a: built } = await guestModules(kernel, { hog_a: [] });
  const { module } = await checkSignature(built);
  const text = Buffer.from(module);
  return Promise.all(
    hogSizes.map(async (size, i) => {
      const named = Buffer.from(text);
      for (let at = named.indexOf('hog_a'); at >= 0; at = named.indexOf('hog_a', at + 1)) named.write(hogName(i), at);
      const model = readElf(new Uint8Array(named), 'hog.ko');
      model.sections.find((section) => section.name === '.bss')!.size = size;
      return { path: `/${hogName(i)}.ko`, bytes: await signModule(writeElf(model)) };
    }),
  );
}
