// The memory of a stock kernel that has come as far as it can without a root file system: it panics, QEMU is told to
// stop, and the memory is written to a file. Nothing runs in the guest but the kernel.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { kill, start } from '../../src/host/run.ts';

/** What QEMU is given, and the physical address at which its machine has RAM. */
export interface LiveMachine {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly console: string;
  readonly ramStart: number;
}

/** The first bytes of RAM, from its physical start on. `folder` is for the file. */
export async function memoryAfterStart(
  folder: string,
  machine: LiveMachine,
  image: string,
  size: number,
): Promise<Uint8Array> {
  const socket = join(folder, 'qmp');
  const file = join(folder, 'memory');
  const qemu = start(
    machine.program,
    [
      ...[
        ...machine.arguments,
        '-m',
        '512',
        '-nodefaults',
        '-display',
        'none',
        '-no-reboot',
        '-action',
        'panic=pause',
        '-serial',
        'stdio',
      ],
      ...['-qmp', `unix:${socket},server=on,wait=off`, '-kernel', image],
      ...['-append', `console=${machine.console} panic=0`],
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  try {
    let console = '';
    for await (const bytes of qemu.stdout!) {
      console += bytes;
      if (console.includes('Kernel panic - not syncing')) break;
    }
    if (!console.includes('Kernel panic - not syncing'))
      throw new Error(`the guest ended early:\n${console.slice(-2000)}`);

    const monitor = connect(socket);
    await once(monitor, 'connect');
    const steps = [
      { execute: 'qmp_capabilities' },
      { execute: 'stop' },
      { execute: 'pmemsave', arguments: { val: machine.ramStart, size, filename: file } },
    ];
    for (const step of steps) monitor.write(JSON.stringify(step));
    let answers = '';
    for await (const bytes of monitor) {
      answers += bytes;
      if (answers.includes('"error"')) throw new Error(answers);
      if (answers.match(/"return"/g)?.length === steps.length) break;
    }
    monitor.destroy();
    return await readFile(file);
  } finally {
    kill(qemu);
  }
}
