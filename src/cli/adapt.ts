// suture adapt: from a module made for the kernel's own livepatch to one for a kernel that has none.

import { existsSync, realpathSync } from 'node:fs';
import { buildCore } from '../compile/core-module.ts';
import { readInput, writeOutput } from '../host/files.ts';
import { openKernel } from '../host/kernel-store.ts';
import { checkSupported, loadKernel } from '../host/read-kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { readPatchModule } from '../kernel/read-patch-module.ts';
import type { WantedWay } from '../link/choose-way.ts';
import { hasLivepatch } from '../link/link-for-livepatch.ts';
import { reasonError } from '../reason.ts';
import { type AdaptedPatch, adaptPatch } from './adapt-patch.ts';
import type { Addition } from './command.ts';
import { notProven } from './describe-livepatch.ts';
import { describePatch } from './describe-patch.ts';
import { proveBuilt, unprovenOption } from './prove-built.ts';
import { type FindTargets, moduleOption, readTargets } from './read-targets.ts';
import { wayOption } from './way-option.ts';

interface AdaptOptions {
  readonly kernel: string;
  readonly output: string;
  readonly module: readonly string[];
  readonly unproven?: boolean;
  readonly way: WantedWay;
}

export const adaptCommand: Addition = (program, act) => {
  program
    .command('adapt')
    .description(
      'take a livepatch module, built with our <linux/livepatch.h>, to a kernel without LIVEPATCH, or let one that has it bind what is not exported',
    )
    .argument('<module>', 'the .ko that the kernel’s build system made; one that is no patch is only bound and signed')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option(moduleOption.flags, moduleOption.description, moduleOption.collect, [])
    .requiredOption('-o, --output <file>', 'the module to write')
    .addOption(wayOption())
    .option(unprovenOption.flags, unprovenOption.description)
    .action(
      act(async (context, file: string, options: AdaptOptions) => {
        const bytes = await readInput(file);
        if (existsSync(options.output) && realpathSync(options.output) === realpathSync(file)) {
          throw reasonError(
            'usage',
            options.output,
            'the module would take the place of the one that it is made from',
            'name another file with -o',
          );
        }
        const stored = await openKernel(options.kernel);
        await checkSupported(stored);
        context.progress(`reading ${options.kernel}`);
        const kernel = await loadKernel(options.kernel);
        const own = hasLivepatch(kernel.image);
        if (!own) context.progress(`building the core for ${stored.name}`);
        const core = own ? undefined : await buildCore(stored);
        context.progress(`adapting ${file}`);
        const targetsNamed: FindTargets = (names) => readTargets(kernel, options.module, names);
        const adapted = await adaptPatch(kernel, core, bytes, file, targetsNamed, options.way);
        const proof =
          adapted.isPatch && !own
            ? await proveBuilt(kernel, adapted.bytes, adapted.name, options.unproven === true, context)
            : undefined;
        const result = { ...(await summary(adapted, own)), ...(own ? notProven(adapted.name) : proof) };
        await writeOutput(options.output, adapted.bytes);
        if (!adapted.isPatch) context.remark(`${file} is no live patch: it is bound and signed, and nothing else`);
        return { result: { output: options.output, ...result }, text: describe(options.output, result) };
      }),
    );
};

/** The result for --json; what a patch does is told from the module's bytes, as `suture info` tells it. */
async function summary(adapted: AdaptedPatch, own: boolean) {
  const { module } = await checkSignature(adapted.bytes);
  const patch = adapted.isPatch && !own ? describePatch(readPatchModule(module, adapted.name)) : undefined;
  return {
    name: adapted.name,
    bytes: adapted.bytes.length,
    isPatch: adapted.isPatch,
    modules: patch?.modules ?? [],
    redirects: patch?.redirects ?? [],
    recipes: patch?.recipes ?? [],
    bound: [...adapted.bound].flatMap(([name, binding]) =>
      binding.kind === 'exported' ? [] : [{ name, kind: binding.kind, address: binding.address }],
    ),
  };
}

function describe(output: string, { redirects, recipes, bound }: Awaited<ReturnType<typeof summary>>): string {
  return [
    output,
    ...redirects.map((r) => {
      const where = r.module === null ? `at 0x${r.oldAddress.toString(16)}` : `of ${r.module}`;
      return `  replaces ${r.oldName} ${where} by ${r.newName}, ${r.way} way`;
    }),
    ...recipes.map((r) => `  ${r.place} waits for ${r.symbol} of ${r.module}`),
    ...bound.map((b) => `  uses ${b.name} at 0x${b.address.toString(16)}, which is not exported`),
  ].join('\n');
}
