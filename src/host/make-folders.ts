// Making folders, in places that a user may have named.

import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { reasonError } from '../reason.ts';

/**
 * Makes a folder and those that it is in. One by one: mkdir with `recursive` never comes back from /proc, where nothing can
 * be made and everything is said to be missing. Throws `output-failed`.
 */
export function makeFolders(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolders(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if (existsSync(path)) return;
    throw reasonError(
      'output-failed',
      path,
      `it cannot be made: ${(error as Error).message}`,
      'set XDG_CACHE_HOME to a folder that can be written',
    );
  }
}
