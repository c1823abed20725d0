// The user's own files: read whole, written whole or not at all.

import { existsSync, realpathSync, rmSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { type ReasonError, reasonError } from '../reason.ts';
import { atEnd } from './interrupt.ts';

/** What the system says of an error, without the call and the path that Node adds. */
export function systemMessage(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return getSystemErrorMap().get(errno ?? 0)?.[1] ?? message;
}

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
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return reasonError('file-missing', path, 'there is no such file', 'correct the path');
  if (code === 'EISDIR') return reasonError('file-missing', path, 'it is a folder, not a file', 'name a file in it');
  return reasonError('file-missing', path, systemMessage(error), 'make it readable, or name another one');
}

/**
 * The paths of all that is no folder, below one, relative to it. Links are not followed. Throws what `readdir` throws;
 * that one's own recursion takes five times as long.
 */
export async function filesBelow(folder: string, prefix = ''): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const found = entries.map((entry) => {
    const path = `${prefix}${entry.name}`;
    return entry.isDirectory() ? filesBelow(folder, `${path}/`) : [path];
  });
  return (await Promise.all(found)).flat();
}

const elsewhere = 'choose another place with -o';

/** Makes a folder that the user named, unless it is there; the one that it is to be in must be. Throws `output-failed`. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (existsSync(path) && statSync(path).isDirectory()) return;
    throw cannotWrite(path, error);
  }
}

/** Sees that the folder is there in which a file or a folder is to be made that the user named. Throws `output-failed`. */
export async function checkFolderOf(path: string): Promise<void> {
  await stat(`${dirname(resolve(path))}/.`).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
}

/**
 * Writes a file that the user named: by one rename where it is a file or not there yet, through a link where it is one, and
 * into it where it is a device or a pipe. Throws `output-failed`.
 */
export async function writeOutput(path: string, bytes: Uint8Array | string): Promise<void> {
  if (existsSync(path)) {
    const target = realpathSync(path);
    if (!statSync(target).isFile() && !statSync(target).isDirectory()) return writeInto(target, bytes);
    if (target !== resolve(path)) return writeOutput(target, bytes);
  }
  const next = join(dirname(path), `.${basename(path)}.${process.pid}.next`);
  const forget = atEnd(() => rmSync(next, { force: true }));
  try {
    await writeFile(next, bytes);
    await rename(next, path);
  } catch (error) {
    // Where the file cannot be made, it may be impossible even to ask for its removal (a part of the path is a file).
    await rm(next, { force: true }).catch(() => {});
    throw cannotWrite(path, error);
  } finally {
    forget();
  }
}

async function writeInto(path: string, bytes: Uint8Array | string): Promise<void> {
  await writeFile(path, bytes).catch((error) => {
    throw cannotWrite(path, error);
  });
}

function cannotWrite(path: string, error: unknown): ReasonError {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOENT') return reasonError('output-failed', path, systemMessage(error), elsewhere);
  const folder = dirname(path);
  // /proc, for one.
  if (existsSync(folder)) return reasonError('output-failed', path, `nothing can be made in ${folder}`, elsewhere);
  return reasonError('output-failed', path, `there is no folder ${folder}`, `make it, or ${elsewhere}`);
}
