// npm run selftests [KERNEL …]: mainline's own livepatch selftests in guests with the stock kernels, a line a case; then
// mainline's samples.
//
// Scripts, test modules and samples come from Debian's source package of the kernel's own version, unmodified, and are kept
// in the cache. The modules are adapted by what `suture adapt` runs. Ends with 0 if every case of every kernel passes.

import { architectures } from '../dist/arch/architectures.js';
import { selftests } from '../dist/cli/selftests.js';
import { stockKernel } from '../dist/host/stock-kernel.js';

const say = (text) => process.stderr.write(`selftests: ${text}\n`);
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
for (const name of await kernels(process.argv.slice(2))) {
  console.log(name);
  const { cases, samples, modules } = await selftests(name, say, print);
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
