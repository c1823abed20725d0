// suture build: from a fix to a live patch.

import { existsSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, writeOutput } from '../host/files.ts';
import { openKernel } from '../host/kernel-store.ts';
import { checkSupported, loadKernel } from '../host/read-kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { readPatchModule } from '../kernel/read-patch-module.ts';
import { reasonError } from '../reason.ts';
import { type BuiltPatch, buildPatch, patchName } from './build-patch.ts';
import type { Addition } from './command.ts';
import { describePatch } from './describe-patch.ts';
import { proveBuilt, unprovenOption } from './prove-built.ts';
import { readFix } from './read-fix.ts';
import { moduleOption, readTargets } from './read-targets.ts';

interface BuildOptions {
  readonly kernel: string;
  readonly output?: string;
  readonly name?: string;
  readonly module: readonly string[];
  readonly unproven?: boolean;
}

export const buildCommand: Addition = (program, act) => {
  program
    .command('build')
    .description('build a live patch from a C file: functions named as the kernel’s replace those')
    .argument('<fix>', 'the C file')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option(
      '-o, --output <path>',
      'the module to write, or a folder for it (FOLDER/ is made); the current folder if left out',
    )
    .option(moduleOption.flags, moduleOption.description, moduleOption.collect, [])
    .option('-n, --name <name>', 'the module’s name; livepatch_FIX if left out')
    .option(unprovenOption.flags, unprovenOption.description)
    .action(
      act(async (context, fix: string, options: BuildOptions) => {
        const name = options.name ?? patchName(fix);
        const { output = '.' } = options;
        const target = outputFile(output, name);
        // Before the kernel is read, which takes seconds: what can be refused at once.
        await readFix(fix);
        if (existsSync(target) && realpathSync(target) === realpathSync(fix)) {
          throw reasonError(
            'usage',
            target,
            'the module would take the place of the fix itself',
            'name another file with -o',
          );
        }
        await checkSupported(await openKernel(options.kernel));
        context.progress(`reading ${options.kernel}`);
        const kernel = await loadKernel(options.kernel);
        const patch = await buildPatch(kernel, fix, name, context.progress, (names) =>
          readTargets(kernel, options.module, names),
        );
        if (patch.warnings !== '') context.remark(patch.warnings.trimEnd());
        for (const idle of patch.idle) {
          context.remark(
            `${idle} replaces nothing: the kernel has no function of that name (a helper should be static)`,
          );
        }
        const proof = await proveBuilt(kernel, patch.bytes, patch.name, options.unproven === true, context);
        const result = { ...(await summary(patch)), ...proof };
        if (output.endsWith('/')) await makeFolder(output);
        await writeOutput(target, patch.bytes);
        return { result: { output: target, ...result }, text: describe(target, result) };
      }),
    );
};

/** OUT is a file, or a folder that gets `NAME.ko`: one that is there, or one that ends in a slash and will be made. */
function outputFile(output: string, name: string): string {
  const isFolder = output.endsWith('/') || (existsSync(output) && statSync(output).isDirectory());
  return isFolder ? join(output, `${name}.ko`) : output;
}

/** The result for --json; its `redirects` are told from the module's bytes, as `suture info` tells them. */
async function summary(patch: BuiltPatch) {
  const { module } = await checkSignature(patch.bytes);
  return {
    name: patch.name,
    bytes: patch.bytes.length,
    replacesNothing: patch.idle,
    redirects: describePatch(readPatchModule(module, patch.name)).redirects,
    bound: [...patch.bound].flatMap(([name, binding]) =>
      binding.kind === 'exported' ? [] : [{ name, kind: binding.kind, address: binding.address }],
    ),
  };
}

function describe(target: string, { redirects, bound }: Awaited<ReturnType<typeof summary>>): string {
  const lines = redirects.map((r) => {
    const by = r.newName === r.oldName ? '' : ` by ${r.newName}`;
    const where = r.module === null ? `at 0x${r.oldAddress.toString(16)}` : `of ${r.module}`;
    return `  replaces ${r.oldName} ${where}${by}`;
  });
  const bindings = bound.map((b) => `  uses ${b.name} at 0x${b.address.toString(16)}, which is not exported`);
  return [target, ...lines, ...bindings].join('\n');
}
