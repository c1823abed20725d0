// What a call costs, in guest instructions: of a function as it is, and of one that is patched, with more and more patched beside it.
//
// A call in a loop, the loop included, with interrupts off (bench/guest/bench_target.c). Every patched function is called: ftrace and
// the core look them up in hash tables, where some are found sooner than others.

import type { Bench, Figures, Row } from './bench.ts';
import { byMeans, inMeasuredGuest, load, meansOfModules, patchSizes, unload } from './measured-guest.ts';

export const callsBench: Bench = {
  name: 'calls',
  title: 'a call of a patched function (issue 6: at most 175 on ARM and 320 on ppc64le, flat within 10 % up to 1,000)',
  run: ({ kernels, say }) =>
    byMeans(kernels, meansOfModules, (kernel, means) => {
      say(`calls of ${kernel.stored.name}, ${means}`);
      return inMeasuredGuest(kernel, means, 512, async (guest) => {
        const rows: Row[] = [];
        const measure = async (what: string, patched: number): Promise<void> => {
          const text = await guest.succeed('cat /proc/suture_bench', { timeout: 600 });
          rows.push({ what, figures: costs(text, patched) });
        };
        await measure('as it is', 1000);
        for (const size of patchSizes) {
          await guest.succeed(load(size), { timeout: 600 });
          await measure(`${size} patched`, size);
          await guest.succeed(unload(size), { timeout: 600 });
        }
        await measure('as it is again', 1000);
        return rows;
      });
    }),
};

/** From what the guest has measured, `NUMBER CALLS INSTRUCTIONS` a line: what a call of the first so and so many functions costs. */
function costs(text: string, count: number): Figures {
  const each = [...text.matchAll(/^(\d{3}) (\d+) (\d+)$/gm)]
    .filter(([, number]) => Number(number) < count)
    .map(([, , calls, nanoseconds]) => Number(nanoseconds) / Number(calls));
  return {
    'instructions a call': each.reduce((sum, one) => sum + one, 0) / each.length,
    least: Math.min(...each),
    most: Math.max(...each),
  };
}
