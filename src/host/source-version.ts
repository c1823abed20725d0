// Any version of a kernel's source that the package sources have, beside the one that a kernel in the cache was built from.

import { existsSync } from 'node:fs';
import { reasonError } from '../reason.ts';
import { hostArchitecture, openApt } from './apt.ts';
import { namesOfParts } from './choose-packages.ts';
import type { StoredKernel } from './kernel-store.ts';
import { fetchSourceTree, sourceTreeFolder } from './source-tree.ts';

/** What looks like a Debian version of a kernel, and not like a path: `6.1.187-1`. */
export const looksLikeVersion = (text: string): boolean => /^\d+\.\d+[\w.+~]*-[\w.+~]+$/.test(text);

/**
 * The folder of a version of a kernel's source package, fetched unless it is in the cache, where it stays. Throws `fetch-failed`,
 * with the versions that are to be had.
 */
export async function sourceOfVersion(
  kernel: StoredKernel,
  version: string,
  progress: (text: string) => void,
): Promise<string> {
  const { source: name } = namesOfParts(`linux-image-${kernel.name}`, undefined);
  const kept = sourceTreeFolder({ name, version });
  if (existsSync(kept)) return kept;
  // Sources are of no architecture; the lists of this machine's own are the ones that its mirror is most likely to have.
  const apt = openApt(await hostArchitecture());
  progress('fetching package lists');
  const trouble = await apt.update();
  const versions = await apt.show(name);
  const wanted = versions.find((each) => each.version === version);
  if (wanted === undefined) {
    const known = versions.map((each) => each.version).join(', ');
    throw reasonError(
      'fetch-failed',
      `${name} ${version}`,
      `not to be had; ${known ? `there are ${known}` : 'no version of it is'}${trouble && `\n${trouble}`}`,
      'name one of these, or a folder with the unpacked source',
    );
  }
  return fetchSourceTree(apt, wanted, progress);
}
