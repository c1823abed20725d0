// Where this package's own files are, from wherever its code runs: as source, compiled to dist/, or compiled with a bench.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The path of a file or folder of the package, given from its top; whether it is there is not looked at. */
export const packageFile = (path: string): string => join(packageFolder, path);

const packageFolder = nearestPackage(dirname(fileURLToPath(import.meta.url)));

function nearestPackage(folder: string): string {
  if (existsSync(join(folder, 'package.json')) || folder === dirname(folder)) return folder;
  return nearestPackage(dirname(folder));
}
