// A kernel of a recipe, configured and built from Debian's own source package, and put into the cache beside those that are
// fetched. Two words of a recipe make another kernel: with frame pointers, in Thumb code, without function tracing.
//
// The source tree is the one that the stock kernel of the architecture was built from, and is only read (`make O=`).
// What the kernel's build needs of this machine (flex, bison, m4, bc) is fetched for the build and not installed.
//
//   kernels/NAME/
//     boot/               the image as it is booted, its configuration, and vmlinux with its symbol table
//     lib/modules/RELEASE
//     build/              what is left of the object tree: what modules are built against
//     busybox

import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join, relative } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { architectureByName, architectures } from '../arch/architectures.ts';
import { hostArchitecture, openApt } from '../host/apt.ts';
import { copyBusybox } from '../host/busybox.ts';
import { buildingFolder, withLock } from '../host/cache.ts';
import { newestFirst } from '../host/choose-packages.ts';
import { fetchKernel } from '../host/fetch-kernel.ts';
import { filesBelow } from '../host/files.ts';
import { findKernel, kernelFolder, kernelsFolder, type StoredKernel, writeKernelFile } from '../host/kernel-store.ts';
import { run } from '../host/run.ts';
import { stockKernel } from '../host/stock-kernel.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { reasonError } from '../reason.ts';
import { buildEnvironment, checkPath } from './kbuild.ts';
import { checkConfiguration, type KernelRecipe } from './kernel-recipe.ts';

/** Packages for this machine that a whole kernel's build runs, with the libraries that Debian's minimal system lacks. */
const hostPackages = ['bc', 'bison', 'flex', 'libreadline8', 'libsigsegv2', 'm4'];

/** When, by whom and where a kernel was built is nothing that its tests should depend on. */
const sameEveryTime = {
  KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970',
  KBUILD_BUILD_USER: 'suture',
  KBUILD_BUILD_HOST: 'suture',
  KBUILD_BUILD_VERSION: '1',
};

/** Seconds. Ten minutes on two quiet processors; they may be anything but quiet. */
const longestBuild = 4 * 3600;

/**
 * Builds a kernel and returns it; one that the cache has under the recipe's name is returned as it is.
 * Throws `fetch-failed`, `tool-missing`, `tool-failed`, `usage` for an unknown architecture and for a cache in a place that make
 * cannot work in, and `not-configured` if an option of the recipe does not come out.
 */
export async function buildKernel(recipe: KernelRecipe, progress: (text: string) => void): Promise<StoredKernel> {
  const { name } = recipe;
  const platform = architectureByName(recipe.architecture)?.platform;
  if (!platform) {
    const known = architectures.map((each) => each.platform.name).join(', ');
    throw reasonError('usage', name, `no architecture is called ${recipe.architecture}`, `name one of ${known}`);
  }
  checkPath(buildingFolder(), 'set XDG_CACHE_HOME');
  return withLock(
    `kernel-${name}`,
    async () => {
      const present = await findKernel(name);
      if (present) return present;
      const stock = await stockKernel(platform, progress);
      const { source } = await fetchKernel(stock.name, { source: true, onProgress: progress });
      await withTemporaryFolder(async (tools) => {
        const environment = await fetchBuildTools(tools, progress);
        // Kept when the build fails or is interrupted: make goes on where it stopped.
        const folder = join(buildingFolder(), `kernel-${name}`);
        await build({ recipe, platform, source: source!, folder, environment, progress });
        await mkdir(kernelsFolder(), { recursive: true });
        await rename(folder, kernelFolder(name));
      }, buildingFolder());
      return (await findKernel(name))!;
    },
    () => progress(`waiting for another build of ${name}`),
  );
}

/** Unpacks them below a folder, and returns the environment in which they are found and find each other. */
async function fetchBuildTools(folder: string, progress: (text: string) => void) {
  const apt = openApt(await hostArchitecture());
  const trouble = await apt.update();
  const available = await apt.show(...hostPackages);
  const wanted = hostPackages.map((name) => {
    const [found] = newestFirst(available.filter((each) => each.name === name));
    if (!found) throw reasonError('fetch-failed', name, `not to be had for ${apt.architecture}\n${trouble}`.trim());
    return found;
  });
  progress(`fetching ${hostPackages.join(', ')}`);
  await withTemporaryFolder((downloads) => apt.unpack(wanted, downloads, folder), buildingFolder());
  const triplet = (await run('cc', ['-print-multiarch'])).stdout.trim();
  const libraries = ['lib', 'usr/lib'].map((each) => join(folder, each, triplet));
  return {
    PATH: `${join(folder, 'usr/bin')}:${process.env.PATH}`,
    LD_LIBRARY_PATH: libraries.join(':'),
    // Where bison has its skeletons, and which m4 both run: they were made for /usr.
    BISON_PKGDATADIR: join(folder, 'usr/share/bison'),
    M4: join(folder, 'usr/bin/m4'),
  };
}

interface Building {
  readonly recipe: KernelRecipe;
  readonly platform: Platform;
  readonly source: string;
  /** The entry in the making. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly progress: (text: string) => void;
}

async function build(building: Building): Promise<void> {
  const { recipe, platform, source, folder, progress } = building;
  const tree = join(folder, 'build');
  await mkdir(join(folder, 'boot'), { recursive: true });
  await mkdir(tree, { recursive: true });
  progress(`configuring ${recipe.name}`);
  await configure(building, tree);
  progress(`compiling ${recipe.name}: about 900 files`);
  const { made } = platform.image;
  await make(building, tree, [basename(made), 'modules']);
  await make(building, tree, ['modules_install', `INSTALL_MOD_PATH=${folder}`, 'DEPMOD=true']);

  const release = (await readFile(join(tree, 'include/config/kernel.release'), 'utf8')).trim();
  const modules = `lib/modules/${release}`;
  // They lead to the folder that the entry is made in.
  for (const link of ['build', 'source']) await rm(join(folder, modules, link), { force: true });
  const parts = {
    image: `boot/${platform.image.prefix}-${release}`,
    config: `boot/config-${release}`,
    vmlinux: `boot/vmlinux-${release}`,
  };
  await copyFile(join(tree, made), join(folder, parts.image));
  await copyFile(join(tree, '.config'), join(folder, parts.config));
  if (parts.vmlinux !== parts.image) await copyFile(join(tree, 'vmlinux'), join(folder, parts.vmlinux));
  await keepForModules(tree, source, join(kernelFolder(recipe.name), 'build'));
  const hasBusybox = await copyBusybox(platform, join(folder, 'busybox'));
  const description = {
    name: recipe.name,
    architecture: platform.name,
    // It is no package's.
    version: '',
    crossPrefix: platform.cross.prefix,
    modules,
    headers: 'build',
    source: relative(kernelFolder(recipe.name), source),
    ...parts,
    ...(hasBusybox ? { busybox: 'busybox' } : {}),
  };
  await writeFile(join(folder, 'kernel.json'), writeKernelFile(description, folder));
}

async function configure(building: Building, tree: string): Promise<void> {
  const { recipe } = building;
  const wanted = join(tree, 'recipe.config');
  await writeFile(wanted, recipe.config);
  await make(building, tree, [`KCONFIG_ALLCONFIG=${wanted}`, 'allnoconfig']);
  checkConfiguration(recipe, await readFile(join(tree, '.config'), 'utf8'));
}

/** The kernel's make, at the lowest priority: whoever works on this machine meanwhile comes first. */
async function make({ platform, source, environment }: Building, tree: string, words: readonly string[]) {
  await run(
    'nice',
    [
      ...['-n', '19', 'make', '--silent', `--jobs=${cpus().length}`, '-C', source, `O=${tree}`],
      ...[`ARCH=${platform.kbuild}`, `CROSS_COMPILE=${platform.cross.prefix}`, ...words],
    ],
    { timeout: longestBuild, env: { ...buildEnvironment, ...sameEveryTime, ...environment } },
  );
}

/** What building a module does not look at. */
const notForModules = /\.(o|a|cmd|ko|mod|mod\.c|order)$|(^|\/)(\.?vmlinux|\.tmp_|System\.map|Image$|zImage$|piggy)/;

/** Leaves of an object tree what modules are built against; `place` is where it will be in the end. */
async function keepForModules(tree: string, source: string, place: string): Promise<void> {
  for (const file of await filesBelow(tree)) {
    if (notForModules.test(file) && !file.startsWith('scripts/')) await rm(join(tree, file));
  }
  await removeEmptyFolders(tree);
  await rm(join(tree, 'source'), { force: true });
  const here = '$(dir $(lastword $(MAKEFILE_LIST)))';
  await writeFile(join(tree, 'Makefile'), `include ${here}${relative(place, source)}/Makefile\n`);
}

async function removeEmptyFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    await removeEmptyFolders(join(folder, entry.name));
    if ((await readdir(join(folder, entry.name))).length === 0) await rm(join(folder, entry.name), { recursive: true });
  }
}
