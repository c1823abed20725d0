// Mainline's own livepatch selftests and samples, as the kernel's source package has them, kept with the kernel in the
// cache. Only those folders: the package is 139 MB and unpacks to 1.5 GB, of which they are 200 kB.

import { existsSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { architectureByName } from '../arch/architectures.ts';
import { reasonError } from '../reason.ts';
import { openApt } from './apt.ts';
import { publish, withLock } from './cache.ts';
import { namesOfParts } from './choose-packages.ts';
import type { StoredKernel } from './kernel-store.ts';
import { run } from './run.ts';
import { withSourceArchive } from './source-tree.ts';

/** The folders of a kernel's source tree that are taken. */
export const selftestFolders = {
  scripts: 'tools/testing/selftests/livepatch',
  modules: 'lib/livepatch',
  samples: 'samples/livepatch',
} as const;

export type SelftestSources = Readonly<Record<keyof typeof selftestFolders, string>>;

/**
 * Where the selftests of a kernel are, absolute paths; fetched unless they are in the cache. Throws `fetch-failed` if the
 * source package is not to be had in the kernel's version, `kernel-incomplete` for an imported kernel without source.
 */
export async function selftestSources(
  kernel: StoredKernel,
  progress: (text: string) => void = () => {},
): Promise<SelftestSources> {
  const entry = join(kernel.folder, 'selftests');
  if (!existsSync(entry)) {
    await withLock(`selftests-${kernel.name}`, async () => {
      if (!existsSync(entry)) await publish(entry, (folder) => take(kernel, folder, progress));
    });
  }
  const { scripts, modules, samples } = selftestFolders;
  return { scripts: join(entry, scripts), modules: join(entry, modules), samples: join(entry, samples) };
}

async function take(kernel: StoredKernel, into: string, progress: (text: string) => void): Promise<void> {
  const folders = Object.values(selftestFolders);
  if (kernel.source !== undefined) {
    for (const folder of folders) await cp(join(kernel.source, folder), join(into, folder), { recursive: true });
    return;
  }
  if (kernel.version === '') {
    throw reasonError('kernel-incomplete', kernel.name, 'imported without its source', 'import it with --source');
  }
  const apt = openApt(architectureByName(kernel.architecture)!.platform.debian.architecture);
  const { source: name } = namesOfParts(`linux-image-${kernel.name}`, undefined);
  const trouble = await apt.update();
  const found = (await apt.show(name)).find((each) => each.version === kernel.version);
  if (!found) throw reasonError('fetch-failed', name, `not to be had in version ${kernel.version}\n${trouble}`.trim());
  await withSourceArchive(apt, found, progress, async (archive) => {
    const top = basename(archive, '.tar.xz');
    const members = folders.map((folder) => `${top}/${folder}`);
    await run('tar', ['-x', '-f', archive, '--strip-components=1', '-C', into, ...members]);
  });
}
