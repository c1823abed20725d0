// How long the machine stands still while a patch comes, in guest instructions: with more and more tasks, and with more and more
// functions patched.
//
// Counted is what runs under stop_machine() (bench/guest/bench_pause.c): the core's own look at all tasks, and apart from it what
// ftrace stops the machine for to write its call sites, where it does that.

import type { Guest } from '../src/lab/guest.ts';
import { type Bench, type Figures, type Row, ratio } from './bench.ts';
import { byMeans, inMeasuredGuest, load, meansOfAny, patchSizes, unload } from './measured-guest.ts';

/** Processes that sleep, beside the guest's own tasks. */
const crowds = [10, 100, 1000, 5000] as const;
/** With how many all sizes of patches are measured. */
const ordinary = 1000;
/** The most that 5,000 processes take, and what the kernel has besides; by the bits of a word, as pages of 64 KiB go with 64. */
const memoryMegabytes = { 32: 2048, 64: 8192 } as const;
const pause = 'pause, instructions';
/** The pause of as many tasks with one function patched is one of these. */
const besideOne = 'beside 1 patched';
/** The core, whose functions the kernel prints with their module: `stopper [suture]`. */
const core = 'suture';

export const pauseBench: Bench = {
  name: 'pause',
  title:
    'the pause while a patch comes (issue 6: below 5 million instructions with 1,000 tasks, 10 % more with 1,000 functions)',
  limits: { [besideOne]: 1.1 },
  run: ({ kernels, say }) =>
    byMeans(kernels, meansOfAny, (kernel, means) =>
      inMeasuredGuest(kernel, means, memoryMegabytes[kernel.arch.elf.class], async (guest) => {
        const rows: Row[] = [];
        /** With one function patched, and as many processes as now. */
        let one: Figures = {};
        const measure = async (size: number, crowd: number): Promise<void> => {
          const what = `${crowd > 0 ? `${crowd} processes, ` : ''}${size} patched`;
          say(`pause of ${kernel.stored.name}, ${means}, ${what}`);
          const figures = await pauses(guest, size);
          if (size === 1) one = figures;
          rows.push({ what, figures: { ...figures, [besideOne]: ratio(figures[pause], one[pause]) } });
        };
        await guest.succeed('insmod /bench_pause.ko');
        for (const size of patchSizes) await measure(size, 0);
        let asleep = 0;
        for (const crowd of crowds) {
          await guest.succeed(sleepers(asleep, crowd), { timeout: 600 });
          asleep = crowd;
          for (const size of patchSizes.filter((size) => size === 1 || crowd === ordinary)) await measure(size, crowd);
        }
        return rows;
      }),
    ),
};

/** From so many processes to so many, each asleep; the shell that starts them waits until it sees them. */
const sleepers = (before: number, count: number): string =>
  `i=${before}; while [ $i -lt ${count} ]; do sleep 100000 > /dev/null & i=$((i + 1)); done; ` +
  `until [ "$(pidof sleep | wc -w)" -ge ${count} ]; do :; done`;

async function pauses(guest: Guest, size: number): Promise<Figures> {
  const tasks = /^tasks (\d+) words (\d+)$/m.exec(await guest.succeed('cat /proc/suture_bench', { timeout: 300 }));
  await guest.succeed(`cat /proc/suture_pause > /dev/null; ${load(size)}`, { timeout: 600 });
  const stops = readStops(await guest.succeed('cat /proc/suture_pause'));
  await guest.succeed(unload(size), { timeout: 600 });
  const own = stops.filter(({ module }) => module === core);
  const sum = (some: typeof stops): number => some.reduce((total, { instructions }) => total + instructions, 0);
  // Mainline's livepatch stops nobody.
  const longest = Math.max(0, ...own.map(({ instructions }) => instructions));
  return {
    tasks: Number(tasks?.[1]),
    'stack words': Number(tasks?.[2]),
    [pause]: longest,
    'a task': longest / Number(tasks?.[1]),
    'a stack word': longest / Number(tasks?.[2]),
    stops: own.length,
    'other stops': stops.length - own.length,
    'others, instructions': sum(stops) - sum(own),
  };
}

/** What the guest has written down: whose function ran with the machine stopped, and for how many instructions. */
function readStops(text: string): { module: string | undefined; instructions: number }[] {
  return [...text.matchAll(/^\w+(?: \[(\w+)\])? (\d+)$/gm)].map(([, module, nanoseconds]) => ({
    module,
    instructions: Number(nanoseconds),
  }));
}
