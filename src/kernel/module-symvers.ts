// Module.symvers: the versions that modules are built with, a line for each exported symbol (scripts/mod/modpost.c):
//
//   0x8c1823f3 <tab> module_layout <tab> vmlinux <tab> EXPORT_SYMBOL <tab> namespace

import { reasonError } from '../reason.ts';
import type { KernelImage } from './image.ts';

export interface Symver {
  readonly name: string;
  readonly crc: number;
  /** The module that exports it; `vmlinux` for the kernel itself. */
  readonly module: string;
}

/** The entries in the file's order; what is no entry is left out. */
export function readSymvers(text: string): Symver[] {
  return [...text.matchAll(/^(0x[0-9a-f]{8})\t(\S+)\t(\S+)(?:\t.*)?$/gm)].map(([, crc, name, module]) => {
    return { name: name!, crc: Number(crc), module: module! };
  });
}

/**
 * Whether headers are those of a kernel. The versions of a patch module come from the image, so the kernel's loader cannot
 * notice that its code was compiled against the structures of another one. The headers' own versions are made of those
 * structures. `release` is their UTS_RELEASE; `place` is what errors call them. Throws `wrong-kernel`.
 */
export function checkHeaders(
  image: Pick<KernelImage, 'release' | 'exports'>,
  headers: { readonly symvers: readonly Symver[]; readonly release: string },
  place: string,
): void {
  const refuse = (message: string) =>
    reasonError('wrong-kernel', place, message, 'give the headers of this very build of the kernel');
  if (headers.release !== image.release) {
    throw refuse(`these headers are of ${headers.release || 'no known release'}, the image is ${image.release}`);
  }
  const theirs = new Map(headers.symvers.filter(({ module }) => module === 'vmlinux').map((each) => [each.name, each]));
  const differences: string[] = [];
  for (const { name, crc } of image.exports.values()) {
    const version = theirs.get(name);
    theirs.delete(name);
    if (!version) differences.push(`the image exports ${name}, these headers do not have it`);
    else if (crc !== undefined && version.crc !== crc)
      differences.push(`${name} has version ${hex(version.crc)} in these headers and ${hex(crc)} in the image`);
  }
  for (const name of theirs.keys()) differences.push(`these headers have ${name}, the image does not export it`);
  const [first, ...others] = differences;
  if (first) throw refuse(others.length > 0 ? `${first}, and ${others.length} more such differences` : first);
}

const hex = (crc: number) => `0x${crc.toString(16).padStart(8, '0')}`;
