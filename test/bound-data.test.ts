// Data that is not exported has an address only where somebody tells it: the symbol table of a vmlinux, or a System.map that
// the user gives. That it is the right one shows in a guest.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadKernel } from '../src/host/read-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { sutureJson } from './suture.ts';

const [arm, ppc64le] = stockKernels;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-data-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Builds a fix for /proc/version, rehearses it, and returns the report of the build. */
async function rehearsed(kernel: string, fix: string, check: string, environment: Record<string, string> = {}) {
  const [source, script, output] = ['fix.c', 'check.sh', `${kernel}.ko`].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(source, fix);
  await writeFile(script, check);
  const built = await sutureJson(['build', '--kernel', kernel, '-o', output, source], environment);
  expect(built).toMatchObject({ exit: 0 });
  const report = await sutureJson(['rehearse', '--kernel', kernel, '--check', script, output], environment);
  expect(report.reasons).toEqual([]);
  return built;
}

it('a variable that the symbol table of the shipped vmlinux has is the kernel’s own', async () => {
  const built = await rehearsed(
    ppc64le.name,
    `#include <linux/seq_file.h>
     extern char *saved_command_line;
     static int version_proc_show(struct seq_file *m, void *v) { seq_printf(m, "%s\\n", saved_command_line); return 0; }`,
    '[ $SUTURE_PHASE != applied ] || cmp /proc/version /proc/cmdline',
  );
  expect(built.result.unexported ?? built.result.bound).toMatchObject([{ name: 'saved_command_line' }]);
});

it('a variable that only a System.map knows is found by it', async () => {
  const { stored, image } = await loadKernel(arm.name);
  // A map of this kernel, and one name more: that of the name space whose address the image tells.
  const lines = image.kallsyms.map(({ address, type, name }) => [address, type, name] as const);
  for (const { name, address } of image.exports.values()) lines.push([address, 'D', name]);
  lines.push([image.exports.get('init_uts_ns')!.address, 'D', 'known_to_the_map_alone']);
  // As every map does, it says where the memory ends that is given back: here, before the first data that is exported.
  const behind = [...image.exports.values()].filter(({ address }) => address > image.symbol('_einittext')!);
  lines.push([behind.map(({ address }) => address).sort()[0]!, 'T', '__init_end']);
  const map = join(folder, 'System.map');
  const hex = (address: bigint) => address.toString(16).padStart(8, '0');
  await writeFile(map, lines.map(([address, type, name]) => `${hex(address)} ${type} ${name}\n`).join(''));

  const environment = { XDG_CACHE_HOME: join(folder, 'cache') };
  const parts = ['--image', stored.image, '--modules', stored.modules, '--headers', stored.headers];
  const more = ['--busybox', stored.busybox!, '--system-map', map];
  expect(await sutureJson(['kernel', 'import', '--name', 'mapped', ...parts, ...more], environment)).toMatchObject({
    exit: 0,
  });
  await rehearsed(
    'mapped',
    `#include <linux/seq_file.h>
     #include <linux/utsname.h>
     extern struct uts_namespace known_to_the_map_alone;
     static int version_proc_show(struct seq_file *m, void *v)
     { seq_printf(m, "%s\\n", known_to_the_map_alone.name.release); return 0; }`,
    '[ $SUTURE_PHASE != applied ] || [ "$(cat /proc/version)" = "$(uname -r)" ]',
    environment,
  );
});
