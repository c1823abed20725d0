// Getting a Debian kernel into the cache: what is looked up, downloaded and unpacked, and what is done to its files so
// that they work from there. Which packages of which version it takes is in choose-packages.ts.

import { existsSync } from 'node:fs';
import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { ReasonError, reasonError } from '../reason.ts';
import { type Apt, hostArchitecture, openApt } from './apt.ts';
import { busyboxPaths } from './busybox.ts';
import { buildingFolder, cacheFolder, publish, withLock } from './cache.ts';
import {
  choosePackages,
  headersName,
  isStockRelease,
  type KernelPackages,
  type KernelRequest,
  namesOfParts,
  nearestVersion,
  readRequest,
} from './choose-packages.ts';
import type { DebianPackage } from './debian.ts';
import { findKernel, kernelFolder, rewriteKernelFile, type StoredKernel, writeKernelFile } from './kernel-store.ts';
import { fetchSourceTree } from './source-tree.ts';
import { withTemporaryFolder } from './temporary.ts';

export interface FetchOptions {
  /** Also the source tree of the same version, which kernels of one version share. */
  readonly source?: boolean;
  /** Also the debug package: an unstripped vmlinux, and the modules with debug information. */
  readonly debug?: boolean;
  /** Is told of each step. */
  readonly onProgress?: (text: string) => void;
}

/**
 * Brings a kernel into the cache and returns it. Does nothing for one that is there already with all that is asked for.
 * Throws `usage`, `fetch-failed`, `tool-missing`, `interrupted`.
 */
export async function fetchKernel(request: string, options: FetchOptions = {}): Promise<StoredKernel> {
  const wanted = readRequest(request);
  if (/[\s:"]/.test(cacheFolder())) {
    throw reasonError(
      'usage',
      cacheFolder(),
      'the kernel’s build system takes no path with blanks or colons',
      'set XDG_CACHE_HOME',
    );
  }
  const progress = options.onProgress ?? (() => {});

  // One that is asked for by its exact name needs no lists, and thus no network, when it is there.
  const release = wanted.image?.replace(/^linux-image-/, '');
  const cached = release === undefined ? undefined : await findKernel(release);
  if (cached && (wanted.version ?? cached.version) === cached.version && hasAll(cached, options)) return cached;

  const { apt, platform, packages } = await look(wanted, request, progress);
  return withLock(
    `kernel-${packages.release}`,
    async () => {
      const present = await findKernel(packages.release);
      if (present && present.version !== packages.image.version) {
        throw reasonError(
          'fetch-failed',
          packages.release,
          `the cache has this kernel in version ${present.version}, and the one to fetch is ${packages.image.version}`,
          `\`suture kernel remove ${packages.release}\`, then fetch again; live patches for the old one do not fit`,
        );
      }
      if (!present) await fetchNew(apt, platform, packages, progress);
      return addParts(apt, (await findKernel(packages.release))!, packages, options, progress);
    },
    () => progress(`waiting for another fetch of ${packages.release}`),
  );
}

const sources = 'the sources in /etc/apt decide what can be had';
const unknownLayout =
  'this kernel’s packages are laid out in a way not known yet; `suture kernel import` takes its files one by one';

const hasAll = (kernel: StoredKernel, { source, debug }: FetchOptions): boolean =>
  !(source && kernel.source === undefined) && !(debug && kernel.debug === undefined);

/** Finds out what to fetch from where. */
async function look(wanted: KernelRequest, request: string, progress: (text: string) => void) {
  let refusal: ReasonError | undefined;
  for (const platform of wanted.platforms) {
    const { architecture } = platform.debian;
    progress(`looking up packages for ${architecture}`);
    const apt = openApt(architecture);
    const trouble = await apt.update();
    try {
      return { apt, platform, packages: await choose(apt, wanted, platform, request) };
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      refusal ??= withTrouble(error, trouble);
    }
  }
  throw refusal!;
}

async function choose(apt: Apt, wanted: KernelRequest, platform: Platform, request: string): Promise<KernelPackages> {
  const isRelease = (name: string) => /^linux-image-\d/.test(name);
  let images: DebianPackage[];
  if (wanted.image === undefined) {
    const isStock = (name: string) => isStockRelease(name.slice('linux-image-'.length), platform);
    images = await apt.show(...(await apt.names('linux-image-')).filter(isStock));
  } else {
    images = await apt.show(wanted.image);
    // A package like linux-image-armmp holds nothing and depends on the image of the day.
    if (!isRelease(wanted.image)) images = await apt.show(...images.flatMap((each) => each.depends).filter(isRelease));
  }
  if (wanted.version !== undefined) images = images.filter((each) => each.version === wanted.version);

  const headers = await apt.show(...new Set(images.map((each) => headersName(each.name))));
  const others = headers.flatMap((each) => {
    const names = namesOfParts(each.name.replace('headers', 'image'), each);
    return [names.common, names.source, `linux-image-${names.release}-dbg`];
  });
  return choosePackages([...headers, ...(await apt.show('busybox-static', ...new Set(others)))], images, request);
}

/** A refusal with what apt had to complain about, which may be why. */
function withTrouble(error: ReasonError, trouble: string): ReasonError {
  if (!trouble) return error;
  const [{ code, place, message, remedy }] = error.reasons;
  return reasonError(code, place, `${message}\n${trouble}`, remedy);
}

async function fetchNew(
  apt: Apt,
  platform: Platform,
  packages: KernelPackages,
  progress: (text: string) => void,
): Promise<void> {
  const { release, image, headers, common, busybox } = packages;
  const host = openApt(await hostArchitecture());
  const trouble = await host.update();
  const kbuild = nearestVersion(await host.show(packages.kbuild), image.version);
  if (!kbuild) {
    throw withTrouble(
      reasonError('fetch-failed', packages.kbuild, `not to be had for ${host.architecture}`, sources),
      trouble,
    );
  }

  await publish(kernelFolder(release), async (folder) => {
    await withTemporaryFolder(async (downloads) => {
      await unpackAll(apt, [image, headers, common, busybox], downloads, folder, progress);
      await unpackAll(host, [kbuild], downloads, folder, progress);
    }, buildingFolder());
    const modules = await firstExisting(folder, [`lib/modules/${release}`, `usr/lib/modules/${release}`]);
    const headersFolder = `usr/src/${headers.name}`;
    await detach(join(folder, headersFolder), join(folder, 'usr/src', common.name), join(folder, modules));
    const description = {
      name: release,
      architecture: platform.name,
      version: image.version,
      crossPrefix: platform.cross.prefix,
      image: await firstExisting(folder, [`boot/vmlinuz-${release}`, `boot/vmlinux-${release}`]),
      modules,
      headers: headersFolder,
      config: `boot/config-${release}`,
      kbuild: `usr/lib/${packages.kbuild}`,
      busybox: await firstExisting(folder, busyboxPaths),
    };
    await writeFile(join(folder, 'kernel.json'), writeKernelFile(description, folder));
  });
}

async function unpackAll(
  apt: Apt,
  packages: readonly DebianPackage[],
  downloads: string,
  into: string,
  progress: (text: string) => void,
): Promise<void> {
  for (const each of packages) {
    progress(`fetching ${each.name} ${each.version} (${(each.size / 1e6).toFixed(1)} MB)`);
    await apt.unpack([each], downloads, into);
  }
}

async function firstExisting(folder: string, paths: readonly string[]): Promise<string> {
  const found = paths.find((path) => existsSync(join(folder, path)));
  if (found === undefined) {
    throw reasonError('fetch-failed', paths[0]!, 'the package does not hold this file', unknownLayout);
  }
  return found;
}

/**
 * Makes the headers independent of where they lie: their Makefile includes the common part by an absolute path under
 * /usr/src, and the module folder's links lead there too. (The links to linux-kbuild are relative already.)
 */
async function detach(headers: string, common: string, modules: string): Promise<void> {
  const makefile = join(headers, 'Makefile');
  const text = await readFile(makefile, 'utf8');
  const here = '$(dir $(lastword $(MAKEFILE_LIST)))';
  await writeFile(makefile, text.replace(/\/usr\/src\//g, `${here}../`));
  for (const [name, target] of [
    ['build', headers],
    ['source', common],
  ] as const) {
    const link = join(modules, name);
    await rm(link, { force: true });
    await symlink(relative(modules, target), link);
  }
}

/** Source and debug package, each added to the kernel in one step when it is wanted and not there. */
async function addParts(
  apt: Apt,
  kernel: StoredKernel,
  packages: KernelPackages,
  options: FetchOptions,
  progress: (text: string) => void,
): Promise<StoredKernel> {
  const { folder, ...description } = kernel;
  if (options.source && kernel.source === undefined) {
    const source = await fetchSourceTree(apt, packages.source, progress);
    await rewriteKernelFile(folder, { ...description, source: relative(folder, source) });
  }
  if (options.debug && kernel.debug === undefined) {
    const { debug, release } = packages;
    if (!debug)
      throw reasonError(
        'fetch-failed',
        `linux-image-${release}-dbg`,
        'not to be had in this version',
        `leave out --debug; ${sources}`,
      );
    await publishPart(join(folder, 'debug'), (part, downloads) => unpackAll(apt, [debug], downloads, part, progress));
    const { source } = (await findKernel(kernel.name))!;
    await rewriteKernelFile(folder, {
      ...description,
      source: source === undefined ? source : relative(folder, source),
      debug: 'debug',
      // The image package's own System.map is an empty stand-in.
      systemMap: `debug/usr/lib/debug/boot/System.map-${release}`,
      vmlinux: `debug/usr/lib/debug/boot/vmlinux-${release}`,
    });
  }
  return (await findKernel(kernel.name))!;
}

async function publishPart(entry: string, build: (part: string, downloads: string) => Promise<void>): Promise<void> {
  // Left by a run that was killed between the rename and the new kernel.json.
  await rm(entry, { recursive: true, force: true });
  await publish(entry, (part) => withTemporaryFolder((downloads) => build(part, downloads), buildingFolder()));
}
