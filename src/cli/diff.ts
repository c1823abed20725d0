// suture diff: what a fix has changed between two objects of one source.

import { diffObjects, type ObjectDiff } from '../diff/diff.ts';
import { readElf } from '../elf/elf.ts';
import { readInput } from '../host/files.ts';
import type { Addition } from './command.ts';

export const diffCommand: Addition = (program, act) => {
  program
    .command('diff')
    .description('say which functions differ between two objects of one source, and what of that cannot be patched')
    .argument('<original>', 'the .o as it was before the fix')
    .argument('<patched>', 'the .o with the fix, compiled with the same options')
    .action(
      act(async (context, originalFile: string, patchedFile: string) => {
        const [original, patched] = await Promise.all([originalFile, patchedFile].map(readObject));
        const diff = diffObjects(original!, patched!);
        for (const remark of diff.remarks) context.remark(remark);
        return {
          status: diff.reasons.length > 0 ? 'refused' : 'done',
          result: resultOf(diff),
          text: describe(diff),
          reasons: diff.reasons,
        };
      }),
    );
};

const readObject = async (name: string) => ({ name, model: readElf(await readInput(name), name) });

function resultOf({ changed, new: added, removed, selection, onlyLines, remarks }: ObjectDiff) {
  const named = (kind: string) => selection.included.filter((piece) => piece.kind === kind).map(({ name }) => name);
  const bound = [...selection.links.values()].flatMap((link) => (link.kind === 'original' ? [link.piece.name] : []));
  return {
    changed: changed.map(({ name }) => name),
    new: added.map(({ name }) => name),
    removed: removed.map(({ name }) => name),
    onlyLines,
    /** What a patch takes along, and what of the original it is bound to. */
    patch: {
      redirected: changed.filter(({ redirected }) => redirected).map(({ name }) => name),
      functions: named('function'),
      variables: named('variable'),
      bound: [...new Set(bound)],
    },
    remarks,
  };
}

function describe({ changed, new: added, removed }: ObjectDiff): string {
  const lines = [
    ...changed.map(({ name }) => `changed  ${name}`),
    ...added.map(({ name }) => `new      ${name}`),
    ...removed.map(({ name }) => `removed  ${name}`),
  ];
  return lines.length === 0 ? 'no function differs' : lines.join('\n');
}
