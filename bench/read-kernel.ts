// Reading a kernel: unpacking its image, finding kallsyms in it, and all of it as every command does.

import { fileURLToPath } from 'node:url';
import { type Bench, best, type Figures, type Row } from './bench.ts';
import { measureNode, peak, wall } from './measure.ts';

const child = fileURLToPath(new URL('children/read-kernel.js', import.meta.url));

export const readKernelBench: Bench = {
  name: 'kernel',
  title: 'reading a kernel (issue 6: under 2 s, under 400 MB)',
  limits: { [wall]: 2000, [peak]: 400 },
  run: async ({ kernels, runs, say }) => {
    const rows: Row[] = [];
    for (const kernel of kernels) {
      say(`reading ${kernel}`);
      const found: Figures[] = [];
      for (let i = 0; i < runs; i++) {
        const { figures, stdout } = await measureNode(child, [kernel]);
        found.push({ ...figures, ...(JSON.parse(stdout) as Figures) });
      }
      rows.push({ what: kernel, figures: best(found, wall) });
    }
    return rows;
  },
};
