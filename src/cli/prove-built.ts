// The proof of what was just made, from its bytes: a patch is handed out proven, or not at all unless somebody insists.

import { checkSignature } from '../kernel/module-signature.ts';
import type { ProofKernel } from '../prove/prove-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import { type Reason, ReasonError } from '../reason.ts';
import type { Context } from './command.ts';
import { reasonsAgainst } from './describe-proof.ts';

/** `--unproven`, for the commands that make patches. */
export const unprovenOption = {
  flags: '--unproven',
  description: 'hand the patch out even if it is not proven that its redirects keep the ABI',
} as const;

/** What the proof of a patch came to, for --json. */
export interface BuiltProof {
  /** Whether every redirect is proven. */
  readonly proven: boolean;
  /** What speaks against those that are not; empty where all are. */
  readonly unproven: readonly Reason[];
}

/**
 * Proves the redirects of a patch. `bytes` are the finished module's, signature included; `insist` is `--unproven`.
 * Throws `proof-refuted` and `proof-unknown`, with all the reasons, unless somebody insists: then they are said aloud.
 */
export async function proveBuilt(
  kernel: ProofKernel,
  bytes: Uint8Array,
  name: string,
  insist: boolean,
  context: Context,
): Promise<BuiltProof> {
  context.progress('proving');
  const { module } = await checkSignature(bytes);
  const unproven = new Prover(kernel)
    .proveModule(module, name)
    .flatMap(({ oldName, verdict }) => reasonsAgainst(oldName, verdict));
  const [first, ...more] = unproven;
  if (!first) return { proven: true, unproven };
  if (!insist) {
    const remedy = 'change the fix, or patch a caller; --unproven hands the patch out all the same';
    throw new ReasonError({ ...first, remedy }, ...more.map((reason) => ({ ...reason, remedy })));
  }
  context.remark(`WARNING: this patch is not proven; loading it may crash the kernel or corrupt its data`);
  for (const { code, place, message } of unproven) context.remark(`${code}  ${place}: ${message}`);
  return { proven: false, unproven };
}
