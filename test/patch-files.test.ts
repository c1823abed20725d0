// A patch file that a user names may be anything: another module, one that was damaged on its way, one for another kernel.
// It is refused before a guest boots for it.

import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openKernel } from '../src/host/kernel-store.ts';
import { moduleFiles } from '../src/host/read-kernel.ts';
import { checkSignature } from '../src/kernel/module-signature.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { sutureJson } from './suture.ts';

const [mine, other] = stockKernels;
let folder: string;
let patch: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-files-'));
  patch = join(folder, 'patch.ko');
  expect(await sutureJson(['build', '--kernel', mine.name, '-o', patch, examples[0]!.fix])).toMatchObject({ exit: 0 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Writes a changed copy of the patch. */
async function copy(name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, change(new Uint8Array(await readFile(patch))));
  return file;
}

const refusals: [what: string, code: string, file: () => Promise<string>][] = [
  [
    'a module of the kernel',
    'not-a-patch-module',
    async () => {
      const stored = await openKernel(mine.name);
      return join(stored.modules, (await moduleFiles(stored))[0]!);
    },
  ],
  [
    'a file that is no ELF file',
    'not-a-patch-module',
    async () => {
      await writeFile(join(folder, 'README.md'), '# A patch\n');
      return join(folder, 'README.md');
    },
  ],
  [
    'a patch of which one bit has changed',
    'patch-malformed',
    () =>
      copy('damaged.ko', (bytes) => {
        bytes[bytes.length >> 1]! ^= 1;
        return bytes;
      }),
  ],
  ['a patch that was cut off', 'elf-malformed', () => copy('cut.ko', (bytes) => bytes.subarray(0, bytes.length >> 1))],
  [
    'a machine that Suture does not know',
    'elf-unsupported',
    async () => {
      const { module } = await checkSignature(new Uint8Array(await readFile(patch)));
      // e_machine stands at byte 18 of every ELF file; 2 is EM_SPARC.
      return copy('sparc.ko', () => module.map((byte, i) => (i === 18 ? 2 : byte)));
    },
  ],
];

describe.each(['info', 'rehearse'])('suture %s refuses', (command) => {
  const kernel = command === 'rehearse' ? ['--kernel', mine.name] : [];

  it.each(refusals)('%s', async (_what, code, file) => {
    const report = await sutureJson([command, ...kernel, await file()]);
    expect(report).toMatchObject({ exit: 2, status: 'refused', reasons: [{ code }] });
  });
});

it('suture rehearse refuses a patch for another kernel, and says which build ids differ', async () => {
  const report = await sutureJson(['rehearse', '--kernel', other.name, patch]);
  expect(report).toMatchObject({ exit: 2, status: 'refused', reasons: [{ code: 'wrong-kernel' }] });
  expect(report.reasons[0].message).toMatch(/build id [0-9a-f]{40}; .* has [0-9a-f]{40}/);
});

it('suture info needs no kernel', async () => {
  const report = await sutureJson(['info', patch], { XDG_CACHE_HOME: join(folder, 'empty') });
  expect(report).toMatchObject({
    exit: 0,
    result: { architecture: 'arm', signed: true, redirects: [{ oldName: 'cmdline_proc_show', way: 'ftrace' }] },
  });
  expect(report.result.redirects[0].stub.at(-1).text).toMatch(/^b\s+new_function$/);
  expect(report.result.kernel).toBe(mine.name);
});

it('suture build and suture info tell the same of the redirects', async () => {
  const built = await sutureJson(['build', '--kernel', mine.name, '-o', join(folder, 'same.ko'), examples[0]!.fix]);
  const read = await sutureJson(['info', join(folder, 'same.ko')]);
  expect(built.result.redirects).toEqual(read.result.redirects);
});

it('a kernel of which a part has gone is refused, and the part named', async () => {
  const cache = join(folder, 'cache');
  const stored = await openKernel(mine.name);
  await mkdir(join(cache, 'suture/kernels'), { recursive: true });
  const entry = join(cache, 'suture/kernels', mine.name);
  await mkdir(entry);
  for (const part of ['lib', 'usr', 'bin']) await symlink(join(stored.folder, part), join(entry, part));
  await writeFile(join(entry, 'kernel.json'), await readFile(join(stored.folder, 'kernel.json')));
  const report = await sutureJson(['kernel', 'show', mine.name], { XDG_CACHE_HOME: cache });
  expect(report).toMatchObject({ exit: 2, status: 'refused', reasons: [{ code: 'kernel-incomplete' }] });
  expect(report.reasons[0].message).toMatch(/vmlinuz/);
});
