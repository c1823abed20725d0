// Functions of a kernel, each with the redirect that `build` would make of it, and what a proof says of that.

import type { LinkAddress } from '../elf/units.ts';
import { isInitMemory } from '../kernel/init-memory.ts';
import type { Kernel, KernelCode } from '../kernel/kernel.ts';
import { tableLimits, type Way } from '../kernel/patch-module.ts';
import { enteredFunctions, linkFunctions, type TracedFunction, tracedFunctions } from '../link/link-whole-kernel.ts';
import type { AskedRedirect, Prover } from '../prove/prove-module.ts';
import type { Redirect, Verdict } from '../prove/redirect.ts';
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
export const allFunctions = (kernel: KernelCode, way: Way): TracedFunction[] =>
  way === 'entry' ? enteredFunctions(kernel) : tracedFunctions(kernel);

/** A function whose verdict is still to come. */
export interface AskedFunction extends TracedFunction {
  /** What `ask` has said. */
  readonly asked: number;
}

/**
 * Links functions and reads back what is to be proven of each, for which `ask` has a number; some are judged with that. The result is in the
 * order of `functions`.
 */
export function askForFunctions(
  kernel: Kernel,
  prover: Prover,
  functions: readonly TracedFunction[],
  way: Way,
  ask: (redirect: Redirect) => number,
): (JudgedFunction | AskedFunction)[] {
  const found: (JudgedFunction | AskedFunction)[] = [];
  for (const { bytes, linked, refused } of linkFunctions(kernel, functions, way)) {
    const reasonsOf = new Map(refused.map(({ function: each, reasons }) => [each, reasons]));
    // The redirects of a module have the order of what was linked.
    const redirects = linked.length > 0 ? prover.readModule(bytes, 'every function') : [];
    let at = 0;
    for (const each of functions.slice(found.length, found.length + linked.length + reasonsOf.size)) {
      const reasons = reasonsOf.get(each);
      found.push(reasons ? { ...each, code: reasons[0]!.code, reasons } : askFor(each, redirects[at++]!, ask));
    }
  }
  return found;
}

function askFor(each: TracedFunction, { oldAddress, asked }: AskedRedirect, ask: (redirect: Redirect) => number) {
  if (oldAddress !== each.address)
    throw new Error(`the redirect of another function stands where that of ${each.name} should`);
  const { name, address, site } = each;
  return 'verdict' in asked ? judge(each, asked) : { name, address, site, asked: ask(asked) };
}

/** What a verdict makes of a function. */
export function judge({ name, address, site }: TracedFunction, verdict: Verdict): JudgedFunction {
  const reasons = reasonsAgainst(name, verdict);
  return { name, address, site, code: reasons[0]?.code ?? 'proven', reasons, verdict };
}

/** Links and proves. `progress` is told how many functions are done. The result is in the order of `functions`. */
export function proveFunctions(
  kernel: Kernel,
  prover: Prover,
  functions: readonly TracedFunction[],
  progress: (done: number) => void,
  way: Way = 'ftrace',
): JudgedFunction[] {
  const judged: JudgedFunction[] = [];
  for (let at = 0; at < functions.length; at += tableLimits.redirects) {
    const verdicts: Verdict[] = [];
    const part = functions.slice(at, at + tableLimits.redirects);
    const asked = askForFunctions(kernel, prover, part, way, (redirect) => verdicts.push(prover.prove(redirect)) - 1);
    judged.push(...asked.map((each) => ('asked' in each ? judge(each, verdicts[each.asked]!) : each)));
    progress(judged.length);
  }
  return judged;
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
