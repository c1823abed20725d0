// The guest's whole user space: busybox, one init script, and whatever the caller puts beside them. Uncompressed,
// because the emulated processor unpacks more slowly than QEMU copies.
//
// Init is the guest's half of the command channel. It speaks over a serial port of its own, apart from the console
// (qemu.ts says why), and takes one line a question:
//
//   ID run COMMAND          COMMAND in base64; run by a shell of its own
//   ID put SIZE PATH        PATH in base64; SIZE raw bytes follow the line and are appended to the file
//
// Each is answered by one frame (frame.ts). Output goes to a file first: standard output and error in the order in
// which they were written, and its size known before the first byte leaves.

import { type CpioEntry, writeCpio } from './cpio.ts';

/** A file for the guest. `path` is absolute. */
export interface GuestFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** The permission bits; 0o644 if left out. */
  readonly permissions?: number;
}

/** The ID of the frame that init sends by itself as soon as it takes questions. */
export const readyId = 'ready';

// The channel is the one 8250 port on the PCI bus. Its number is the kernel's choice: the ones that a board may have
// come first. `head` may read ahead of what it is asked for, and may not: behind a put nothing is sent before the answer.
//
// Process 1 does not read questions itself, its child does: orphans come to process 1 when they end, and the signal of that
// makes busybox's `read` begin again and forget the part of the line that it has.
const init = `#!/bin/busybox sh
export PATH=/bin:/sbin HOME=/root TERM=dumb
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /run/suture /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
for port in /sys/bus/pci/devices/*/tty/*; do channel=/dev/\${port##*/}; done
if ! stty -F "$channel" raw -echo; then
  echo "suture: this kernel has no 8250 port on a PCI bus"
  poweroff -f
fi
exec 3<"$channel" 4>"$channel"
answer() {
  gzip -1 <output >packed
  printf '\\001suture %s %s %s %s\\n' "$1" "$2" "$(stat -c %s packed)" "$2" >&4
  cat packed >&4
}
cd /run/suture
: >output
dmesg -n 8
(
  answer ${readyId} 0
  while read -r id verb argument path <&3; do
    case $verb in
    run)
      echo "$argument" | base64 -d >command
      (cd / && exec sh /run/suture/command) >output 2>&1 </dev/null 3<&- 4>&-
      answer "$id" $?
      ;;
    put)
      head -c "$argument" <&3 2>output >>"$(echo "$path" | base64 -d)"
      answer "$id" $?
      ;;
    esac
  done
)
poweroff -f
`;

/** The archive that the kernel unpacks. `busybox` is a static one of the guest's architecture. */
export function makeInitramfs(busybox: Uint8Array, files: readonly GuestFile[]): Uint8Array {
  const all: GuestFile[] = [
    { path: '/bin/busybox', bytes: busybox, permissions: 0o755 },
    { path: '/init', bytes: new TextEncoder().encode(init), permissions: 0o755 },
    ...files,
  ];
  return writeCpio([
    ...foldersOf(all).map((path): CpioEntry => ({ path, type: 'folder', permissions: 0o755 })),
    // Init's own standard output; devtmpfs is not mounted yet when the kernel opens it.
    { path: 'dev/console', type: 'characters', permissions: 0o600, device: [5, 1] },
    ...all.map(({ path, bytes, permissions = 0o644 }): CpioEntry => {
      return { path: relative(path), type: 'file', permissions, data: bytes };
    }),
  ]);
}

const relative = (path: string): string => path.replace(/^\/+/, '');

/** Every folder that a file needs, and `dev` for the console, parents first. */
function foldersOf(files: readonly GuestFile[]): string[] {
  const folders = new Set(['dev']);
  for (const { path } of files) {
    const parts = relative(path).split('/').slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth++) folders.add(parts.slice(0, depth).join('/'));
  }
  return [...folders].sort();
}
