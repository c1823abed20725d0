// suture build: from a fix to a live patch. The fix is a C file with functions, or a patch of the kernel's source.

import { existsSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { compilePairs } from '../compile/pairs.ts';
import type { LinkAddress } from '../elf/units.ts';
import { checkFolderOf, makeFolder, writeOutput } from '../host/files.ts';
import { openKernel } from '../host/kernel-store.ts';
import { architectureOf, checkSupported, loadKernel } from '../host/read-kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { readPatchModule } from '../kernel/read-patch-module.ts';
import type { WantedWay } from '../link/choose-way.ts';
import { hasLivepatch } from '../link/link-for-livepatch.ts';
import type { LinkedPatch } from '../link/link-patch.ts';
import { reasonError } from '../reason.ts';
import { buildPatch, checkPatchName, patchName } from './build-patch.ts';
import { linkPairs, type PatchedFile } from './build-source-patch.ts';
import type { Addition } from './command.ts';
import { describeLivepatch } from './describe-livepatch.ts';
import { describePatch } from './describe-patch.ts';
import { proveBuilt, unprovenOption } from './prove-built.ts';
import { type Fix, readFix } from './read-fix.ts';
import { type FindTargets, moduleOption, readTargets } from './read-targets.ts';
import { wayOption } from './way-option.ts';

interface BuildOptions {
  readonly kernel: string;
  readonly output?: string;
  readonly name?: string;
  readonly module: readonly string[];
  readonly unproven?: boolean;
  readonly way: WantedWay;
  readonly source?: string;
  readonly mostFiles?: string;
}

export const buildCommand: Addition = (program, act) => {
  program
    .command('build')
    .description(
      'build a live patch from a patch of the kernel’s source, or from a C file: functions named as the kernel’s replace those',
    )
    .argument('<fix>', 'the source patch (a unified diff), or the C file')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option(
      '-o, --output <path>',
      'the module to write, or a folder for it (FOLDER/ is made); the current folder if left out',
    )
    .option(moduleOption.flags, moduleOption.description, moduleOption.collect, [])
    .option(
      '--source <folder>',
      'the kernel’s source, for a source patch; what was fetched with the kernel if left out',
    )
    .option(
      '--most-files <count>',
      'how many files may be compiled for the sake of a header that a source patch changes',
    )
    .option(
      '-n, --name <name>',
      'the module’s name; livepatch_ and the name of the -o file, or of the fix, if left out',
    )
    .addOption(wayOption())
    .option(unprovenOption.flags, unprovenOption.description)
    .action(
      act(async (context, fix: string, options: BuildOptions) => {
        const { output = '.' } = options;
        const name = options.name ?? patchName(fix, isFolder(output) ? undefined : output);
        // A folder is one that is there, or one that ends in a slash and will be made.
        const target = isFolder(output) ? join(output, `${name}.ko`) : output;
        // Before the kernel is read, which takes seconds: what can be refused at once.
        const read = await readFix(fix);
        const sourceOptions = checkSourceOptions(read, options);
        if (existsSync(target) && realpathSync(target) === realpathSync(fix)) {
          throw reasonError(
            'usage',
            target,
            'the module would take the place of the fix itself',
            'name another file with -o',
          );
        }
        checkPatchName(name);
        await checkFolderOf(output.endsWith('/') ? output : target);
        const stored = await openKernel(options.kernel);
        await checkSupported(stored);
        const { progress } = context;
        progress(`reading ${options.kernel}`);
        // The compilers are other processes: they work while the kernel is read.
        const [loading, compiling] = await Promise.allSettled([
          loadKernel(options.kernel),
          read.kind === 'patch'
            ? compilePairs(stored, architectureOf(stored), read.text, fix, { ...sourceOptions, progress })
            : undefined,
        ]);
        const kernel = settledValue(loading);
        const pairs = settledValue(compiling);
        const targetsNamed: FindTargets = (names) => readTargets(kernel, options.module, names);
        const patch = pairs
          ? await linkPairs(kernel, pairs, fix, name, { targetsNamed, way: options.way, progress })
          : { ...(await buildPatch(kernel, fix, name, progress, targetsNamed, options.way)), files: [] };
        for (const remark of patch.remarks) context.remark(remark);
        const result = {
          ...summary(patch),
          ...(hasLivepatch(kernel.image)
            ? await describeLivepatch(kernel, patch)
            : {
                ...(await redirectsOf(patch)),
                ...(await proveBuilt(kernel, patch.bytes, patch.name, options.unproven === true, context)),
              }),
        };
        for (const { oldName, module, way } of result.redirects) {
          if (options.way === 'entry' && way === 'ftrace')
            context.remark(
              `${oldName} of ${module} goes the ftrace way: here the entry way is for functions of the kernel itself`,
            );
        }
        if (output.endsWith('/')) await makeFolder(output);
        await writeOutput(target, patch.bytes);
        return { result: { output: target, ...result }, text: describe(target, result) };
      }),
    );
};

function settledValue<T>(settled: PromiseSettledResult<T>): T {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

const isFolder = (output: string): boolean =>
  output.endsWith('/') || (existsSync(output) && statSync(output).isDirectory());

/** What only a source patch can make use of. Throws `usage`. */
function checkSourceOptions({ kind }: Fix, { source, mostFiles }: BuildOptions) {
  if (kind === 'c' && (source ?? mostFiles) !== undefined) {
    const option = source === undefined ? '--most-files' : '--source';
    throw reasonError(
      'usage',
      option,
      'a C file is compiled by itself',
      'leave the option out, or give a source patch',
    );
  }
  if (mostFiles !== undefined && !/^[1-9]\d{0,5}$/.test(mostFiles)) {
    throw reasonError('usage', `--most-files ${mostFiles}`, 'this is no number of files', 'give a number, from 1 on');
  }
  return {
    ...(source === undefined ? {} : { source: resolve(source) }),
    ...(mostFiles === undefined ? {} : { mostIncluders: Number(mostFiles) }),
  };
}

interface Built {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly files: readonly PatchedFile[];
  readonly remarks: readonly string[];
  readonly bound: LinkedPatch['bound'];
  readonly idle?: readonly string[];
}

/** What a patch does, told from the module's bytes, as `suture info` tells it. */
async function redirectsOf(patch: Built) {
  const { module } = await checkSignature(patch.bytes);
  const { redirects, recipes } = describePatch(readPatchModule(module, patch.name));
  return { redirects, recipes };
}

/** The rest of the result for --json. */
function summary(patch: Built) {
  return {
    name: patch.name,
    bytes: patch.bytes.length,
    replacesNothing: patch.idle ?? [],
    remarks: patch.remarks,
    files: patch.files,
    bound: [...patch.bound].flatMap(([name, binding]) =>
      binding.kind === 'exported' ? [] : [{ name, kind: binding.kind, address: binding.address }],
    ),
  };
}

/** What is shown of a result, whoever redirects. */
interface Shown extends ReturnType<typeof summary> {
  readonly redirects: readonly {
    readonly module: string | null;
    readonly oldName: string;
    readonly oldAddress?: LinkAddress;
    readonly newName: string;
    readonly way: string;
  }[];
  readonly recipes: readonly { readonly module: string | null; readonly symbol: string }[];
}

function describe(target: string, { redirects, bound, files, recipes }: Shown): string {
  const lines = redirects.map((r) => {
    const by = r.newName === r.oldName ? '' : ` by ${r.newName}`;
    const where = r.module === null ? `at 0x${r.oldAddress?.toString(16)}` : `of ${r.module}`;
    const how = r.way === 'livepatch' ? 'by the kernel’s own livepatch' : `${r.way} way`;
    return `  replaces ${r.oldName} ${where}${by}, ${how}`;
  });
  const alongside = files.flatMap((file) => file.alongside.map((name) => `  brings ${name} of ${file.path}`));
  const bindings = bound.map((b) => `  uses ${b.name} at 0x${b.address.toString(16)}, which is not exported`);
  const late = recipes.map(({ module, symbol }) => `  uses ${symbol} of ${module}, once that is loaded`);
  return [target, ...lines, ...alongside, ...bindings, ...new Set(late)].join('\n');
}
