// suture.ko, the kernel-resident module, built from core/ for one kernel by that kernel's own Kbuild.
//
// A core is kept inside the kernel's entry of the cache, under a hash of all that it is made of, so it is built once and
// goes when the kernel is removed. core/ itself is never written to: it is built in a copy.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { architectureByName } from '../arch/architectures.ts';
import { findSection, readElf } from '../elf/elf.ts';
import { publish, withLock } from '../host/cache.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { packageFile } from '../host/package-file.ts';
import { checkSupported, readImage } from '../host/read-kernel.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { readKernelImage } from '../kernel/image.ts';
import { type KlpLayout, klpLayout } from '../kernel/klp-layout.ts';
import { signModule } from '../kernel/module-signature.ts';
import { readSymvers } from '../kernel/module-symvers.ts';
import {
  recipePcRelative,
  tableLayout,
  tableLimits,
  tableMagic,
  tableVersion,
  wayNumbers,
} from '../kernel/patch-module.ts';
import { bindCore, boundFunctions } from '../link/bind-core.ts';
import { reasonError } from '../reason.ts';
import { kbuild } from './kbuild.ts';

export interface CoreModule {
  /** The path of suture.ko, in the cache. */
  readonly ko: string;
  /** What it exports to patch modules, with the CRC that a module's `__versions` must hold. */
  readonly exportedCrcs: ReadonlyMap<string, number>;
  /** How its compiler, which compiles patches as well, lays out what <linux/livepatch.h> declares. */
  readonly klp: KlpLayout;
}

/** The folder of the core's sources; `include/` in it is what patch modules are compiled with. */
export const coreSources = (): string => packageFile('core');

/** The section of suture.ko that says how its compiler laid patch tables out (core/layout.c). */
const layoutSection = '.comment.suture.layout';

/**
 * The core for a kernel, built unless it is in the cache. Throws `kernel-unsupported`, `tool-failed` with the compiler's
 * words, `tool-missing`, what `bindCore` throws, and `bug` if it does not lay out patch tables as src/kernel/patch-module.ts does.
 */
export async function buildCore(kernel: StoredKernel): Promise<CoreModule> {
  await checkSupported(kernel, true);
  const sources = await readSources();
  const image = await readImage(kernel);
  const entry = join(kernel.folder, 'core', await hashOf(kernel, image, sources));
  if (!existsSync(entry)) {
    await withLock(`core-${kernel.name}`, async () => {
      if (!existsSync(entry)) await publish(entry, (folder) => build(kernel, image, sources, folder));
    });
  }
  const symvers = await readFile(join(entry, 'Module.symvers'), 'utf8');
  const ko = join(entry, 'suture.ko');
  return {
    ko,
    exportedCrcs: new Map(readSymvers(symvers).map(({ name, crc }) => [name, crc])),
    klp: klpLayout(toldLayout(new Uint8Array(await readFile(ko)))),
  };
}

/** What is built from: paths within core/ and their bytes, in a fixed order. */
type Sources = readonly (readonly [path: string, bytes: Uint8Array])[];

async function readSources(): Promise<Sources> {
  const files = await readdir(coreSources(), { recursive: true });
  const wanted = files.filter((file) => /(\.[ch]|\bKbuild)$/.test(file) && !file.endsWith('.mod.c')).sort();
  return Promise.all(wanted.map(async (file) => [file, await readFile(join(coreSources(), file))] as const));
}

/**
 * Names the sources, and the kernel by its image and by what its Kbuild goes by: two kernels may have had one name in turn.
 */
async function hashOf(kernel: StoredKernel, image: Uint8Array, sources: Sources): Promise<string> {
  const hash = createHash('sha256').update(kernel.crossPrefix).update(image);
  hash.update(boundFunctions(architectureByName(kernel.architecture)).join());
  for (const file of ['.config', 'Module.symvers']) hash.update(await readFile(join(kernel.headers, file)));
  for (const [path, bytes] of sources) hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  return hash.digest('hex').slice(0, 16);
}

async function build(kernel: StoredKernel, image: Uint8Array, sources: Sources, output: string): Promise<void> {
  const arch = architectureByName(kernel.architecture);
  await withTemporaryFolder(async (folder) => {
    for (const [path] of sources) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await copyFile(join(coreSources(), path), join(folder, path));
    }
    // Without debugging information: it is to be copied to small machines.
    await kbuild(kernel, arch.platform, folder, ['KCFLAGS=-g0', 'modules']);
    const ko = new Uint8Array(await readFile(join(folder, 'suture.ko')));
    checkLayout(ko, arch.elf.class === 64 ? 8 : 4);
    const read = await readKernelImage(image, basename(kernel.image), arch);
    const bound = bindCore(ko, read.arch, read);
    await writeFile(join(output, 'suture.ko'), await signModule(bound));
    await copyFile(join(folder, 'Module.symvers'), join(output, 'Module.symvers'));
  });
}

/** What core/layout.c tells: "name=value" strings, each ended by a NUL. */
function toldLayout(ko: Uint8Array): Map<string, string> {
  const section = findSection(readElf(ko, 'suture.ko'), layoutSection);
  return new Map(
    new TextDecoder()
      .decode(section?.data)
      .split('\0')
      .filter((line) => line !== '')
      .map((line): [string, string] => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/**
 * Compares the layout of patch tables that suture.ko was compiled with, with the one that the linker writes, for words of 4 or 8 bytes. Throws `bug` naming the first difference.
 */
export function checkLayout(ko: Uint8Array, word: 4 | 8): void {
  const told = toldLayout(ko);
  const expected = new Map<string, number>([
    ['magic', tableMagic],
    ['version', tableVersion],
    ['max_objects', tableLimits.objects],
    ['max_redirects', tableLimits.redirects],
    ['max_recipes', tableLimits.recipes],
    ['max_build_id', tableLimits.buildId],
    ['max_old_size', tableLimits.oldSize],
    ['max_island', tableLimits.islandWords],
    ['branch_fields', tableLimits.branchFields],
    ['way_ftrace', wayNumbers.ftrace],
    ['way_entry', wayNumbers.entry],
    ['recipe_pc_relative', recipePcRelative],
  ]);
  for (const [type, { size, offset }] of Object.entries(tableLayout(word))) {
    expected.set(type, size);
    for (const [member, place] of Object.entries(offset)) expected.set(`${type}.${member}`, place);
  }
  const ofTables = [...told.keys()].filter((name) => !name.startsWith('klp_'));
  for (const name of new Set([...ofTables, ...expected.keys()])) {
    if (told.get(name) === String(expected.get(name))) continue;
    throw reasonError(
      'bug',
      `suture.ko: ${layoutSection}`,
      `${name} is ${told.get(name) ?? 'missing'} in core/include/suture/patch-table.h and ${expected.get(name) ?? 'missing'} in src/kernel/patch-module.ts`,
    );
  }
}
