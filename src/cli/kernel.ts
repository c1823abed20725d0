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
    .argument(
      '<what>',
      `${debianNames} for the newest, a kernel’s name (6.1.0-50-armmp), or linux-image-RELEASE[:ARCH][=VERSION]`,
    )
    .option('--source', 'also its source tree (140 MB to fetch, 1.5 GB unpacked; kernels of one version share it)')
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
      act(async (context) => {
        const kernels = await listKernels();
        if (kernels.length === 0) {
          context.remark(`no kernel is in the cache; \`suture kernel fetch ARCHITECTURE\` gets one: ${debianNames}`);
        }
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
        return { result, text: columns(rowsOf(result)) };
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
function describeKernel({ stored, arch, image, callSites, selfModified, abi }: LoadedKernel) {
  const { vermagic, modversions, structModuleSize, nameOffset, initOffset, exitOffset } = abi;
  return {
    ...stored,
    /** Of which instruction set its code is, where that is not the same for all kernels of the architecture. */
    code: arch.codeName,
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

/** The same for people: a label and what it is, without what is not there. */
function rowsOf(kernel: ReturnType<typeof describeKernel>): string[][] {
  const { moduleAbi: abi } = kernel;
  const rows: [string, string | number | undefined][] = [
    ['kernel', kernel.name],
    ['architecture', kernel.architecture],
    ['code', kernel.code],
    ['package version', kernel.version || 'none: imported'],
    ['release', kernel.release],
    ['banner', kernel.banner],
    ['build id', Buffer.from(kernel.buildId).toString('hex')],
    ['image', kernel.image],
    ['modules', kernel.modules],
    ['headers', kernel.headers],
    ['configuration', kernel.config],
    ['build tools', kernel.kbuild],
    ['source', kernel.source],
    ['System.map', kernel.systemMap],
    ['vmlinux', kernel.vmlinux],
    ['debug package', kernel.debug],
    ['busybox', kernel.busybox],
    ['cross tools', `${kernel.crossPrefix}…`],
    ['unpacked image', `${kernel.imageSize} bytes at 0x${kernel.base.toString(16)}`],
    ['symbols', `${kernel.kallsyms} in kallsyms, ${kernel.symbols} in a symbol table of the image`],
    ['exported symbols', kernel.exports],
    ['ftrace call sites', kernel.callSites],
    ['words that it rewrites itself', kernel.selfModifiedWords],
    ['not known about them', kernel.selfModifiedUnknown.join('; ')],
    ['vermagic of modules', abi.vermagic.trim()],
    ['symbol versions', abi.modversions ? 'yes' : 'no'],
    [
      'struct module',
      `${abi.structModuleSize} bytes; name at ${abi.nameOffset}, init at ${abi.initOffset}, exit at ${abi.exitOffset}`,
    ],
    ['sections that its loader asks for', abi.requiredSections.join(', ')],
  ];
  return rows.flatMap(([label, value]) => (value === undefined || value === '' ? [] : [[label, String(value)]]));
}
