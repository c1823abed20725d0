// A cpio archive in the "new ASCII" form (newc), the only one that the kernel unpacks as an initramfs.
//
// Every entry is a header of thirteen eight-digit hexadecimal fields behind the magic, the name with its NUL, padding
// to four bytes, the data, padding to four bytes. Source: Documentation/driver-api/early-userspace/buffer-format.rst.

/** One entry of an archive. Paths have no leading slash; a folder must come before what is in it. */
export interface CpioEntry {
  readonly path: string;
  readonly type: keyof typeof fileTypes;
  /** The permission bits, 0o755 for example. */
  readonly permissions: number;
  /** What is in a file, or where a link points. */
  readonly data?: Uint8Array;
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number];
}

/** The file type bits of st_mode. */
const fileTypes = { link: 0o120000, file: 0o100000, folder: 0o040000, characters: 0o020000 } as const;

const magic = '070701';
const trailer = 'TRAILER!!!';

const padded = (size: number): number => (size + 3) & ~3;

const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** The archive of these entries, trailer included. Pure: times are 0, owners root, inode numbers count from 1. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const encoder = new TextEncoder();
  const members = [...entries.map(member), { fields: Array.from({ length: 13 }, () => 0), path: trailer, data: empty }];
  const pieces = members.map(({ fields, path, data }) => {
    const name = encoder.encode(`${path}\0`);
    fields[nameSizeField] = name.length;
    return { header: encoder.encode(magic + fields.map(hex8).join('')), name, data };
  });
  const size = pieces.reduce((sum, p) => sum + padded(p.header.length + p.name.length) + padded(p.data.length), 0);
  const archive = new Uint8Array(size);
  let at = 0;
  for (const { header, name, data } of pieces) {
    archive.set(header, at);
    archive.set(name, at + header.length);
    at += padded(header.length + name.length);
    archive.set(data, at);
    at += padded(data.length);
  }
  return archive;
}

const empty = new Uint8Array();
const nameSizeField = 11;

function member(entry: CpioEntry, index: number): { fields: number[]; path: string; data: Uint8Array } {
  const data = entry.data ?? empty;
  const [major, minor] = entry.device ?? [0, 0];
  const mode = fileTypes[entry.type] | entry.permissions;
  const links = entry.type === 'folder' ? 2 : 1;
  return {
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields: [index + 1, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, 0, 0],
    path: entry.path,
    data,
  };
}
