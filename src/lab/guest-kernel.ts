// What a guest is booted from.

import type { Platform } from '../arch/arch.ts';
import { architectureByName } from '../arch/architectures.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { reasonError } from '../reason.ts';

export interface GuestKernel {
  readonly platform: Platform;
  /** Path of the kernel image as shipped. */
  readonly image: string;
  /** Path of a static busybox of the guest's architecture. */
  readonly busybox: string;
}

/** What the lab needs of a kernel in the cache. Throws `kernel-incomplete` if it came without a busybox. */
export function guestKernel({ name, architecture, image, busybox }: StoredKernel): GuestKernel {
  if (busybox === undefined) {
    throw reasonError('kernel-incomplete', name, 'no busybox for its guests is in the cache', 'fetch the kernel again');
  }
  return { platform: architectureByName(architecture)!.platform, image, busybox };
}
