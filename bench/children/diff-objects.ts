// Reads and compares two objects again and again.

import { readFileSync } from 'node:fs';
import { diffObjects } from '../../src/diff/diff.ts';
import { readElf } from '../../src/elf/elf.ts';

const repeats = 12;

const files = process.argv.slice(2).map((name) => ({ name, bytes: new Uint8Array(readFileSync(name)) }));
const times: { wall: number; cpu: number }[] = [];
let changed = 0;
for (let i = 0; i < repeats; i++) {
  const before = process.cpuUsage();
  const start = performance.now();
  const [original, patched] = files.map(({ name, bytes }) => ({ name, model: readElf(bytes, name) }));
  changed = diffObjects(original!, patched!).changed.length;
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  times.push({ wall, cpu: (user + system) / 1000 });
}
const [first, ...others] = times;
process.stdout.write(
  JSON.stringify({
    'functions changed': changed,
    'first ms': first!.wall,
    'best ms': Math.min(...others.map(({ wall }) => wall)),
    'best CPU ms': Math.min(...others.map(({ cpu }) => cpu)),
  }),
);
