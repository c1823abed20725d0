// Whether the core sees who is inside a function, and only them: a patch may be switched or removed on the strength of it.
// Asked in guests through a module that holds the core's own stack.c.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readElf } from '../src/elf/elf.ts';
import type { LinkAddress } from '../src/elf/units.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature } from '../src/kernel/module-signature.ts';
import { bootGuest, type Guest, withGuest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import type { GuestFile } from '../src/lab/initramfs.ts';
import { fetchOnce, preemptibleKernel, stockKernels } from './stock-kernels.ts';
import { functionSizes, guestModules, guestProgram } from './support/guest-modules.ts';
import { coreOf, patchOf } from './support/patches.ts';

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';

/** Warns when it is called, and has a call whose return address a process may plant. */
const warning = `
#include <linux/bug.h>
#include <linux/seq_file.h>

static int cmdline_proc_show(struct seq_file *m, void *v)
{
	WARN(1, "in the new function\\n");
	seq_puts(m, "warned\\n");
	return 0;
}
`;

/** What the look says of one task. See test/support/in-guest/look.c. */
interface Seen {
  readonly pid: number;
  readonly unwound: string;
  readonly inside: boolean;
  /** What a search of the whole stack would say. */
  readonly found: boolean;
  readonly words: number;
  readonly name: string;
}

type Range = readonly [start: bigint, end: bigint];

describe.each([...stockKernels, preemptibleKernel])('stacks on $name', (stock) => {
  let folder: string;
  let kernel: LoadedKernel;
  let guest: Guest;
  let lookModule: GuestFile;
  /** The functions of bed.ko, as the guest has them. */
  let bed: Map<string, Range>;
  /** A function of the kernel, and what a call in it returns to. */
  let target: { range: Range; afterCall: bigint };
  /** From the start of the new function of the patch to where a call in it returns to. */
  let patchAfterCall: number;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-stacks-'));
    await fetchOnce(stock);
    kernel = await loadKernel(stock.name);
    const modules = await guestModules(kernel, { look: ['bound'], bed: [] });
    const fix = join(folder, 'warning.c');
    await writeFile(fix, warning);
    const patch = await patchOf(kernel, fix, 'warning');
    patchAfterCall = lastCallOf((await checkSignature(patch)).module);
    target = targetOf('version_proc_show');
    lookModule = { path: '/look.ko', bytes: modules.look };
    guest = await bootGuest(guestKernel(kernel.stored), {
      files: [
        lookModule,
        { path: '/bed.ko', bytes: modules.bed },
        { path: '/suture.ko', bytes: await coreOf(kernel) },
        { path: '/warning.ko', bytes: patch },
        { path: '/plant', bytes: await guestProgram(kernel, 'plant'), permissions: 0o755 },
      ],
    });
    await guest.succeed('insmod /look.ko; insmod /bed.ko');
    const sizes = functionSizes((await checkSignature(modules.bed)).module);
    bed = new Map(
      (await guest.succeed('cat /proc/bed-functions'))
        .trim()
        .split('\n')
        .map((line) => {
          const [function_, address] = line.split(' ') as [string, string];
          const start = BigInt(`0x${address}`);
          return [function_, [start, start + sizes.get(function_)!]];
        }),
    );
  });
  afterAll(async () => {
    await guest?.stop();
    await rm(folder, { recursive: true });
  });

  const isCall = (word: number, address: bigint) =>
    /^bl\s/.test(kernel.arch.disassemble(word, address as LinkAddress) ?? '');

  /** The last call: the first is ftrace's, which is none while nobody traces. */
  function targetOf(function_: string): typeof target {
    const start = kernel.image.symbol(function_)!;
    const { end } = kernel.image.enclosing(start)!;
    let afterCall = start as bigint;
    for (let at: bigint = start; at < end; at += 4n) {
      if (isCall(kernel.image.word(at as LinkAddress)!, at)) afterCall = at + 4n;
    }
    expect(afterCall).toBeGreaterThan(start + 8n);
    return { range: [start, end], afterCall };
  }

  /** Where the new function calls seq_puts(), by the relocation of that call. */
  function lastCallOf(ko: Uint8Array): number {
    const { sections, symbols } = readElf(ko, 'warning.ko');
    const function_ = symbols.find((symbol) => symbol.name === 'cmdline_proc_show')!;
    const calls = sections
      .filter((section) => section === function_.place)
      .flatMap((section) => section.relocations)
      .filter(({ type, symbol }) => kernel.arch.relocationKind(type)?.use === 'call' && symbol?.name === 'seq_puts');
    return calls.at(-1)!.offset + 4 - Number(function_.value);
  }

  async function look([start, end]: Range): Promise<Seen[]> {
    const output = await guest.succeed(`echo ${start.toString(16)} ${end.toString(16)} > /proc/look; cat /proc/look`);
    return output
      .trim()
      .split('\n')
      .map((line) => {
        const [pid, unwound, inside, found, words, , ...rest] = line.split(' ');
        return {
          pid: Number(pid),
          unwound: unwound!,
          inside: inside === 'in',
          found: found === 'in',
          words: Number(words),
          name: rest.join(' '),
        };
      });
  }
  const lookAt = async (pid: number, range: Range) => (await look(range)).find((seen) => seen.pid === pid)!;

  /** Starts a command and waits until it sleeps; the guest is ended by the lab if it never does. */
  async function asleep(command: string): Promise<number> {
    const pid = (await guest.succeed(`(${command}) > /dev/null 2>&1 & echo $!`)).trim();
    // Not the shell that becomes it, which may sleep too.
    await guest.succeed(
      `while [ -d /proc/${pid} ]; do read -r _ who state _ < /proc/${pid}/stat
        case "$who $state" in '(sh) '*) ;; *' '[SD]) exit 0 ;; esac; usleep 10000; done; exit 1`,
    );
    return Number(pid);
  }
  const kill = (...pids: number[]) => guest.succeed(`kill -9 ${pids.join(' ')}`);

  it('every task is followed to where the kernel was entered', async () => {
    const seen = await look(target.range);
    expect(seen.length).toBeGreaterThan(40);
    // The stoppers run while it is asked. The first processor's idle task comes from code that is gone. A kernel
    // that can be preempted may have stopped a worker anywhere.
    const expected = stock === preemptibleKernel ? ['end', 'preempted'] : ['end'];
    expect(
      seen.filter(({ unwound }) => !expected.includes(unwound)).map(({ name: who, unwound }) => `${who} ${unwound}`),
    ).toEqual(['migration/0 none', 'migration/1 none', 'swapper/0 lost']);
    expect(seen.filter(({ pid }) => pid === 0).map((each) => each.name)).toEqual(['swapper/0', 'swapper/1']);
    expect(seen.filter(({ inside }) => inside)).toEqual([]);
  });

  it('a dead task that nobody has taken leave of has no stack', async () => {
    const parent = await asleep('sh -c "true & exec sleep 1000"');
    const zombie = (await look(target.range)).find(({ name: who, unwound }) => who === 'sh' && unwound === 'none');
    expect(zombie).toMatchObject({ inside: false });
    await kill(parent);
  });

  it('a task that sleeps in a function is inside it and its callers, and nowhere else', async () => {
    const pid = await asleep('exec echo x > /proc/bed');
    for (const function_ of ['go_to_bed', 'enter_room']) {
      expect(await lookAt(pid, bed.get(function_)!)).toMatchObject({ unwound: 'end', inside: true, found: true });
    }
    for (const function_ of ['touch', 'bed_read']) {
      expect(await lookAt(pid, bed.get(function_)!)).toMatchObject({ unwound: 'end', inside: false, found: false });
    }
    await kill(pid);
  });

  it.each([
    ['by an access of its own', 'fault', 'touch'],
    ['in a loop that copies', 'copy', 'copy'],
  ])('so is one that sleeps in a page fault there, where no call was made: %s', async (_, how, where) => {
    const pid = await asleep(`exec /plant ${how} 0`);
    for (const function_ of [where, 'enter_room', 'bed_read']) {
      expect(await lookAt(pid, bed.get(function_)!)).toMatchObject({ unwound: 'end', inside: true, found: true });
    }
    expect(await lookAt(pid, bed.get('go_to_bed')!)).toMatchObject({ unwound: 'end', inside: false, found: false });
    await kill(pid);
  });

  // Elsewhere nobody who computes in the kernel is switched out, and the machine would not stop.
  if (stock === preemptibleKernel)
    it('so is one that was interrupted there and preempted', async () => {
      const pid = Number(
        (await guest.succeed('(exec dd if=/proc/bed bs=2 count=1) > /dev/null 2>&1 & echo $!')).trim(),
      );
      await guest.succeed(
        `until grep -q '^State:.R' /proc/${pid}/status && [ $(cut -d' ' -f15 /proc/${pid}/stat) -gt 5 ]; do usleep 10000; done`,
      );
      for (const function_ of ['spin', 'enter_room', 'bed_read']) {
        expect(await lookAt(pid, bed.get(function_)!)).toMatchObject({ unwound: 'preempted', inside: true });
      }
      expect(await lookAt(pid, bed.get('go_to_bed')!)).toMatchObject({ unwound: 'preempted', inside: false });
      await kill(pid);
    });

  it.each(['poll', 'signal', 'fault', 'copy'])('addresses that a process plants do not count: %s', async (how) => {
    const pid = await asleep(`exec /plant ${how} ${target.afterCall.toString(16)}`);
    const seen = await lookAt(pid, target.range);
    expect(seen).toMatchObject({ unwound: 'end', inside: false });
    expect(seen.words).toBeGreaterThan(10);
    await kill(pid);
  });

  it('nor do they in a process that is held in its exit', async () => {
    const parent = await asleep(`exec /plant exit ${target.afterCall.toString(16)}`);
    const child = Number((await guest.succeed(`cat /proc/${parent}/task/${parent}/children`)).trim());
    const seen = await lookAt(child, target.range);
    expect(seen).toMatchObject({ unwound: 'end', inside: false });
    expect(seen.words).toBeGreaterThan(5);
    await kill(child, parent);
  });

  it('a task that came into the kernel in another way is followed as well: a page fault, a signal', async () => {
    const faulted = await asleep('exec /plant touch 0');
    expect(await lookAt(faulted, target.range)).toMatchObject({ unwound: 'end', inside: false });
    const stopped = await asleep(`exec /plant poll ${target.afterCall.toString(16)}`);
    await guest.succeed(
      `kill -STOP ${stopped}; until grep -q '^State:.T' /proc/${stopped}/status; do usleep 10000; done`,
    );
    expect(await lookAt(stopped, target.range)).toMatchObject({ unwound: 'end', inside: false });
    await kill(faulted, stopped);
  });

  it('a function that function_graph or a kretprobe returns from is seen all the same', async () => {
    const functions = 'go_to_bed enter_room';
    const graph = `${functions
      .split(' ')
      .map((each) => `echo ${each} >> ${tracing}/set_ftrace_filter`)
      .join('; ')}; echo function_graph > ${tracing}/current_tracer`;
    const probe = `echo 'r:bed_return bed:go_to_bed' > ${tracing}/kprobe_events; echo 1 > ${tracing}/events/kprobes/bed_return/enable`;
    const pids: number[] = [];
    const start = async () => {
      pids.push(await asleep('exec echo x > /proc/bed'));
      for (const pid of pids) {
        for (const function_ of ['go_to_bed', 'enter_room'])
          expect(await lookAt(pid, bed.get(function_)!)).toMatchObject({ unwound: 'end', inside: true });
        expect(await lookAt(pid, bed.get('bed_read')!)).toMatchObject({ unwound: 'end', inside: false });
      }
    };
    await guest.succeed(probe);
    await start();
    await guest.succeed(graph);
    await start();
    await guest.succeed(`echo nop > ${tracing}/current_tracer`);
    await start();
    expect((await look(target.range)).filter(({ unwound }) => unwound === 'lost').map((seen) => seen.name)).toEqual([
      'swapper/0',
    ]);
    await kill(...pids);
    await guest.succeed(
      `until echo 0 > ${tracing}/events/kprobes/bed_return/enable && echo > ${tracing}/kprobe_events; do usleep 10000; done; echo > ${tracing}/set_ftrace_filter`,
    );
  });

  it('a process that plants addresses of a patch does not keep it, and a warning in the patch shows who called it', async () => {
    await guest.succeed('dmesg -c > /dev/null; insmod /suture.ko; insmod /warning.ko');
    // Not through sendfile(), as cat would: this way all callers are known.
    expect(await guest.succeed('read -r line < /proc/cmdline; echo $line')).toBe('warned\n');
    const trace = (await guest.succeed('dmesg')).replace(/^[\s\S]*in the new function/, '');
    for (const caller of ['cmdline_proc_show', 'seq_read_iter', 'proc_reg_read_iter', 'vfs_read', 'ksys_read']) {
      expect(trace).toMatch(new RegExp(`\\b${caller}\\b`));
    }
    expect(trace).toMatch(/ret_fast_syscall|system_call_(common|vectored)/);

    const line = await guest.succeed("grep ' cmdline_proc_show.*\\[warning\\]' /proc/kallsyms");
    const planted = (BigInt(`0x${line.split(' ')[0]}`) + BigInt(patchAfterCall)).toString(16);
    const pids = [await asleep(`exec /plant poll ${planted}`), await asleep(`exec /plant signal ${planted}`)];
    await guest.succeed(
      `echo 0 > ${sysfs}/warning/enabled; until [ ! -e ${sysfs}/warning ] && rmmod warning 2> /dev/null; do usleep 10000; done`,
    );
    await kill(...pids);
    await guest.succeed('rmmod suture');
  });

  it('the only processor of a machine is idle in the same way', async () => {
    await withGuest(guestKernel(kernel.stored), { cpus: 1, files: [lookModule] }, async (single) => {
      const seen = await single.succeed('insmod /look.ko; cat /proc/look');
      const unlike = seen.split('\n').filter((line) => line !== '' && !/^\d+ (end|preempted) /.test(line));
      expect(unlike.map((line) => line.replace(/^\d+ (\S+) .* (\S+)$/, '$2 $1'))).toEqual([
        'migration/0 none',
        'swapper/0 lost',
      ]);
    });
  });

  it('nothing of this leaves a complaint in the log', async () => {
    await guest.succeed('rmmod look; rmmod bed');
    const log = (await guest.kernelLog()).replace(/-+\[ cut here \]-+[\s\S]*?---\[ end trace/, '');
    expect(log).not.toMatch(/unwind:|\b(Oops|BUG:|WARNING:|Unable to handle)/);
  });
});
