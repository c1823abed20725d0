// suture kernel: the kernels in the cache.

import { architectures } from '../arch/architectures.ts';
import { fetchKernel } from '../host/fetch-kernel.ts';
import { type ImportOptions, importKernel } from '../host/import-kernel.ts';
import { listKernels, removeKernel, type StoredKernel } from '../host/kernel-store.ts';
import { type LoadedKernel, loadKernel } from '../host/read-kernel.ts';
import type { Addition } from './command.ts';
import { columns } from './output.ts';

const debianNames = architectures.map(({ platform }) => platform.debian.architecture).join(' or ');

export const kernelCommands: Addition = (program, act) => {
  const kernel = program.command('kernel').description('bring kernels into the cache, and see what is there');

  kernel
    .command('fetch')
    .description('get a Debian kernel (image, headers, build tools); nothing is installed on this machine')
    .argument('<what>', `${debianNames} for the newest, or PACKAGE[:ARCH][=VERSION]`)
    .option('--source', 'also its source tree (140 MB to fetch, 1.5 GB unpacked)')
    .option('--debug', 'also its debug package (600 MB to fetch, 2.8 GB unpacked)')
    .action(
      act(async (context, what: string, options: { source?: boolean; debug?: boolean }) => {
        const found = await fetchKernel(what, { ...options, onProgress: context.progress });
        context.kernel = found.name;
        return { result: found, text: found.name };
      }),
    );

  kernel
    .command('import')
    .description('the same for any kernel: files are copied, folders are referred to where they are')
    .requiredOption('--name <name>', 'what to call it')
    .requiredOption('--image <file>', 'the image as booted: a zImage, or an ELF vmlinux')
    .requiredOption('--modules <folder>', 'its modules, lib/modules/RELEASE')
    .requiredOption('--headers <folder>', 'what external modules are built against')
    .option('--source <folder>', 'its source tree')
    .option('--system-map <file>', 'a complete System.map')
    .option('--vmlinux <file>', 'its vmlinux with a symbol table')
    .option('--config <file>', 'its configuration; HEADERS/.config if left out')
    .option('--busybox <file>', 'a static busybox for its guests; Debian’s if left out')
    .option('--cross <prefix>', 'what the names of the cross tools begin with')
    .action(
      act(async (context, options: ImportOptions) => {
        context.kernel = options.name;
        const found = await importKernel(options);
        return { result: found, text: found.name };
      }),
    );

  kernel
    .command('list')
    .description('the kernels in the cache')
    .action(
      act(async () => {
        const kernels = await listKernels();
        return { result: { kernels }, text: columns(kernels.map(row)) };
      }),
    );

  kernel
    .command('show')
    .description('what is known of a kernel: its parts, and what its image and modules tell')
    .argument('<name>')
    .action(
      act(async (context, name: string) => {
        context.kernel = name;
        const result = describeKernel(await loadKernel(name));
        return { result, text: columns(Object.entries(result).flatMap(lines)) };
      }),
    );

  kernel
    .command('remove')
    .description('remove a kernel from the cache')
    .argument('<name>')
    .action(
      act(async (context, name: string) => {
        context.kernel = name;
        await removeKernel(name);
        return { result: { removed: name }, text: '' };
      }),
    );
};

const row = (kernel: StoredKernel): string[] => [
  kernel.name,
  kernel.architecture,
  kernel.version || 'imported',
  ['source', 'debug'].filter((part) => part in kernel).join(', '),
];

/** What a kernel tells: the result of `kernel show`. */
function describeKernel({ stored, image, callSites, selfModified, abi }: LoadedKernel) {
  const { vermagic, modversions, structModuleSize, nameOffset, initOffset, exitOffset } = abi;
  return {
    ...stored,
    release: image.release,
    banner: image.banner.trim(),
    buildId: image.buildId.bytes,
    base: image.base,
    imageSize: image.size,
    kallsyms: image.kallsyms.length,
    /** Of the image's own symbol table, which an image without section headers lacks. */
    symbols: image.symbolTable.length,
    exports: image.exports.size,
    callSites: callSites.length,
    selfModifiedWords: selfModified.words.length,
    /** What about them could not be found out. */
    selfModifiedUnknown: selfModified.unknown,
    moduleAbi: {
      vermagic,
      modversions,
      structModuleSize,
      nameOffset,
      initOffset,
      exitOffset,
      requiredSections: abi.requiredSections.map((section) => section.name),
    },
  };
}

/** A value as lines of a name and a text; a group of values under its members' own names. */
function lines([name, value]: [string, unknown]): string[][] {
  if (value instanceof Uint8Array) return [[name, Buffer.from(value).toString('hex')]];
  if (typeof value === 'bigint') return [[name, `0x${value.toString(16)}`]];
  if (Array.isArray(value)) return value.length > 0 ? [[name, value.join('; ')]] : [];
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(lines);
  return value === '' || value === undefined ? [] : [[name, String(value)]];
}
