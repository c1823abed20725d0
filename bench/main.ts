// npm run bench [-- [--json] [--runs N] [--kernel NAME]… [BENCH]…]: repeatable figures of what Suture takes.
//
// Progress goes to stderr, the tables or one JSON document to stdout. A figure beyond its limit is marked and is no failure: a
// busy machine makes it so.

import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { architectures } from '../src/arch/architectures.ts';
import { columns } from '../src/cli/output.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { listKernels } from '../src/host/kernel-store.ts';
import { type Bench, cells, type Row } from './bench.ts';
import { callsBench } from './calls.ts';
import { diffObjectsBench } from './diff-objects.ts';
import { kernelCallsBench } from './kernel-calls.ts';
import { pauseBench } from './pause.ts';
import { readKernelBench } from './read-kernel.ts';
import { sourcePatchBench } from './source-patch.ts';
import { wholeKernelBench } from './whole-kernel.ts';

const benches: readonly Bench[] = [
  readKernelBench,
  wholeKernelBench,
  diffObjectsBench,
  sourcePatchBench,
  callsBench,
  kernelCallsBench,
  pauseBench,
];

const say = (what: string): void => void process.stderr.write(`bench: ${what}\n`);
const usage = `npm run bench [-- [--json] [--runs N] [--kernel NAME]… [BENCH]…]

The benches; all of them if none is named:
${benches.map(({ name, title }) => `  ${name.padEnd(14)}${title}`).join('\n')}
`;

const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

function readArguments() {
  try {
    return parseArguments();
  } catch (error) {
    say(`${(error as Error).message}\n${usage}`);
    process.exit(1);
  }
}

function parseArguments() {
  return parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      json: { type: 'boolean', default: false },
      runs: { type: 'string', default: '3' },
      kernel: { type: 'string', multiple: true, default: [] },
    },
  });
}

const runs = Number(values.runs);
const unknown = positionals.find((name) => !benches.some((bench) => bench.name === name));
if (unknown !== undefined || !Number.isSafeInteger(runs) || runs < 1) {
  const known = benches.map(({ name }) => name).join(', ');
  say(unknown === undefined ? `--runs wants a number, not ${values.runs}` : `no bench ${unknown}, there are ${known}`);
  process.exit(1);
}

/** The first of some names that no kernel of the cache has. */
async function absent(names: readonly string[]): Promise<string | undefined> {
  const cached = new Set((await listKernels()).map(({ name }) => name));
  return names.find((name) => !cached.has(name));
}

/** The newest stock kernel of each architecture in the cache, fetched if there is none. */
async function stockKernels(): Promise<string[]> {
  const cached = (await listKernels()).map(({ name }) => name);
  return Promise.all(
    architectures.map(async ({ platform: { debian } }) => {
      const stock = new RegExp(`^[0-9][0-9.-]*-${debian.flavour}$`);
      return (
        cached.findLast((name) => stock.test(name)) ??
        (await fetchKernel(debian.architecture, { onProgress: say })).name
      );
    }),
  );
}

const [processor] = cpus();
const machine = {
  processor: processor?.model ?? 'unknown',
  processors: cpus().length,
  node: process.version,
  load: loadavg().map((load) => Number(load.toFixed(2))),
};
const missing = await absent(values.kernel);
if (missing !== undefined) {
  say(`no kernel ${missing} in the cache: \`bin/suture kernel list\` shows those that are`);
  process.exit(1);
}
const kernels = values.kernel.length > 0 ? values.kernel : await stockKernels();
const chosen = benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (!values.json) {
  const { processors, node, load } = machine;
  console.log(`${processors} × ${machine.processor}, Node ${node}, load ${load[0]} at the start, best of ${runs}`);
}
const done: (Pick<Bench, 'name' | 'title' | 'limits'> & { readonly rows: readonly Row[] })[] = [];
for (const bench of chosen) {
  const rows = await bench.run({ kernels, runs, say });
  done.push({ name: bench.name, title: bench.title, limits: bench.limits ?? {}, rows });
  if (!values.json) console.log(`\n${bench.title}\n${columns(cells(bench, rows))}`);
}
if (values.json)
  console.log(
    JSON.stringify({ schema: 1, machine: { ...machine, loadAtEnd: loadavg() }, runs, kernels, benches: done }, null, 2),
  );
