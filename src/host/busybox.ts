// The busybox for a kernel that comes without one: an imported kernel's guests run Debian's.

import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { ReasonError } from '../reason.ts';
import { openApt } from './apt.ts';
import { buildingFolder } from './cache.ts';
import { compareVersions } from './debian.ts';
import { listKernels } from './kernel-store.ts';
import { withTemporaryFolder } from './temporary.ts';

/** Where the package has it, before and after Debian's move of /bin into /usr. */
export const busyboxPaths = ['bin/busybox', 'usr/bin/busybox'] as const;

/**
 * Copies a static busybox for the platform to `file`: that of another kernel in the cache, else the package's. Returns
 * whether there was one; without it a kernel can be patched, but not rehearsed on.
 */
export async function copyBusybox(platform: Platform, file: string): Promise<boolean> {
  const others = await listKernels();
  const other = others.find((kernel) => kernel.architecture === platform.name && kernel.busybox !== undefined);
  if (other?.busybox !== undefined) {
    await copyFile(other.busybox, file);
    return true;
  }
  try {
    return await downloadBusybox(platform, file);
  } catch (error) {
    if (error instanceof ReasonError) return false;
    throw error;
  }
}

async function downloadBusybox(platform: Platform, file: string): Promise<boolean> {
  const apt = openApt(platform.debian.architecture);
  await apt.update();
  const versions = await apt.show('busybox-static');
  const newest = versions.sort((a, b) => compareVersions(b.version, a.version))[0];
  if (!newest) return false;
  return withTemporaryFolder(async (folder) => {
    await apt.unpack([newest], folder, folder);
    const found = busyboxPaths.map((path) => join(folder, path)).find((path) => existsSync(path));
    if (found !== undefined) await copyFile(found, file);
    return found !== undefined;
  }, buildingFolder());
}
