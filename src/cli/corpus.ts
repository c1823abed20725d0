// suture corpus: how many real fixes become live patches.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { loadKernel } from '../host/read-kernel.ts';
import { looksLikeVersion, sourceOfVersion } from '../host/source-version.ts';
import { buildSourcePatch } from './build-source-patch.ts';
import type { Addition } from './command.ts';
import { counts, type FixOutcome } from './corpus-outcome.ts';
import { type CorpusRun, runCorpus } from './corpus-run.ts';
import { corpusTable, describeTable } from './corpus-table.ts';

interface CorpusCommandOptions {
  readonly kernel: string;
  readonly sample?: number;
  readonly seed: number;
  readonly state?: string;
  readonly rehearse: boolean;
}

const explanation = `
Every C file that differs between the trees, and that the kernel's configuration has compiled, is a fix of its own: built,
proven, and rehearsed in guests. A tree is a folder, or a version of the kernel's source package (6.1.187-1), which is fetched
into the cache and stays there. The old tree is the one that the kernel was built from.

The state folder keeps each outcome as soon as it is known; the same command goes on where it was interrupted. An
outcome whose file is removed (fixes/NAME.json) is tried again.`;

export const corpusCommand: Addition = (program, act) => {
  program
    .command('corpus')
    .description(
      'make a live patch of every file that differs between two source trees, and count what becomes of them',
    )
    .argument('<old-tree>', 'the source that the kernel was built from: a folder, or a version')
    .argument('<new-tree>', 'the source with the fixes: a folder, or a version')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option('--sample <k>', 'draw so many of the fixes (default: all)', wholeNumber)
    .option('--seed <s>', 'draw those of this number', wholeNumber, 1)
    .option('--state <folder>', 'where outcomes are kept (default: corpus-KERNEL in the current folder)')
    .option('--no-rehearse', 'build and prove only')
    .addHelpText('after', explanation)
    .action(
      act(async (context, oldTree: string, newTree: string, options: CorpusCommandOptions) => {
        context.progress(`reading ${options.kernel}`);
        const kernel = await loadKernel(options.kernel);
        const treeOf = (text: string) =>
          !existsSync(text) && looksLikeVersion(text)
            ? sourceOfVersion(kernel.stored, text, context.progress)
            : Promise.resolve(resolve(text));
        const source = await treeOf(oldTree);
        const run = await runCorpus(
          kernel,
          {
            oldTree: source,
            newTree: await treeOf(newTree),
            sample: options.sample,
            seed: options.seed,
            state: options.state ?? `corpus-${options.kernel}`,
            rehearse: options.rehearse,
          },
          async ({ path, patch }, name, progress) =>
            (await buildSourcePatch(kernel, patch, path, name, { source, progress })).bytes,
          context.progress,
        );
        const table = corpusTable(run.outcomes);
        return { result: { ...run.plan, table, fixes: run.outcomes }, text: describe(run, describeTable(table)) };
      }),
    );
};

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function describe({ plan, outcomes }: CorpusRun, table: string): string {
  const { changed, compiled, drawn, seed, sample } = plan;
  return [
    `${changed.c} C files differ, ${changed.headers} headers, ${changed.others} other files; ${changed.inOneTree} are in one tree only`,
    `${compiled} of the C files are compiled in ${plan.kernel}` +
      (sample === null ? '' : `; ${drawn.length} of them drawn with seed ${seed}`),
    table,
    ...section(
      'not live patches, of those that count',
      outcomes.filter(counts).filter(({ stage }) => stage !== 'passed'),
    ),
    ...section(
      'not live patches, of the others',
      outcomes.filter((each) => !counts(each) && each.stage !== 'passed'),
    ),
  ].join('\n');
}

function section(title: string, outcomes: readonly FixOutcome[]): string[] {
  if (outcomes.length === 0) return [];
  const line = ({ path, stage, reasons }: FixOutcome) => {
    const [reason] = reasons;
    if (!reason) return `  ${path}: ${stage}`;
    // Of what a compiler says, the first complaint; of all else, the first line.
    const lines = reason.message.split('\n');
    return `  ${path}: ${reason.code}  ${reason.place}: ${lines.find((text) => /\berror: /.test(text)) ?? lines[0]}`;
  };
  return ['', `${title}:`, ...outcomes.map(line)];
}
