// Which kernels Suture can patch, as far as their configuration says.

import { reasonError } from '../reason.ts';

/**
 * Throws `kernel-unsupported` for the configuration (config.ts) of a kernel that needs no core, since it has live patching of
 * its own: both would take the same functions. `place` is its name.
 */
export function checkNeedsCore(config: ReadonlyMap<string, string>, place: string): void {
  if (config.get('LIVEPATCH') !== 'y') return;
  throw reasonError(
    'kernel-unsupported',
    place,
    'it has live patching of its own (CONFIG_LIVEPATCH=y), and both would take the same functions',
    '`suture build` and `suture adapt` make modules for the kernel’s own, which are loaded as they are',
  );
}

/** Throws `kernel-unsupported` for the configuration (config.ts) of a kernel that cannot be patched. `place` is its name. */
export function checkKernelSupport(config: ReadonlyMap<string, string>, place: string): void {
  const refuse = (message: string, remedy: string) => reasonError('kernel-unsupported', place, message, remedy);
  if (config.get('MODULES') !== 'y') {
    throw refuse(
      'it was built without CONFIG_MODULES: a live patch is a module',
      'nothing helps but a kernel that has it',
    );
  }
  // core/entry-words.c writes text through a mapping of its pages.
  if (config.get('MMU') !== 'y') {
    throw refuse(
      'it was built without CONFIG_MMU: its code cannot be mapped where it can be written',
      'nothing helps but a processor that has one',
    );
  }
  if (config.get('XIP_KERNEL') === 'y') {
    throw refuse(
      'it was built with CONFIG_XIP_KERNEL: its code is executed where it is stored, and cannot be written',
      'nothing helps but a kernel that is copied to memory',
    );
  }
  // core/dying.c says why.
  if (config.get('TRACEPOINTS') !== 'y' && config.get('PREEMPTION') === 'y') {
    throw refuse(
      'it was built without CONFIG_TRACEPOINTS and with CONFIG_PREEMPTION: a task that dies may be interrupted where nobody sees it',
      'nothing helps but a kernel that has tracepoints, or does not preempt itself',
    );
  }
}
