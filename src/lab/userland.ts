// A guest with a real userland: Debian's programs below a folder of their own, for scripts that expect a whole system.
//
// The lab's init stays busybox and the root stays its own, so the command channel works as ever; the userland is a folder
// that commands change their root to, with the kernel's file systems bound into it. It is a part of the initramfs, since
// Debian's kernels have every block driver and file system but tmpfs as modules, and modules would stand in the way of
// what is tested.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type Guest, quote, type RunOptions, type RunResult } from './guest.ts';
import type { GuestFile } from './initramfs.ts';

/** Where the userland's root is in the guest. */
export const userlandRoot = '/userland';

/** The files of a userland (src/host/userland.ts) for the guest to boot with. */
export async function userlandFiles(folder: string): Promise<GuestFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.sort().map(async (file) => ({
      path: join(userlandRoot, relative(folder, file)),
      bytes: new Uint8Array(await readFile(file)),
      permissions: (await stat(file)).mode & 0o777,
    })),
  );
}

/** Binds the kernel's file systems into the userland; once, after boot. Throws `GuestError`. */
export async function openUserland(guest: Guest): Promise<void> {
  const folders = ['/proc', '/sys', '/dev', '/tmp'];
  await guest.succeed(
    [
      // What udev adds to devtmpfs; bash's <(…) is a path in it.
      'ln -s /proc/self/fd /dev/fd',
      ...folders.flatMap((path) => [`mkdir -p ${userlandRoot}${path}`, `mount --rbind ${path} ${userlandRoot}${path}`]),
    ].join(' && '),
  );
}

/** Runs a line or a script of bash inside the userland. Throws `GuestError`. */
export function runInUserland(guest: Guest, command: string, options: RunOptions = {}): Promise<RunResult> {
  const environment = 'env -i PATH=/bin HOME=/ LC_ALL=C TERM=dumb';
  return guest.run(`${environment} chroot ${userlandRoot} /bin/bash -c ${quote(command)}`, options);
}
