// suture core: the kernel-resident module for one kernel.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCore } from '../compile/core-module.ts';
import { makeFolder, writeOutput } from '../host/files.ts';
import { openKernel } from '../host/kernel-store.ts';
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
