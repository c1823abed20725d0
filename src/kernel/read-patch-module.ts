// A finished patch module, read back from its bytes alone: what `suture info` shows and what a proof starts from. Nothing
// here comes from the linker's memory.

import type { Architecture, EntryBranch } from '../arch/arch.ts';
import { architectureOfModule } from '../arch/architectures.ts';
import { SHF_ALLOC } from '../elf/constants.ts';
import { findSection, isSection, readElf } from '../elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { reasonError } from '../reason.ts';
import { relocationsOf, relocationTables } from './loader-relocations.ts';
import { readModinfo } from './modinfo.ts';
import { wordsOf } from './old-function.ts';
import { type PatchObject, type PatchRecipe, type PatchRedirect, patchSection, tableLayout } from './patch-module.ts';
import { readPatchTable } from './read-patch-table.ts';

/** No stub comes near it, in bytes: one that copies all the stack arguments that it can has 580. */
const mostStub = 0x1000;

/** A place in a module: a section and an offset in it. */
export interface ModulePlace {
  readonly section: Section;
  readonly offset: number;
}

export interface ReadRedirect extends PatchRedirect {
  /** The module that the old function is in, undefined for the kernel itself. */
  readonly module: string | undefined;
  readonly newFunction: ModulePlace & { readonly name: string };
  readonly stub: ModulePlace & { readonly words: Uint32Array };
}

export interface ReadRecipe extends PatchRecipe {
  /** The module that it waits for. */
  readonly module: string | undefined;
  readonly place: ModulePlace;
}

export interface PatchModule {
  readonly arch: Architecture;
  readonly model: ElfModel;
  readonly name: string;
  /** The kernel that it is for, as its vermagic says. */
  readonly vermagic: string;
  readonly buildId: Uint8Array;
  /** In the order of klp_patch.objs. */
  readonly objects: readonly PatchObject[];
  /** Of all objects, one object after the other; so are the recipes. */
  readonly redirects: readonly ReadRedirect[];
  /** How an entry becomes a branch, where a redirect is of that way. */
  readonly entry: EntryBranch | undefined;
  readonly recipes: readonly ReadRecipe[];
}

/** Reads a patch module. Throws `elf-malformed`, `elf-unsupported`, `not-a-patch-module`, `patch-malformed`. */
export function readPatchModule(bytes: Uint8Array, file: string): PatchModule {
  const model = readElf(bytes, file);
  const info = new Map(readModinfo(findSection(model, '.modinfo')?.data ?? new Uint8Array()));
  const vermagic = info.get('vermagic') ?? '';
  const arch = architectureOfModule(model.header, vermagic);
  const [section, ...further] = model.sections.filter(({ name }) => name === patchSection);
  if (!arch || !section) {
    const what = arch
      ? `it has no section ${patchSection}`
      : `machine ${model.header.machine} is not one that Suture knows`;
    throw reasonError(
      arch ? 'not-a-patch-module' : 'elf-unsupported',
      file,
      what,
      '`suture build` makes patch modules',
    );
  }
  checkOwnTable(arch, model, section, further, file);
  const word = (arch.elf.class / 8) as 4 | 8;
  const { follow, isNull, unfollowed } = pointers(arch, section, relocationsOf(model, section), file);
  const inside = (offset: number) => {
    const to = follow(offset);
    return to?.section === section ? to.offset : undefined;
  };
  const table = readPatchTable(section.data, word, inside, isNull, file);

  const layout = tableLayout(word);
  const redirects = table.objects.flatMap(({ module, redirects }) =>
    redirects.map((redirect): ReadRedirect => {
      const place = () => `${file}: ${redirect.oldName}`;
      const code = (member: 'new_function' | 'stub') => {
        const to = follow(redirect.at + layout.suture_redirect.offset[member]);
        const pointed = BigInt(to?.offset ?? 0);
        // A pointer to code of another instruction set leads to none of this module's.
        if (to && (pointed & arch.codeBit) === arch.codeBit) return { ...to, offset: Number(pointed & ~arch.codeBit) };
        throw reasonError('patch-malformed', place(), `its ${member.replace('_', ' ')} is not in the module`);
      };
      const newFunction = code('new_function');
      const stub = code('stub');
      if (redirect.way === 'entry' && !table.entry) {
        throw reasonError('patch-malformed', place(), 'nothing says how its entry becomes a branch');
      }
      const isDirect = stub.section === newFunction.section && stub.offset === newFunction.offset;
      if (redirect.stubSize === 0 && (redirect.way !== 'entry' || !isDirect)) {
        throw reasonError('patch-malformed', place(), 'its stub is empty');
      }
      if (redirect.stubSize > mostStub) {
        throw reasonError(
          'patch-malformed',
          place(),
          `its stub of ${redirect.stubSize} bytes is longer than any can be`,
        );
      }
      const { data } = stub.section;
      if (redirect.stubSize % 4 !== 0 || stub.offset + redirect.stubSize > data.length) {
        throw reasonError('patch-malformed', place(), `its stub of ${redirect.stubSize} bytes is not in the module`);
      }
      const { oldName, oldAddress, oldSympos, oldWords, masked, site, way, stubSize } = redirect;
      const words = wordsOf(data.subarray(stub.offset, stub.offset + stubSize));
      return {
        oldName,
        oldAddress,
        oldSympos,
        oldWords,
        masked,
        site,
        way,
        stubSize,
        module: module?.name,
        newFunction,
        stub: { section: stub.section, offset: stub.offset, words },
      };
    }),
  );
  const recipes = table.objects.flatMap(({ module, recipes }) =>
    recipes.map(({ at, ...recipe }): ReadRecipe => {
      const to = follow(at + layout.suture_recipe.offset.place);
      if (!to || to.offset + recipe.size > to.section.data.length || (to.section.flags & SHF_ALLOC) === 0n) {
        const place = `${file}: ${recipe.symbol}`;
        throw reasonError('patch-malformed', place, 'what it is to be written to is not in the module');
      }
      if (to.section === section) {
        const place = `${file}: ${recipe.symbol}`;
        throw reasonError('patch-malformed', place, 'it would be written into the patch table itself');
      }
      return { ...recipe, module: module?.name, place: { section: to.section, offset: to.offset } };
    }),
  );
  const stray = unfollowed();
  if (stray) {
    const at = `0x${stray.offset.toString(16)}`;
    throw reasonError(
      'patch-malformed',
      `${file}: ${patchSection}`,
      `the loader would change it at ${at}, where no pointer is`,
    );
  }
  return {
    arch,
    model,
    name: info.get('name') ?? '',
    vermagic,
    buildId: table.buildId.bytes,
    objects: table.objects,
    redirects,
    entry: table.entry,
    recipes,
  };
}

/**
 * That the table is the one which the core is given: there is no other, it is loaded, and whoever refers to it refers to its
 * start. Throws `patch-malformed`.
 */
function checkOwnTable(
  arch: Architecture,
  model: ElfModel,
  table: Section,
  further: readonly Section[],
  file: string,
): void {
  const malformed = (message: string) =>
    reasonError('patch-malformed', `${file}: ${patchSection}`, message, '`suture build` makes patch modules');
  if (further.length > 0) throw malformed(`there are ${1 + further.length} sections of this name`);
  if ((table.flags & SHF_ALLOC) === 0n) throw malformed('the loader does not load it');
  for (const { target, relocations } of relocationTables(model)) {
    if (target === table || (target.flags & SHF_ALLOC) === 0n) continue;
    const { data } = target;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (const { symbol, type, offset, addend } of relocations) {
      if (symbol?.place !== table) continue;
      const inPlace = (): bigint | undefined =>
        offset + 4 > data.length ? undefined : arch.addendInPlace(type, view.getUint32(offset, true));
      if (symbol.value !== 0n || (addend ?? inPlace()) !== 0n)
        throw malformed(`${target.name} refers to another place in it than its start, and may give the core that`);
    }
  }
}

/**
 * `follow` tells where the pointer at an offset of a section leads once the loader has applied the section's relocations,
 * undefined if to no byte of the module; `isNull`, whether it is and stays NULL; `unfollowed`, a relocation that no pointer had. So what was read without following
 * is what the loader leaves as it is. Throws `patch-malformed` for two relocations of one place: the loader applies both.
 */
function pointers(arch: Architecture, section: Section, relocations: readonly Relocation[], file: string) {
  /** The indexes of relocations, by their places. */
  const byOffset = new Map<number, number>();
  relocations.forEach(({ offset }, index) => {
    if (byOffset.has(offset)) {
      const place = `${file}: ${section.name}+0x${offset.toString(16)}`;
      throw reasonError('patch-malformed', place, 'two relocations change this place');
    }
    byOffset.set(offset, index);
  });
  const followed = new Uint8Array(relocations.length);
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  const follow = (offset: number): (ModulePlace & { name: string }) | undefined => {
    const index = byOffset.get(offset);
    if (index === undefined) return undefined;
    const { symbol, type, addend } = relocations[index]!;
    const place = symbol?.place;
    if (!symbol || type !== arch.pointerRelocation || !isSection(place)) return undefined;
    if (offset + arch.elf.class / 8 > section.data.length) return undefined;
    followed[index] = 1;
    const target = symbol.value + (addend ?? BigInt(view.getInt32(offset, true)));
    if (target < 0n || target >= BigInt(place.data.length)) return undefined;
    return { section: place, offset: Number(target), name: symbol.name };
  };
  const isNull = (offset: number): boolean =>
    !byOffset.has(offset) && section.data.subarray(offset, offset + arch.elf.class / 8).every((byte) => byte === 0);
  return { follow, isNull, unfollowed: () => relocations.find((_, index) => followed[index] === 0) };
}
