// The user's own files: read whole, written whole or not at all.

import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ReasonError, reasonError } from '../reason.ts';

/** The bytes of a file that the user named. Throws `file-missing`. */
export async function readInput(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw cannotRead(path, error);
  }
}

/** The refusal of a file or folder that cannot be read. */
export function cannotRead(path: string, error: unknown): ReasonError {
  const { code, message } = error as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder, not a file' : message;
  return reasonError('file-missing', path, why);
}

/** Writes a file that the user named, by one rename. Throws `output-failed`. */
export async function writeOutput(path: string, bytes: Uint8Array | string): Promise<void> {
  const next = join(dirname(path), `.${basename(path)}.${process.pid}.next`);
  try {
    await writeFile(next, bytes);
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw reasonError('output-failed', path, (error as Error).message);
  }
}
