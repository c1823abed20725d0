// suture core: the kernel-resident module for one kernel.

import { existsSync, statSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCore } from '../compile/core-module.ts';
import { writeOutput } from '../host/files.ts';
import { openKernel } from '../host/kernel-store.ts';
import { reasonError } from '../reason.ts';
import type { Addition } from './command.ts';

export const coreCommand: Addition = (program, act) => {
  program
    .command('core')
    .description('build the kernel-resident module for a kernel, ready to be copied to its machine')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .requiredOption('-o, --output <folder>', 'where suture.ko goes; made if it is not there')
    .action(
      act(async (context, options: { kernel: string; output: string }) => {
        const kernel = await openKernel(options.kernel);
        context.progress(`building the core for ${kernel.name}`);
        const core = await buildCore(kernel);
        const bytes = new Uint8Array(await readFile(core.ko));
        const output = join(options.output, 'suture.ko');
        await makeFolder(options.output);
        await writeOutput(output, bytes);
        return {
          result: { output, bytes: bytes.length, exports: Object.fromEntries(core.exportedCrcs) },
          text: output,
        };
      }),
    );
};

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (existsSync(path) && statSync(path).isDirectory()) return;
    throw reasonError('output-failed', path, (error as Error).message, 'choose another folder with -o');
  }
}
