// Programs that Suture runs, and the Debian packages that hold them.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { architectures } from '../arch/architectures.ts';
import { type ReasonError, reasonError } from '../reason.ts';

const commonTools: Readonly<Record<string, string>> = {
  'apt-cache': 'apt',
  'apt-get': 'apt',
  diff: 'diffutils',
  'dpkg-deb': 'dpkg',
  flock: 'util-linux',
  grep: 'grep',
  make: 'make',
  prlimit: 'util-linux',
  setpriv: 'util-linux',
  tar: 'tar',
  xz: 'xz-utils',
};

/** Every program that some command runs, with the Debian package that holds it. */
export const tools: ReadonlyMap<string, string> = new Map([
  ...Object.entries(commonTools),
  ...architectures.flatMap(({ platform }): [string, string][] => [
    [platform.qemu.program, platform.qemu.package],
    // QEMU's user mode, in which tests run redirects instruction by instruction.
    [`qemu-${platform.name}`, 'qemu-user'],
    ...['gcc', 'as', 'ld', 'nm', 'objcopy', 'objdump', 'readelf', 'strip'].map((tool): [string, string] => [
      platform.cross.prefix + tool,
      platform.cross.packages[0]!,
    ]),
  ]),
]);

/** Programs that tests run besides, likewise: a browser, in which the rooms that are free of Node must run. */
export const testTools: ReadonlyMap<string, string> = new Map([['chromium', 'chromium']]);

/** The file that a program's name means on PATH; a name with a slash stands for itself. Undefined if there is none. */
export function findProgram(program: string, path = process.env.PATH ?? ''): string | undefined {
  const candidates = program.includes('/') ? [program] : path.split(delimiter).map((folder) => join(folder, program));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/** The refusal of a step whose program is not there. */
export function toolMissing(program: string): ReasonError {
  const holder = tools.get(program) ?? tools.get(program.replace(/-\d+$/, ''));
  return reasonError(
    'tool-missing',
    program,
    `the program is not installed${holder ? `; Debian has it in the package ${holder}` : ''}`,
    holder ? `sudo apt-get install ${holder}` : 'install it, or put its folder on PATH',
  );
}
