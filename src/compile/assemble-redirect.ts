// Somebody's own hook or stub, from assembly to the bytes that a proof reads: once as the assembler leaves it, with the
// relocations that say what refers to the new function and to the handler, and once linked, as a part of the kernel would be.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readElf } from '../elf/elf.ts';
import { readInput } from '../host/files.ts';
import type { StoredKernel } from '../host/kernel-store.ts';
import { run } from '../host/run.ts';
import { withTemporaryFolder } from '../host/temporary.ts';
import type { KernelImage } from '../kernel/image.ts';
import { ReasonError, reasonError } from '../reason.ts';

export interface AssembledRedirect {
  readonly object: Uint8Array;
  readonly linked: Uint8Array;
}

/** The symbols that the linker need not find: they stand for what a proof puts there, in reach of a branch. */
const standIns = ['new_function', 'ftrace_handler'] as const;

/** Assembly can say that it wants gigabytes; so many bytes are enough for any hook, and so many seconds. */
const bounds = { addressSpace: 2 * 2 ** 30, file: 4 * 2 ** 20, seconds: 20 } as const;

/** Bytes between the end of the kernel's image and the code, and between the code and each stand-in. */
const gap = 2n ** 20n;

/**
 * Assembles and links a file for a kernel, whose own symbols it may use; `further` has addresses of some that the image has no
 * symbols for. Code lies behind the kernel's image.
 * Throws `file-missing`, `compile-failed` with the tools' own words, `tool-missing`.
 */
export function assembleRedirect(
  file: string,
  kernel: StoredKernel,
  image: KernelImage,
  further: ReadonlyMap<string, bigint>,
): Promise<AssembledRedirect> {
  return withTemporaryFolder(async (folder) => {
    await readInput(file);
    const [objectFile, linkedFile] = ['redirect.o', 'redirect.elf'].map((name) => join(folder, name)) as [
      string,
      string,
    ];
    const tool = (name: string, args: readonly string[]) =>
      bounded(file, folder, [`${kernel.crossPrefix}${name}`, ...args]);
    await tool('gcc', ['-c', '-x', 'assembler-with-cpp', '-o', objectFile, file]);
    const object = await bytesOf(objectFile);

    const start = ((image.base + BigInt(image.size)) / gap + 1n) * gap;
    const defined = standIns.map((name, i) => [name, start + gap * BigInt(i + 1)] as const);
    const kernels = readElf(object, file)
      .symbols.filter(({ place, name }) => place === 'undefined' && !(standIns as readonly string[]).includes(name))
      .flatMap(({ name }): [string, bigint][] => {
        const address = image.symbol(name) ?? further.get(name);
        return address === undefined ? [] : [[name, address]];
      });
    const hex = (address: bigint) => `0x${address.toString(16)}`;
    await tool('ld', [
      ...['--entry', '0', '-Ttext', hex(start)],
      ...[...defined, ...kernels].flatMap(([name, address]) => ['--defsym', `${name}=${hex(address)}`]),
      ...['-o', linkedFile, objectFile],
    ]);
    return { object, linked: await bytesOf(linkedFile) };
  });
}

const bytesOf = async (file: string): Promise<Uint8Array> => new Uint8Array(await readFile(file));

/** Runs a tool within bounds. What it has to say against the file is the file's fault. */
async function bounded(file: string, folder: string, command: readonly string[]): Promise<void> {
  const limits = [`--as=${bounds.addressSpace}`, `--fsize=${bounds.file}`, `--cpu=${bounds.seconds}`];
  try {
    await run('prlimit', [...limits, ...command], { timeout: 2 * bounds.seconds, env: { LC_ALL: 'C' } });
  } catch (error) {
    if (!(error instanceof ReasonError) || error.reasons[0].code !== 'tool-failed') throw error;
    throw reasonError(
      'compile-failed',
      file,
      error.reasons[0].message.replaceAll(`${folder}/`, ''),
      'mend the assembly; docs/proof.md says what such a file defines',
    );
  }
}
