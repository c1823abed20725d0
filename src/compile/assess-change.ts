// What a change of one file is and does, found without the rooms that make a patch of it: what of the source it changes,
// whether it compiles by itself, and which functions the compiler makes otherwise.

import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { ReasonError } from '../reason.ts';
import { applyToFile } from './apply-diff.ts';
import { type ChangedFunctions, changedInEither } from './changed-assembly.ts';
import { evenLines } from './even-lines.ts';
import { type SourceChange, sourceChange } from './function-bodies.ts';
import { makeObjectTree } from './object-tree.ts';
import { compileAgain, type OriginalObject, originalObjects, sectionedFlags } from './original-objects.ts';
import { makePatchedTree } from './patched-tree.ts';
import type { FileChange } from './tree-changes.ts';
import { parseUnifiedDiff } from './unified-diff.ts';

export interface Assessment {
  readonly source: SourceChange;
  /** Whether the changed file compiles in the tree that is otherwise as it was. */
  readonly compilesAlone: boolean;
  /** The compiler's complaint where it does not. */
  readonly complaint: string;
  /**
   * Functions of the object, by what became of them, numbers of copies left out; null where
   * that cannot be told: it does not compile, or the kernel's own file does not.
   */
  readonly functions: ChangedFunctions | null;
}

/**
 * Assesses a change of a file that the kernel's configuration has. `source` is the kernel's own tree, which is only read.
 * Throws `patch-unreadable` and `patch-does-not-apply`.
 */
export async function assessChange(
  kernel: StoredKernel,
  platform: Platform,
  source: string,
  { path, patch }: FileChange,
  progress: (text: string) => void,
): Promise<Assessment> {
  const [parsed] = parseUnifiedDiff(patch, path);
  const before = await readFile(join(source, path), 'latin1');
  const { text: after } = applyToFile(before, parsed!);
  const change = sourceChange(before, after);
  let original: OriginalObject | undefined;
  try {
    [original] = await originalObjects(kernel, platform, source, [path], progress);
  } catch (error) {
    // Not the change's fault: whoever makes a patch of it will say what is missing.
    if (!(error instanceof ReasonError)) throw error;
  }
  if (original === undefined) return { source: change, compilesAlone: true, complaint: '', functions: null };

  progress(`reading the assembly of ${path}`);
  return withTemporaryFolder(async (folder) => {
    const [objects, patched] = [join(folder, 'objects'), join(folder, 'patched')];
    await mkdir(objects);
    await mkdir(patched);
    const { made, run } = original;
    // As the compiler writes it, whatever else becomes of assembly that is to go into a module.
    const { assemblyForModule: _, ...compiler } = platform;
    const tree = await makeObjectTree(kernel, compiler, source, objects);
    if (existsSync(made)) await cp(made, objects, { recursive: true });
    await makePatchedTree(source, patched, new Map([[path, Buffer.from(before, 'latin1')]]), [dirname(path)]);
    /** Compiles a text in the file's place, to assembly. */
    const assemblyOf = async (text: string, flags: readonly string[]): Promise<string> => {
      await writeFile(join(patched, path), text, 'latin1');
      const { object } = await compileAgain(tree, path, run, patched, [...flags, '-S']);
      const assembly = Buffer.from(object).toString('latin1');
      if (assembly.startsWith('\x7fELF')) throw new Error(`${path}: the compiler wrote no assembly`);
      return assembly;
    };
    const even = evenLines(before, parsed!);
    try {
      // The new state first: where it does not compile the other one is of no use.
      const states = async (flags: readonly string[]) => {
        const after = await assemblyOf(even.after, flags);
        return [await assemblyOf(even.before, flags), after] as const;
      };
      const forPatch = await states(sectionedFlags(platform));
      // Data of a section by its own name, not by its distance from the first.
      const asKernel = await states(['-fno-section-anchors']);
      return { source: change, compilesAlone: true, complaint: '', functions: changedInEither(forPatch, asKernel) };
    } catch (error) {
      if (!(error instanceof ReasonError) || error.reasons[0].code !== 'compile-failed') throw error;
      const complaint = error.reasons[0].message;
      return { source: change, compilesAlone: false, complaint, functions: null };
    }
  });
}
