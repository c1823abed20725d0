// The program: bin/suture runs this.

import { buildingFolder } from '../host/cache.ts';
import { systemMessage } from '../host/files.ts';
import { sweepLeftovers } from '../host/temporary.ts';
import { runCommandLine } from './command.ts';
import { commands } from './commands.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever reads our output may have seen enough (`suture kernel list | head -1`).
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(
    `output-failed  standard output: ${systemMessage(error)}\n    send it elsewhere, then try again\n`,
  );
  process.exit(1);
});
// There is nobody left to tell.
process.stderr.on('error', () => {});

sweepLeftovers();
sweepLeftovers(buildingFolder());

const watched = process.stderr.isTTY === true;
process.exitCode = await runCommandLine(process.argv.slice(2), commands, {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  watched,
  colours: watched && !process.env.NO_COLOR,
});
