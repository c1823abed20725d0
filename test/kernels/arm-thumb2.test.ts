// A kernel in Thumb-2 code: what it rewrites in itself is what its tables tell, its functions are redirected at their entries,
// whatever two instructions the branch takes the place of, and what is not done there is refused by a code that says so.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readElf, writeElf } from '../../src/elf/elf.ts';
import { openKernel } from '../../src/host/kernel-store.ts';
import { loadKernel } from '../../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../../src/kernel/module-signature.ts';
import { wordsOf } from '../../src/kernel/old-function.ts';
import { bootGuest, type Guest, withGuest } from '../../src/lab/guest.ts';
import { guestKernel } from '../../src/lab/guest-kernel.ts';
import { alarm } from '../../src/lab/kernel-log.ts';
import { modulesWithDependencies } from '../../src/lab/target-modules.ts';
import { guestModules } from '../support/guest-modules.ts';
import { memoryAfterStart } from '../support/live-memory.ts';
import { PatchTable } from '../support/patch-table.ts';
import { coreOf, patchOf } from '../support/patches.ts';
import { sutureJson } from '../suture.ts';
import { describeKernel } from './wanted-kernels.ts';

const kernel = 'arm-thumb2';

const headers = '#include <linux/seq_file.h>\n#include <linux/sched.h>\n';
const show = (body: string) => `${headers}
static int version_proc_show(struct seq_file *m, void *v)
{
	${body}
	return 0;
}
`;
const says = (text: string) => show(`seq_puts(m, "${text}\\n");`);
/** A function of a module (samples/kobject), which calls another one of it that nobody exports, and uses data of it. */
const moduleFix = `#include <linux/kobject.h>
#include <linux/sysfs.h>
#include <suture/fix.h>
extern int foo;
extern ssize_t foo_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf);
static ssize_t my_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	ssize_t length = foo_show(kobj, attr, buf);

	return length + sysfs_emit_at(buf, length, "patched %d\\n", foo);
}
SUTURE_REPLACES(my_show, b_show, 0, "kobject_example");
`;
/** Functions of the kernel and of a module whose code ends in the middle of a word. */
const halvedFix = `#include <linux/jiffies.h>
#include <linux/seq_file.h>
#include <linux/timer.h>
#include <suture/fix.h>
struct crypto_alg;
static void my_timer(struct timer_list *timer)
{
	WRITE_ONCE(jiffies, jiffies);
}
SUTURE_REPLACES(my_timer, entropy_timer, 0, "");
static void my_show(struct seq_file *m, struct crypto_alg *alg)
{
	seq_puts(m, "halved\\n");
}
SUTURE_REPLACES(my_show, crypto_shash_show, 0, "crypto_hash");
`;
const fixes = {
  one: says('one'),
  two: says('two'),
  sleeper: show('schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);'),
};

await describeKernel(kernel, () => {
  let folder: string;
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const codes = async (...args: string[]) => {
    const { exit, reasons } = await sutureJson(args);
    return [exit, ...reasons.map(({ code }: { code: string }) => code)];
  };
  const build = (path: string, ...more: string[]) =>
    codes('build', '--kernel', kernel, '-o', join(folder, 'refused.ko'), ...more, path);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-thumb-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is told by its image', async () => {
    const { result } = await sutureJson(['kernel', 'show', kernel]);
    expect(result).toMatchObject({ architecture: 'arm', code: 'Thumb-2', selfModifiedUnknown: [] });
  });

  it('has its functions proven at their entries, but for those whose four bytes ftrace rewrites', async () => {
    const { result } = await sutureJson(['audit', kernel]);
    const { proven, ...others } = result.codes;
    expect(result.way).toBe('entry');
    expect(proven).toBeGreaterThan(10_000);
    expect(Object.keys(others).sort()).toEqual(
      ['compiler-made-copy', 'entry-in-use', 'entry-rewritten', 'init-text', 'never-left'].sort(),
    );
    expect(others['entry-rewritten']).toBeLessThan(2700);
    expect(others['entry-in-use']).toBeLessThan(400);
  });

  it('rewrites in itself the words that its tables tell, and no other', async () => {
    const { arch, image, stored, callSites, selfModified } = await loadKernel(kernel);
    const pageOffset = 0xc0000000n;
    const { start, end } = image.textRanges[0]!;
    const machine = { ...arch.platform.qemu, arguments: [...arch.platform.qemu.arguments, '-smp', '2'] };
    const memory = await memoryAfterStart(
      folder,
      { ...machine, ramStart: 0x40000000 },
      stored.image,
      Number(end - pageOffset),
    );
    const live = wordsOf(memory.subarray(Number(start - pageOffset)));
    const shipped = wordsOf(image.bytes(start, Number(end - start))!);
    const index = (address: bigint) => Number(address - start) >> 2;
    // A call of mcount may be in two words.
    const sites = new Set(callSites.flatMap(({ address }) => [index(address), index(address + 3n)]));
    const predicted = new Set(selfModified.words.map(index));
    const differing = [...shipped.keys()].filter((i) => live[i] !== shipped[i]);
    const beyond = differing.filter((i) => !sites.has(i));
    expect(beyond.filter((i) => !predicted.has(i))).toEqual([]);
    expect(beyond.length).toBeGreaterThan(200);
    // `add.w sp, sp, #4`, wherever it stands.
    const bytes = new DataView(memory.buffer, memory.byteOffset);
    const atSite = ({ address }: { address: bigint }) => bytes.getUint32(Number(address - pageOffset), true);
    expect(new Set(callSites.filter(({ address }) => address < end).map(atSite))).toEqual(new Set([0x0d04f10d]));
  });

  it('has the calls of mcount that ftrace lists', async () => {
    const { callSites, image } = await loadKernel(kernel);
    const { start, end } = image.textRanges[0]!;
    const ours = callSites.filter(({ address }) => address >= start && address < end).length;
    const listed = await withGuest(guestKernel(await openKernel(kernel)), {}, (guest) =>
      guest.succeed('grep -c . /sys/kernel/tracing/available_filter_functions'),
    );
    expect(Number(listed)).toBe(ours);
  });

  describe('refuses', () => {
    it('the ftrace way', async () => {
      const fix = await file('fix.c', fixes.one);
      expect(await build(fix, '--way', 'ftrace')).toEqual([2, 'way-missing']);
      expect(await codes('prove', '--all', '--way', 'ftrace', '--kernel', kernel)).toEqual([2, 'way-missing']);
      const example = new URL('../../examples/redirects/arm-2016.S', import.meta.url).pathname;
      expect(await codes('prove', '--kernel', kernel, '--redirect', example)).toEqual([2, 'way-missing']);
    });

    it('a function whose first four bytes have a part of its call of mcount', async () => {
      const [leaf] = (await sutureJson(['audit', kernel, '--list', 'entry-rewritten'])).result.list;
      const replaces = `#include <suture/fix.h>\nSUTURE_REPLACES(my_leaf, ${leaf.name}, 1, "");\n`;
      const fix = await file('leaf.c', `static noinline int my_leaf(void)\n{\n\treturn 0;\n}\n${replaces}`);
      expect(await build(fix)).toEqual([2, 'entry-rewritten']);
    });
  });

  describe('in a guest', () => {
    let guest: Guest;
    let address: number;
    /** md5 and what it needs, which is loaded first. */
    const hashes: string[] = [];
    beforeAll(async () => {
      const loaded = await loadKernel(kernel);
      const files = [{ path: '/suture.ko', bytes: await coreOf(loaded) }];
      for (const [name, text] of Object.entries(fixes)) {
        files.push({ path: `/${name}.ko`, bytes: await patchOf(loaded, await file(`${name}.c`, text), name) });
      }
      files.push({ path: '/island.ko', bytes: await byIslandAlways(files[2]!.bytes) });
      const fix = await file('of_module.c', moduleFix);
      files.push({ path: '/of_module.ko', bytes: await patchOf(loaded, fix, 'of_module') });
      const halved = await file('halved.c', halvedFix);
      files.push({ path: '/halved.ko', bytes: await patchOf(loaded, halved, 'halved') });
      const [target] = await modulesWithDependencies(loaded.stored.modules, ['kobject-example']);
      files.push({ path: '/target.ko', bytes: target!.bytes });
      for (const { name, bytes } of await modulesWithDependencies(loaded.stored.modules, ['md5'])) {
        files.push({ path: `/${name}.ko`, bytes });
        hashes.push(name);
      }
      files.push({ path: '/probe.ko', bytes: (await guestModules(loaded, { probe: [] })).probe });
      address = Number(loaded.image.symbol('version_proc_show'));
      guest = await bootGuest(guestKernel(loaded.stored), { files });
      await guest.succeed(`mount -t tracefs t ${tracing}; insmod /suture.ko`);
    });
    afterAll(() => guest?.stop());
    afterEach(async () => {
      expect(await guest.succeed(`ls ${sysfs}; cut -d' ' -f1,3 /proc/modules`)).toBe('suture 0\n');
      expect(await version()).toMatch(/^Linux version/);
      expect((await guest.succeed('dmesg -c')).split('\n').filter(alarm)).toEqual([]);
    });

    const version = () => guest.succeed('cat /proc/version');
    const fails = async (command: string, said: string) => {
      expect((await guest.run(command)).status).not.toBe(0);
      expect(await guest.succeed('dmesg')).toContain(said);
    };

    it('the newest of two patches is in force, in whatever order they are taken back', async () => {
      await guest.succeed(`${load('one')}; ${load('two')}`);
      expect(await version()).toBe('two\n');
      await guest.succeed(takeBack('one'));
      expect(await version()).toBe('two\n');
      await guest.succeed(takeBack('two'));
    });

    it('nothing is written while a task is held inside the old function', async () => {
      await guest.succeed(`${load('sleeper')}; cat /proc/version & echo $! > /reader
        ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}; insmod /one.ko`);
      expect(await guest.succeed(`cat ${sysfs}/one/transition`)).toBe('1\n');
      await guest.succeed(`kill $(cat /reader); ${until(`[ "$(cat ${sysfs}/one/transition)" = 0 ]`)}`);
      expect(await version()).toBe('one\n');
      await guest.succeed(`${takeBack('sleeper')}; ${takeBack('one')}`);
    });

    it.each([
      ['the first instruction', 0],
      ['the second one, in the same four bytes', 2],
      ['either, by an address with the bit of Thumb code', 3],
    ])('no branch is written over a kprobe on %s', async (_, offset) => {
      await guest.succeed(`insmod /probe.ko address=${address + offset}`);
      await fails('insmod /one.ko', "'version_proc_show': a kprobe is on its entry");
      await guest.succeed('rmmod probe');
    });

    it('a kprobe further on keeps nobody from comparing the function', async () => {
      // The word behind the call of mcount: its `mrc` is at +0xe, in two words of the table.
      await guest.succeed(`insmod /probe.ko address=${address + 0x12}; ${load('one')}`);
      expect(await version()).toBe('one\n');
      await guest.succeed(`${takeBack('one')}; rmmod probe`);
    });

    it.each(['function', 'function_graph'])('the tracer %s works on the same function', async (tracer) => {
      await guest.succeed(`echo version_proc_show > ${tracing}/set_ftrace_filter
        echo ${tracer} > ${tracing}/current_tracer; ${load('one')}`);
      expect(await version()).toBe('one\n');
      await guest.succeed(`echo nop > ${tracing}/current_tracer; echo ${tracer} > ${tracing}/current_tracer`);
      expect(await version()).toBe('one\n');
      await guest.succeed(takeBack('one'));
      expect(await version()).toMatch(/^Linux version/);
      expect(await guest.succeed(`cat ${tracing}/trace`)).toContain('version_proc_show');
      await guest.succeed(`echo nop > ${tracing}/current_tracer; echo > ${tracing}/set_ftrace_filter`);
    });

    it('an island goes on in Thumb code', async () => {
      await guest.succeed(`insmod /island.ko; ${until(`[ "$(cat ${sysfs}/two/transition)" = 0 ]`)}`);
      expect(await version()).toBe('two\n');
      await guest.succeed(takeBack('two'));
    });

    it('functions are redirected that end in the middle of a word', async () => {
      await guest.succeed(`${hashes.map((name) => `insmod /${name}.ko`).join('; ')}; ${load('halved')}`);
      expect(await guest.succeed('cat /proc/crypto')).toContain('halved\n');
      await guest.succeed(`${takeBack('halved')}; rmmod ${hashes.reverse().join(' ')}`);
    });

    it('functions of a module are redirected, and use others and data of it, whether it is there or comes', async () => {
      const baz = '/sys/kernel/kobject_example/baz';
      await guest.succeed(`insmod /target.ko; ${load('of_module')}; echo 7 > /sys/kernel/kobject_example/foo`);
      expect(await guest.succeed(`cat ${baz}`)).toBe('7\npatched 7\n');
      await guest.succeed('rmmod kobject_example; insmod /target.ko');
      expect(await guest.succeed(`cat ${baz}`)).toBe('0\npatched 0\n');
      await guest.succeed(takeBack('of_module'));
      expect(await guest.succeed(`cat ${baz}`)).toBe('0\n');
      await guest.succeed('rmmod kobject_example');
    });
  });
});

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const load = (patch: string) => `insmod /${patch}.ko && ${until(`[ "$(cat ${sysfs}/${patch}/transition)" = 0 ]`)}`;
const takeBack = (patch: string) => `echo 0 > ${sysfs}/${patch}/enabled
  ${until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`)}`;

/** The same patch with a table that has every branch take an island: nothing is out of reach on this kernel. */
async function byIslandAlways(signed: Uint8Array): Promise<Uint8Array> {
  const { module } = await checkSignature(signed);
  const model = readElf(new Uint8Array(module), 'two.ko');
  const table = new PatchTable(model);
  table.put(table.entry + table.layout.suture_entry.offset.island_always, () => 1);
  return signModule(writeElf(model));
}
