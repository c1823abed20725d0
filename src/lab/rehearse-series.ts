// Many patches, each applied and taken back once, as many in one guest as come through: a boot takes longer than a patch.
//
// Before a patch comes its target modules, with all that they depend on. A target that the guest cannot load (its hardware is
// missing, say) is remembered and left out: the patch then waits for it, as it would on such a machine, and of that object no
// more is rehearsed. A guest that dies, or whose log tells of something wrong, costs the patch that was at fault; the others go
// on in another guest.

import { type Reason, type ReasonCode, ReasonError } from '../reason.ts';
import { askingModprobe, type FindModules, insmodOnce, runWithAsked } from './asked-modules.ts';
import { bootGuest, type Guest, GuestError, type GuestOptions } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { findings } from './kernel-log.ts';
import { linesAfter, livepatchFolder, patchCommands, rehearse } from './rehearse.ts';
import type { StockModule } from './target-modules.ts';

export interface SeriesPatch {
  readonly name: string;
  readonly module: Uint8Array;
  /** The modules that it patches, with what they depend on, in the order in which they can be loaded. */
  readonly targets: readonly StockModule[];
  /** Of those, the ones that it patches. */
  readonly patched: readonly string[];
}

export interface SeriesOutcome {
  readonly name: string;
  /** Why it failed; empty if it was applied and taken back and nothing is wrong. */
  readonly reasons: readonly Reason[];
  /** Targets that the guest could not load, with what it said. */
  readonly missingTargets: ReadonlyMap<string, string>;
}

export interface SeriesOptions {
  /** How many patches at most go through one guest. */
  readonly perGuest?: number;
  readonly guest?: Omit<GuestOptions, 'files'>;
  /** Seconds that one step may take. */
  readonly timeout?: number;
  /** Finds what the kernel asks for while targets are loaded; nothing if left out. */
  readonly find?: FindModules;
}

const usual = { perGuest: 20, timeout: 60 } as const;
const folder = '/series';
/** A target may print of its devices when it was loaded long ago; that is not the patch's doing. */
const grace = 20;

/** Rehearses all patches and tells of each as soon as it is known. Throws what `bootGuest` throws for the first guest. */
export async function rehearseSeries(
  kernel: GuestKernel,
  core: Uint8Array,
  patches: readonly SeriesPatch[],
  options: SeriesOptions,
  onOutcome: (outcome: SeriesOutcome) => Promise<void>,
  progress: (text: string) => void = () => {},
): Promise<void> {
  const { perGuest = usual.perGuest, timeout = usual.timeout, find = async () => [] } = options;
  /** What became of targets that could not be loaded, whichever guest it was. */
  const missing = new Map<string, string>();
  const waiting = [...patches];
  while (waiting.length > 0) {
    const batch = waiting.slice(0, perGuest);
    const targets = new Map(batch.flatMap((patch) => patch.targets.map(({ name, bytes }) => [name, bytes] as const)));
    const files = [
      askingModprobe,
      { path: `${folder}/core.ko`, bytes: core },
      ...batch.map(({ module }, i) => ({ path: `${folder}/${i}/patch.ko`, bytes: module })),
      ...[...targets].map(([name, bytes]) => ({ path: `${folder}/targets/${name}.ko`, bytes })),
    ];
    progress(`booting for ${batch.length} patches`);
    const guest = await bootGuest(kernel, { ...options.guest, files });
    try {
      await guest.succeed(`insmod ${folder}/core.ko`);
      const loaded = new Set<string>();
      for (const [index, patch] of batch.entries()) {
        progress(`${patch.name}: targets`);
        if (!(await loadTargets(guest, patch, loaded, missing, find, timeout))) break;
        progress(patch.name);
        const turn = await comeAndGo(guest, patch, `${folder}/${index}`, loaded, timeout);
        waiting.shift();
        let { reasons } = turn;
        if (turn.unfamiliar) {
          // A line that no patch need be to blame for: the whole rehearsal also looks at what comes without the patch.
          await guest.stop();
          const targets = patch.targets.filter(({ name }) => !missing.has(name));
          const { module, name } = patch;
          const plan = { core, patches: [{ name, module }], targets, timeout, find };
          reasons = (await rehearse(kernel, plan, progress)).reasons;
        }
        const own = patch.patched.filter((name) => !loaded.has(name));
        await onOutcome({
          name: patch.name,
          reasons,
          missingTargets: new Map(own.map((name) => [name, missing.get(name) ?? 'it depends on one that is missing'])),
        });
        if (turn.unfamiliar || turn.reasons.length > 0) break;
      }
    } finally {
      await guest.stop();
    }
  }
}

/** Loads what is not loaded yet; false if the guest did not survive it, which is remembered of the module. */
async function loadTargets(
  guest: Guest,
  patch: SeriesPatch,
  loaded: Set<string>,
  missing: Map<string, string>,
  find: FindModules,
  timeout: number,
): Promise<boolean> {
  for (const { name } of patch.targets) {
    if (loaded.has(name) || missing.has(name)) continue;
    try {
      const command = insmodOnce(name, `${folder}/targets/${name}.ko`);
      const { status, output } = await runWithAsked(guest, command, find, { timeout });
      if (status === 0) loaded.add(name);
      else missing.set(name, output.trim());
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      missing.set(name, `the guest did not survive it: ${error.reasons[0].message}`);
      return false;
    }
  }
  return true;
}

async function comeAndGo(
  guest: Guest,
  patch: SeriesPatch,
  own: string,
  loaded: ReadonlySet<string>,
  timeout: number,
): Promise<{ reasons: readonly Reason[]; unfamiliar: boolean }> {
  const { apply, revert } = patchCommands(own, undefined, timeout);
  // Where its object is loaded a patch must be in effect, and not only waiting.
  const inEffect = patch.patched
    .filter((name) => loaded.has(name))
    .map((name) => `[ "$(cat ${livepatchFolder}/*/${name}/patched)" = 1 ] || { echo ${name} is not patched; exit 1; }`);
  const failed = (place: string, message: string, code: ReasonCode = 'rehearsal-failed'): Reason => ({
    code,
    place: `${patch.name}: ${place}`,
    message,
    remedy: 'the patch must not go to a machine as it is',
  });
  let step = 'look at the log';
  const seen = guest.consoleText.length;
  try {
    const before = await guest.kernelLog();
    for (const [name, command] of [
      ['apply', `${apply}\n${inEffect.join('\n')}`],
      ['revert', revert!],
    ] as const) {
      step = name;
      const { status, output } = await guest.run(command, { timeout: timeout + grace });
      if (status === 0) continue;
      const log = linesAfter(await guest.kernelLog(), before).slice(0, 30);
      const said = [output.trim(), ...log].filter((line) => line !== '').join('\n');
      return { reasons: [failed(name, `ended with status ${status}: ${said}`)], unfamiliar: false };
    }
    const log = linesAfter(await guest.kernelLog(), before);
    const found = findings(log.join('\n'), before);
    const alarms = found.filter(({ kind }) => kind !== 'unfamiliar');
    if (alarms.length > 0) return { reasons: alarms.map(({ line }) => failed('log', line)), unfamiliar: false };
    return { reasons: [], unfamiliar: found.length > 0 };
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    const lastWords = guest.consoleText.slice(seen).split('\n').slice(0, 40).join('\n');
    return { reasons: [failed(step, `${error.reasons[0].message}\n${lastWords}`.trim())], unfamiliar: false };
  }
}
