// Joins the compiled program into few files, `dist/program/`: what bin/suture runs. Node takes a millisecond and more for each file
// that it loads, and a command line has 350 of them, packages included; the second thread of `prove --all` loads them again.
//
// Beside it `dist/` keeps the single files, which scripts and tests import.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));

await build({
  entryPoints: [dist('cli/main.js'), dist('cli/proving-thread.js')],
  outdir: dist('program'),
  // What both entries share; always of one name, so that the next build writes over it.
  chunkNames: 'shared',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  // A package that is CommonJS asks for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
