// The layout of patch modules: the table in section `.suture.patch`, which tells the core what is redirected where.
//
// core/include/suture/patch-table.h is the same layout in C and explains every member; `tableLayout` is compared with it
// when the core is built (section .comment.suture.layout of suture.ko). All numbers are little-endian. A "word" is a pointer-size number: 4 bytes on ARM, 8 on ppc64le.
//
// The section holds, one behind the other: the table, the objects, then for each object its redirects, its recipes and its
// redirects' old words and masks; last the build ids and the names. How an entry becomes a branch stands before the redirects.

import type { EntryBranch, RecipeField, RecipeShape } from '../arch/arch.ts';
import type { LinkAddress } from '../elf/units.ts';

export const patchSection = '.suture.patch';
export const patchTableSymbol = 'suture_patch_table';

/** "SUTR". */
export const tableMagic = 0x52545553;
export const tableVersion = 4;

/** What the core is willing to look at (SUTURE_MAX_… in the header); redirects and recipes of all objects together. */
export const tableLimits = {
  objects: 256,
  redirects: 4096,
  recipes: 65536,
  buildId: 64,
  oldSize: 0x40000,
  islandWords: 16,
  branchFields: 5,
} as const;

/** How a function is redirected (SUTURE_WAY_…): the hook of ftrace resumes at the stub, or a word at its entry leads there. */
export type Way = 'ftrace' | 'entry';
export const wayNumbers: Readonly<Record<Way, number>> = { ftrace: 0, entry: 1 };

/** The one bit of a recipe's flags (SUTURE_RECIPE_PC_RELATIVE). */
export const recipePcRelative = 1;

type Member = readonly [name: string, size: 'u32' | 'u32[3]' | 'u32[5]' | 'word'];

const tableMembers = [
  ['magic', 'u32'],
  ['version', 'u32'],
  ['object_count', 'u32'],
  ['build_id_size', 'u32'],
  ['build_id_address', 'word'],
  ['build_id', 'word'],
  ['objects', 'word'],
  ['entry', 'word'],
] as const satisfies readonly Member[];

const objectMembers = [
  ['name', 'word'],
  ['build_id', 'word'],
  ['redirects', 'word'],
  ['recipes', 'word'],
  ['build_id_size', 'u32'],
  ['redirect_count', 'u32'],
  ['recipe_count', 'u32'],
  ['reserved', 'u32'],
] as const satisfies readonly Member[];

const redirectMembers = [
  ['old_name', 'word'],
  ['old_address', 'word'],
  ['old_sympos', 'word'],
  ['old_size', 'word'],
  ['old_words', 'word'],
  ['masked', 'word'],
  ['masked_count', 'word'],
  ['site', 'word'],
  ['new_function', 'word'],
  ['stub', 'word'],
  ['stub_size', 'u32'],
  ['way', 'u32'],
] as const satisfies readonly Member[];

const entryMembers = [
  ['island_words', 'word'],
  ['island_fields', 'word'],
  ['island_count', 'u32'],
  ['branch', 'u32'],
  ['branch_addend', 'u32'],
  ['branch_range', 'u32'],
  ['branch_shift', 'u32'],
  ['branch_fields', 'u32[5]'],
  ['branch_flip', 'u32'],
  ['island_always', 'u32'],
] as const satisfies readonly Member[];

const recipeMembers = [
  ['place', 'word'],
  ['symbol', 'word'],
  ['section', 'word'],
  ['sympos', 'word'],
  ['offset', 'word'],
  ['addend', 'word'],
  ['size', 'u32'],
  ['flags', 'u32'],
  ['shift', 'u32'],
  ['range', 'u32'],
  ['fields', 'u32[3]'],
  ['reserved', 'u32'],
] as const satisfies readonly Member[];

/** One structure's offsets and size in bytes, for a word of 4 or 8 bytes. No member has padding before it. */
interface Layout<Name extends string> {
  readonly size: number;
  readonly offset: Readonly<Record<Name, number>>;
}

function layOut<M extends readonly Member[]>(members: M, word: 4 | 8): Layout<M[number][0]> {
  const bytes = { u32: 4, 'u32[3]': 12, 'u32[5]': 20, word };
  let size = 0;
  const offset: Record<string, number> = {};
  for (const [name, kind] of members) {
    offset[name] = size;
    size += bytes[kind];
  }
  return { size, offset: offset as Record<M[number][0], number> };
}

/** The structures of the header for a word of 4 or 8 bytes: what the core's `.comment.suture.layout` must say as well. */
export function tableLayout(word: 4 | 8) {
  return {
    suture_patch_table: layOut(tableMembers, word),
    suture_object: layOut(objectMembers, word),
    suture_redirect: layOut(redirectMembers, word),
    suture_entry: layOut(entryMembers, word),
    suture_recipe: layOut(recipeMembers, word),
  };
}

/** What the table says of one redirect. */
export interface PatchRedirect {
  readonly oldName: string;
  /** The kernel's: the old function's run-time address, equal to the image's. A module's: 0. */
  readonly oldAddress: LinkAddress;
  readonly oldSympos: number;
  readonly oldWords: Uint32Array;
  /** Indexes into `oldWords`, ascending, of words that may differ at run time. */
  readonly masked: Uint32Array;
  /** The call site as ftrace knows it, or the word that becomes a branch, in bytes from the old function's start. */
  readonly site: number;
  readonly way: Way;
  /** 0 where the branch leads to the new function itself. */
  readonly stubSize: number;
}

/** A relocation of the patch module that waits for another module; the header says how it is computed. */
export interface PatchRecipe extends RecipeShape {
  /** The symbol's name in the object. */
  readonly symbol: string;
  /** Where in the object's file it lies, for data; undefined for a function, which its name and sympos always find. */
  readonly within: { readonly section: string; readonly offset: number } | undefined;
  readonly sympos: number;
  readonly addend: bigint;
}

/** The kernel itself, or one of its modules, and what is done to it or because of it. */
export interface PatchObject {
  /** Undefined for the kernel itself. */
  readonly module: { readonly name: string; readonly buildId: Uint8Array } | undefined;
  readonly redirects: readonly PatchRedirect[];
  readonly recipes: readonly PatchRecipe[];
}

export interface PatchTable {
  readonly buildId: { readonly bytes: Uint8Array; readonly address: LinkAddress };
  /** In the order of klp_patch.objs. */
  readonly objects: readonly PatchObject[];
  /** How an entry becomes a branch, if a redirect is of that way. */
  readonly entry: EntryBranch | undefined;
}

/** A word of the section that is a pointer: into the section itself, to a redirect's code or to a recipe's place. */
export interface TablePointer {
  /** Section offset of the pointer. */
  readonly offset: number;
  readonly to:
    | { readonly kind: 'section'; readonly offset: number }
    | { readonly kind: 'new-function' | 'stub'; readonly object: number; readonly redirect: number }
    | { readonly kind: 'place'; readonly object: number; readonly recipe: number };
}

/** Bits of a value and their place, as the core reads them. */
export const packField = ({ from, width, to }: RecipeField): number => from | (width << 8) | (to << 16);

/** The bytes of `.suture.patch`, pointers left 0 and listed. */
export function writePatchTable(table: PatchTable, word: 4 | 8): { data: Uint8Array; pointers: TablePointer[] } {
  const layout = tableLayout(word);
  const text = new TextEncoder();

  // Reserve: every part gets its place. Numbers come first, then what has no alignment.
  let end = layout.suture_patch_table.size;
  const reserve = (size: number, align: number): number => {
    const start = Math.ceil(end / align) * align;
    end = start + size;
    return start;
  };
  const objectsAt = reserve(table.objects.length * layout.suture_object.size, 8);
  const { entry } = table;
  const entryAt = entry && {
    struct: reserve(layout.suture_entry.size, 8),
    words: reserve(4 * entry.island.words.length, 4),
    fields: reserve(4 * entry.island.words.length, 4),
  };
  const parts = table.objects.map(({ redirects, recipes }) => ({
    redirectsAt: reserve(redirects.length * layout.suture_redirect.size, 8),
    recipesAt: reserve(recipes.length * layout.suture_recipe.size, 8),
    codes: redirects.map((r) => ({
      words: reserve(r.oldWords.length * 4, 4),
      masked: reserve(r.masked.length * 4, 4),
    })),
  }));

  // Write. Names and build ids still find their place on the way, so there is room for the longest that they may be.
  const longest = (value: string): number => 3 * value.length + 1;
  const roomOf = ({ module, redirects, recipes }: PatchObject): number =>
    (module ? longest(module.name) + module.buildId.length : 0) +
    redirects.reduce((sum, { oldName }) => sum + longest(oldName), 0) +
    recipes.reduce((sum, { symbol, within }) => sum + longest(symbol) + longest(within?.section ?? ''), 0);
  const room = table.objects.reduce((sum, object) => sum + roomOf(object), end + table.buildId.bytes.length);
  const data = new Uint8Array(room);
  const view = new DataView(data.buffer);
  const pointers: TablePointer[] = [];
  const put = (offset: number, value: number | bigint): void => {
    if (word === 8) view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
    else view.setUint32(offset, Number(BigInt.asUintN(32, BigInt(value))), true);
  };
  const put32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
  const putWords = (offset: number, words: Uint32Array): void => {
    for (let i = 0; i < words.length; i++) view.setUint32(offset + 4 * i, words[i]!, true);
  };
  const bytesAt = (bytes: Uint8Array): number => {
    const at = reserve(bytes.length, 1);
    data.set(bytes, at);
    return at;
  };
  const strings = new Map<string, number>();
  const string = (value: string): number => {
    const known = strings.get(value);
    if (known !== undefined) return known;
    const { written } = text.encodeInto(value, data.subarray(end));
    // A zero, which stands there already, ends it.
    const at = reserve(written + 1, 1);
    strings.set(value, at);
    return at;
  };
  const point = (offset: number, to: TablePointer['to'] | number): void =>
    void pointers.push({ offset, to: typeof to === 'number' ? { kind: 'section', offset: to } : to });

  const head = layout.suture_patch_table.offset;
  put32(head.magic, tableMagic);
  put32(head.version, tableVersion);
  put32(head.object_count, table.objects.length);
  put32(head.build_id_size, table.buildId.bytes.length);
  put(head.build_id_address, table.buildId.address);
  point(head.build_id, bytesAt(table.buildId.bytes));
  point(head.objects, objectsAt);

  if (entry && entryAt) {
    const { branch, island } = entry;
    const at = layout.suture_entry.offset;
    const member = (name: keyof typeof at): number => entryAt.struct + at[name];
    put32(member('branch'), branch.word);
    put32(member('branch_addend'), branch.addend);
    put32(member('branch_range'), branch.range);
    put32(member('branch_shift'), branch.shift);
    branch.fields.forEach((field, i) => {
      put32(member('branch_fields') + 4 * i, packField(field));
    });
    put32(member('branch_flip'), branch.flip);
    put32(member('island_count'), island.words.length);
    put32(member('island_always'), island.always ? 1 : 0);
    if (island.words.length > 0) {
      point(member('island_words'), entryAt.words);
      point(member('island_fields'), entryAt.fields);
    }
    putWords(
      entryAt.words,
      Uint32Array.from(island.words, ({ word }) => word),
    );
    putWords(
      entryAt.fields,
      Uint32Array.from(island.words, ({ field }) => (field ? packField(field) : 0)),
    );
    point(head.entry, entryAt.struct);
  }

  table.objects.forEach(({ module, redirects, recipes }, object) => {
    const { redirectsAt, recipesAt, codes } = parts[object]!;
    const base = objectsAt + object * layout.suture_object.size;
    const at = layout.suture_object.offset;
    if (module) {
      point(base + at.name, string(module.name));
      point(base + at.build_id, bytesAt(module.buildId));
      put32(base + at.build_id_size, module.buildId.length);
    }
    if (redirects.length > 0) point(base + at.redirects, redirectsAt);
    if (recipes.length > 0) point(base + at.recipes, recipesAt);
    put32(base + at.redirect_count, redirects.length);
    put32(base + at.recipe_count, recipes.length);

    redirects.forEach((r, redirect) => {
      const base = redirectsAt + redirect * layout.suture_redirect.size;
      const at = layout.suture_redirect.offset;
      const code = codes[redirect]!;
      point(base + at.old_name, string(r.oldName));
      put(base + at.old_address, r.oldAddress);
      put(base + at.old_sympos, r.oldSympos);
      put(base + at.old_size, r.oldWords.length * 4);
      point(base + at.old_words, code.words);
      putWords(code.words, r.oldWords);
      if (r.masked.length > 0) point(base + at.masked, code.masked);
      putWords(code.masked, r.masked);
      put(base + at.masked_count, r.masked.length);
      put(base + at.site, r.site);
      point(base + at.new_function, { kind: 'new-function', object, redirect });
      point(base + at.stub, { kind: 'stub', object, redirect });
      put32(base + at.stub_size, r.stubSize);
      put32(base + at.way, wayNumbers[r.way]);
    });

    recipes.forEach((r, recipe) => {
      const base = recipesAt + recipe * layout.suture_recipe.size;
      const at = layout.suture_recipe.offset;
      point(base + at.place, { kind: 'place', object, recipe });
      point(base + at.symbol, string(r.symbol));
      if (r.within) {
        point(base + at.section, string(r.within.section));
        put(base + at.offset, r.within.offset);
      }
      put(base + at.sympos, r.sympos);
      put(base + at.addend, r.addend);
      put32(base + at.size, r.size);
      put32(base + at.flags, r.pcRelative ? recipePcRelative : 0);
      put32(base + at.shift, r.shift);
      put32(base + at.range, r.range);
      r.fields.forEach((field, i) => {
        put32(base + at.fields + 4 * i, packField(field));
      });
    });
  });

  return { data: data.slice(0, end), pointers };
}
