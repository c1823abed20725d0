// Joins the compiled program into few files, `dist/program/`: what bin/suture runs. Node takes a millisecond and more for each file
// that it loads, and a command line has 350 of them, packages included; the second thread of `prove --all` loads them again.
//
// Beside it `dist/` keeps the single files, which scripts and tests import.

import { readdir, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));

const { metafile } = await build({
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
  metafile: true,
  // A package that is CommonJS asks for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});

// Parts have other names when they have changed. The old ones go last: somebody may be starting the program.
const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
for (const file of await readdir(dist('program'))) if (!made.has(file)) await rm(dist(`program/${file}`));
