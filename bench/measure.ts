// Measuring other processes. What is measured runs in a child of its own, so that each pays for its own start and its own
// memory, and nothing is warm that would not be.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageFile } from '../src/host/package-file.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import type { Figures } from './bench.ts';

/** The columns that every measured process has. CPU time counts all threads of it. */
export const wall = 'wall ms';
export const cpu = 'CPU ms';
export const peak = 'peak MB';

const timeout = 600;

/** The file beside the compiled benches that a child loads first: it notes at the end what the process has used. */
const noteUsage = new URL('note-usage.js', import.meta.url).href;

interface Measured {
  readonly figures: Figures;
  readonly stdout: string;
}

/** A child of Node: the wall time of the whole process, its CPU time and the most memory that it had; and what it wrote. */
export const measureNode = (
  script: string,
  args: readonly string[],
  accept: readonly number[] = [0],
  environment: Readonly<Record<string, string>> = {},
): Promise<Measured> => measured(process.execPath, ['--import', noteUsage, script, ...args], accept, environment);

/** The same for `bin/suture` as people start it: its first line says how Node is to be started. */
export const measureSuture = (
  args: readonly string[],
  accept: readonly number[] = [0],
  environment: Readonly<Record<string, string>> = {},
): Promise<Measured> =>
  measured(packageFile('bin/suture'), args, accept, { ...environment, NODE_OPTIONS: `--import ${noteUsage}` });

async function measured(
  program: string,
  args: readonly string[],
  accept: readonly number[],
  environment: Readonly<Record<string, string>>,
): Promise<Measured> {
  return withTemporaryFolder(async (folder) => {
    const note = join(folder, 'usage');
    const env = { ...environment, SUTURE_BENCH_USAGE: note };
    const start = performance.now();
    const { stdout } = await run(program, args, { env, accept, timeout });
    const elapsed = performance.now() - start;
    const used = JSON.parse(await readFile(note, 'utf8')) as { readonly cpu: number; readonly peak: number };
    return { figures: { [wall]: elapsed, [cpu]: used.cpu, [peak]: used.peak }, stdout };
  });
}

/** Any other program; its output is not kept. The shell is there because it can tell what its children have used. */
export async function measureProgram(program: string, args: readonly string[]): Promise<Figures> {
  const start = performance.now();
  const { stdout } = await run('sh', ['-c', '"$0" "$@" >/dev/null && times', program, ...args], { timeout });
  return { [wall]: performance.now() - start, [cpu]: childrensTime(stdout) };
}

/** User and system time of a shell's children in milliseconds, from the second line that `times` prints (POSIX.1-2017, XCU 2.14). */
export function childrensTime(printed: string): number {
  const [, children = ''] = printed.trim().split('\n');
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  if (times.length !== 2) throw new Error(`not what times prints: ${printed}`);
  return times.reduce((sum, [, minutes, seconds]) => sum + 60_000 * Number(minutes) + 1000 * Number(seconds), 0);
}
