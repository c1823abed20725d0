// One QEMU process that runs a guest, with two lines into it.
//
// The console carries what the kernel prints and nothing of ours. Commands go over a second serial port: a 16550A on
// the PCI bus, because its driver is built into distribution kernels (SERIAL_8250_PCI=y) where virtio's is a module
// (VIRTIO_CONSOLE=m), and modules of ours would stand in /proc/kallsyms, /proc/modules and the log of a twin that is
// to be like the machine. QEMU's 16550A does not emulate the baud rate: 0.4 to 0.9 MB/s come out of a guest under TCG.
// With kernel messages out of the way, a length and a checksum are framing enough.
//
// Nothing is left behind, whatever ends us. Both lines are socket pairs that QEMU inherits, not paths. The initramfs is
// a file without a name: removed before it is written, and opened by QEMU through /dev/fd. The process is tied to ours
// by `start` (src/host/run.ts), which also covers kill -9.

import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { kill, start } from '../host/run.ts';

export interface Machine {
  readonly platform: Platform;
  /** The kernel image as shipped, a path. */
  readonly image: string;
  readonly initramfs: Uint8Array;
  readonly cpus: number;
  readonly memoryMegabytes: number;
  readonly kernelArguments: readonly string[];
  /** Counts instructions and lets the guest's time follow them, 2^icount ns each; undefined: real time. */
  readonly icount: number | undefined;
}

export interface Qemu {
  /** Comes out only. */
  readonly console: Socket;
  readonly channel: Socket;
  /** Resolves once QEMU has ended and all that it wrote has been read; to how it ended and what it complained of. */
  readonly ended: Promise<string>;
  kill(): void;
}

// What the descriptors below 3 are for, every program has agreed on; these are ours.
const initramfsDescriptor = 3;
const consoleDescriptor = 4;
const channelDescriptor = 5;

/** Starts the machine. Throws `tool-missing` when this architecture's QEMU is not installed. */
export function startQemu(machine: Machine): Qemu {
  const { qemu } = machine.platform;
  const initramfs = namelessFile(machine.initramfs);
  const child = (() => {
    try {
      return start(qemu.program, qemuArguments(machine), {
        stdio: ['ignore', 'ignore', 'pipe', initramfs, 'pipe', 'pipe'],
      });
    } finally {
      closeSync(initramfs);
    }
  })();
  let complaints = '';
  child.stderr!.on('data', (bytes: Buffer) => {
    complaints = (complaints + bytes.toString()).slice(-4096);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (status, signal) => resolve(`${signal ?? `status ${status}`} ${complaints}`.trim()));
  });
  // Node's types know of five descriptors; what it makes of a 'pipe' is a socket.
  const sockets = child.stdio as readonly unknown[] as readonly Socket[];
  return {
    console: quiet(sockets[consoleDescriptor]!),
    channel: quiet(sockets[channelDescriptor]!),
    ended,
    kill: () => kill(child),
  };
}

/** A write to a guest that has just died is no error of its own: `ended` tells. */
const quiet = (socket: Socket): Socket => socket.on('error', () => {});

function qemuArguments(machine: Machine): string[] {
  const { qemu } = machine.platform;
  return [
    ...qemu.arguments,
    '-nodefaults',
    ...['-display', 'none'],
    '-no-reboot',
    ...['-smp', String(machine.cpus)],
    ...['-m', String(machine.memoryMegabytes)],
    ...(machine.icount === undefined ? [] : ['-icount', `shift=${machine.icount}`]),
    ...['-kernel', machine.image],
    ...['-initrd', `/dev/fd/${initramfsDescriptor}`],
    ...['-append', [`console=${qemu.console}`, ...machine.kernelArguments].join(' ')],
    ...['-chardev', `socket,id=console,fd=${consoleDescriptor}`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=channel,fd=${channelDescriptor}`, '-device', 'pci-serial,chardev=channel'],
  ];
}

let files = 0;

/** A descriptor of a file that holds these bytes and has no name any more. */
function namelessFile(bytes: Uint8Array): number {
  const path = join(tmpdir(), `suture-initramfs-${process.pid}-${files++}`);
  const descriptor = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  return descriptor;
}
