// The stress run on one kernel, all steps: what `npm run stress` runs for each architecture.

import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCore } from '../compile/core-module.ts';
import { loadKernel } from '../host/read-kernel.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { type StressPhase, type StressPlan, stress } from '../lab/stress.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { adaptFolder } from './adapt-folder.ts';

/** The modules of the run and the files in the sources' folder that they are made of. */
const modules = { stress_target: 'target.c', stress_a: 'patch.c', stress_b: 'patch.c' } as const;

/** Builds what the guest loads from the sources in `folder` (test/stress). Throws what compiling and adapting throw. */
export async function stressModules(
  name: string,
  folder: string,
  wanted?: WantedWay,
): Promise<Omit<StressPlan, 'cycles'>> {
  const kernel = await loadKernel(name);
  const core = await buildCore(kernel.stored);
  const adapted = await withTemporaryFolder(async (sources) => {
    await mkdir(sources, { recursive: true });
    await copyFile(join(folder, 'stress-call.h'), join(sources, 'stress-call.h'));
    for (const [module, file] of Object.entries(modules)) {
      await copyFile(join(folder, file), join(sources, `${module}.c`));
    }
    return adaptFolder(kernel, core, sources, 'stress_target', wanted);
  });
  const made = (module: keyof typeof modules): Uint8Array => adapted.get(module)!;
  const way = chooseWay(kernel, wanted);
  return {
    core: new Uint8Array(await readFile(core.ko)),
    target: made('stress_target'),
    way,
    // In the entry way the core writes, with the machine stopped.
    oneThread: way === 'ftrace' && kernel.arch.platform.qemu.missesWrittenText === true,
    patches: [made('stress_a'), made('stress_b')],
  };
}

/** Runs both phases on a kernel in the cache; a phase that fails is a result, not an error. */
export async function stressKernel(
  name: string,
  folder: string,
  cycles: number,
  wanted: WantedWay,
  onPhase: (phase: StressPhase) => void,
  onCycles: (phase: string, done: number) => void,
): Promise<StressPhase[]> {
  const plan = { ...(await stressModules(name, folder, wanted)), cycles };
  const { stored } = await loadKernel(name);
  return stress(guestKernel(stored), plan, onPhase, onCycles);
}
