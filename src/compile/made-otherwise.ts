// Files of which a kernel's build makes something else than an object of the kernel or a module, or something besides: a patch that
// changes one would be carried out by half, and nobody would see it.

import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Reason } from '../reason.ts';
import { runBuildTool } from './kbuild.ts';

/** What is of no kernel, unless a file of the kernel asks for it by its path (relo_core.c in kernel/bpf/Makefile, Linux 6.1). */
export const besideKernel = /^(?:tools|samples)\//;

/** The vDSO is a program of its own inside the kernel, which every process has mapped (lib/vdso, arch/arm/vdso, Linux 6.1). */
const ofVdso = /(?:^|\/)vdso\//;

/** Why a change of a file cannot be carried out, for its place alone. `architecture` is the kernel's folder below arch/. */
export function madeOtherwise(path: string, architecture: string): Reason | undefined {
  const [top, second] = path.split('/');
  if (!ofVdso.test(path) || (top === 'arch' && second !== architecture)) return undefined;
  return refusal(path, 'the vDSO is made of it, which every process has mapped, and which a live patch does not reach');
}

/** For a file that no object of the kernel is made of, where no Makefile says that it is left out. */
export const madeUnknown = (path: string): Reason =>
  refusal(path, 'the kernel’s build may make something of it, and what that is cannot be told from its Makefiles');

const refusal = (place: string, message: string): Reason => ({
  code: 'made-otherwise',
  place,
  message,
  remedy: 'leave this file out of the patch if the rest makes sense without it',
});

/** Whether the kernel's source or a Makefile of it has a path of the tree in it. */
export async function isNamedByKernel(source: string, path: string): Promise<boolean> {
  const tops = (await readdir(source, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const files = ['*.[chS]', 'Makefile', 'Kbuild'].map((name) => `--include=${name}`);
  const folders = tops.map(({ name }) => name).filter((name) => !notAsking.has(name));
  return (await grep(source, ['-rlF', ...files, '-e', path, ...folders])) !== '';
}

const notAsking = new Set(['Documentation', 'LICENSES', 'samples', 'scripts', 'tools']);

/**
 * Whether a file that is compiled by itself is part of another one too, as lib/lzo/lzo1x_compress.c is (Linux 6.1). Such files lie close
 * to each other: it is looked for in the folder of the subsystem (`lib`, `drivers/net`, `arch/arm`).
 */
export async function isIncluded(source: string, path: string): Promise<boolean> {
  const steps = dirname(path).split('/');
  const folder = steps.slice(0, ['arch', 'drivers', 'sound'].includes(steps[0]!) ? 2 : 1).join('/');
  const name = path.slice(path.lastIndexOf('/') + 1).replaceAll('.', '\\.');
  const line = `^[[:blank:]]*#[[:blank:]]*include[[:blank:]]+"([^"]*/)?${name}"`;
  return (await grep(source, ['-rlE', '--include=*.[chS]', '-e', line, folder])) !== '';
}

const grep = async (source: string, options: readonly string[]): Promise<string> =>
  (await runBuildTool('grep', options, source, [0, 1])).stdout.trim();
