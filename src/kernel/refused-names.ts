// Functions that are refused for what they are, which their names tell.

import { type ReasonError, reasonError } from '../reason.ts';

/**
 * Functions of which the core could never see that all tasks have left them: it does not look at some tasks, or always
 * finds one inside. core/never-left.c has the same list with the reason for each, and refuses them by itself.
 */
export const neverLeft: readonly string[] = [
  '__schedule',
  'schedule',
  'schedule_idle',
  '__switch_to',
  'rest_init',
  'start_secondary',
  'secondary_start_kernel',
  'cpu_startup_entry',
  'do_idle',
  'arch_cpu_idle_dead',
  'pseries_cpu_offline_self',
  'kthread',
  'smpboot_thread_fn',
  'cpu_stopper_thread',
  'multi_cpu_stop',
  'worker_thread',
  'process_one_work',
  'do_exit',
  'exit_notify',
  'release_task',
  'do_task_dead',
  'blocking_notifier_call_chain',
  'notifier_call_chain',
];

/** What gcc calls a specialised, split off or rarely executed part of a function. */
const compilerMade = /\.(isra|constprop|part|cold|lto_priv)(\.|$)/;

/**
 * Why no function of this name can be replaced: `never-left`, `compiler-made-copy`; undefined if its name tells nothing. The
 * arguments of a copy are known where the compiler made the new function as it made the old one.
 */
export function refusalByName(name: string, isSameCopy = false): ReasonError | undefined {
  // gcc's .isra.0 and the like.
  if (neverLeft.includes(name.replace(/\..*$/, ''))) {
    return reasonError(
      'never-left',
      name,
      'some task may always be inside it, unseen, so a patch of it could never take effect',
      'patch functions that it calls instead',
    );
  }
  if (!isSameCopy && compilerMade.test(name)) {
    return reasonError(
      'compiler-made-copy',
      name,
      'gcc made this copy for itself; its arguments need not be those of the source, and nothing says which are left',
      'patch the functions that call it instead',
    );
  }
  return undefined;
}
