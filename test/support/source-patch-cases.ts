// Source patches that go to a guest and back, on the stock kernels and on others: what is changed, what must be replaced, and what
// the guest shows of it.

import { beforeAll, describe, expect, it } from 'vitest';
import { buildSourcePatch, type SourcePatch } from '../../src/cli/build-source-patch.ts';
import type { LoadedKernel } from '../../src/host/read-kernel.ts';
import { checkSignature } from '../../src/kernel/module-signature.ts';
import { guestKernel } from '../../src/lab/guest-kernel.ts';
import { type Rehearsal, rehearse } from '../../src/lab/rehearse.ts';
import { modulesWithDependencies } from '../../src/lab/target-modules.ts';
import { Prover } from '../../src/prove/prove-module.ts';
import { type Reason, ReasonError } from '../../src/reason.ts';
import { coreOf } from './patches.ts';
import { editsAsPatch } from './source-patch.ts';

/** A line of a file and what stands in its place. */
export type Edit = readonly [path: string, from: string, to: string];

export interface SourcePatchCase {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** `FILE: FUNCTION`. */
  readonly replaced: readonly string[];
  readonly alongside?: readonly string[];
  /** For busybox's sh: what the guest shows, and how that looks while the patch is applied; `$before` is what it was. */
  readonly show: string;
  readonly applied: string;
}

const countCalls = `#include <linux/init.h>
static noinline int one_more(void)
{
	static int calls;

	return ++calls;
}`;

export const staticLocalGoesOn: SourcePatchCase = {
  name: 'a static local that goes on, and data of before',
  edits: [['drivers/char/random.c', '"%pU", uuid);', '\tsnprintf(uuid_string, sizeof(uuid_string), "%pUB", uuid);']],
  replaced: ['drivers/char/random.c: proc_do_uuid'],
  show: 'cat /proc/sys/kernel/random/boot_id',
  applied: '[ $(cat /proc/sys/kernel/random/boot_id) = $(echo $before | tr a-f A-F) ]',
};

export const otherFilesShow: SourcePatchCase = {
  name: 'data that only the code of other files shows',
  edits: [
    [
      'fs/proc/uptime.c',
      'seq_printf(m, "%lu.%02lu %lu.%02lu\\n",',
      '\t{ extern int nr_threads; seq_printf(m, "%d threads, ", nr_threads); }\n\tseq_printf(m, "%lu.%02lu %lu.%02lu\\n",',
    ],
  ],
  replaced: ['fs/proc/uptime.c: uptime_proc_show'],
  show: 'grep -c threads /proc/uptime',
  // The kernel counts all threads but the idle ones, and so does /proc; a few come and go with the check.
  applied:
    'more=$(($(cut -d" " -f1 /proc/uptime) - $(ls -d /proc/[1-9]*/task/* | wc -l))); [ $more -gt -6 ] && [ $more -lt 6 ]',
};

export const newStaticLocal: SourcePatchCase = {
  name: 'a new function with a static local',
  edits: [
    ['fs/proc/version.c', '#include <linux/init.h>', countCalls],
    [
      'fs/proc/version.c',
      'seq_printf(m, linux_proc_banner,',
      '\tseq_printf(m, "%d ", one_more());\n\tseq_printf(m, linux_proc_banner,',
    ],
  ],
  replaced: ['fs/proc/version.c: version_proc_show'],
  alongside: ['one_more'],
  show: 'cat /proc/version',
  applied: 'grep -q "^1 Linux" /proc/version && grep -q "^2 Linux" /proc/version',
};

export const keptJumpLabel: SourcePatchCase = {
  name: 'a jump label of a tracepoint that the kernel keeps to itself',
  edits: [['fs/exec.c', 'if (depth > 5)', '\t\tif (depth > 0)']],
  replaced: ['fs/exec.c: bprm_execve'],
  show: "printf '#!/bin/sh\\necho ran\\n' > /tmp/script; chmod +x /tmp/script; /tmp/script",
  applied: '! /tmp/script 2> /dev/null',
};

/** A check that shows the same before and after, and has the patch's effect seen meanwhile. */
const checkOf = ({ show, applied }: SourcePatchCase): string => `
case $SUTURE_PHASE in
applied) before=$(cat /tmp/before); ${applied} ;;
*) ${show} | tee /tmp/before ;;
esac
`;

/** Why a patch is refused. Throws if it is not, or what else it throws. */
export async function reasonsAgainst(building: Promise<SourcePatch>): Promise<readonly Reason[]> {
  const error = await building.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ReasonError)) throw error ?? new Error('nothing was refused');
  return error.reasons;
}

/** Tests of cases in one guest; `kernel` is loaded by then and has its source, and `targets` are modules that are patched. */
export function describeInGuest(
  cases: readonly SourcePatchCase[],
  loaded: () => LoadedKernel,
  targets: readonly string[],
): void {
  describe('in a guest', () => {
    const built: SourcePatch[] = [];
    let kernel: LoadedKernel;
    let rehearsal: Rehearsal;

    beforeAll(async () => {
      kernel = loaded();
      for (const [i, { edits }] of cases.entries()) {
        const patch = editsAsPatch(kernel.stored.source!, edits);
        built.push(await buildSourcePatch(kernel, patch, 'fix.patch', `lp_${i}`, {}));
      }
      rehearsal = await rehearse(guestKernel(kernel.stored), {
        core: await coreOf(kernel),
        targets: await modulesWithDependencies(kernel.stored.modules, targets),
        patches: cases.map((each, i) => ({ name: each.name, module: built[i]!.bytes, check: checkOf(each) })),
      });
    });

    it.each(cases)('$name: applied, seen, and taken back', ({ name: patch }) => {
      const steps = rehearsal.steps.filter((step) => step.patch === patch);
      expect(steps.filter(({ status }) => status !== 0)).toEqual([]);
      expect(steps).toHaveLength(5);
    });

    it.each(cases.map((each, i) => ({ ...each, i })))(
      '$name: just these functions',
      ({ i, replaced, alongside = [] }) => {
        const { files } = built[i]!;
        expect(files.flatMap((file) => file.replaced.map((each) => `${file.path}: ${each}`)).sort()).toEqual(replaced);
        expect(files.flatMap((file) => file.alongside)).toEqual(alongside);
      },
    );

    it.each(cases.map((each, i) => ({ ...each, i })))('$name: proven', async ({ i }) => {
      const { module } = await checkSignature(built[i]!.bytes);
      const verdicts = new Prover(kernel).proveModule(module, 'patch').map(({ verdict }) => verdict.verdict);
      expect(new Set(verdicts)).toEqual(new Set(['proven']));
    });

    it('says nothing that it does not say without patches', () => expect(rehearsal.reasons).toEqual([]));
  });
}
