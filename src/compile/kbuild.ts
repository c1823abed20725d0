// Running a kernel's own Kbuild on a folder of ours, so that code is compiled with just the flags that the kernel's modules
// were compiled with.

import type { Platform } from '../arch/arch.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { type RunResult, run } from '../host/run.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import { reasonError } from '../reason.ts';

/** What make and the shells that it runs do not take as part of a path. The kernel's own Makefile refuses blanks and colons. */
const unfitForMake = /[\s:#$%&;|<>()*?[\]'"`\\]/;

/**
 * Bytes of address space that each compiler may take; gcc needs some 200 MB for a kernel source. A fix may include what never
 * ends; the compiler then ends before the machine's memory does.
 */
const largestProcess = 4 * 2 ** 30;

/**
 * What the user's environment has for makes and compilers of their own, and what would change those of the kernel: taken
 * out. Messages must be those that we know.
 */
export const buildEnvironment = {
  ...Object.fromEntries(
    [
      ...['MAKEFLAGS', 'MAKELEVEL', 'MAKEFILES', 'KBUILD_EXTMOD', 'KBUILD_OUTPUT', 'ARCH', 'CROSS_COMPILE', 'CC', 'V'],
      ...['KCFLAGS', 'KCPPFLAGS', 'KAFLAGS', 'CFLAGS_KERNEL', 'CFLAGS_MODULE', 'AFLAGS_KERNEL', 'AFLAGS_MODULE'],
      ...['CPATH', 'C_INCLUDE_PATH', 'COMPILER_PATH', 'GCC_EXEC_PREFIX', 'DEPENDENCIES_OUTPUT', 'SUNPRO_DEPENDENCIES'],
    ].map((name) => [name, undefined]),
  ),
  LC_ALL: 'C',
} as const;

/**
 * Runs make or a compiler in a folder, with bounds on its memory and time; `exported` are variables for its environment.
 * Throws `tool-missing`, `tool-failed`.
 */
export const runBuildTool = (
  program: string,
  args: readonly string[],
  folder: string,
  accept: readonly number[],
  exported: Readonly<Record<string, string>> = {},
): Promise<RunResult> =>
  withTemporaryFolder((temporary) =>
    run('prlimit', [`--as=${largestProcess}`, program, ...args], {
      cwd: folder,
      accept,
      timeout: 600,
      // A compiler that is killed leaves its temporary files.
      env: { ...exported, ...buildEnvironment, TMPDIR: temporary },
    }),
  );

/**
 * The kernel's own make, for the cross compiler of the platform. `folder` holds a Kbuild file; nothing outside it is written.
 * Throws `usage` for a path that make cannot work with, `tool-failed`, `tool-missing`.
 */
export async function kbuild(
  kernel: StoredKernel,
  platform: Platform,
  folder: string,
  targets: readonly string[],
  accept: readonly number[] = [0],
): Promise<RunResult> {
  checkPath(folder, 'set TMPDIR to another folder');
  checkPath(kernel.headers, 'move the headers, and import the kernel again');
  return runBuildTool(
    'make',
    [
      ...['--silent', '-C', kernel.headers, `M=${folder}`],
      ...[`ARCH=${platform.kbuild}`, `CROSS_COMPILE=${kernel.crossPrefix}`],
      ...targets,
    ],
    folder,
    accept,
  );
}

/** Throws `usage` for a path that make cannot work with. */
export function checkPath(path: string, remedy: string): void {
  const unfit = unfitForMake.exec(path)?.[0];
  if (unfit === undefined) return;
  throw reasonError(
    'usage',
    path,
    `the kernel’s build system takes no path with ${JSON.stringify(unfit)} in it`,
    remedy,
  );
}
