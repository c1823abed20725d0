// What a refusal of a source patch can say beyond what the room knew that refused: of the file that a function is in, and of the
// tree that it was compiled from.

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pairs } from '../compile/pairs.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { type Reason, ReasonError } from '../reason.ts';

/** The error, or one that says more. */
export async function explainRefusal(error: unknown, { arch, stored }: LoadedKernel, pairs: Pairs): Promise<unknown> {
  if (!(error instanceof ReasonError)) return error;
  const { mcount } = arch.objectCode;
  const explain = async (reason: Reason): Promise<Reason> => {
    const { code, place, message } = reason;
    if (code === 'no-call-site') {
      const file = pairs.pairs.find(({ plain }) => plain.symbols.some(({ name }) => name === place));
      if (!file || file.plain.symbols.some(({ name }) => name === mcount)) return reason;
      const why = file.path.endsWith('.S')
        ? `${file.path} is assembly, which the compiler adds none to`
        : `all of ${file.path} is compiled without -pg, as its Makefile says (CC_FLAGS_FTRACE)`;
      return { ...reason, message: `${message.replace(/ \(.*\)$/, '')}: ${why}` };
    }
    if (code === 'build-differs') {
      const file = pairs.pairs.find(({ path }) => place.startsWith(`${path}:`));
      const changed = file ? await changedLocally(pairs.source, stored.source, file.read) : [];
      if (changed.length === 0) return reason;
      const some = `${changed.slice(0, 5).join(', ')}${changed.length > 5 ? `, and ${changed.length - 5} more` : ''}`;
      return {
        ...reason,
        message: `${message}; the source tree is not as it came with the kernel: ${some}`,
        remedy: `undo what has been changed in ${pairs.source}, or name the kernel’s own source with --source`,
      };
    }
    return reason;
  };
  const [first, ...others] = await Promise.all(error.reasons.map(explain));
  return new ReasonError(first!, ...others);
}

/**
 * Which of the files that a compiler read are not as they came with the kernel: other than in the tree that did; in that tree
 * itself, those that were written after its top Makefile, which unpacking or a checkout writes with all the others.
 */
async function changedLocally(source: string, own: string | undefined, read: readonly string[]): Promise<string[]> {
  const paths = read.filter((file) => file.startsWith(`${source}/`)).map((file) => file.slice(source.length + 1));
  const bytes = (tree: string, path: string) => readFile(join(tree, path), 'latin1').catch(() => undefined);
  const time = async (path: string) => (await stat(join(source, path)).catch(() => undefined))?.mtimeMs ?? 0;
  const unpacked = await time('Makefile');
  const changed: string[] = [];
  for (const path of paths) {
    const isOther =
      own !== undefined && own !== source
        ? (await bytes(source, path)) !== (await bytes(own, path))
        : (await time(path)) > unpacked;
    if (isOther) changed.push(path);
  }
  return changed;
}
