// The lab's promises, on both stock kernels: output and status come back as they were, whatever else happens is said,
// and nothing of a guest outlives it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openKernel } from '../src/host/kernel-store.ts';
import { bootGuest, type Guest, GuestError, type GuestOptions } from '../src/lab/guest.ts';
import { type GuestKernel, guestKernel } from '../src/lab/guest-kernel.ts';
import { stockKernels } from './stock-kernels.ts';

/** Processes of a guest, found by a word on their command line. */
async function processesWith(mark: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes('qemu-system') && line.includes(mark));
}

let marks = 0;
const newMark = () => `suture_test_${process.pid}_${marks++}`;

describe.each(stockKernels)('a guest with $name', ({ name }) => {
  let kernel: GuestKernel;
  let temporary: string;
  const ourTmpdir = process.env.TMPDIR;

  beforeAll(async () => {
    kernel = guestKernel(await openKernel(name));
    temporary = await mkdtemp(join(tmpdir(), 'suture-test-guest-'));
    process.env.TMPDIR = temporary;
  });
  afterAll(async () => {
    if (ourTmpdir === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = ourTmpdir;
    await rm(temporary, { recursive: true });
  });

  describe('that is well', () => {
    const mark = newMark();
    let guest: Guest;
    const allBytes = Uint8Array.from({ length: 1024 }, (_, i) => (i * 7) & 0xff);

    beforeAll(async () => {
      const files = [{ path: '/given/by the/caller', bytes: allBytes, permissions: 0o640 }];
      guest = await bootGuest(kernel, { files, kernelArguments: [mark] });
    });
    afterAll(() => guest?.stop());

    it('runs the kernel that it was given, with two processors and no module', async () => {
      expect((await guest.run('uname -r')).output).toBe(`${name}\n`);
      expect((await guest.run('nproc')).output).toBe('2\n');
      expect((await guest.run('cat /proc/modules')).output).toBe('');
    });

    it('gives back status and output, both streams in their order', async () => {
      expect(await guest.run('echo one; echo two >&2; echo three; exit 7')).toMatchObject({
        status: 7,
        output: 'one\ntwo\nthree\n',
      });
      expect(await guest.run('true')).toMatchObject({ status: 0, output: '' });
      expect(await guest.run('printf "no newline"')).toMatchObject({ output: 'no newline' });
      expect(await guest.run('no-such-program')).toMatchObject({ status: 127 });
      expect(await guest.run('kill -9 $$')).toMatchObject({ status: 128 + 9 });
      expect(await guest.run('if syntax error')).toMatchObject({ status: 2 });
    });

    it('keeps one command’s shell from the next one', async () => {
      await guest.run('cd /tmp; leftover=1');
      expect((await guest.run('pwd; echo "[$leftover]"')).output).toBe('/\n[]\n');
    });

    it('understands every question while processes that nobody waits for come and go', async () => {
      const { output } = await guest.run('(while usleep 1000; do (true &); done) & echo $!');
      for (let n = 0; n < 25; n++) {
        const text = `${n} `.repeat(500);
        expect((await guest.run(`echo '${text}'`, { timeout: 20 })).output).toBe(`${text}\n`);
      }
      await guest.succeed(`kill ${output}`);
    });

    it('answers questions asked at once, each with its own answer', async () => {
      const answers = await Promise.all([1, 2, 3, 4].map((n) => guest.run(`echo ${n}; exit ${n}`)));
      expect(answers.map(({ status, output }) => [status, output])).toEqual([1, 2, 3, 4].map((n) => [n, `${n}\n`]));
    });

    it('hands bytes through as they are, in both directions', async () => {
      expect(await guest.readFile('/given/by the/caller')).toEqual(allBytes);
      expect((await guest.run("stat -c %a '/given/by the/caller'")).output).toBe('640\n');
      const long = Uint8Array.from({ length: 40_001 }, (_, i) => (i * i) >> 3);
      await guest.copyIn("/tmp/it's here", long, 0o755);
      expect(await guest.readFile("/tmp/it's here")).toEqual(long);
      await expect(guest.readFile('/no/such/file')).rejects.toThrow(/cannot be read/);
      await expect(guest.copyIn('/no/such/folder/file', long)).rejects.toThrow(GuestError);
    });

    it('brings home a large output', async () => {
      const { bytes, output } = await guest.run('cat /proc/kallsyms | tee /tmp/kallsyms');
      expect(bytes.length).toBeGreaterThan(1_000_000);
      expect((await guest.run('md5sum </tmp/kallsyms')).output.slice(0, 32)).toBe(await md5(bytes));
      expect(output.split('\n').at(-1)).toBe('');
    });

    it('runs a script that is longer than a line', async () => {
      const script = `${'# a comment as long as it can be\n'.repeat(2000)}echo done`;
      expect((await guest.run(script)).output).toBe('done\n');
    });

    it('answers undisturbed while the kernel prints', async () => {
      const { output } = await guest.run('for i in $(seq 300); do echo "<1>noise $i" >/dev/kmsg; echo $i; done');
      expect(output.trim().split('\n').map(Number)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
      expect(await guest.kernelLog()).toContain('noise 300');
      expect(guest.consoleText).toContain('noise 300');
      expect(await guest.kernelLog()).toContain('Linux version');
    });

    it('says which command had to succeed and did not', async () => {
      expect(await guest.succeed('echo fine')).toBe('fine\n');
      await expect(guest.succeed('echo bad; exit 3')).rejects.toMatchObject({
        fate: 'command',
        message: expect.stringMatching(/status 3: bad/),
      });
      expect((await guest.run('echo alive')).output).toBe('alive\n');
    });

    it('is gone when it was stopped, with its files', async () => {
      expect(await processesWith(mark)).toHaveLength(1);
      await guest.stop();
      expect(await processesWith(mark)).toEqual([]);
      expect(await readdir(temporary)).toEqual([]);
      await expect(guest.run('true')).rejects.toMatchObject({
        fate: 'ended',
        reasons: [{ code: 'guest-failed' }],
      });
      await guest.stop();
    });
  });

  describe('that comes to a bad end', () => {
    let mark: string;
    let guest: Guest | undefined;
    const boot = async (options: GuestOptions = {}) => {
      guest = await bootGuest(kernel, { kernelArguments: [mark], ...options });
      return guest;
    };
    beforeEach(() => {
      mark = newMark();
    });
    afterEach(async () => {
      await guest?.stop();
      // Every bad end leaves as little behind as a good one.
      expect(await processesWith(mark)).toEqual([]);
      expect(await readdir(temporary)).toEqual([]);
    });

    it('is ended when a command takes too long', async () => {
      const guest = await boot();
      await expect(guest.run('sleep 3600', { timeout: 1 })).rejects.toMatchObject({ fate: 'timeout', kind: 'fault' });
      expect(await processesWith(mark)).toEqual([]);
      await expect(guest.run('true')).rejects.toThrow(GuestError);
    });

    it('is ended when it does not boot in time', async () => {
      await expect(boot({ bootTimeout: 0.5 })).rejects.toMatchObject({ fate: 'timeout' });
    });

    it('says that it panicked, with the last words', async () => {
      const guest = await boot();
      const panic = guest.run('echo c >/proc/sysrq-trigger');
      await expect(panic).rejects.toMatchObject({
        fate: 'panic',
        log: expect.stringMatching(/Kernel panic - not syncing: sysrq triggered crash/),
      });
      expect(await guest.kernelLog()).toContain('sysrq triggered crash');
    });

    it('says that it powered off, and fails all who wait', async () => {
      const guest = await boot();
      const waiting = [guest.run('poweroff -f'), guest.run('echo too late')];
      for (const result of await Promise.allSettled(waiting)) {
        expect(result).toMatchObject({ status: 'rejected', reason: { fate: 'ended' } });
      }
    });

    it('does not survive a kernel that is none', async () => {
      const noKernel = { ...kernel, image: kernel.busybox };
      await expect(bootGuest(noKernel, { kernelArguments: [mark], bootTimeout: 3 })).rejects.toThrow(GuestError);
    });
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('dies with its owner by %s', async (signal) => {
    const mark = newMark();
    const holder = fileURLToPath(new URL('support/hold-guest.mjs', import.meta.url));
    const owner = spawn(process.execPath, [holder, name, mark], { stdio: 'inherit' });
    try {
      await expect.poll(() => processesWith(mark), { timeout: 10_000 }).toHaveLength(1);
    } finally {
      owner.kill(signal);
    }
    await once(owner, 'close');
    await expect.poll(() => processesWith(mark), { timeout: 10_000 }).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
  });
});

async function md5(bytes: Uint8Array): Promise<string> {
  const { createHash } = await import('node:crypto');
  return createHash('md5').update(bytes).digest('hex');
}
