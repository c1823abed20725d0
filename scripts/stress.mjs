// npm run stress [-- [--cycles N] [--way ftrace|entry|auto] [KERNEL …]]: patches coming and going while two processors call what is patched and tracers are switched
// on and off, in guests with the stock kernels; a line a phase. Ends with 0 if every phase held. With --stale-code: how often the
// emulator executes text that has been written over, so often tried as there are cycles.

import { fileURLToPath } from 'node:url';
import { staleCode } from '../dist/cli/stale-code.js';
import { stressKernel } from '../dist/cli/stress.js';
import { fetchKernel } from '../dist/host/fetch-kernel.js';
import { listKernels } from '../dist/host/kernel-store.js';
import { readArguments } from './arguments.mjs';

const say = (text) => process.stderr.write(`stress: ${text}\n`);
const usage = `npm run stress [-- [--cycles N] [--way ftrace|entry|auto] [--stale-code] [KERNEL …]]
N cycles of each phase, 1000 if nothing is said, on the stock kernel of each architecture, or on those that are named`;
const { values, positionals } = readArguments(usage, {
  cycles: { type: 'string', default: '1000' },
  way: { type: 'string', default: 'auto' },
  'stale-code': { type: 'boolean', default: false },
});
const cycles = Number(values.cycles);
if (!Number.isSafeInteger(cycles) || cycles < 1) {
  say(`--cycles wants a number, not ${values.cycles}`);
  process.exit(1);
}

if (!['ftrace', 'entry', 'auto'].includes(values.way)) {
  say(`--way wants ftrace, entry or auto, not ${values.way}`);
  process.exit(1);
}

/** The newest stock kernel of each architecture, unless kernels are named. */
async function kernels(named) {
  if (named.length > 0) return named;
  const cached = (await listKernels()).filter(({ name }) => /^\d[\d.-]*-(armmp|powerpc64le)$/.test(name));
  return Promise.all(
    ['armhf', 'ppc64el'].map(async (architecture) => {
      const name = { armhf: 'arm', ppc64el: 'ppc64le' }[architecture];
      const found = cached.filter((kernel) => kernel.architecture === name).at(-1);
      return (found ?? (await fetchKernel(architecture, { onProgress: say }))).name;
    }),
  );
}

function print(phase) {
  const { name, seconds, calls, mixed, changes, blocked, reads, waited, tracings, probed } = phase;
  const { before, after, leaks, alarms } = phase;
  const slab = ({ slab }) => [...slab.values()].reduce((sum, objects) => sum + objects, 0);
  const modules = ({ exact }) => exact.filter((line) => line.startsWith('module ')).length;
  console.log(
    `  ${holds(phase) ? 'held' : 'FAILED'}  ${name}: ${phase.cycles} cycles in ${seconds} s; ` +
      `${calls} calls (${blocked} of them slept) and ${reads} reads by processes, ${changes} changes of version seen, ` +
      `${mixed} calls saw half a patch; ${waited} transitions waited; ${tracings} rounds of tracers, ${probed} returns probed; ` +
      `slab ${slab(before)} objects (${before.slabKilobytes} kB) before, ${slab(after)} (${after.slabKilobytes} kB) after, ` +
      `vmalloc ${before.vmallocAreas} areas before, ${after.vmallocAreas} after, modules ${modules(before)} before, ${modules(after)} after`,
  );
  for (const line of [...leaks, ...alarms]) console.log(`    ${line}`);
}

const holds = ({ cycles, mixed, changes, leaks, alarms }) =>
  mixed === 0 && changes > 0 === cycles > 0 && leaks.length === 0 && alarms.length === 0;

const folder = fileURLToPath(new URL('../test/stress', import.meta.url));
let allHeld = true;
if (values['stale-code']) {
  for (const name of await kernels(positionals)) {
    for (const oneThread of [false, true]) {
      const { armed, missed } = await staleCode(name, folder, cycles, oneThread);
      console.log(`${name}, ${oneThread ? 'one thread' : 'two threads'}: armed ${armed} times, missed ${missed} times`);
    }
  }
  process.exit(0);
}
for (const name of await kernels(positionals)) {
  console.log(name);
  const said = (phase, done) => done % 100 === 0 && say(`${name}: ${phase}: ${done} cycles`);
  const phases = await stressKernel(name, folder, cycles, values.way, print, said);
  allHeld &&= phases.every(holds);
}
process.exitCode = allHeld ? 0 : 1;
