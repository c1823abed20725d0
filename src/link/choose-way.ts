// Which way a patch's functions are redirected when the user leaves it to us; docs/ways.md has the evidence.

import type { CallSite } from '../arch/arch.ts';
import type { Way } from '../kernel/patch-module.ts';

/** What a user may ask for. */
export type WantedWay = Way | 'auto';

/**
 * The ftrace way on a kernel that has call sites: there a task that sleeps inside an old function holds back itself only. Else the
 * entry way, which needs none.
 */
export function chooseWay({ callSites }: { readonly callSites: readonly CallSite[] }, wanted: WantedWay = 'auto'): Way {
  if (wanted !== 'auto') return wanted;
  return callSites.length > 0 ? 'ftrace' : 'entry';
}
