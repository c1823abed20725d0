// Joins the compiled program into few files, `dist/program/`: what bin/suture runs. Node takes a millisecond and more for each file
// that it loads, and a command line has 350 of them, packages included; the second thread of `prove --all` loads them again.
//
// Beside it `dist/` keeps the single files, which scripts and tests import.

import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));

// Parts have other names when they have changed.
await rm(dist('program'), { recursive: true, force: true });

await build({
  entryPoints: [dist('cli/start.js'), dist('cli/proving-thread.js')],
  outdir: dist('program'),
  // What entries share, and what is read later.
  chunkNames: 'part-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  // A package that is CommonJS asks for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
