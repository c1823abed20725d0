// The core's promise of consistency, on both stock kernels: patches stack, a task that sleeps in an old function keeps all
// old functions and holds back nobody else, and what cannot end by itself can be turned round or forced. And the rest of
// mainline's interface as a patch sees it: callbacks, states, atomic replace. Modules as objects are left to mainline's
// own selftests.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { coreOf, patchOf } from './support/patches.ts';

/** A new function for a file of /proc that has one line. */
const says = (file: string, text: string) => `
static int ${file}_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "${text}\\n");
	return 0;
}
`;

/** What the patch's init does with its struct klp_patch before it enables it. */
const before = (statements: string) => `
static int enable_changed(struct klp_patch *patch)
{
	${statements}
	return suture_enable_patch(patch, &suture_patch_table);
}
#undef klp_enable_patch
#define klp_enable_patch enable_changed
`;

/** Each callback tells of itself. */
const telling = (failure: string) => `
static int pre_patch(struct klp_object *obj) { pr_info("pre_patch\\n"); return ${failure}; }
static void post_patch(struct klp_object *obj) { pr_info("post_patch\\n"); }
static void pre_unpatch(struct klp_object *obj) { pr_info("pre_unpatch\\n"); }
static void post_unpatch(struct klp_object *obj) { pr_info("post_unpatch\\n"); }
static const struct klp_callbacks callbacks = { pre_patch, post_patch, pre_unpatch, post_unpatch };
${before('patch->objs[0].callbacks = callbacks;')}`;

/** A state of that version; its data goes from patch to patch. */
const state = (version: number, replace: boolean) => `
static struct klp_state states[] = { { .id = 7, .version = ${version} }, { } };
static int take_over(struct klp_object *obj)
{
	struct klp_state *older = klp_get_prev_state(7);

	states[0].data = older ? older->data : "the first";
	pr_info("version %u has %s\\n", klp_get_state(container_of(obj->kobj.parent, struct klp_patch, kobj), 7)->version,
		(char *)states[0].data);
	states[0].data = "a later one";
	return 0;
}
${before(`patch->states = states; patch->replace = ${replace}; patch->objs[0].callbacks.pre_patch = take_over;`)}`;

const patches = {
  one: says('version', 'one'),
  two: says('version', 'two') + says('loadavg', 'two'),
  three: says('version', 'three'),
  // Sleeps until a signal comes, then calls another function that can be patched.
  sleeper: `
int loadavg_proc_show(struct seq_file *m, void *v);

static int version_proc_show(struct seq_file *m, void *v)
{
	schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return loadavg_proc_show(m, v);
}
`,
  replacing: says('cmdline', 'replaced') + before('patch->replace = true;'),
  callbacks: says('version', 'called back') + telling('0'),
  failing: says('version', 'failed') + telling('-ENODEV'),
  state1: says('version', 'state 1') + state(1, false),
  state2: says('version', 'state 2') + state(2, true),
  itself: says('version', 'itself') + before('patch->objs[0].name = "suture";'),
  stateless: says('loadavg', 'stateless') + before('patch->replace = true;'),
};

/** A patch with another name for its old function, as kallsyms has two for some addresses. */
async function renamed(patch: Uint8Array, from: string, to: string): Promise<Uint8Array> {
  const bytes = Buffer.from((await checkSignature(patch)).module);
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at)) bytes.write(to, at, 'latin1');
  return signModule(new Uint8Array(bytes));
}

const headers = '#include <linux/livepatch.h>\n#include <linux/sched.h>\n#include <linux/seq_file.h>\n';
const sysfs = '/sys/kernel/livepatch';
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;
const unload = (patch: string) => until(`[ ! -e ${sysfs}/${patch} ] && rmmod ${patch} 2> /dev/null`);
const disable = (patch: string) => `echo 0 > ${sysfs}/${patch}/enabled`;
const settled = (patch: string) => until(`[ "$(cat ${sysfs}/${patch}/transition)" = 0 ]`);
const load = (patch: string) => `insmod /${patch}.ko && ${settled(patch)}`;
/** Reads a line of a file and writes it to /line, whatever signal comes meanwhile. */
const reader = `trap : USR1
read -r line < $1
echo "$line" > /line
`;
/** Has a shell sleep in a file; its number is in /reader. */
const sleepIn = (file: string) =>
  `rm -f /line; sh /reader.sh ${file} & echo $! > /reader; ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}`;
const wake = `kill -USR1 $(cat /reader); ${until('[ -s /line ]')}; cat /line`;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-transition-'));
    const kernel = await loadKernel(name);
    const files = [
      { path: '/suture.ko', bytes: await coreOf(kernel) },
      { path: '/reader.sh', bytes: Buffer.from(reader) },
    ];
    for (const [as, source] of Object.entries(patches)) {
      const fix = join(folder, `${as}.c`);
      await writeFile(fix, headers + source);
      files.push({ path: `/${as}.ko`, bytes: await patchOf(kernel, fix, as) });
    }
    const { bytes } = files.find(({ path }) => path === '/three.ko')!;
    files.push({ path: '/alias.ko', bytes: await renamed(bytes, 'version_proc_show', 'version_proc_alas') });
    guest = await bootGuest(guestKernel(kernel.stored), { files });
    await guest.succeed('insmod /suture.ko');
    await guest.succeed("echo 'file kernel/livepatch/* +p; func klp_try_switch_task -p' > /proc/dynamic_debug/control");
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });
  /** What stays for ever because of a test. */
  let kept = '';
  afterEach(async () => {
    const left = await guest.succeed(`ls ${sysfs}; cut -d' ' -f1 /proc/modules; dmesg -c > /dev/null`);
    expect(left).toBe(`${kept}suture\n`);
  });

  const version = () => guest.succeed('cat /proc/version');
  const log = async () =>
    [...(await guest.succeed('dmesg -c')).matchAll(/\] (?:livepatch: )?(.*)/g)].map(([, line]) => line);

  it('puts a later patch of a function on top of an earlier one, and takes back either', async () => {
    await guest.succeed(load('one'));
    await guest.succeed(load('two'));
    expect(await version()).toBe('two\n');
    await guest.succeed(`${disable('one')}; ${unload('one')}`);
    expect(await version()).toBe('two\n');
    await guest.succeed(load('three'));
    await guest.succeed(`${disable('three')}; ${unload('three')}`);
    expect(await version()).toBe('two\n');
    await guest.succeed(`${disable('two')}; ${unload('two')}`);
    expect(await version()).toMatch(/^Linux version/);
  });

  it('says of a transition what mainline says, and which module changes the kernel', async () => {
    await guest.succeed(load('one'));
    expect(await guest.succeed('cat /sys/module/one/taint')).toContain('K');
    await guest.succeed(`${disable('one')}; ${unload('one')}`);
    expect(await log()).toEqual([
      "enabling patch 'one'",
      "'one': initializing patching transition",
      "'one': starting patching transition",
      "'one': completing patching transition",
      "'one': patching complete",
      "'one': initializing unpatching transition",
      "'one': starting unpatching transition",
      "'one': completing unpatching transition",
      "'one': unpatching complete",
    ]);
  });

  it('leaves a task that sleeps in an old function all old functions, and gives the others the new ones', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    await guest.succeed('insmod /two.ko');
    expect(await guest.succeed(`cat ${sysfs}/two/transition ${sysfs}/two/enabled /proc/version /proc/loadavg`)).toBe(
      '1\n1\ntwo\ntwo\n',
    );
    // The old function's call of loadavg_proc_show, which is patched for everybody else.
    expect(await guest.succeed(wake)).toMatch(/^\d+\.\d+ \d+\.\d+ /);
    await guest.succeed(`${settled('two')}; ${disable('two')}; ${unload('two')}; ${disable('sleeper')}`);
    await guest.succeed(unload('sleeper'));
  });

  it('says at debug level who holds a transition back, and where', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    await guest.succeed("echo 'func klp_try_switch_task +p' > /proc/dynamic_debug/control");
    await guest.succeed(`insmod /one.ko; ${until('dmesg | grep -q "is sleeping on"')}`);
    await guest.succeed("echo 'func klp_try_switch_task -p' > /proc/dynamic_debug/control");
    const reader = (await guest.succeed('cat /reader')).trim();
    expect(await log()).toContain(`klp_try_switch_task: sh:${reader} is sleeping on function version_proc_show`);
    await guest.succeed(`${wake}; ${settled('one')}; ${disable('one')}; ${unload('one')}`);
    await guest.succeed(`${disable('sleeper')}; ${unload('sleeper')}`);
  });

  it('stops the machine for nobody who returns', async () => {
    const tracing = '/sys/kernel/tracing';
    const readers = 30;
    await guest.succeed(`mount -t tracefs t ${tracing} 2> /dev/null; ${load('sleeper')}`);
    await guest.succeed(`for i in $(seq ${readers}); do
        sh /reader.sh /proc/version & echo $! >> /readers
      done
      for reader in $(cat /readers); do ${until('grep -q "^State:.S" /proc/$reader/status')}; done`);
    await guest.succeed('insmod /one.ko');
    await guest.succeed(`echo stop_machine > ${tracing}/set_ftrace_filter; echo function > ${tracing}/current_tracer
      for reader in $(cat /readers); do kill -USR1 $reader; done; ${settled('one')}
      cat ${tracing}/trace > /trace; echo nop > ${tracing}/current_tracer; echo > ${tracing}/set_ftrace_filter`);
    expect(Number(await guest.succeed('grep -c "stop_machine <-" /trace || true'))).toBeLessThan(readers);
    await guest.succeed(`${disable('one')}; ${unload('one')}; ${disable('sleeper')}; ${unload('sleeper')}`);
  });

  it('enables no other patch meanwhile, and turns round what waits', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    await guest.succeed('insmod /one.ko');
    expect(await guest.run('insmod /three.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.run(disable('sleeper'))).not.toMatchObject({ status: 0 });

    await guest.succeed(`dmesg -c > /dev/null; ${disable('one')}; ${unload('one')}`);
    expect(await log()).toEqual([
      "'one': reversing transition from patching to unpatching",
      "'one': starting unpatching transition",
      "'one': completing unpatching transition",
      "'one': unpatching complete",
    ]);
    await guest.succeed(`${disable('sleeper')}; cat ${sysfs}/sleeper/transition | grep 1`);
    expect(await version()).toMatch(/^Linux version/);
    await guest.succeed(`${wake}; ${unload('sleeper')}`);
  });

  it('ends a transition by force', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    expect(await guest.run(`echo 1 > ${sysfs}/sleeper/force`)).not.toMatchObject({ status: 0 });
    await guest.succeed('insmod /one.ko');
    await guest.succeed(`echo 1 > ${sysfs}/one/force`);
    expect(await guest.succeed(`cat ${sysfs}/one/transition; cat /proc/version`)).toBe('0\none\n');
    expect(await log()).toContain('forcing remaining tasks to the patched state');
    await guest.succeed(`${wake}; ${disable('one')}; ${unload('one')}; ${disable('sleeper')}; ${unload('sleeper')}`);
  });

  it('takes back by a patch with .replace what those before it changed, and lets them go', async () => {
    await guest.succeed(load('one'));
    await guest.succeed(load('two'));
    await guest.succeed(`${load('replacing')}; ${unload('one')}; ${unload('two')}`);
    expect(await guest.succeed('cat /proc/version /proc/loadavg /proc/cmdline')).toMatch(
      /^Linux version.*\n\d+\.\d+ .*\nreplaced\n$/,
    );
    expect(await guest.succeed(`ls ${sysfs}/replacing ${sysfs}/replacing/vmlinux`)).toBe(
      `${sysfs}/replacing:\nenabled\nforce\ntransition\nvmlinux\n\n${sysfs}/replacing/vmlinux:\ncmdline_proc_show,1\npatched\n`,
    );
    await guest.succeed(`${disable('replacing')}; ${unload('replacing')}`);
  });

  it('takes back by a patch with .replace what was changed by two names of one function', async () => {
    await guest.succeed(load('one'));
    await guest.succeed('insmod /alias.ko');
    await guest.succeed(settled('three'));
    expect(await version()).toBe('three\n');
    await guest.succeed(`${load('replacing')}; ${unload('one')}; ${unload('three')}`);
    expect(await version()).toMatch(/^Linux version/);
    await guest.succeed(`${disable('replacing')}; ${unload('replacing')}`);
  });

  it('keeps replaced functions for a task that sleeps in one, and takes a replacement back', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    await guest.succeed('insmod /replacing.ko');
    expect(await version()).toMatch(/^Linux version/);
    expect(await guest.succeed(`cat ${sysfs}/replacing/transition`)).toBe('1\n');
    expect(await guest.run('rmmod sleeper')).not.toMatchObject({ status: 0 });
    await guest.succeed(`${disable('replacing')}; ${unload('replacing')}`);
    expect(await guest.succeed(`${wake} > /dev/null; cat ${sysfs}/sleeper/enabled`)).toBe('1\n');
    await guest.succeed(`${disable('sleeper')}; ${unload('sleeper')}`);
  });

  it('calls a patch back around its transitions, and enables none whose first callback fails', async () => {
    await guest.succeed(load('callbacks'));
    await guest.succeed(`${disable('callbacks')}; ${unload('callbacks')}`);
    const said = (await log()).join('\n');
    expect(said).toMatch(/initializing patching.*\n.*pre_patch\n.*starting patching.*\n.*\n.*post_patch\n.*complete/);
    expect(said).toMatch(/initializing unp.*\n.*pre_unpatch\n.*starting unp.*\n.*\n.*post_unpatch\n.*complete/);

    const failed = await guest.run('insmod /failing.ko');
    expect(failed).toMatchObject({ status: 19, output: expect.stringContaining('No such device') });
    const told = (await log()).join('\n');
    expect(told).toContain("pre-patch callback failed for object 'vmlinux'\nfailed to enable patch 'failing'");
    expect(told).not.toMatch(/post_|pre_unpatch/);
    expect(await version()).toMatch(/^Linux version/);
  });

  it('hands states on, and refuses a patch that does not know them', async () => {
    await guest.succeed(load('state1'));
    await guest.succeed(`${load('state2')}; ${unload('state1')}`);
    const said = (await log()).join('\n');
    expect(said).toMatch(/version 1 has the first\n(.*\n)*version 2 has a later one\n/);
    for (const patch of ['state1', 'stateless']) {
      expect(await guest.run(`insmod /${patch}.ko`)).not.toMatchObject({ status: 0 });
      expect((await log()).join('\n')).toContain(
        `Livepatch patch (${patch}) is not compatible with the already installed livepatches.`,
      );
    }
    await guest.succeed(`${disable('state2')}; ${unload('state2')}`);
  });

  it('does not patch itself', async () => {
    expect(await guest.run('insmod /itself.ko')).not.toMatchObject({ status: 0 });
    expect(await log()).toContain("suture: itself: 'suture' patches it, and cannot be patched by itself");
  });

  it('keeps a module for ever that somebody may be inside of because of force', async () => {
    await guest.succeed(load('sleeper'));
    await guest.succeed(sleepIn('/proc/version'));
    await guest.succeed(`${disable('sleeper')}; echo 1 > ${sysfs}/sleeper/force`);
    await guest.succeed(until(`[ ! -e ${sysfs}/sleeper ]`));
    expect(await guest.run('rmmod sleeper')).not.toMatchObject({ status: 0 });
    expect((await log()).join('\n')).toMatch(
      /forcing remaining tasks to the patched state\n'sleeper': forced: 1 tasks may be inside code that was left/,
    );
    expect(await guest.succeed(wake)).toMatch(/^\d+\.\d+ /);
    kept = 'sleeper\n';
  });

  it('has raised no alarm, and leaves nothing behind', async () => {
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
    await guest.run('mount -t tracefs t /sys/kernel/tracing');
    expect(await guest.succeed('cat /sys/kernel/tracing/enabled_functions')).toBe('');
  });
});
