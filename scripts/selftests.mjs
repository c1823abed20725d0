// npm run selftests [-- [--way ftrace|entry|auto] [KERNEL …]]: mainline's own livepatch selftests in guests with the stock kernels, a line a case; then
// mainline's samples.
//
// Scripts, test modules and samples come from Debian's source package of the kernel's own version, unmodified, and are kept
// in the cache. The modules are adapted by what `suture adapt` runs; where functions are redirected at their entries, a script of ours
// takes the place of mainline's test-ftrace.sh. Ends with 0 if every case of every kernel passes.

import { fileURLToPath } from 'node:url';
import { architectures } from '../dist/arch/architectures.js';
import { selftests } from '../dist/cli/selftests.js';
import { stockKernel } from '../dist/host/stock-kernel.js';
import { readArguments } from './arguments.mjs';

const say = (text) => process.stderr.write(`selftests: ${text}\n`);
const usage = `npm run selftests [-- [--way ftrace|entry|auto] [KERNEL …]]
mainline's livepatch selftests and samples, on the stock kernel of each architecture, or on those that are named`;
const { values, positionals } = readArguments(usage, { way: { type: 'string', default: 'auto' } });
if (!['ftrace', 'entry', 'auto'].includes(values.way)) {
  say(`--way wants ftrace, entry or auto, not ${values.way}`);
  process.exit(1);
}
const wanted = { way: values.way, scripts: fileURLToPath(new URL('../test/selftests', import.meta.url)) };
const indent = (text) => text.replace(/^(?=.)/gm, '    ');

/** The newest stock kernel of each architecture, unless kernels are named. */
async function kernels(named) {
  if (named.length > 0) return named;
  const found = await Promise.all(architectures.map(({ platform }) => stockKernel(platform, say)));
  return found.map(({ name }) => name);
}

function print({ script, title, outcome, detail, remark }) {
  console.log(`  ${outcome.padEnd(8)}${script}: ${title}${remark ? ` (${remark})` : ''}`);
  if (outcome !== 'passed' && detail) console.log(indent(detail));
}

let allPassed = true;
for (const name of await kernels(positionals)) {
  console.log(name);
  const { cases, samples, modules } = await selftests(name, say, print, wanted);
  for (const { name: module, ko, undefinedSymbols, complaints } of modules) {
    const first = ko ? `needs ${undefinedSymbols.join(', ')}` : (complaints[0] ?? 'see what it includes');
    if (!ko || undefinedSymbols.length > 0)
      console.log(`  ${ko ? 'not complete' : 'not loadable'}: ${module}: ${first}`);
  }
  const passed = (of) => of.filter(({ outcome }) => outcome === 'passed').length;
  console.log(`  ${passed(cases)} of ${cases.length}, samples ${passed(samples)} of ${samples.length}`);
  for (const all of [cases, samples]) allPassed &&= all.length > 0 && passed(all) === all.length;
}
process.exitCode = allPassed ? 0 : 1;
