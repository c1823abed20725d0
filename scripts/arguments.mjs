// The command lines of the scripts here: what they take is in their usage, and so it is said where they are given anything else.

import { parseArgs } from 'node:util';

/** The values of options, as `parseArgs` takes them, and names. `--help` and what is not known end the program with the usage. */
export function readArguments(usage, options) {
  try {
    const read = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h' }, ...options } });
    if (!read.values.help) return read;
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}\n`);
    process.exit(1);
  }
  console.log(usage);
  process.exit(0);
}
