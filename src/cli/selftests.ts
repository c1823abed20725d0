// Mainline's own livepatch selftests on one kernel, all steps: what `npm run selftests` runs for each architecture.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { architectureByName } from '../arch/architectures.ts';
import { buildCore, type CoreModule } from '../compile/core-module.ts';
import { type CompiledModule, compileSelftestModules } from '../compile/selftest-modules.ts';
import { openKernel } from '../host/kernel-store.ts';
import { type LoadedKernel, loadKernel } from '../host/read-kernel.ts';
import { selftestSources } from '../host/selftest-sources.ts';
import { fetchUserland } from '../host/userland.ts';
import { readTargetModule, type TargetModule } from '../kernel/target-module.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { runSamples } from '../lab/samples.ts';
import type { SelftestCase } from '../lab/selftest-output.ts';
import { runSelftests, type SelftestPlan } from '../lab/selftests.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { ReasonError } from '../reason.ts';
import { adaptPatch } from './adapt-patch.ts';

export interface SelftestRun {
  readonly cases: readonly SelftestCase[];
  /** What became of the kernel's samples, which are not among the cases. */
  readonly samples: readonly SelftestCase[];
  readonly modules: readonly CompiledModule[];
}

/** How the patches of a run are redirected. */
export interface SelftestWay {
  readonly way: WantedWay;
  /** A folder of scripts of our own for the entry way, in the place of mainline's script about ftrace. */
  readonly scripts: string;
}

/** What asks for ftrace's own behaviour. */
const aboutFtrace = 'test-ftrace.sh';

/** All that the guests need for a kernel's selftests; `modules` says what did not compile. */
export async function planSelftests(
  name: string,
  progress: (text: string) => void,
  wanted?: SelftestWay,
): Promise<{ plan: SelftestPlan; modules: readonly CompiledModule[] }> {
  const kernel = await openKernel(name);
  const arch = architectureByName(kernel.architecture);
  const userland = await fetchUserland(arch.platform, progress);
  const sources = await selftestSources(kernel, progress);
  progress(`building the core for ${name}`);
  const core = await buildCore(kernel);
  progress(`compiling mainline's test modules for ${name}`);
  const modules = await compileSelftestModules(kernel, core, [sources.modules, sources.samples]);

  const loadable = new Map<string, Uint8Array>([['suture', new Uint8Array(await readFile(core.ko))]]);
  progress(`adapting them to ${name}`);
  const loaded = await loadKernel(name);
  const adapted = await adaptAll(loaded, core, modules, wanted?.way);
  for (const { name, ko } of adapted) if (ko) loadable.set(name, ko);
  const scripts = new Map(await filesOf(sources.scripts));
  if (wanted && chooseWay(loaded, wanted.way) === 'entry') {
    scripts.delete(aboutFtrace);
    for (const [file, bytes] of await filesOf(wanted.scripts)) scripts.set(file, bytes);
  }
  const pointerSize = arch.elf.class === 64 ? 8 : 4;
  return {
    plan: { userland, scripts, modules: loadable, preload: ['suture'], pointerSize },
    modules: adapted,
  };
}

const filesOf = async (folder: string): Promise<(readonly [name: string, bytes: Uint8Array])[]> =>
  Promise.all(
    (await readdir(folder)).map(async (file) => [file, new Uint8Array(await readFile(join(folder, file)))] as const),
  );

/** Adapts what has been compiled; what cannot be is left out, with its reasons among the complaints. */
async function adaptAll(
  kernel: LoadedKernel,
  core: CoreModule,
  modules: readonly CompiledModule[],
  way: WantedWay | undefined,
): Promise<CompiledModule[]> {
  const targets = new Map(
    modules.flatMap(({ name, ko }): [string, TargetModule][] =>
      ko ? [[name, readTargetModule(ko, `${name}.ko`, kernel.arch, kernel.abi)]] : [],
    ),
  );
  return Promise.all(
    modules.map(async (module): Promise<CompiledModule> => {
      if (!module.ko) return module;
      try {
        const { bytes } = await adaptPatch(kernel, core, module.ko, `${module.name}.ko`, async () => targets, way);
        return { ...module, ko: bytes };
      } catch (error) {
        if (!(error instanceof ReasonError)) throw error;
        const said = error.reasons.map(({ code, place, message }) => `${code}: ${place}: ${message}`);
        return { ...module, ko: undefined, complaints: [...module.complaints, ...said] };
      }
    }),
  );
}

/** Runs them; the kernel must be in the cache. Failing cases are results, not errors. */
export async function selftests(
  name: string,
  progress: (text: string) => void,
  onCase: (result: SelftestCase) => void,
  wanted?: SelftestWay,
): Promise<SelftestRun> {
  const { plan, modules } = await planSelftests(name, progress, wanted);
  progress(`running on ${name}`);
  const kernel = guestKernel(await openKernel(name));
  const cases = await runSelftests(kernel, plan, onCase);
  const samples = await runSamples(kernel, plan, onCase);
  return { cases, samples, modules };
}
