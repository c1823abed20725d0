// What Debian, Kbuild and QEMU call this machine.

import type { Platform } from '../arch.ts';

/**
 * gcc's option that has addresses stand as words of data beside the code. Where data of a module is, shows when that comes, and
 * what movw and movt of Thumb-2 code hold lies in more pieces than the core puts a value into (struct suture_recipe).
 */
export const wholeAddresses = '-mword-relocations';

export const platform: Platform = {
  name: 'arm',
  debian: { architecture: 'armhf', flavour: 'armmp', others: ['armel'] },
  kbuild: 'arm',
  cross: { prefix: 'arm-linux-gnueabihf-', packages: ['gcc-arm-linux-gnueabihf'] },
  // The kernel's own flags do.
  fixFlags: [],
  sectionedFlags: [],
  // In a file of a module: what it refers to may be its module's data.
  flagsForFile: (words) => (words.includes('-mthumb') && words.includes('-DMODULE') ? [wholeAddresses] : []),
  image: { prefix: 'vmlinuz', payload: 'zimage', made: 'arch/arm/boot/zImage' },
  qemu: {
    program: 'qemu-system-arm',
    package: 'qemu-system-arm',
    // Without LPAE, a kernel cannot reach the PCI bus above 4 GB, where `virt` puts it by default.
    arguments: ['-M', 'virt,highmem=off', '-cpu', 'cortex-a15'],
    memoryMegabytes: 512,
    console: 'ttyAMA0',
  },
};
