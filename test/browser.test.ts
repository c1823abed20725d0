// The rooms that a report page needs run in a browser: given the same image and the same modules, one gives the verdicts
// that Node gives, for redirects that are right and for some that are not.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { kill, start } from '../src/host/run.ts';
import { linkFunctions, tracedFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { stockKernels } from './stock-kernels.ts';
import { plainProof } from './support/plain-proof.ts';

let script: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-browser-'));
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('support/browser-proof.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
  });
  script = bundle.outputFiles[0]!.text;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Serves the page, its script and the two files to whoever asks, and waits for the answer that the page sends. */
async function askBrowser(architecture: string, files: Readonly<Record<string, Uint8Array>>): Promise<unknown> {
  let answered: (text: string) => void;
  const answer = new Promise<string>((resolve) => {
    answered = resolve;
  });
  const served: Readonly<Record<string, readonly [type: string, body: string | Uint8Array]>> = {
    '/': ['text/html', '<!doctype html><meta charset="utf-8"><script type="module" src="script"></script>'],
    '/script': ['text/javascript', script],
    '/architecture': ['text/plain', architecture],
    ...Object.fromEntries(
      Object.entries(files).map(([name, body]) => [`/${name}`, ['application/octet-stream', body]]),
    ),
  };
  const server: Server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    if (pathname === '/answer') answered(String(await buffer(request)));
    const [type, body] = served[pathname] ?? ['text/plain', ''];
    response.writeHead(200, { 'content-type': type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const browser = start(
    'chromium',
    [
      // As root, its own sandbox cannot be had; the page is ours.
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      `--user-data-dir=${join(folder, architecture)}`,
      `http://127.0.0.1:${port}/`,
    ],
    { stdio: 'ignore', env: process.env },
  );
  const ended = new Promise<string>((resolve) => {
    browser.once('exit', (status) => resolve(JSON.stringify({ error: `the browser ended with status ${status}` })));
  });
  try {
    return JSON.parse(await Promise.race([answer, ended]));
  } finally {
    kill(browser);
    await ended;
    server.closeAllConnections();
    server.close();
  }
}

describe.each(stockKernels)('with the image of $name', ({ name, architecture }) => {
  let kernel: LoadedKernel;
  let image: Uint8Array;
  let module: Uint8Array;

  beforeAll(async () => {
    kernel = await loadKernel(name);
    image = new Uint8Array(await readFile(kernel.stored.image));
    const functions = tracedFunctions(kernel).filter((_, i) => i % 1000 === 0);
    const [linked] = [...linkFunctions(kernel, functions)];
    module = linked!.bytes;
  });

  test('the verdicts of a browser are those of Node', async () => {
    const here = new Prover(kernel).proveModule(module, 'module').map(plainProof);
    expect(here.length).toBeGreaterThan(20);
    expect(new Set(here.map(({ verdict }) => verdict))).toEqual(new Set(['proven']));
    expect(await askBrowser(architecture, { image, module })).toEqual(here);
  });

  test('so are those on stubs that are wrong', async () => {
    const model = readElf(module.slice(), 'module');
    const { data } = findSection(model, '.text.suture_stubs')!;
    // One bit in every eighth word: some stubs stay as they are, some are refuted, some are not understood.
    for (let at = 4; at < data.length; at += 32) data[at + (at % 3)]! ^= 0x10;
    const wrong = writeElf(model);
    const here = new Prover(kernel).proveModule(wrong, 'module').map(plainProof);
    expect(new Set(here.map(({ verdict }) => verdict)).size).toBeGreaterThan(1);
    expect(await askBrowser(architecture, { image, module: wrong })).toEqual(here);
  });
});
