// suture rehearse: a patch on a twin of the machine, there and back.

import { buildCore } from '../compile/core-module.ts';
import { readInput } from '../host/files.ts';
import { loadKernel } from '../host/read-kernel.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { type Rehearsal, rehearse, type Step } from '../lab/rehearse.ts';
import { modulesWithDependencies } from '../lab/target-modules.ts';
import type { Addition } from './command.ts';
import { checkPatchIsFor, readPatch } from './read-patch.ts';

interface RehearseOptions {
  readonly kernel: string;
  readonly check?: string;
  readonly load: readonly string[];
}

export const rehearseCommand: Addition = (program, act) => {
  program
    .command('rehearse')
    .description(
      'apply a patch to a guest with the same kernel and take it back, checking before, meanwhile, afterwards',
    )
    .argument('<patch>', 'the patch module')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option(
      '--check <script>',
      'run in the guest with SUTURE_PHASE=before, applied, reverted; ends with 0 if all is well',
    )
    .option(
      '--load <module>',
      'a module of the kernel to load first, with what it depends on; may be given again',
      also,
      [],
    )
    .action(
      act(async (context, patch: string, options: RehearseOptions) => {
        const kernel = await loadKernel(options.kernel);
        const { stored } = kernel;
        const file = await readPatch(patch);
        checkPatchIsFor(kernel, stored.name, file, patch);
        const check =
          options.check === undefined ? undefined : new TextDecoder().decode(await readInput(options.check));
        const targets = await modulesWithDependencies(stored.modules, options.load);
        context.progress(`building the core for ${stored.name}`);
        const core = await readInput((await buildCore(stored)).ko);
        const rehearsal = await rehearse(
          guestKernel(stored),
          { core, patches: [{ name: '', module: file.bytes, check }], targets },
          context.progress,
        );
        const { reasons, ...result } = rehearsal;
        return {
          result,
          text: describe(rehearsal),
          status: rehearsal.verdict === 'passed' ? 'done' : 'refused',
          reasons,
        };
      }),
    );
};

const also = (value: string, before: readonly string[]): string[] => [...before, value];

function describe({ verdict, steps }: Rehearsal): string {
  return [...steps.map(describeStep), verdict].join('\n');
}

/** The step, what became of it, and below it what it printed. */
function describeStep({ name, status, output }: Step): string {
  const outcome = status === 0 ? 'ok' : status === null ? 'the guest failed' : `status ${status}`;
  const lines = output
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '');
  return [`${name}: ${outcome}`, ...lines.map((line) => `  ${line}`)].join('\n');
}
