// Data of vmlinux that a patch uses and none of the file's own code shows: kallsyms of these kernels has no data, but any other
// file that uses it shows where it is, once it is seen that this file, too, is what the kernel was made of.

import { eachObjectNaming, type NamingSearch } from '../compile/files-naming.ts';
import { objectName } from '../compile/original-objects.ts';
import { STB_LOCAL } from '../elf/constants.ts';
import { readElf } from '../elf/elf.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { ImagePlaces } from '../link/image-places.ts';
import type { ChangedFile } from '../link/join-files.ts';
import { countFunctions } from '../match/fidelity.ts';
import { matchObject } from '../match/match.ts';

/** How many files are compiled for one name. */
const mostCompiled = 6;

/**
 * The addresses of names that files refer to and that are known neither from them nor from a table. A name that other files
 * do not show either is not in it.
 */
export async function shownElsewhere(
  { arch, image }: LoadedKernel,
  search: NamingSearch,
  files: readonly ChangedFile[],
): Promise<ReadonlyMap<string, LinkAddress>> {
  const shown = new Map<string, LinkAddress>();
  for (const { path, diff, places } of files) {
    if (!(places instanceof ImagePlaces)) continue;
    const names = new Set([...diff.selection.links.values()].flatMap((link) => places.unknownName(link) ?? []));
    for (const name of names) {
      if (shown.has(name)) continue;
      await eachObjectNaming(search, name, path, mostCompiled, (other) => {
        const model = readElf(other.plain, objectName(other.path));
        const symbol = model.symbols.find((each) => each.name === name && each.binding !== STB_LOCAL);
        if (!symbol) return false;
        const match = matchObject(model, image, arch);
        if (countFunctions(match).different > 0 || match.data.length > 0) return false;
        const address = match.addressOf(symbol);
        if (address !== undefined) shown.set(name, address);
        return address !== undefined;
      });
    }
  }
  return shown;
}
