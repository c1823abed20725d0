// Functions of a kernel, each with the redirect that `build` would make of it, and what a proof says of that.

import type { LinkAddress } from '../elf/units.ts';
import { isInitMemory } from '../kernel/init-memory.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Way } from '../kernel/patch-module.ts';
import { enteredFunctions, linkFunctions, type TracedFunction, tracedFunctions } from '../link/link-whole-kernel.ts';
import type { Prover } from '../prove/prove-module.ts';
import type { Verdict } from '../prove/redirect.ts';
import type { Reason, ReasonCode } from '../reason.ts';
import { reasonsAgainst } from './describe-proof.ts';

/** `code` is `proven`, or why there is no redirect that is. */
export interface JudgedFunction extends TracedFunction {
  readonly code: 'proven' | ReasonCode;
  readonly reasons: readonly Reason[];
  /** Undefined where no redirect can be made. */
  readonly verdict?: Verdict;
}

/** All that a kernel has to redirect in one way. */
export const allFunctions = (kernel: Kernel, way: Way): TracedFunction[] =>
  way === 'entry' ? enteredFunctions(kernel) : tracedFunctions(kernel);

/** Links and proves. `progress` is told how many functions are done. The result is in the order of `functions`. */
export function proveFunctions(
  kernel: Kernel,
  prover: Prover,
  functions: readonly TracedFunction[],
  progress: (done: number) => void,
  way: Way = 'ftrace',
): JudgedFunction[] {
  const judged = new Map<TracedFunction, JudgedFunction>();
  for (const { bytes, linked, refused } of linkFunctions(kernel, functions, way)) {
    for (const { function: each, reasons } of refused) {
      judged.set(each, { ...each, code: reasons[0]!.code, reasons });
    }
    if (linked.length > 0) {
      const byAddress = new Map(linked.map((each) => [each.address, each]));
      for (const { oldAddress, verdict } of prover.proveModule(bytes, 'every function')) {
        const each = byAddress.get(oldAddress)!;
        const reasons = reasonsAgainst(each.name, verdict);
        const { name, address, site } = each;
        judged.set(each, { name, address, site, code: reasons[0]?.code ?? 'proven', reasons, verdict });
      }
    }
    progress(judged.size);
  }
  return functions.flatMap((each) => judged.get(each) ?? []);
}

/** Whether the kernel has given the memory at an address back once it runs. */
export const isGone = ({ image }: Kernel, address: LinkAddress): boolean =>
  isInitMemory(address, (name) => image.symbol(name));

/** How many have each code, the most frequent first. */
export function countCodes(
  judged: readonly { readonly code: 'proven' | ReasonCode }[],
): Map<JudgedFunction['code'], number> {
  const counts = new Map<JudgedFunction['code'], number>();
  for (const { code } of judged) counts.set(code, (counts.get(code) ?? 0) + 1);
  return new Map([...counts].sort(([, a], [, b]) => b - a));
}
