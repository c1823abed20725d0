// What a run of the corpus has come to so far, in a folder of the user's: one file for the plan, one for each outcome, each
// written at once. A run that was interrupted goes on where it was.
//
//   plan.json             what is drawn from what; another plan does not go into the same folder
//   fixes/NAME.patch      the fix, as `suture build` takes it; NAME is the path with `+` for `/`
//   fixes/NAME.change     what the fix changes, found without making a patch of it (JSON)
//   fixes/NAME.json       its outcome (corpus-outcome.ts); taken away, it is tried again
//   fixes/NAME.ko         the patch module, where there is one

import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Assessment } from '../compile/assess-change.ts';
import type { FileChange } from '../compile/tree-changes.ts';
import { makeFolder, writeOutput } from '../host/files.ts';
import { reasonError } from '../reason.ts';
import { assessmentFile, type FixOutcome, outcomeFile } from './corpus-outcome.ts';

const planFile = z.strictObject({
  schema: z.literal(1),
  kernel: z.string(),
  oldTree: z.string(),
  newTree: z.string(),
  seed: z.number(),
  /** How many were to be drawn; null for all. */
  sample: z.number().nullable(),
  /** Files that differ: C files, headers, others; and how many stand in one of the trees only. */
  changed: z.strictObject({ c: z.number(), headers: z.number(), others: z.number(), inOneTree: z.number() }),
  /** How many of the C files are compiled, by themselves, in the kernel's configuration: what is drawn from. */
  compiled: z.number(),
  /** The fixes that were drawn, by path, in the order in which they were. */
  drawn: z.array(z.string()).readonly(),
});

export type CorpusPlan = z.infer<typeof planFile>;

export class CorpusState {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The plan of an earlier run in this folder, or undefined. Throws `usage` for a folder with something else in its place. */
  async plan(): Promise<CorpusPlan | undefined> {
    return this.#read(join(this.folder, 'plan.json'), planFile);
  }

  async begin(plan: CorpusPlan, fixes: readonly FileChange[]): Promise<void> {
    await makeFolder(this.folder);
    await makeFolder(join(this.folder, 'fixes'));
    for (const { path, patch } of fixes) await writeOutput(this.#file(path, 'patch'), Buffer.from(patch, 'latin1'));
    // Last: a folder with a plan is complete.
    await writeOutput(join(this.folder, 'plan.json'), `${JSON.stringify(plan, null, 2)}\n`);
  }

  async fix(path: string): Promise<FileChange> {
    return { path, patch: await readFile(this.#file(path, 'patch'), 'latin1') };
  }

  assessment(path: string): Promise<Assessment | undefined> {
    return this.#read(this.#file(path, 'change'), assessmentFile);
  }

  async keepAssessment(path: string, assessment: Assessment): Promise<void> {
    await writeOutput(this.#file(path, 'change'), `${JSON.stringify(assessment)}\n`);
  }

  outcome(path: string): Promise<FixOutcome | undefined> {
    return this.#read(this.#file(path, 'json'), outcomeFile);
  }

  async module(path: string): Promise<Uint8Array> {
    return new Uint8Array(await readFile(this.#file(path, 'ko')));
  }

  /** Keeps an outcome, and the module that belongs to it: that one first, so that an outcome is never without it. */
  async keep(outcome: FixOutcome, module?: Uint8Array): Promise<void> {
    if (module) await writeOutput(this.#file(outcome.path, 'ko'), module);
    else if (outcome.stage === 'refused') await rm(this.#file(outcome.path, 'ko'), { force: true });
    await writeOutput(this.#file(outcome.path, 'json'), `${JSON.stringify(outcome, null, 2)}\n`);
  }

  #file(path: string, kind: 'patch' | 'change' | 'json' | 'ko'): string {
    return join(this.folder, 'fixes', `${path.replaceAll('/', '+')}.${kind}`);
  }

  async #read<T>(file: string, shape: z.ZodType<T>): Promise<T | undefined> {
    if (!existsSync(file)) return undefined;
    let json: unknown;
    try {
      json = JSON.parse(await readFile(file, 'utf8'));
    } catch {
      json = undefined;
    }
    const { success, data } = shape.safeParse(json);
    if (success) return data;
    throw reasonError('usage', file, 'it is no file of a run of the corpus', 'name another folder with --state');
  }
}
