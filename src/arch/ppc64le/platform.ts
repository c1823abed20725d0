// What Debian, Kbuild and QEMU call this machine.

import type { Platform } from '../arch.ts';
import { assemblyForModule } from './calls-that-may-leave.ts';

export const platform: Platform = {
  name: 'ppc64le',
  debian: { architecture: 'ppc64el', flavour: 'powerpc64le', others: [] },
  kbuild: 'powerpc',
  cross: { prefix: 'powerpc64le-linux-gnu-', packages: ['gcc-powerpc64le-linux-gnu'] },
  fixFlags: [
    // A tail call hands the caller's stack arguments on without a word of code that shows it (stack-arguments.ts), and
    // one that leaves the module overwrites its caller's TOC slot (ftrace-redirect.ts).
    '-fno-optimize-sibling-calls',
    // A function whose cold half stands in a section of its own cannot be read as one run of words.
    '-fno-reorder-blocks-and-partition',
  ],
  sectionedFlags: [
    // The image's code reaches data by offsets from the TOC that the loader of modules relocates without looking whether
    // they fit (arch/powerpc/Makefile, KBUILD_CFLAGS_MODULE).
    '-mcmodel=large',
    // As above, and for the same reasons.
    '-fno-optimize-sibling-calls',
    '-fno-reorder-blocks-and-partition',
  ],
  assemblyForModule,
  image: { prefix: 'vmlinux', payload: 'elf', made: 'vmlinux' },
  qemu: {
    program: 'qemu-system-ppc64',
    package: 'qemu-system-ppc',
    // TCG has none of these capabilities and says so on every start unless they are given up.
    arguments: ['-M', 'pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off', '-cpu', 'power9'],
    memoryMegabytes: 1024,
    console: 'hvc0',
    missesWrittenText: true,
  },
};
