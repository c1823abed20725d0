// Modules of the kernel's own that a rehearsal needs: the targets of a patch, and what those depend on.

import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { findSection, readElf } from '../elf/elf.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import { ReasonError, reasonError } from '../reason.ts';
import { aliasMeans } from './module-alias.ts';

/** A module as the package ships it. */
export interface StockModule {
  /** As in /proc/modules: the file's name with underscores. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * The modules of these names and everything that they depend on, in the order in which they can be loaded. `folder` is
 * the kernel's `lib/modules/RELEASE`. Dependencies come from the modules' own modinfo: the distribution's packages
 * bring no modules.dep. What a module asks for softly comes first too, where it can be had. Throws `file-missing` for a module
 * that is not there, `kernel-incomplete` for modules that depend on each other in a circle, `elf-malformed`.
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
    const info = modinfoOf(bytes, file);
    for (const wanted of softDependencies(info)) {
      const found = fileOf.has(moduleName(wanted)) ? moduleName(wanted) : await withAlias(wanted);
      if (found !== undefined) await softly(found, [...dependents, name]);
    }
    for (const dependency of dependencies(info)) await visit(dependency, [...dependents, name]);
    ordered.set(name, { name, bytes });
  };
  /** A soft dependency that cannot be had, or that depends on who asks for it, is left out, as modprobe does. */
  const softly = async (name: string, dependents: readonly string[]): Promise<void> => {
    const before = [...ordered];
    try {
      await visit(name, dependents);
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      ordered.clear();
      for (const [each, module] of before) ordered.set(each, module);
    }
  };
  /** The first module that has an alias, among those whose names begin with it: the kernel's algorithms are named so. */
  const withAlias = async (alias: string): Promise<string | undefined> => {
    for (const [name, file] of [...fileOf].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (!name.startsWith(moduleName(alias))) continue;
      const info = modinfoOf(new Uint8Array(await readFile(join(folder, file))), file);
      if (info.some(([key, value]) => key === 'alias' && aliasMeans(value, alias))) return name;
    }
    return undefined;
  };
  for (const name of names) await visit(moduleName(name), []);
  return [...ordered.values()];
}

/**
 * The modules that answer to a name, with what they depend on, in the order in which they can be loaded: the module that is
 * called so, and those that have an alias which means it. `folder` as above. None for a name that nothing answers to; what cannot be
 * loaded for want of another one is left out.
 */
export async function modulesThatAnswerTo(folder: string, name: string): Promise<StockModule[]> {
  // Few have bytes anywhere that look so; those are parsed.
  const hasAlias = async (file: string): Promise<boolean> => {
    const bytes = await readFile(join(folder, file));
    const isMeant = (alias: string) => aliasMeans(alias, name);
    if (!aliasesIn(bytes).some(isMeant)) return false;
    return modinfoOf(bytes, file).some(([key, value]) => key === 'alias' && isMeant(value));
  };
  const found: StockModule[] = [];
  for (const file of (await readdir(folder, { recursive: true })).filter((each) => each.endsWith('.ko')).sort()) {
    const own = moduleName(file);
    try {
      if (own !== moduleName(name) && !(await hasAlias(file))) continue;
      found.push(...(await modulesWithDependencies(folder, [own])));
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
    }
  }
  return found.filter((module, i) => found.findIndex((other) => other.name === module.name) === i);
}

/** What stands behind `alias=` somewhere in bytes, and may be an alias. */
function aliasesIn(bytes: Buffer): string[] {
  const found: string[] = [];
  const key = 'alias=';
  for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1)) {
    const end = bytes.indexOf(0, at);
    if (end >= 0) found.push(bytes.toString('latin1', at + key.length, Math.min(end, at + longestAlias)));
  }
  return found;
}
/** Beyond any that there are. */
const longestAlias = 4096;

/** `libcrc32c.ko` is the module `libcrc32c`, `rtc-pl031` the module `rtc_pl031`. */
const moduleName = (file: string): string => basename(file, '.ko').replaceAll('-', '_');

type Modinfo = ReturnType<typeof readModinfo>;

const modinfoOf = (bytes: Uint8Array, place: string): Modinfo =>
  readModinfo(findSection(readElf(bytes, place), '.modinfo')?.data ?? new Uint8Array());

/** `depends=a,b`. */
const dependencies = (info: Modinfo): string[] =>
  (new Map(info).get('depends') ?? '').split(',').filter(Boolean).map(moduleName);

/** `softdep=pre: a b post: c` (modprobe.d(5)): a and b. */
const softDependencies = (info: Modinfo): string[] =>
  info.flatMap(([key, value]) =>
    key === 'softdep' ? (/\bpre:([^:]*)(?= post:|$)/.exec(value)?.[1] ?? '').split(' ').filter(Boolean) : [],
  );

function circular(name: string, dependents: readonly string[]) {
  const circle = [...dependents.slice(dependents.indexOf(name)), name].join(' → ');
  return reasonError(
    'kernel-incomplete',
    name,
    `its modules depend on each other in a circle: ${circle}`,
    'bring the kernel into the cache again',
  );
}
