// The program: bin/suture runs this.

import { buildingFolder } from '../host/cache.ts';
import { sweepLeftovers } from '../host/temporary.ts';
import { runCommandLine } from './command.ts';
import { commands } from './commands.ts';

// Whoever reads our output may have seen enough (`suture kernel list | head -1`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

sweepLeftovers();
sweepLeftovers(buildingFolder());

const watched = process.stderr.isTTY === true;
process.exitCode = await runCommandLine(process.argv.slice(2), commands, {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  watched,
  colours: watched && !process.env.NO_COLOR,
});
