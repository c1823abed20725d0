// The platforms that kernels are fetched for.

import type { Platform } from '../arch/arch.ts';

type HostPlatform = Pick<Platform, 'name' | 'debian' | 'cross'> & {
  qemu: Pick<Platform['qemu'], 'program' | 'package'>;
};

export const platforms: readonly HostPlatform[] = [
  {
    name: 'arm',
    debian: { architecture: 'armhf', flavour: 'armmp' },
    cross: { prefix: 'arm-linux-gnueabihf-', packages: ['gcc-arm-linux-gnueabihf'] },
    qemu: { program: 'qemu-system-arm', package: 'qemu-system-arm' },
  },
  {
    name: 'ppc64le',
    debian: { architecture: 'ppc64el', flavour: 'powerpc64le' },
    cross: { prefix: 'powerpc64le-linux-gnu-', packages: ['gcc-powerpc64le-linux-gnu'] },
    qemu: { program: 'qemu-system-ppc64', package: 'qemu-system-ppc' },
  },
];
