// What Debian, Kbuild and QEMU call this machine.

import type { Platform } from '../arch.ts';

export const platform: Platform = {
  name: 'arm',
  debian: { architecture: 'armhf', flavour: 'armmp', others: ['armel'] },
  kbuild: 'arm',
  cross: { prefix: 'arm-linux-gnueabihf-', packages: ['gcc-arm-linux-gnueabihf'] },
  // The kernel's own flags do.
  fixFlags: [],
  sectionedFlags: [],
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
