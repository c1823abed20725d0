// Which way a patch's functions are redirected when the user leaves it to us; docs/ways.md has the evidence.

import type { Kernel } from '../kernel/kernel.ts';
import type { Way } from '../kernel/patch-module.ts';
import { reasonError } from '../reason.ts';
import { hasLivepatch } from './link-for-livepatch.ts';
import { hasFtraceWay } from './redirects.ts';

/** What a user may ask for. */
export type WantedWay = Way | 'auto';

/**
 * The ftrace way on a kernel that has call sites: there a task that sleeps inside an old function holds back itself only. Else the
 * entry way, which needs none. A kernel with live patching of its own knows the ftrace way alone. Throws `way-missing`.
 */
export function chooseWay(kernel: Pick<Kernel, 'arch' | 'callSites' | 'image'>, wanted: WantedWay = 'auto'): Way {
  const { arch, image } = kernel;
  const hasFtrace = hasFtraceWay(kernel);
  if (wanted === 'entry' && hasLivepatch(image)) {
    throw reasonError(
      'way-missing',
      '--way entry',
      'the kernel has live patching of its own, which redirects functions through ftrace',
      'leave --way out',
    );
  }
  if (wanted === 'ftrace' && arch.withoutFtraceWay !== undefined) {
    throw reasonError('way-missing', '--way ftrace', arch.withoutFtraceWay, 'take --way entry, or leave --way out');
  }
  if (wanted === 'ftrace' && !hasFtrace) {
    throw reasonError(
      'way-missing',
      '--way ftrace',
      'the kernel has no hook of ftrace that sets registers, or no calls of it',
      'leave --way out',
    );
  }
  if (wanted !== 'auto') return wanted;
  return hasFtrace ? 'ftrace' : 'entry';
}
