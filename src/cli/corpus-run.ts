// A run of the corpus: draw fixes from two trees, make a live patch of each, prove it, rehearse all. Whatever becomes of one
// fix is its outcome, not an error; each is kept at once, so a run goes on where an earlier one was interrupted.

import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assessChange } from '../compile/assess-change.ts';
import { buildCore } from '../compile/core-module.ts';
import { makeObjectTree, objectsOf } from '../compile/object-tree.ts';
import { objectName } from '../compile/original-objects.ts';
import { type FileChange, treeChanges } from '../compile/tree-changes.ts';
import { STT_FUNC } from '../elf/constants.ts';
import { readInput } from '../host/files.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { readPatchModule } from '../kernel/read-patch-module.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { rehearseSeries, type SeriesPatch } from '../lab/rehearse-series.ts';
import { modulesThatAnswerTo, modulesWithDependencies } from '../lab/target-modules.ts';
import { Prover } from '../prove/prove-module.ts';
import { type Reason, ReasonError, reasonCodes, reasonError, throwReasons } from '../reason.ts';
import { patchName } from './build-patch.ts';
import { checkReplaced, type FixOutcome } from './corpus-outcome.ts';
import { shuffled } from './corpus-sample.ts';
import { type CorpusPlan, CorpusState } from './corpus-state.ts';
import { reasonsAgainst } from './describe-proof.ts';

export interface CorpusOptions {
  /** The kernel's own source tree, and the one whose state of each file is a fix. */
  readonly oldTree: string;
  readonly newTree: string;
  /** How many fixes are drawn; all if left out. */
  readonly sample?: number | undefined;
  readonly seed: number;
  /** The folder of the run. */
  readonly state: string;
  readonly rehearse: boolean;
}

/** Makes the bytes of a patch module of a fix. Throws `ReasonError`. */
export type MakePatch = (fix: FileChange, name: string, progress: (text: string) => void) => Promise<Uint8Array>;

export interface CorpusRun {
  readonly plan: CorpusPlan;
  readonly outcomes: readonly FixOutcome[];
}

/** Runs the corpus, or goes on with it. Throws `usage` for a state folder of another run, and for trees that are none. */
export async function runCorpus(
  kernel: LoadedKernel,
  options: CorpusOptions,
  make: MakePatch,
  progress: (text: string) => void,
): Promise<CorpusRun> {
  const state = new CorpusState(options.state);
  const plan = await planned(kernel, options, state, progress);
  const prover = new Prover(kernel);
  const outcomes = new Map<string, FixOutcome>();
  for (const [i, path] of plan.drawn.entries()) {
    const say = (text: string) => progress(`${i + 1}/${plan.drawn.length} ${path}: ${text}`);
    const known = await state.outcome(path);
    const done = known !== undefined && !known.reasons.some(({ code }) => reasonCodes[code][0] === 'fault');
    outcomes.set(
      path,
      done ? known : await attempt(kernel, options.oldTree, prover, await state.fix(path), make, state, say),
    );
  }
  if (options.rehearse) await rehearseBuilt(kernel, outcomes, state, progress);
  return { plan, outcomes: [...outcomes.values()] };
}

/** The plan of this folder, or a new one. */
async function planned(
  kernel: LoadedKernel,
  options: CorpusOptions,
  state: CorpusState,
  progress: (text: string) => void,
): Promise<CorpusPlan> {
  const { oldTree, newTree, seed } = options;
  const same = { kernel: kernel.stored.name, oldTree, newTree, seed, sample: options.sample ?? null };
  const earlier = await state.plan();
  if (earlier) {
    const differs = (Object.keys(same) as (keyof typeof same)[]).find((key) => earlier[key] !== same[key]);
    if (differs === undefined) return earlier;
    throw reasonError(
      'usage',
      state.folder,
      `it has another run: its ${differs} is ${earlier[differs]}, not ${same[differs]}`,
      'name another folder with --state, or ask for what that run is about',
    );
  }
  const { platform } = kernel.arch;
  progress('comparing the trees');
  const { files, inOneTree } = await treeChanges(oldTree, newTree, platform.kbuild);
  const sources = files.filter(({ path }) => path.endsWith('.c'));
  const headers = files.filter(({ path }) => path.endsWith('.h')).length;
  progress(`asking the Makefiles about ${sources.length} changed files`);
  const compiled = await withTemporaryFolder(async (folder) => {
    const found = new Set<string>();
    if (sources.length === 0) return found;
    const objects = join(folder, 'objects');
    await mkdir(objects);
    const tree = await makeObjectTree(kernel.stored, platform, oldTree, objects);
    for (const { path } of sources) {
      if ((await objectsOf(tree, dirname(path))).has(objectName(path))) found.add(path);
    }
    return found;
  });
  // All changed files are put in order, whichever are compiled: two kernels' samples have as much in common as can be.
  const drawn = shuffled(sources, seed)
    .filter(({ path }) => compiled.has(path))
    .slice(0, options.sample);
  const plan: CorpusPlan = {
    schema: 1,
    ...same,
    changed: { c: sources.length, headers, others: files.length - sources.length - headers, inOneTree },
    compiled: compiled.size,
    drawn: drawn.map(({ path }) => path),
  };
  await state.begin(plan, drawn);
  return plan;
}

/** Assesses a fix, makes a patch of it and proves that; keeps and returns what became of it. */
async function attempt(
  kernel: LoadedKernel,
  source: string,
  prover: Prover,
  fix: FileChange,
  make: MakePatch,
  state: CorpusState,
  progress: (text: string) => void,
): Promise<FixOutcome> {
  const { stored, arch } = kernel;
  let assessment = await state.assessment(fix.path);
  if (assessment === undefined) {
    assessment = await assessChange(stored, arch.platform, source, fix, progress);
    await state.keepAssessment(fix.path, assessment);
  }
  const { functions, ...assessed } = assessment;
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 100) / 10;
  const common = {
    schema: 1,
    path: fix.path,
    bodiesOnly: assessed.source.bodiesOnly,
    sourceFunctions: assessed.source.functions,
    compilesAlone: assessed.compilesAlone,
    changed: functions?.changed ?? null,
    missingTargets: {},
  } as const;
  try {
    const name = patchName(fix.path.replaceAll('/', '_'));
    const bytes = await make(fix, name, progress);
    progress('proving');
    const { module } = await checkSignature(bytes);
    const against = prover
      .proveModule(module, name)
      .flatMap(({ oldName, verdict }) => reasonsAgainst(oldName, verdict));
    throwReasons(against);
    const patch = readPatchModule(module, name);
    const replaced = patch.redirects.map(({ oldName }) => oldName);
    const alongside = patch.model.symbols
      .filter(({ type, place }) => type === STT_FUNC && typeof place === 'object' && !('index' in place))
      .map((symbol) => symbol.name);
    const outcome: FixOutcome = {
      ...common,
      stage: 'built',
      reasons: [],
      replaced,
      alongside,
      ...checkReplaced(functions, replaced, alongside),
      module: patch.objects.find((object) => object.module)?.module?.name ?? '',
      seconds: seconds(),
    };
    await state.keep(outcome, bytes);
    return outcome;
  } catch (error) {
    const nothing = { replaced: [], alongside: [], missed: [], unasked: [], module: '' } as const;
    const reasons = reasonsOf(error, fix.path);
    const outcome: FixOutcome = { ...common, stage: 'refused', reasons, ...nothing, seconds: seconds() };
    await state.keep(outcome);
    return outcome;
  }
}

/** A mistake of ours in one fix is an outcome like any other; what the system refuses ends the run. */
function reasonsOf(error: unknown, place: string): readonly Reason[] {
  if (error instanceof ReasonError) return error.reasons;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  if (code !== undefined) throw error;
  const where = stack?.split('\n')[1]?.trim() ?? '';
  return [{ code: 'bug', place, message: `${message} ${where}`, remedy: 'please report it' }];
}

/** Rehearses all patches that have not been, and keeps what became of them. */
async function rehearseBuilt(
  kernel: LoadedKernel,
  outcomes: Map<string, FixOutcome>,
  state: CorpusState,
  progress: (text: string) => void,
): Promise<void> {
  const { stored } = kernel;
  const patches: SeriesPatch[] = [];
  for (const { path, stage, module: target } of outcomes.values()) {
    if (stage !== 'built') continue;
    const patched = target === '' ? [] : [target];
    const targets = await modulesWithDependencies(stored.modules, patched);
    patches.push({ name: path, module: await state.module(path), targets, patched });
  }
  if (patches.length === 0) return;
  const core = await readInput((await buildCore(stored)).ko);
  let done = 0;
  await rehearseSeries(
    guestKernel(stored),
    core,
    patches,
    { find: (name) => modulesThatAnswerTo(stored.modules, name) },
    async ({ name, reasons, missingTargets }) => {
      const outcome: FixOutcome = {
        ...outcomes.get(name)!,
        stage: reasons.length === 0 ? 'passed' : 'failed',
        reasons,
        missingTargets: Object.fromEntries(missingTargets),
      };
      outcomes.set(name, outcome);
      await state.keep(outcome);
      done++;
    },
    (text) => progress(`rehearsed ${done}/${patches.length}; ${text}`),
  );
}
