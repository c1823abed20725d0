// npm run kernels [-- NAME …]: kernels for tests that no distribution ships, configured and built from Debian's source
// package and kept in the cache, where `suture … NAME` finds them as it finds those that are fetched. Without a name:
// which there are, what each is for, and whether it has been built. docs/kernels.md tells more.

import { readdirSync, readFileSync } from 'node:fs';
import { buildKernel } from '../dist/compile/build-kernel.js';
import { readRecipes } from '../dist/compile/kernel-recipe.js';
import { findKernel } from '../dist/host/kernel-store.js';
import { ReasonError } from '../dist/reason.js';

const say = (text) => process.stderr.write(`kernels: ${text}\n`);
const folder = new URL('../kernels/', import.meta.url);
const recipes = readRecipes(
  new Map(readdirSync(folder).map((file) => [file, readFileSync(new URL(file, folder), 'utf8')])),
);

async function build(name) {
  const recipe = recipes.find((each) => each.name === name);
  if (!recipe) {
    say(`no recipe is called ${name}; there are ${recipes.map((each) => each.name).join(', ')}`);
    return false;
  }
  const started = Date.now();
  try {
    const kernel = await buildKernel(recipe, say);
    say(`${kernel.name} is in the cache, after ${Math.round((Date.now() - started) / 1000)} s`);
    console.log(kernel.name);
    return true;
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    for (const { code, place, message, remedy } of error.reasons) say(`${code}: ${place}: ${message}\n  ${remedy}`);
    return false;
  }
}

const usage =
  'npm run kernels [-- NAME …]: builds kernels for tests; without a name, which there are and which have been built';

const names = process.argv.slice(2);
if (names.some((name) => name.startsWith('-'))) {
  console.log(usage);
  process.exit(names.includes('--help') || names.includes('-h') ? 0 : 1);
}
for (const { name, purpose } of names.length > 0 ? [] : recipes) {
  console.log(`${name.padEnd(20)}${(await findKernel(name)) ? 'built' : '-'.padEnd(5)}  ${purpose}`);
}
for (const name of names) if (!(await build(name))) process.exitCode = 1;
