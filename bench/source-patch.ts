// From a source patch to a proven .ko, as the command does it: what the compilers take of it, what Kbuild around them, what the
// rest. *cold*: the cache has nothing of the changed file yet, so its original is compiled too, and kept. *warm*: it has.
//
// The compiler and make are found through PATH, where scripts stand that note when the real ones began and ended. What they take
// themselves, a few milliseconds each of some hundred times, is counted against us.

import { mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openKernel, type StoredKernel } from '../src/host/kernel-store.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { findProgram } from '../src/host/tools.ts';
import { cacheWithoutObjects } from '../test/support/own-cache.ts';
import { type Bench, best, type Figures, type Row } from './bench.ts';
import { cpu, measureSuture, wall } from './measure.ts';

/** All but the compilers: what must be below the limit. On a busy machine only the processor's time says something. */
const beyond = 'beyond ms';
const beyondCpu = 'beyond CPU ms';

/** Fixes of one file each: what the line has, and what it becomes. */
const fixes = [
  { path: 'fs/proc/cmdline.c', from: 'seq_puts(m, saved_command_line);', to: 'seq_puts(m, "patched");' },
  { path: 'drivers/net/dummy.c', from: 'eth_hw_addr_random(dev);', to: 'eth_zero_addr(dev->broadcast);' },
  { path: 'fs/namei.c', from: 'child = d_hash_and_lookup(parent, &this);', to: 'child = NULL;' },
] as const;
type Fix = (typeof fixes)[number];

export const sourcePatchBench: Bench = {
  name: 'patch',
  title:
    'from a source patch to a proven .ko (issue 5: under 5 s beyond the compiler runs, the original object included)',
  limits: { [beyond]: 5000, [beyondCpu]: 5000 },
  run: async ({ kernels, runs, say }) => {
    const rows: Row[] = [];
    for (const name of kernels) {
      const kernel = await openKernel(name);
      if (kernel.source === undefined) {
        rows.push({ what: name, figures: {}, missing: `no source: suture kernel fetch ${name} --source` });
        continue;
      }
      for (const fix of fixes) {
        const found: Record<'cold' | 'warm', Figures[]> = { cold: [], warm: [] };
        for (let i = 0; i < runs; i++) {
          say(`${fix.path} for ${name}`);
          const { cold, warm } = await measureFix(kernel, await realpath(kernel.source), fix);
          found.cold.push(cold);
          found.warm.push(warm);
        }
        for (const state of ['cold', 'warm'] as const) {
          rows.push({ what: `${fix.path}, ${name}, ${state}`, figures: best(found[state], beyondCpu) });
        }
      }
    }
    return rows;
  },
};

/** Builds a fix twice, with a cache of its own that has all of the kernel but objects of its files. */
const measureFix = (kernel: StoredKernel, source: string, fix: Fix): Promise<Record<'cold' | 'warm', Figures>> =>
  withTemporaryFolder(async (folder) => {
    const patch = join(folder, 'fix.patch');
    await writeFile(patch, await patchOf(source, fix, folder), 'latin1');
    const log = join(folder, 'log');
    const tools = await notingTools(kernel, join(folder, 'tools'), log);
    const cache = await cacheWithoutObjects(kernel, join(folder, 'cache'));
    const build = async (): Promise<Figures> => {
      await writeFile(log, '');
      const output = join(folder, 'out.ko');
      const command = ['build', '--kernel', kernel.name, '--source', source, '-o', output, patch];
      const env = { XDG_CACHE_HOME: cache, PATH: `${tools}:${process.env.PATH}` };
      const { figures } = await measureSuture(command, [0], env);
      return shares(figures[wall]!, figures[cpu]!, await readFile(log, 'utf8'));
    };
    return { cold: await build(), warm: await build() };
  });

async function patchOf(source: string, { path, from, to }: Fix, folder: string): Promise<string> {
  const text = await readFile(join(source, path), 'latin1');
  if (text.split(from).length !== 2) throw new Error(`${path}: not one ${from}`);
  const fixed = join(folder, basename(path));
  await writeFile(fixed, text.replace(from, to), 'latin1');
  const labels = [`a/${path}`, `b/${path}`].flatMap((label) => ['--label', label]);
  const { stdout } = await run('diff', ['-u', ...labels, join(source, path), fixed], {
    accept: [1],
    encoding: 'latin1',
  });
  return stdout;
}

/**
 * Scripts in the stead of make and of the compiler. Each run of these leaves a line: what it was, how deep in makes, when it began
 * and ended (seconds), its user and system time (seconds, all that it started included), and its arguments.
 */
async function notingTools(kernel: StoredKernel, folder: string, log: string): Promise<string> {
  await mkdir(folder);
  const compiler = `${kernel.crossPrefix}gcc`;
  // The headers' package may name the compiler with its version, gcc-12.
  const beside = await readdir(dirname(findProgram(compiler) ?? ''));
  const compilers = beside.filter((name) => name.startsWith(compiler) && /^(-\d+)?$/.test(name.slice(compiler.length)));
  for (const name of ['make', ...compilers]) {
    // make uses descriptors 3 and 4 itself.
    const script = `#!/bin/bash
TIMEFORMAT='%U %S'
exec 8>&1 9>&2
begun=$EPOCHREALTIME
used=$({ time ${findProgram(name)} "$@" >&8 2>&9; } 2>&1)
status=$?
echo "${name === 'make' ? 'make' : 'gcc'} \${MAKELEVEL:-0} $begun $EPOCHREALTIME $used $*" >>${log}
exit $status
`;
    await writeFile(join(folder, name), script, { mode: 0o755 });
  }
  return folder;
}

/** How much of a build's time the noted programs had; `elapsed` and `used` are its wall time and its own CPU time, in milliseconds. */
export function shares(elapsed: number, used: number, log: string): Figures {
  const runs = log.split('\n').flatMap((line) => {
    const [, kind, level, times = '', args = ''] = /^(\w+) (\d+) ((?:[\d.]+ ){4})(.*)$/.exec(line) ?? [];
    const [from = 0, to = 0, user = 0, system = 0] = times
      .trim()
      .split(' ')
      .map((text) => Number(text) * 1000);
    return kind === undefined ? [] : [{ kind, inMake: level !== '0', from, to, cpu: user + system, args }];
  });
  // Kbuild asks the compiler what it can, too: those runs read nothing, or from standard input.
  const isCompile = (args: string) => / -(c|S) /.test(` ${args} `) && /\S\.[cSs]( |$)/.test(args);
  const compiles = runs.filter(({ kind, args }) => kind === 'gcc' && isCompile(args));
  const makes = runs.filter(({ kind, inMake }) => kind === 'make' && !inMake);
  const total = (list: typeof runs): number => list.reduce((sum, each) => sum + each.cpu, 0);
  const compilers = covered(compiles);
  const kbuild = covered([...compiles, ...makes]) - compilers;
  const kbuildCpu = total(makes) - total(compiles.filter(({ inMake }) => inMake));
  return {
    [wall]: elapsed,
    compiles: compiles.length,
    'compilers ms': compilers,
    'Kbuild ms': kbuild,
    'own ms': elapsed - compilers - kbuild,
    [beyond]: elapsed - compilers,
    'compilers CPU ms': total(compiles),
    'Kbuild CPU ms': kbuildCpu,
    'own CPU ms': used,
    [beyondCpu]: kbuildCpu + used,
  };
}

/** The time that is in at least one of the spans: two compilers beside each other take it once. */
function covered(spans: readonly { readonly from: number; readonly to: number }[]): number {
  let [sum, end] = [0, Number.NEGATIVE_INFINITY];
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    sum += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return sum;
}
