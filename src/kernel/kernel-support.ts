// Which kernels Suture can patch, as far as their configuration says.

import { reasonError } from '../reason.ts';

/** Options that must be `y`, and what they are for. */
const needed = [
  ['MODULES', 'a live patch is a module'],
  ['DYNAMIC_FTRACE_WITH_REGS', 'functions are redirected by a hook of ftrace that sets the registers'],
] as const;

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
  const missing = needed.find(([option]) => config.get(option) !== 'y');
  if (missing) {
    const [option, why] = missing;
    throw refuse(`it was built without CONFIG_${option}: ${why}`, 'nothing helps but a kernel that has it');
  }
}
