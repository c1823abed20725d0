// What became of one fix of the corpus, and whether the patch replaces what it should.

import * as z from 'zod';
import type { Assessment } from '../compile/assess-change.ts';
import { plainNumbers } from '../compile/changed-assembly.ts';
import { type ReasonCode, reasonCodes } from '../reason.ts';

const names = z.array(z.string()).readonly();
const reason = z.strictObject({
  code: z.custom<ReasonCode>((code) => typeof code === 'string' && code in reasonCodes),
  place: z.string(),
  message: z.string(),
  remedy: z.string(),
});

/** The file of what a change is (assess-change.ts). */
export const assessmentFile = z.strictObject({
  source: z.strictObject({ bodiesOnly: z.boolean(), functions: names }),
  compilesAlone: z.boolean(),
  complaint: z.string(),
  functions: z
    .strictObject({ changed: names, added: names, removed: names, callers: z.record(z.string(), names) })
    .nullable(),
}) satisfies z.ZodType<Assessment>;

/** The file of one outcome, as it is kept and as `--json` has it. */
export const outcomeFile = z.strictObject({
  schema: z.literal(1),
  /** The changed file. */
  path: z.string(),
  /** `refused`: there is no patch; `built`: there is one, and it is proven; `passed`, `failed`: it has been rehearsed. */
  stage: z.enum(['refused', 'built', 'passed', 'failed']),
  /** Why there is no patch, or why it failed. */
  reasons: z.array(reason).readonly(),
  /** Nothing but bodies of functions differs in the source, and of which ones. */
  bodiesOnly: z.boolean(),
  sourceFunctions: names,
  /** It compiles in the old tree, where only this file is changed. */
  compilesAlone: z.boolean(),
  /** Functions that the compiler makes otherwise, by its assembly; null where it does not compile. */
  changed: names.nullable(),
  /** Functions that the patch replaces, and those that it brings along, by the patch module's own bytes. */
  replaced: names,
  alongside: names,
  /** Functions that should have been replaced and are not, and those that are and should not. */
  missed: names,
  unasked: names,
  /** The module that the file is part of; '' for the kernel itself. */
  module: z.string(),
  /** Target modules that the guest could not load, with what it said. */
  missingTargets: z.record(z.string(), z.string()),
  /** What building and proving took, in seconds. */
  seconds: z.number(),
});

export type FixOutcome = z.infer<typeof outcomeFile>;

/**
 * Holds what a patch replaces against what the compiler makes otherwise. A changed function that cannot be redirected may be
 * reached by replacing its callers: it is then brought along, and its callers are no surprise.
 */
export function checkReplaced(
  functions: Assessment['functions'],
  replaced: readonly string[],
  alongside: readonly string[],
): { missed: string[]; unasked: string[] } {
  if (functions === null) return { missed: [], unasked: [] };
  const plain = (list: readonly string[]) => new Set(list.map(plainNumbers));
  const [redirected, brought, changed] = [plain(replaced), plain(alongside), plain(functions.changed)];
  const callers = new Set<string>();
  const reached = [...changed].filter((name) => !redirected.has(name) && brought.has(name));
  for (const name of reached) {
    for (const caller of Object.hasOwn(functions.callers, name) ? functions.callers[name]! : []) {
      callers.add(caller);
      if (brought.has(caller) && !redirected.has(caller) && !reached.includes(caller)) reached.push(caller);
    }
  }
  return {
    missed: [...changed].filter((name) => !redirected.has(name) && !brought.has(name)).sort(),
    unasked: [...redirected].filter((name) => !changed.has(name) && !callers.has(name)).sort(),
  };
}

/**
 * Whether a fix counts for the rate that matters: bodies only, compiles alone, and the compiler makes something otherwise. Where
 * it cannot be told whether it does, that is held against us.
 */
export const counts = ({ bodiesOnly, compilesAlone, changed }: FixOutcome): boolean =>
  bodiesOnly && compilesAlone && (changed === null || changed.length > 0);
