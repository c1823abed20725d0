// Modules of the kernel's own that a rehearsal needs: the targets of a patch, and what those depend on.

import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { findSection, readElf } from '../elf/elf.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import { reasonError } from '../reason.ts';

/** A module as the package ships it. */
export interface StockModule {
  /** As in /proc/modules: the file's name with underscores. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * The modules of these names and everything that they depend on, in the order in which they can be loaded. `folder` is
 * the kernel's `lib/modules/RELEASE`. Dependencies come from the modules' own modinfo: the distribution's packages
 * bring no modules.dep. Throws `file-missing` for a module that is not there, `kernel-incomplete` for modules that depend on
 * each other in a circle, `elf-malformed`.
 */
export async function modulesWithDependencies(folder: string, names: readonly string[]): Promise<StockModule[]> {
  const files = await readdir(folder, { recursive: true });
  const fileOf = new Map(files.filter((file) => file.endsWith('.ko')).map((file) => [moduleName(file), file]));
  const ordered = new Map<string, StockModule>();
  const visit = async (name: string, dependents: readonly string[]): Promise<void> => {
    if (ordered.has(name)) return;
    if (dependents.includes(name)) throw circular(name, dependents);
    const file = fileOf.get(name);
    if (file === undefined)
      throw reasonError(
        'file-missing',
        name,
        `there is no module of this name in ${folder}`,
        'name it as `lsmod` does',
      );
    const bytes = new Uint8Array(await readFile(join(folder, file)));
    for (const dependency of dependenciesOf(bytes, file)) await visit(dependency, [...dependents, name]);
    ordered.set(name, { name, bytes });
  };
  for (const name of names) await visit(moduleName(name), []);
  return [...ordered.values()];
}

/** `libcrc32c.ko` is the module `libcrc32c`, `rtc-pl031` the module `rtc_pl031`. */
const moduleName = (file: string): string => basename(file, '.ko').replaceAll('-', '_');

/** `depends=a,b`. */
function dependenciesOf(bytes: Uint8Array, place: string): string[] {
  const info = new Map(readModinfo(findSection(readElf(bytes, place), '.modinfo')?.data ?? new Uint8Array()));
  return (info.get('depends') ?? '').split(',').filter(Boolean).map(moduleName);
}

function circular(name: string, dependents: readonly string[]) {
  const circle = [...dependents.slice(dependents.indexOf(name)), name].join(' → ');
  return reasonError(
    'kernel-incomplete',
    name,
    `its modules depend on each other in a circle: ${circle}`,
    'bring the kernel into the cache again',
  );
}
