// How a finished module for a kernel's own livepatch shows the layout of its klp_patch, klp_object and klp_func. For our own core the
// core tells it (klp-layout.ts); here no kernel is at hand, and what these end with depends on its configuration.
//
// What they begin with does not (<linux/livepatch.h>, Linux 5.1 and later; a word is a pointer):
//
//     klp_patch    mod, objs, …
//     klp_object   name, funcs, four callbacks, …        the rest is the kernel's own and 0 in the file
//     klp_func     old_name, new_func, old_sympos, …
//
// A list ends with an entry of zeroes, and its symbol has its size. So its entries are as large as they must be for every pointer
// in it to be one of these members, one entry before the end; where more than one size would do, nothing is said.

import type { Architecture } from '../arch/arch.ts';
import { STT_OBJECT } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { KlpLayout } from '../kernel/klp-layout.ts';
import { ModuleData } from '../kernel/module-data.ts';
import { tableLimits } from '../kernel/patch-module.ts';
import { reasonError } from '../reason.ts';
import { thisModuleSymbol } from './finish-module.ts';

/** Members of an entry that hold pointers, counted in words from its start; and the one that every entry has. */
interface Entry {
  readonly pointers: number;
  readonly always: number;
  readonly most: number;
}

const klpObject: Entry = { pointers: 6, always: 1, most: tableLimits.objects };
const klpFunc: Entry = { pointers: 2, always: 1, most: tableLimits.redirects };

/** Structures that begin with a pointer to their module: a patch has few files and devices of its own. */
const mostOwned = 256;

/** The layout that a module shows. Throws `klp-patch-unknown`; `place` names the file. */
export function shownKlpLayout(model: ElfModel, arch: Architecture, place: string): KlpLayout {
  const word = arch.elf.class / 8;
  const data = new ModuleData(arch, model);
  const owned = model.symbols.filter(
    ({ type, place: at, value }) =>
      type === STT_OBJECT && isSection(at) && data.pointer(at, Number(value))?.symbol.name === thisModuleSymbol,
  );
  const layouts = owned.slice(0, mostOwned + 1).flatMap((patch): KlpLayout[] => {
    const objects = listAt(model, data.pointer(patch.place as Section, Number(patch.value) + word));
    const object = objects && entrySize(objects, klpObject, word);
    if (!objects || object === undefined) return [];
    const sizes = new Set<number | undefined>();
    for (let at = object; at < Number(objects.size); at += object) {
      const funcs = listAt(model, data.pointer(objects.place, Number(objects.value) + at - object + word));
      sizes.add(funcs && entrySize(funcs, klpFunc, word));
    }
    const [func, ...others] = sizes;
    if (func === undefined || others.length > 0) return [];
    return [
      {
        patch: { size: Number(patch.size), offset: { mod: 0, objs: word } },
        object: { size: object, offset: { name: 0, funcs: word } },
        func: { size: func, offset: { old_name: 0, new_func: word, old_sympos: 2 * word } },
      },
    ];
  });
  const [layout, ...others] = layouts;
  if (layout && others.length === 0 && owned.length <= mostOwned) return layout;
  throw reasonError(
    'klp-patch-unknown',
    place,
    'its data does not show how the klp_patch in it is laid out, so what it replaces cannot be told',
    'name what `suture build` or a kernel’s build system made, with its symbols',
  );
}

type List = ElfSymbol & { readonly place: Section };

/** The symbol of the list that a pointer leads to the start of. */
function listAt({ symbols }: ElfModel, to: ReturnType<ModuleData['pointer']>): List | undefined {
  const found = symbols.find(
    ({ type, place, value, size }) =>
      type === STT_OBJECT && size > 0n && place === to?.section && value === BigInt(to.offset),
  );
  return found && isSection(found.place) && Number(found.value + found.size) <= found.place.size
    ? (found as List)
    : undefined;
}

/** How large the entries of a list are, the last of which is of zeroes; undefined if no size fits, or several do. */
function entrySize(list: List, { pointers, always, most }: Entry, word: number): number | undefined {
  const [start, size] = [Number(list.value), Number(list.size)];
  const filled = list.place.relocations
    .map(({ offset }) => offset - start)
    .filter((offset) => offset >= 0 && offset < size);
  if (filled.length > most * pointers) return undefined;
  const known = new Set(filled);
  const fits = (entries: number): boolean => {
    const each = size / (entries + 1);
    if (each % word !== 0 || each < word * (pointers + 1)) return false;
    if (filled.some((at) => at >= entries * each || at % each >= pointers * word)) return false;
    return Array.from({ length: entries }, (_, i) => i * each + always * word).every((at) => known.has(at));
  };
  const sizes: number[] = [];
  for (let entries = 0; entries <= Math.min(most, filled.length); entries++)
    if (fits(entries)) sizes.push(size / (entries + 1));
  return sizes.length === 1 ? sizes[0] : undefined;
}
