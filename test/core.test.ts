// The core by itself, on both stock kernels: it compiles cleanly, and it never lets go of a patch that somebody may still
// be inside of. What it refuses is shown in refusals.test.ts.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPatch } from '../src/cli/build-patch.ts';
import { buildCore, checkLayout, coreSources } from '../src/compile/core-module.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';

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

const sysfs = '/sys/kernel/livepatch';
/** Until a condition holds; the guest is ended by the lab if it never does. */
const until = (condition: string) => `until ${condition}; do usleep 10000; done`;

describe.each(stockKernels)('the core on $name', ({ name }) => {
  let folder: string;
  let kernel: LoadedKernel;
  let core: Uint8Array;
  let guest: Guest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-core-'));
    kernel = await loadKernel(name);
    core = new Uint8Array(await readFile((await buildCore(kernel.stored)).ko));
    const fix = join(folder, 'sleeper.c');
    await writeFile(fix, sleeper);
    const patch = async (file: string, as: string) => ({
      path: `/${as}.ko`,
      bytes: (await buildPatch(kernel, file, as, () => {})).bytes,
    });
    const files = [
      { path: '/suture.ko', bytes: core },
      await patch(examples[0]!.fix, 'quick'),
      await patch(fix, 'sleeper'),
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
    const { stderr } = await kbuild(kernel.stored, kernel.arch.platform, copy, ['W=1', 'modules']);
    expect(stderr).toBe('');
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
        ${until(`[ ! -e ${sysfs}/quick ]`)}
        rmmod quick
      done
      touch /stop; wait`,
      { timeout: 120 },
    );
    expect(output).toBe('');
  });

  it('keeps a patch that somebody sleeps in, lets it be put back in force, and releases it when it is left', async () => {
    const state = `cat ${sysfs}/sleeper/enabled ${sysfs}/sleeper/transition`;
    const reading = `(cat /proc/version & echo $! > /reader); ${until('grep -q "^State:.S" /proc/$(cat /reader)/status')}`;
    await guest.succeed(`insmod /sleeper.ko; ${reading}`);
    await guest.succeed(`echo 0 > ${sysfs}/sleeper/enabled`);
    expect(await guest.succeed('cat /proc/version')).toMatch(/^Linux version/);
    expect(await guest.succeed(state)).toBe('0\n1\n');
    expect(await guest.run('rmmod sleeper')).not.toMatchObject({ status: 0 });

    await guest.succeed(`echo 1 > ${sysfs}/sleeper/enabled`);
    expect(await guest.succeed(state)).toBe('1\n0\n');
    await guest.succeed(`echo 0 > ${sysfs}/sleeper/enabled; kill $(cat /reader)`);
    await guest.succeed(`${until(`[ ! -e ${sysfs}/sleeper ]`)}; rmmod sleeper`);
    expect(await guest.kernelLog()).toMatch(/livepatch: 'sleeper': unpatching complete/);
  });

  it('takes a patch back whose module is forced out', async () => {
    await guest.succeed('insmod /quick.ko && rmmod -f quick');
    expect(await guest.succeed('cat /proc/cmdline')).toMatch(/^console=/);
    expect(await guest.succeed(`ls ${sysfs}`)).toBe('');
    expect(await guest.kernelLog()).toMatch(/suture: quick: its module goes while the patch is there/);
  });

  it('refuses while ftrace is off, and does not let it be switched off under a patch', async () => {
    await guest.succeed('echo 0 > /proc/sys/kernel/ftrace_enabled');
    expect(await guest.run('insmod /quick.ko')).not.toMatchObject({ status: 0 });
    expect(await guest.kernelLog()).toMatch(/suture: quick: ftrace is switched off \(kernel\.ftrace_enabled is 0\)/);
    await guest.succeed('echo 1 > /proc/sys/kernel/ftrace_enabled; insmod /quick.ko');
    expect(await guest.run('echo 0 > /proc/sys/kernel/ftrace_enabled')).not.toMatchObject({ status: 0 });
    await guest.succeed(`echo 0 > ${sysfs}/quick/enabled; ${until(`[ ! -e ${sysfs}/quick ]`)}; rmmod quick`);
  });

  it('leaves nothing behind', async () => {
    await guest.succeed('rmmod suture');
    expect(await guest.succeed('cat /proc/modules; ls -d /sys/kernel/livepatch 2>/dev/null; true')).toBe('');
    await guest.run('mount -t tracefs t /sys/kernel/tracing');
    expect(await guest.succeed('cat /sys/kernel/tracing/enabled_functions')).toBe('');
    expect(await guest.kernelLog()).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
