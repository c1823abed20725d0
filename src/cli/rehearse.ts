// suture rehearse: a patch on a twin of the machine, there and back.

import { type Command, InvalidArgumentError } from 'commander';
import { buildCore } from '../compile/core-module.ts';
import { readInput } from '../host/files.ts';
import { type LoadedKernel, loadKernel } from '../host/read-kernel.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { type Rehearsal, rehearse, type Step } from '../lab/rehearse.ts';
import { modulesThatAnswerTo, modulesWithDependencies } from '../lab/target-modules.ts';
import { hasLivepatch } from '../link/link-for-livepatch.ts';
import { reasonError } from '../reason.ts';
import type { Addition } from './command.ts';
import { checkPatchIsFor, readLivepatchModule, readPatch } from './read-patch.ts';

interface RehearseOptions {
  readonly kernel: string;
  readonly check?: string;
  readonly load?: readonly string[];
  readonly expectLog?: readonly RegExp[];
  readonly timeout?: number;
}

/** What `--help` says below the options: all that a check has to keep to. */
const contract = `
The check F.sh is run in the guest by busybox's sh, three times:
  SUTURE_PHASE=before    the patch is not loaded
  SUTURE_PHASE=applied   the patch is in effect
  SUTURE_PHASE=reverted  the patch has been taken back and its module removed
It ends with status 0 if all is as it should be in that phase, and each time within the seconds of --timeout.
What it prints before and reverted must be the same: leave out what changes by itself, such as times and counters.

The kernel's log must have no line that it does not have without the patch. Lines that the patch is meant to print
are announced by --expect-log, a regular expression for the line without its time stamp: --expect-log '^my fix: '.
Warnings, oopses and lockups fail the rehearsal whatever is announced.`;

export const rehearseCommand: Addition = (program, act) => {
  program
    .command('rehearse')
    .description(
      'apply a patch to a guest with the same kernel and take it back, checking before, meanwhile, afterwards',
    )
    .argument('<patch>', 'the patch module')
    // Counted below, where more can be said of it.
    .allowExcessArguments()
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option(
      '--check <F.sh>',
      'a script that is run in the guest before, while and after the patch is applied; see below',
    )
    .option(
      '--load <module>',
      'a module of the kernel to load first, with what it depends on; may be given again',
      also,
    )
    .option('--expect-log <regex>', 'lines that the patch is meant to print; may be given again', alsoPattern)
    .option('--timeout <seconds>', 'what one step may take (default: 60)', seconds)
    .addHelpText('after', contract)
    .action(
      act(async (context, patch: string, options: RehearseOptions, { args }: Command) => {
        if (args.length > 1) throw severalPatches(args);
        const kernel = await loadKernel(options.kernel);
        const { stored } = kernel;
        const own = hasLivepatch(kernel.image);
        const module = own ? await readLivepatchModule(kernel, patch) : await readOurs(kernel, patch);
        const check =
          options.check === undefined ? undefined : new TextDecoder().decode(await readInput(options.check));
        const targets = await modulesWithDependencies(stored.modules, options.load ?? []);
        if (!own) context.progress(`building the core for ${stored.name}`);
        const core = own ? undefined : await readInput((await buildCore(stored)).ko);
        const rehearsal = await rehearse(
          guestKernel(stored),
          {
            core,
            patches: [{ name: '', module, check }],
            targets,
            find: (name) => modulesThatAnswerTo(stored.modules, name),
            expectedLog: options.expectLog ?? [],
            timeout: options.timeout,
          },
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

const severalPatches = (patches: readonly string[]) =>
  reasonError(
    'usage',
    patches.slice(1).join(' '),
    `one patch is rehearsed at a time, and ${patches.length} were given; how patches stand on each other is not rehearsed`,
    'build one patch of all the fixes (one diff, or one C file) and rehearse that; or rehearse each by itself',
  );

async function readOurs(kernel: LoadedKernel, file: string): Promise<Uint8Array> {
  const patch = await readPatch(file);
  checkPatchIsFor(kernel, kernel.stored.name, patch, file);
  return patch.bytes;
}

const also = (value: string, before: readonly string[] = []): string[] => [...before, value];

function alsoPattern(value: string, before: readonly RegExp[] = []): readonly RegExp[] {
  try {
    return [...before, new RegExp(value)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function seconds(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value))
    throw new InvalidArgumentError('It must be a whole number of seconds, 1 at least.');
  return Number(value);
}

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
