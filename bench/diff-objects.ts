// The diff of two large objects of one source, as a fix leaves them: half a megabyte each, made by the cross compiler from a source that
// is written here, so that it is the same everywhere. In one process, because `build` compares many pairs: the first diff is
// what a command pays, the best of the others what it costs once compiled.

import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Architecture } from '../src/arch/arch.ts';
import { architectures } from '../src/arch/architectures.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { ReasonError } from '../src/reason.ts';
import { type Bench, best, type Figures, type Row } from './bench.ts';
import { measureNode, peak } from './measure.ts';

const child = fileURLToPath(new URL('children/diff-objects.js', import.meta.url));
const bestMs = 'best ms';

export const diffObjectsBench: Bench = {
  name: 'diff',
  title: 'diff of two objects (the goal: 500 kB under 100 ms in process)',
  limits: { [bestMs]: 100 },
  run: async ({ runs, say }) => {
    const rows: Row[] = [];
    for (const arch of architectures) {
      const what = `a pair for ${arch.platform.name}`;
      say(`diff of ${what}`);
      try {
        rows.push({ what, figures: await diffPair(arch, runs) });
      } catch (error) {
        if (!(error instanceof ReasonError)) throw error;
        rows.push({ what, figures: {}, missing: error.message });
      }
    }
    return rows;
  },
};

const diffPair = (arch: Architecture, runs: number): Promise<Figures> =>
  withTemporaryFolder(async (folder) => {
    const compiled = (name: string, functions: number, flags: readonly string[] = []) =>
      compile(arch, join(folder, name), functions, flags);
    // How many functions it takes is the compiler's business.
    const few = (await stat(await compiled('few', fewFunctions))).size;
    const functions = Math.round((fewFunctions * objectSize) / few);
    const [before, after] = [await compiled('before', functions), await compiled('after', functions, ['-DFIXED'])];
    const found: Figures[] = [];
    for (let i = 0; i < runs; i++) {
      const { figures, stdout } = await measureNode(child, [before, after]);
      found.push({ ...(JSON.parse(stdout) as Figures), [peak]: figures[peak] });
    }
    return { 'object kB': (await stat(after)).size / 1000, functions, ...best(found, bestMs) };
  });

const objectSize = 500_000;
const fewFunctions = 100;

/** Compiles so many functions, and returns the path of the object. */
async function compile(arch: Architecture, path: string, functions: number, flags: readonly string[]): Promise<string> {
  const [source, object] = [`${path}.c`, `${path}.o`];
  await writeFile(source, sourceOfPair(functions));
  const apart = ['-ffunction-sections', '-fdata-sections', '-fno-section-anchors', '-fno-optimize-sibling-calls'];
  const compiler = `${arch.platform.cross.prefix}gcc`;
  // As the kernel is compiled (arch/arm/Makefile, Linux 6.1): Debian's compiler makes Thumb code by itself.
  const set = arch.platform.kbuild === 'arm' ? ['-marm'] : [];
  const common = ['-c', '-O2', '-w', '-ffreestanding', '-fno-pie', ...set, ...apart];
  await run(compiler, [...common, ...flags, '-o', object, source], { timeout: 300 });
  return object;
}

/** Every so many functions FIXED changes one. */
const changedEvery = 50;

/** Functions that call each other, with strings, static variables and jump tables of their own. */
function sourceOfPair(functions: number): string {
  const one = (i: number): string => `
${i % 3 === 0 ? 'static __attribute__((noinline)) ' : ''}int f${i}(int x) {
  static int count;
  count += other("text ${i}", __func__, ${i > 0 ? `f${i - 1}(x + ${i})` : 'x'});
  switch (x) {
    ${[7, 91, 4, 8, 3].map((n, j) => `case ${j}: return table[${n}] * ${n + i};`).join(' ')}
  }
${i % changedEvery === 0 ? `#ifdef FIXED\n  count += another("fixed");\n#endif` : ''}
  return count;
}`;
  const head =
    'extern int other(), another();\nstatic int table[128] = { 1, 2, 3 };\nint set(int n) { return table[n & 127]++; }\n';
  return head + Array.from({ length: functions }, (_, i) => one(i)).join('\n');
}
