// A rehearsal: a patch is applied to a twin of the machine and taken back, and the twin looked at before, meanwhile
// and afterwards. Several patches can follow each other on one twin.
//
// The check is the user's script. It is run in all three phases, says 0 when things are as they should be in that
// phase, and what it prints after the patch is gone has to be what it printed before the patch came. The kernel's log
// is the other witness: nothing in it may be an alarm, or a line that the same kernel does not print without the patch.

import type { Reason } from '../reason.ts';
import { askingModprobe, type FindModules, insmodOnce, runWithAsked } from './asked-modules.ts';
import { type Guest, GuestError, type GuestOptions, withGuest } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { type Finding, findings } from './kernel-log.ts';
import { lineDifference } from './line-difference.ts';
import type { StockModule } from './target-modules.ts';

export interface RehearsalPlan {
  /** The kernel-resident module, built for this kernel; undefined for a kernel with livepatch of its own. */
  readonly core: Uint8Array | undefined;
  /** Rehearsed one after the other, each gone before the next one comes. */
  readonly patches: readonly RehearsedPatch[];
  /** Modules that are loaded before everything else, in this order: the patch's targets. */
  readonly targets?: readonly StockModule[];
  /** Finds what the kernel asks for while the targets are loaded; nothing if left out. */
  readonly find?: FindModules;
  readonly guest?: Omit<GuestOptions, 'files'>;
  /** Seconds that one step may take; 60 if left out. */
  readonly timeout?: number | undefined;
  /** Lines of the kernel's log that the patches are meant to print. What means that something is wrong is found all the same. */
  readonly expectedLog?: readonly RegExp[];
}

export interface RehearsedPatch {
  /** What its steps are called by; '' if it is the only one. */
  readonly name: string;
  /** The patch module. */
  readonly module: Uint8Array;
  /** The check script; without it only the patch's coming and going is rehearsed. */
  readonly check?: string | undefined;
}

const phases = ['before', 'applied', 'reverted'] as const;
export type Phase = (typeof phases)[number];
export type StepName = 'load targets' | 'load core' | `check ${Phase}` | 'apply' | 'revert';

export interface Step {
  readonly name: StepName;
  /** The name of the patch that it is about; '' for what is done once for all. */
  readonly patch: string;
  /** 0 if all went well; null if the guest did not live to tell. */
  readonly status: number | null;
  readonly output: string;
  /** What the kernel logged meanwhile. */
  readonly log: readonly string[];
}

export interface Rehearsal {
  readonly verdict: 'passed' | 'failed';
  readonly steps: readonly Step[];
  /** Lines in the log that should not be there. */
  readonly findings: readonly Finding[];
  /** Why it failed, each with the code `rehearsal-failed`; empty if it passed. */
  readonly reasons: readonly Reason[];
}

/**
 * Rehearses a patch on a kernel. Throws what `bootGuest` throws when there is no twin to begin with; whatever happens
 * to it later is the verdict.
 */
export async function rehearse(
  kernel: GuestKernel,
  plan: RehearsalPlan,
  progress: (text: string) => void = () => {},
): Promise<Rehearsal> {
  const twin = await perform(kernel, plan, withPatches(plan.patches.length), progress);
  const failures = twin.steps.flatMap(reasonOfStep);
  let found = findings(twin.log, twin.logBefore, plan.expectedLog);
  if (failures.length > 0) {
    // Steps that failed have told what the kernel said to that.
    found = found.filter(({ kind }) => kind !== 'unfamiliar');
  } else if (found.some(({ kind }) => kind === 'unfamiliar')) {
    // Some lines only take their time to come. Those another twin prints too, if it does the same without the patch.
    progress('the log has unfamiliar lines: repeating without the patch');
    const other = await perform(kernel, plan, withoutPatches(plan.patches.length), progress);
    found = findings(twin.log, `${twin.logBefore}\n${other.log}`, plan.expectedLog);
  }
  const differences = reasonsOfDifference(twin.steps, found.length === 0);
  const reasons = [...failures, ...differences, ...found.map(reasonOfFinding)];
  return { verdict: reasons.length === 0 ? 'passed' : 'failed', steps: twin.steps, findings: found, reasons };
}

/** What one twin went through. */
interface Performance {
  readonly steps: readonly Step[];
  readonly log: string;
  /** The log up to the moment before the patch came. */
  readonly logBefore: string;
}

const folder = '/rehearsal';
const secondsOfStep = 60;
/** What a step that is over in time may take besides, in seconds: a slow host, and the channel. */
const grace = 20;

async function perform(
  kernel: GuestKernel,
  plan: RehearsalPlan,
  play: (act: Act) => Promise<void>,
  progress: (text: string) => void,
): Promise<Performance> {
  const text = (content: string) => new TextEncoder().encode(content);
  const targets = plan.targets ?? [];
  const files = [
    askingModprobe,
    ...plan.patches.flatMap(({ module, check = '' }, i) => [
      { path: `${folder}/${i}/patch.ko`, bytes: module },
      { path: `${folder}/${i}/check.sh`, bytes: text(check) },
    ]),
    ...(plan.core ? [{ path: `${folder}/core.ko`, bytes: plan.core }] : []),
    ...targets.map(({ name, bytes }) => ({ path: `${folder}/targets/${name}.ko`, bytes })),
  ];
  progress('booting');
  return withGuest(kernel, { ...plan.guest, files }, async (guest) => {
    const steps: Step[] = [];
    let log = await guest.kernelLog();
    let logBefore = log;
    await play(async (name, index) => {
      if (steps.at(-1)?.status === null) return false;
      const patch = index === undefined ? undefined : plan.patches[index]!;
      const seconds = plan.timeout ?? secondsOfStep;
      const command = patch
        ? patchCommands(`${folder}/${index}`, patch.check, seconds)[name]
        : twinCommands(plan)[name];
      if (command === undefined) return true;
      progress(patch?.name ? `${patch.name}: ${name}` : name);
      if (name === 'apply' && index === 0) logBefore = log;
      const find = name === 'load targets' ? plan.find : undefined;
      const step = await take(guest, { name, patch: patch?.name ?? '' }, command, seconds + grace, log, find);
      steps.push(step.step);
      log = step.log;
      return step.step.status === 0;
    });
    return { steps, log, logBefore };
  });
}

/** Takes a step, of one patch if an index is given, and tells whether it succeeded; a step that has nothing to do does. */
type Act = (name: StepName, patch?: number) => Promise<boolean>;

function withPatches(count: number): (act: Act) => Promise<void> {
  return async (act) => {
    if (!(await act('load targets')) || !(await act('load core'))) return;
    for (let patch = 0; patch < count; patch++) {
      if (!(await act('check before', patch)) || !(await act('apply', patch))) return;
      // A patch that does not do what it should must still go away cleanly.
      await act('check applied', patch);
      if (!(await act('revert', patch)) || !(await act('check reverted', patch))) return;
    }
  };
}

function withoutPatches(count: number): (act: Act) => Promise<void> {
  return async (act) => {
    if (!(await act('load targets')) || !(await act('load core'))) return;
    for (let patch = 0; patch < count; patch++) {
      for (let times = 0; times < phases.length; times++) await act('check before', patch);
    }
  };
}

async function take(
  guest: Guest,
  named: Pick<Step, 'name' | 'patch'>,
  command: string,
  timeout: number,
  logSoFar: string,
  find: FindModules | undefined,
) {
  const seen = guest.consoleText.length;
  try {
    const { status, output } = await (find
      ? runWithAsked(guest, command, find, { timeout })
      : guest.run(command, { timeout }));
    const log = await guest.kernelLog();
    return { step: { ...named, status, output, log: linesAfter(log, logSoFar) } satisfies Step, log };
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    const lastWords = guest.consoleText.slice(seen);
    const output = `${error.fate}: ${error.reasons[0].message}`;
    const step: Step = { ...named, status: null, output, log: lastWords.split('\n').filter((line) => line !== '') };
    return { step, log: `${logSoFar}\n${lastWords}` };
  }
}

/** The lines that a log has gained. The kernel's ring may have dropped its first ones meanwhile. */
export function linesAfter(log: string, before: string): string[] {
  const last = before.trimEnd().split('\n').at(-1) ?? '';
  const at = log.lastIndexOf(`${last}\n`);
  return (at < 0 ? log : log.slice(at + last.length + 1)).split('\n').filter((line) => line !== '');
}

export type Commands = Readonly<Partial<Record<StepName, string | undefined>>>;

export const livepatchFolder = '/sys/kernel/livepatch';

/** Waits in the guest until a condition holds; about thirty seconds. `failure` is what the shell then prints, within "". */
const waitFor = (condition: string, failure: string): string => `
tries=0
until ${condition}; do
  if [ $((tries += 1)) -gt 600 ]; then echo "${failure}"; exit 1; fi
  usleep 50000
done`;

/** What a patch's folder in sysfs says, for the shell to fill in within "". */
const stateOf = (patch: string): string =>
  ['transition', 'enabled'].map((name) => `${name} is $(cat ${patch}/${name} 2>&1)`).join(', ');

/** The steps of one twin, in its shell; undefined for one that has nothing to do. */
function twinCommands({ targets = [], core }: RehearsalPlan): Commands {
  return {
    'load targets':
      targets.map(({ name }) => insmodOnce(name, `${folder}/targets/${name}.ko`)).join(' && ') || undefined,
    'load core': core && `insmod ${folder}/core.ko`,
  };
}

/**
 * The steps of one patch, whose files are in the folder `own`. A check that takes too long is ended in the guest, so that
 * what it printed is known and the patch is still taken back. 137 is 128 and SIGKILL.
 */
export function patchCommands(own: string, check: string | undefined, seconds: number): Commands {
  const checkIn = (phase: Phase) =>
    check === undefined
      ? undefined
      : `
SUTURE_PHASE=${phase} timeout -s KILL ${seconds} sh ${own}/check.sh
status=$?
[ $status != 137 ] || echo "it did not end within ${seconds} s (--timeout)"
exit $status`;
  return {
    'check before': checkIn('before'),
    apply: `
insmod ${own}/patch.ko || exit
cd ${livepatchFolder}/* || exit
${waitFor('[ "$(cat transition)" = 0 ]', `the transition to the patch does not end: ${stateOf('.')}`)}
[ "$(cat enabled)" = 1 ] || { echo the patch is loaded but not enabled; exit 1; }
for each in */patched; do
  module=\${each%/patched}
  [ "$(cat $each)" = 1 ] || echo "not in effect yet in $module, which is not loaded here (--load $module)"
done`,
    'check applied': checkIn('applied'),
    revert: `
cd ${livepatchFolder}/* || exit
patch=\${PWD##*/}
echo 0 >enabled || exit
cd /
${waitFor(`[ ! -e ${livepatchFolder}/$patch ]`, `the transition from the patch does not end: ${stateOf(`${livepatchFolder}/$patch`)}`)}
${waitFor('rmmod $patch', 'the patch module cannot be removed')}`,
    'check reverted': checkIn('reverted'),
  };
}

/** Where a step is, in words. */
const placeOf = ({ name, patch }: Step): string => (patch ? `${patch}: ${name}` : name);

const remedies = {
  /** For what the patch is to blame for, or may be. */
  patch: 'the patch must not go to a machine as it is',
  twin: 'the patch was not loaded yet: see that the modules given with --load, and the core, belong to this kernel',
  check: 'the check fails without the patch: mend the check',
  difference: 'what the check prints before and after must be the same; leave out what changes by itself',
  unfamiliar:
    'if the patch is meant to print it, say so with --expect-log; if not, the patch must not go to a machine as it is',
} as const;

const remedyOfStep = ({ name }: Step): string => {
  if (name === 'load targets' || name === 'load core') return remedies.twin;
  return name === 'check before' ? remedies.check : remedies.patch;
};

function reasonOfStep(step: Step): Reason[] {
  const { status, output, log } = step;
  if (status === 0) return [];
  const what = status === null ? '' : `ended with status ${status}: `;
  // The kernel names the cause first; registers and stacks come behind.
  const said = [output.trim(), ...log.slice(0, 30)].filter((line) => line !== '').join('\n');
  return [failed(placeOf(step), `${what}${said}`, remedyOfStep(step))];
}

/** What a check printed after the patch was gone, and before it came. In a healthy kernel that is likely the check's own doing. */
function reasonsOfDifference(steps: readonly Step[], healthy: boolean): Reason[] {
  return steps.flatMap((reverted) => {
    if (reverted.name !== 'check reverted') return [];
    const before = steps.find(({ name, patch }) => name === 'check before' && patch === reverted.patch);
    if (before === undefined || before.output === reverted.output) return [];
    const remedy = healthy ? remedies.difference : remedies.patch;
    const difference = lineDifference(before.output, reverted.output);
    return [failed(placeOf(reverted), `did not print what it printed before the patch:\n${difference}`, remedy)];
  });
}

function reasonOfFinding({ kind, line }: Finding): Reason {
  return kind === 'unfamiliar'
    ? failed('log', `${line} (a line that is not there without the patch)`, remedies.unfamiliar)
    : failed('log', `${line} (of the kind ${kind})`, remedies.patch);
}

const failed = (place: string, message: string, remedy: string): Reason => ({
  code: 'rehearsal-failed',
  place,
  message,
  remedy,
});
