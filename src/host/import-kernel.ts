// Bringing a kernel into the cache that no package holds: one that the user built, or that came with a device.
//
// Files (image, configuration, System.map, vmlinux) are copied: they tell which kernel it is, and live patches depend
// on them staying as they are. Folders (modules, headers, source) are referred to where they are: a build tree refers
// to itself by absolute paths, and may be many gigabytes.

import { constants, existsSync } from 'node:fs';
import { copyFile, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { architectures } from '../arch/architectures.ts';
import { type KernelImage, readKernelImage } from '../kernel/image.ts';
import { ReasonError, reasonError } from '../reason.ts';
import { copyBusybox } from './busybox.ts';
import { publish, withLock } from './cache.ts';
import { cannotRead, readInput } from './files.ts';
import { checkKernelName, findKernel, kernelFolder, type StoredKernel, writeKernelFile } from './kernel-store.ts';
import { readCompanions } from './read-kernel.ts';

export interface ImportOptions {
  readonly name: string;
  /** The image as booted. */
  readonly image: string;
  /** The folder `lib/modules/RELEASE`. */
  readonly modules: string;
  /** A folder that external modules can be built against: prepared headers or a build tree. */
  readonly headers: string;
  readonly source?: string;
  readonly systemMap?: string;
  readonly vmlinux?: string;
  /** `HEADERS/.config` if left out. */
  readonly config?: string;
  /** A static busybox for its guests; Debian's if left out, and none if that cannot be had. */
  readonly busybox?: string;
  /** What the cross tools' names begin with; the platform's own prefix if left out. */
  readonly cross?: string;
}

/**
 * Puts a kernel into the cache and returns it.
 * Throws `usage` for a name that is taken, `file-missing`, what the image's reader says of an unreadable image, and
 * `wrong-kernel` for headers, a System.map or a vmlinux of another build.
 */
export async function importKernel(options: ImportOptions): Promise<StoredKernel> {
  const { name } = options;
  checkKernelName(name);
  const files = {
    image: resolve(options.image),
    config: resolve(options.config ?? join(options.headers, '.config')),
    ...(options.systemMap === undefined ? {} : { systemMap: resolve(options.systemMap) }),
    ...(options.vmlinux === undefined ? {} : { vmlinux: resolve(options.vmlinux) }),
    ...(options.busybox === undefined ? {} : { busybox: resolve(options.busybox) }),
  };
  const folders = {
    modules: resolve(options.modules),
    headers: resolve(options.headers),
    ...(options.source === undefined ? {} : { source: resolve(options.source) }),
  };
  for (const path of Object.values(files)) await checkIs(path, 'file');
  for (const path of Object.values(folders)) await checkIs(path, 'folder');
  if (!existsSync(join(folders.headers, 'Makefile'))) {
    throw reasonError(
      'file-missing',
      join(folders.headers, 'Makefile'),
      'nothing can be built against this folder',
      'name the folder that `make -C FOLDER M=… modules` works with; for a build tree, run `make modules_prepare` in it',
    );
  }
  const { platform, image } = await readImage(await readInput(files.image), files.image);
  await readCompanions({ ...files, ...folders }, image, readInput);

  return withLock(`kernel-${name}`, async () => {
    if (await findKernel(name)) {
      throw reasonError('usage', name, 'the cache has a kernel of this name', `\`suture kernel remove ${name}\` first`);
    }
    await publish(kernelFolder(name), async (folder) => {
      const copies: Record<string, string> = {};
      for (const [part, path] of Object.entries(files)) {
        // The part's name keeps apart two files of one name from different folders.
        copies[part] = `${part}-${basename(path)}`;
        await copyFile(path, join(folder, copies[part]), constants.COPYFILE_FICLONE);
      }
      if (copies.busybox === undefined && (await copyBusybox(platform, join(folder, 'busybox'))))
        copies.busybox = 'busybox';
      const { config, ...others } = copies as { image: string; config: string };
      const crossPrefix = options.cross ?? platform.cross.prefix;
      const kernel = {
        name,
        architecture: platform.name,
        version: '',
        crossPrefix,
        ...folders,
        config,
        ...others,
      };
      await writeFile(join(folder, 'kernel.json'), writeKernelFile(kernel, folder));
    });
    return (await findKernel(name))!;
  });
}

/** Reads an image of whatever platform it is for. Throws what each of them says against it if none knows it. */
async function readImage(bytes: Uint8Array, name: string): Promise<{ platform: Platform; image: KernelImage }> {
  const refusals: ReasonError[] = [];
  for (const architecture of architectures) {
    try {
      return { platform: architecture.platform, image: await readKernelImage(bytes, name, architecture) };
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      refusals.push(error);
    }
  }
  const said = architectures.map(({ platform }, i) => `as one of ${platform.name}: ${refusals[i]!.reasons[0].message}`);
  throw reasonError('image-unreadable', name, said.join('; '), 'name the image that the boot loader loads');
}

async function checkIs(path: string, what: 'file' | 'folder'): Promise<void> {
  try {
    const found = await stat(path);
    if (what === 'file' ? found.isFile() : found.isDirectory()) return;
  } catch (error) {
    throw cannotRead(path, error);
  }
  throw reasonError('file-missing', path, `it is not a ${what}`, `name the ${what} that is meant`);
}
