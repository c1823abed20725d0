// How long the diff of two objects takes: `node scripts/bench-diff.mjs [ORIGINAL.o PATCHED.o]`, after `npm run build`. Without files, the
// module of each stock kernel that is nearest to 500 kB, with itself. The first run is what a command pays; the best of
// the others is what it costs once compiled. CPU time counts the garbage collector's threads too.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { diffObjects } from '../dist/diff/diff.js';
import { readElf } from '../dist/elf/elf.js';
import { listKernels } from '../dist/host/kernel-store.js';

const runs = 12;
const wanted = 500_000;

function nearest(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ko'));
  const sized = files.map((file) => ({ path: join(folder, file), size: statSync(join(folder, file)).size }));
  return sized.sort((a, b) => Math.abs(a.size - wanted) - Math.abs(b.size - wanted))[0].path;
}

const given = process.argv.slice(2);
const pairs =
  given.length === 2 ? [given] : (await listKernels()).map(({ modules }) => [nearest(modules), nearest(modules)]);
for (const files of pairs) {
  const bytes = files.map((file) => new Uint8Array(readFileSync(file)));
  const times = [];
  let diff;
  for (let i = 0; i < runs; i++) {
    const [original, patched] = bytes.map((each, j) => ({ name: files[j], model: readElf(each, files[j]) }));
    const cpu = process.cpuUsage();
    const start = performance.now();
    diff = diffObjects(original, patched);
    const { user, system } = process.cpuUsage(cpu);
    times.push({ wall: performance.now() - start, cpu: (user + system) / 1000 });
  }
  const [first, ...others] = times;
  const best = (of) => Math.min(...others.map((time) => time[of])).toFixed(0);
  console.log(`${files[1]}: ${bytes[1].length} bytes, ${diff.changed.length} functions changed`);
  console.log(
    `  first: ${first.wall.toFixed(0)} ms (CPU ${first.cpu.toFixed(0)})  best: ${best('wall')} ms (CPU ${best('cpu')})`,
  );
}
