// suture demo: the whole way on both architectures, from a fetched kernel to a proven patch in a guest and back. `npm start` runs it.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { architectures } from '../arch/architectures.ts';
import { buildCore } from '../compile/core-module.ts';
import { openKernel, type StoredKernel } from '../host/kernel-store.ts';
import { packageFile } from '../host/package-file.ts';
import { loadKernel } from '../host/read-kernel.ts';
import { stockKernel } from '../host/stock-kernel.ts';
import { guestKernel } from '../lab/guest-kernel.ts';
import { type Rehearsal, rehearse } from '../lab/rehearse.ts';
import type { Reason } from '../reason.ts';
import { buildPatch, patchName } from './build-patch.ts';
import type { Addition, Context } from './command.ts';
import { columns } from './output.ts';
import { proveBuilt } from './prove-built.ts';

/** The fixes of examples/, each with a check beside it. */
const examples = ['cmdline', 'stack-arguments', 'leaf', 'pointer', 'local-call'];

const exampleFile = (name: string) => packageFile(`examples/${name}`);

export const demoCommand: Addition = (program, act) => {
  program
    .command('demo')
    .description('fetch a stock kernel of each architecture, patch it in a guest with every example, and take it back')
    .option('--kernel <name>', 'with this kernel only')
    .action(
      act(async (context, options: { kernel?: string }) => {
        const results: { kernel: string; seconds: number; rehearsal: Rehearsal }[] = [];
        const kernels: (() => Promise<StoredKernel>)[] =
          options.kernel === undefined
            ? architectures.map(
                ({ platform }) =>
                  () =>
                    stockKernel(platform, context.remark),
              )
            : [() => openKernel(options.kernel!)];
        for (const kernel of kernels) {
          const stored = await kernel();
          const started = performance.now();
          const rehearsal = await showOne(stored, context);
          const seconds = Math.round((performance.now() - started) / 1000);
          results.push({ kernel: stored.name, seconds, rehearsal });
        }
        const reasons: Reason[] = results.flatMap(({ kernel, rehearsal }) =>
          rehearsal.reasons.map((reason) => ({ ...reason, place: `${kernel}: ${reason.place}` })),
        );
        return {
          result: { kernels: results },
          text: table(results),
          status: reasons.length === 0 ? 'done' : 'refused',
          reasons,
        };
      }),
    );
};

async function showOne(stored: StoredKernel, context: Context): Promise<Rehearsal> {
  const say = (text: string) => context.remark(`${stored.name}: ${text}`);
  say('reading the image as shipped');
  const kernel = await loadKernel(stored.name);
  say('building the core');
  const core = new Uint8Array(await readFile((await buildCore(stored)).ko));
  const patches = [];
  for (const name of examples) {
    const fix = `${exampleFile(name)}.c`;
    say(`building a live patch of examples/${basename(fix)}, and proving it`);
    const { bytes } = await buildPatch(kernel, fix, patchName(fix), () => {});
    await proveBuilt(kernel, bytes, patchName(fix), false, context);
    patches.push({ name, module: bytes, check: await readFile(`${exampleFile(name)}.sh`, 'utf8') });
  }
  return rehearse(guestKernel(stored), { core, patches }, say);
}

/** What each check printed in each phase, and whether all of it was as it should be. */
function table(results: readonly { kernel: string; seconds: number; rehearsal: Rehearsal }[]): string {
  const rows = results.flatMap(({ kernel, rehearsal: { steps } }) =>
    examples.map((patch) => {
      const own = steps.filter((step) => step.patch === patch);
      const shown = (name: string) => short(own.find((step) => step.name === name)?.output ?? '–');
      const well = own.length === 5 && own.every((step) => step.status === 0);
      return [
        kernel,
        patch,
        shown('check before'),
        shown('check applied'),
        shown('check reverted'),
        well ? 'ok' : 'FAILED',
      ];
    }),
  );
  const times = results.map(
    ({ kernel, seconds, rehearsal }) =>
      `${kernel}: ${rehearsal.verdict} in ${seconds} s, core and ${examples.length} patches built and proven included`,
  );
  return [columns([['kernel', 'example', 'before', 'applied', 'reverted', ''], ...rows]), '', ...times].join('\n');
}

/** The first line, cut so that the table fits a terminal. */
function short(output: string): string {
  const lines = output.trim().split('\n');
  const line = lines.length > 1 ? lines.join('; ') : (lines[0] ?? '');
  return line.length > 32 ? `${line.slice(0, 31)}…` : line;
}
