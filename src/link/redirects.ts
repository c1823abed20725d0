// What makes a module a patch: a stub for each function that it redirects, veneers for what it calls late, and the table that
// tells the core of both.

import type { Architecture, EntryWay, Stub } from '../arch/arch.ts';
import { STB_LOCAL, STT_FUNC } from '../elf/constants.ts';
import { isSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ModuleCode } from '../kernel/module-code.ts';
import { type OldFunction, type OtherWay, wordsOf } from '../kernel/old-function.ts';
import {
  type PatchRecipe,
  type PatchRedirect,
  patchSection,
  patchTableSymbol,
  type TablePointer,
  tableLimits,
  type Way,
  writePatchTable,
} from '../kernel/patch-module.ts';
import { type Reason, reasonError } from '../reason.ts';
import { defineSymbol, sectionSymbol } from './finish-module.ts';
import { dataSection, putPointer } from './module-sections.ts';

/** A function that is redirected, all but the telling. */
export interface LinkedRedirect {
  readonly old: OldFunction;
  readonly sympos: number;
  readonly newName: string;
  /** The new function's; on ppc64le its global entry. */
  readonly symbol: ElfSymbol;
  readonly stub: Stub;
}

/** A recipe and where its place is in the patch module. */
export interface LinkedRecipe extends PatchRecipe {
  readonly place: { readonly section: Section; readonly offset: number };
}

/** The kernel itself or one of its modules, in the order of klp_patch.objs. */
export interface LinkedObject {
  readonly module: { readonly name: string; readonly buildId: Uint8Array } | undefined;
  readonly redirects: readonly LinkedRedirect[];
  readonly recipes: readonly LinkedRecipe[];
}

/**
 * The redirect of an old function to a new one, in a module whose code is `code`. Throws `init-text`, `patch-too-large`,
 * `self-modified-unknown`, and what the architecture's stub throws.
 */
export function makeRedirect(
  arch: Architecture,
  old: OldFunction,
  sympos: number,
  symbol: ElfSymbol,
  newName: string,
  code: ModuleCode,
): LinkedRedirect {
  const { place } = symbol;
  if (!isSection(place)) throw reasonError('compile-failed', newName, 'the module does not hold this function');
  if (place.name.startsWith('.init')) {
    throw reasonError(
      'init-text',
      newName,
      'the new function is initialisation code, whose memory the kernel gives back once the patch is loaded',
      'take __init off it',
    );
  }
  if (4 * old.words.length > tableLimits.oldSize) {
    throw reasonError(
      'patch-too-large',
      old.name,
      `the old function has ${4 * old.words.length} bytes; the core compares ${tableLimits.oldSize} at most`,
      'patch its callers instead',
    );
  }
  // A module's build id says which build it is, and its functions are found by name: any word that is compared will do.
  const most = isOfModule(old) ? old.words.length - 1 : old.words.length / 2;
  if (old.masked.length > most) {
    throw reasonError(
      'self-modified-unknown',
      old.name,
      `the kernel rewrites ${old.masked.length} of its ${old.words.length} words, so it could not be told from another function`,
      'patch its callers instead',
    );
  }
  const start = Number(symbol.value & ~arch.codeBit);
  const end = start + (Number(symbol.size) & ~3);
  const replacement = wordsOf(place.data.subarray(start, end));
  const unclear = (message: string) =>
    reasonError(
      'self-modified-unknown',
      newName,
      message,
      'take the table out of the fix, or build it with the kernel’s macros',
    );
  const ways = code.waysIn(place, start, end, unclear);
  return {
    old,
    sympos,
    newName,
    symbol,
    stub:
      old.way === 'entry'
        ? arch.entryWay!.stub(old, replacement, ways)
        : arch.ftraceStub(old, old.site, replacement, ways),
  };
}

/**
 * The entry way if a function is to be redirected so: functions of modules are where it cannot be done go the other way. Throws
 * `way-missing`.
 */
export function entryWayFor(arch: Architecture, way: Way, ofModule: boolean): EntryWay | undefined {
  if (way === 'ftrace') return undefined;
  const { entryWay, platform } = arch;
  if (!entryWay) {
    throw reasonError(
      'way-missing',
      platform.name,
      'functions cannot be redirected at their entry on this architecture yet',
      'leave --way out',
    );
  }
  return ofModule && !entryWay.ofModules ? undefined : entryWay;
}

type Ways = Pick<Kernel, 'arch' | 'callSites' | 'image'>;

/** Whether functions of a kernel can go the ftrace way at all. */
export function hasFtraceWay({ arch, callSites, image }: Ways): boolean {
  const hook = arch.proofFacts && image.symbol(arch.proofFacts.hook.entry);
  return callSites.length > 0 && hook !== undefined && arch.withoutFtraceWay === undefined;
}

/** The way that a user may ask for instead of `way`, of a function of the kernel or of a module; undefined where there is none. */
export function otherWay(kernel: Ways, way: Way, ofModule: boolean): OtherWay | undefined {
  if (way === 'entry') return hasFtraceWay(kernel) ? 'ftrace' : undefined;
  const { entryWay } = kernel.arch;
  return ofModule && !entryWay?.ofModules ? undefined : entryWay;
}

/** Names of one object may be aliases of one function, as those of a system call are; what counts is where they lead. */
export function replacedTwice(redirects: readonly LinkedRedirect[]): Reason[] {
  const known = new Map<LinkAddress | string, LinkedRedirect>();
  return redirects.flatMap((each): Reason[] => {
    const { old, newName, sympos } = each;
    // Of a module's functions no address is known, but then a name and a sympos are all there is.
    const key = isOfModule(old) ? `${old.name},${sympos}` : old.address;
    const other = known.get(key);
    if (!other) {
      known.set(key, each);
      return [];
    }
    const also = other.old.name === old.name ? '' : ` (the same function as ${other.old.name})`;
    return [
      {
        code: 'replaced-twice',
        place: old.name,
        message: `both ${other.newName} and ${newName} replace it${also}`,
        remedy: 'let one function of the fix replace it',
      },
    ];
  });
}

/** A function of a module has no address before the module is loaded (target-module.ts). */
const isOfModule = (old: OldFunction): boolean => old.address === 0n;

/** What the core would refuse (SUTURE_MAX_… in core/include/suture/patch-table.h), said before there is a module. */
export function beyondLimits(counts: { objects: number; redirects: number; recipes: number }): Reason[] {
  const most = { objects: tableLimits.objects, redirects: tableLimits.redirects, recipes: tableLimits.recipes };
  const whats = { objects: 'objects', redirects: 'functions', recipes: 'relocations that wait for modules' };
  return (['objects', 'redirects', 'recipes'] as const)
    .filter((what) => counts[what] > most[what])
    .map((what) => ({
      code: 'patch-too-large',
      place: `${counts[what]} ${whats[what]}`,
      message: `a patch can have ${most[what]} at most`,
      remedy: 'make several patches of it',
    }));
}

/** Adds the stubs and the table to a module. */
export function addStubsAndTable(
  arch: Architecture,
  image: KernelImage,
  object: ElfModel,
  objects: readonly LinkedObject[],
): void {
  const all = objects.flatMap(({ redirects }) => redirects);
  const stubs = addStubs(arch, object, all.filter(hasStub));
  const word = (arch.elf.class / 8) as 4 | 8;
  const { data, pointers } = writePatchTable(
    {
      buildId: image.buildId,
      objects: objects.map(({ module, redirects, recipes }) => ({
        module,
        redirects: redirects.map(inTable),
        recipes,
      })),
      entry: all.some(({ old }) => old.way === 'entry') ? arch.entryWay : undefined,
    },
    word,
  );
  const section = dataSection(patchSection, data, 8);
  object.sections.push(section);
  const table = defineSymbol(object, patchTableSymbol, section);
  const point = ({ offset, to }: TablePointer): void => {
    if (to.kind === 'section') putPointer(arch, section, offset, table, to.offset);
    else if ('recipe' in to) {
      const { place } = objects[to.object]!.recipes[to.recipe]!;
      putPointer(arch, section, offset, sectionSymbol(object, place.section), place.offset);
    } else {
      const redirect = objects[to.object]!.redirects[to.redirect]!;
      // Where there is nothing to be done on the way, control goes to the new function itself.
      const stub = to.kind === 'stub' ? stubs.get(redirect) : undefined;
      putPointer(arch, section, offset, stub ?? redirect.symbol);
    }
  };
  pointers.forEach(point);
}

const hasStub = ({ stub }: LinkedRedirect): boolean => stub.words.length > 0;

const inTable = ({ old, sympos, stub }: LinkedRedirect): PatchRedirect => ({
  oldName: old.name,
  oldAddress: old.address,
  oldSympos: sympos,
  oldWords: old.words,
  masked: old.masked,
  site: Number(old.site - old.address),
  way: old.way,
  stubSize: 4 * stub.words.length,
});

/** The symbols of the stubs, by what they are for. */
function addStubs(
  arch: Architecture,
  object: ElfModel,
  redirects: readonly LinkedRedirect[],
): ReadonlyMap<LinkedRedirect, ElfSymbol> {
  const symbols = new Map<LinkedRedirect, ElfSymbol>();
  if (redirects.length === 0) return symbols;
  const { section, companions, offsets } = arch.layOutStubs(redirects.map(({ stub }) => stub));
  object.sections.push(section, ...companions);
  const add = (redirect: LinkedRedirect, i: number): void => {
    const { old, stub, symbol: newFunction } = redirect;
    const start = offsets[i]!;
    const symbol = newSymbol(`suture_stub_${old.name}`, {
      value: BigInt(start) | arch.codeBit,
      size: BigInt(4 * stub.words.length),
      binding: STB_LOCAL,
      type: STT_FUNC,
      place: section,
    });
    symbols.set(redirect, symbol);
    object.symbols.push(symbol);
    for (const { offset, type, addend } of stub.relocations) {
      section.relocations.push({
        offset: start + offset,
        type,
        symbol: newFunction,
        addend: arch.elf.rela ? addend : undefined,
      });
    }
  };
  redirects.forEach(add);
  return symbols;
}
