// Whoever asks for a whole kernel gets two threads. Nobody may see from the answer that there were two, nor that one of them
// failed or had other functions before it.

import { afterEach, beforeAll, expect, test } from 'vitest';
import type { JudgedFunction } from '../src/cli/prove-functions.ts';
import type { ProvingThreads } from '../src/cli/prove-together.ts';
import { packageFile } from '../src/host/package-file.ts';
import type { LoadedKernel } from '../src/host/read-kernel.ts';
import type { TracedFunction } from '../src/link/link-whole-kernel.ts';
import { stockKernels } from './stock-kernels.ts';

const { name } = stockKernels[1]!;

/** A thread needs the compiled program, and then all of it is taken from there: a class is another one here. */
const compiled = async <T>(file: string): Promise<T> => (await import(packageFile(`dist/${file}`))) as T;
const { ProvingThreads: Threads } =
  await compiled<typeof import('../src/cli/prove-together.ts')>('cli/prove-together.js');
const { allFunctions, proveFunctions } =
  await compiled<typeof import('../src/cli/prove-functions.ts')>('cli/prove-functions.js');
const { loadKernel } = await compiled<typeof import('../src/host/read-kernel.ts')>('host/read-kernel.js');
const { Prover } = await compiled<typeof import('../src/prove/prove-module.ts')>('prove/prove-module.js');

let kernel: LoadedKernel;
let all: readonly TracedFunction[];
let threads: ProvingThreads;

beforeAll(async () => {
  kernel = await loadKernel(name);
  all = allFunctions(kernel, 'ftrace');
});

afterEach(() => threads.stop());

/** What a single thread finds. */
function alone(functions: readonly TracedFunction[], of = kernel): { judged: JudgedFunction[]; redirects: number } {
  const prover = new Prover(of);
  const judged = proveFunctions(of, prover, functions, () => {});
  return { judged, redirects: prover.differentRedirects };
}

const some = (): readonly TracedFunction[] => all.slice(0, 5000);

test('what two threads find is what one finds, and they say how far they are', async () => {
  const told: number[] = [];
  threads = new Threads(name, 'auto');
  const judged = await threads.prove(kernel, some(), 'ftrace', (done) => told.push(done));
  const expected = alone(some());
  expect(judged).toEqual(expected.judged);
  expect(threads.differentRedirects).toBe(expected.redirects);
  expect(told.at(-1)).toBe(some().length);
  expect(told).toEqual([...told].sort((a, b) => a - b));
});

test('a second thread that cannot read the kernel leaves all to the first', async () => {
  const last = all.slice(-1500);
  threads = new Threads('no-such-kernel', 'auto');
  const judged = await threads.prove(kernel, last, 'ftrace', () => {});
  expect(judged).toEqual(alone(last).judged);
});

test('a second thread that is over before it is asked leaves all to the first', async () => {
  threads = new Threads('no-such-kernel', 'auto');
  await threads.secondIsOver;
  const judged = await threads.prove(kernel, some(), 'ftrace', () => {});
  expect(judged).toEqual(alone(some()).judged);
});

test('what the second thread has found of other functions than were asked for does no harm', async () => {
  const others = all.slice(7, 5000).reverse();
  threads = new Threads(name, 'auto');
  const judged = await threads.prove(kernel, others, 'ftrace', () => {});
  expect(judged.map((each) => each.name)).toEqual(others.map((each) => each.name));
  expect(judged).toEqual(alone(others).judged);
});

test('what a second thread says that has read another kernel does not count', async () => {
  // As if it had been fetched anew between the two; the second one's is read sooner.
  threads = new Threads(name, 'auto');
  const other = await loadKernel(stockKernels[0].name);
  const many = allFunctions(other, 'ftrace').slice(0, 8000);
  const judged = await threads.prove(other, many, 'ftrace', () => {});
  expect(judged).toEqual(alone(many, other).judged);
});

test('a thread that is stopped at once ends', async () => {
  threads = new Threads(name, 'auto');
  await threads.stop();
});

test('threads that have proven once say so when they are asked again: what comes late would be taken for an answer', async () => {
  threads = new Threads(name, 'auto');
  await threads.prove(kernel, all.slice(0, 10), 'ftrace', () => {});
  await expect(threads.prove(kernel, all.slice(0, 10), 'ftrace', () => {})).rejects.toThrow('already');
});
