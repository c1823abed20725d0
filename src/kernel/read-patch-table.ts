// A patch table read back from the bytes of `.suture.patch`: what `suture info` shows and a proof starts from. The file may be
// anybody's, so every number is looked at before it is used.

import type { EntryBranch, IslandWord, RecipeField } from '../arch/arch.ts';
import { linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import { wordsOf } from './old-function.ts';
import {
  type PatchObject,
  type PatchRecipe,
  type PatchRedirect,
  type PatchTable,
  patchSection,
  recipePcRelative,
  tableLayout,
  tableLimits,
  tableMagic,
  tableVersion,
  wayNumbers,
} from './patch-module.ts';

const decoder = new TextDecoder();

/** KSYM_NAME_LEN (include/linux/kallsyms.h, Linux 6.1), the end of the name included. */
const mostName = 512;

/** A redirect or a recipe with the section offset of its structure, whose other pointers lead out of the section. */
export type At<T> = T & { readonly at: number };

export interface ReadObject extends PatchObject {
  readonly redirects: readonly At<PatchRedirect>[];
  readonly recipes: readonly At<PatchRecipe>[];
}

export interface ReadTable extends PatchTable {
  readonly objects: readonly ReadObject[];
}

/**
 * Reads the table back from the bytes of `.suture.patch`. `pointer(offset)` says where in the section the pointer at that
 * section offset leads, undefined where it leads elsewhere, and `isNull(offset)` whether nothing is relocated and nothing
 * stands there. `place` names the file in errors. Throws `patch-malformed`.
 */
export function readPatchTable(
  data: Uint8Array,
  word: 4 | 8,
  pointer: (offset: number) => number | undefined,
  isNull: (offset: number) => boolean,
  place: string,
): ReadTable {
  const layout = tableLayout(word);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const bad = (what: string) =>
    reasonError('patch-malformed', `${place}: ${patchSection}`, what, 'build the patch again; the file is damaged');

  const range = (start: number | undefined, size: number, what: string): number => {
    if (start === undefined || start < 0 || size > data.length || start > data.length - size) {
      throw bad(`${what} lies outside the section`);
    }
    return start;
  };
  const u32 = (offset: number) => view.getUint32(offset, true);
  const number = (offset: number) => (word === 8 ? view.getBigUint64(offset, true) : BigInt(u32(offset)));
  const small = (offset: number, what: string): number => {
    const value = number(offset);
    if (value > 0xffffffffn) throw bad(`${what} is 0x${value.toString(16)}`);
    return Number(value);
  };
  const words = (start: number, count: number) => wordsOf(data.subarray(start, start + 4 * count));
  const string = (offset: number, what: string): string => {
    const start = range(pointer(offset), 1, what);
    const room = data.subarray(start, start + mostName);
    const length = room.indexOf(0);
    if (length < 0)
      throw bad(room.length < mostName ? `${what} does not end` : `${what} has more than ${mostName} bytes`);
    return decoder.decode(room.subarray(0, length));
  };
  // What a table says of one function belongs to no other one.
  let copied = 0;
  const copiedWords = (pointerAt: number, count: number, what: string): Uint32Array => {
    const start = range(pointer(pointerAt), 4 * count, what);
    copied += 4 * count;
    if (copied > data.length) throw bad(`${what} lie over those of other functions`);
    return words(start, count);
  };
  const buildId = (pointerAt: number, sizeAt: number, what: string): Uint8Array => {
    const size = u32(sizeAt);
    if (size < 1 || size > tableLimits.buildId) throw bad(`${what} has ${size} bytes`);
    const start = range(pointer(pointerAt), size, what);
    return data.slice(start, start + size);
  };
  /** The start of each of `count` structures; a list without any is a null pointer. */
  const list = (pointerAt: number, count: number, limit: number, size: number, what: string): number[] => {
    if (count > limit) throw bad(`${count} ${what} are more than ${limit}`);
    if (count === 0 && !isNull(pointerAt)) throw bad(`a list of no ${what} is somewhere`);
    if (count === 0) return [];
    const start = range(pointer(pointerAt), count * size, `the list of ${what}`);
    return Array.from({ length: count }, (_, i) => start + i * size);
  };

  function redirect(base: number, what: string): At<PatchRedirect> {
    const at = layout.suture_redirect.offset;
    const size = number(base + at.old_size);
    if (size < 4n || size > BigInt(tableLimits.oldSize) || size % 4n !== 0n) {
      throw bad(`${what}: an old function of ${size} bytes`);
    }
    const length = Number(size) / 4;
    const maskedCount = number(base + at.masked_count);
    if (maskedCount > BigInt(length)) throw bad(`${what}: more masked words than words`);
    const oldWords = copiedWords(base + at.old_words, length, `${what}: the old words`);
    const masked =
      maskedCount === 0n
        ? new Uint32Array()
        : copiedWords(base + at.masked, Number(maskedCount), `${what}: the masked words`);
    if (masked.some((index, k) => index >= length || (k > 0 && index <= masked[k - 1]!))) {
      throw bad(`${what}: the masked words are not in order or not within the function`);
    }
    const site = number(base + at.site);
    const number_ = u32(base + at.way);
    const way = (['ftrace', 'entry'] as const).find((each) => wayNumbers[each] === number_);
    if (!way) throw bad(`${what}: it is redirected in way ${number_}, which is not known`);
    const first = way === 'entry' ? 0n : 4n;
    if (site < first || site >= size || site % 4n !== 0n) throw bad(`${what}: its site is not inside the function`);
    if (way === 'entry' && masked.includes(Number(site) / 4))
      throw bad(`${what}: the word that is to become a branch is one that the kernel rewrites`);
    return {
      at: base,
      oldName: string(base + at.old_name, `${what}: the name`),
      oldAddress: linkAddress(number(base + at.old_address)),
      oldSympos: small(base + at.old_sympos, `${what}: the sympos`),
      oldWords,
      masked,
      site: Number(site),
      way,
      stubSize: u32(base + at.stub_size),
    };
  }

  function field(at: number, size: 4 | 8, what: string): RecipeField | undefined {
    const packed = u32(at);
    if (packed === 0) return undefined;
    const [from, width, to] = [packed & 0xff, (packed >>> 8) & 0xff, packed >>> 16];
    if (width < 1 || from + width > 64 || to + width > 8 * size) throw bad(`${what}: a field outside of its place`);
    return { from, width, to };
  }

  const fields = (start: number, count: number, size: 4 | 8, what: string): RecipeField[] =>
    Array.from({ length: count }, (_, i) => i).flatMap((i) => field(start + 4 * i, size, what) ?? []);

  function entryBranch(pointerAt: number): EntryBranch | undefined {
    if (isNull(pointerAt)) return undefined;
    const what = 'what becomes of an entry';
    const at = layout.suture_entry.offset;
    const base = range(pointer(pointerAt), layout.suture_entry.size, what);
    const count = u32(base + at.island_count);
    if (count > tableLimits.islandWords) throw bad(`${what}: an island of ${count} words`);
    const start = count === 0 ? 0 : range(pointer(base + at.island_words), 4 * count, `${what}: the island`);
    const from = count === 0 ? 0 : range(pointer(base + at.island_fields), 4 * count, `${what}: the fields`);
    const island = Array.from({ length: count }, (_, i): IslandWord => {
      const filled = field(from + 4 * i, 4, what);
      return { word: u32(start + 4 * i), text: '', ...(filled && { field: filled }) };
    });
    const branchFields = fields(base + at.branch_fields, tableLimits.branchFields, 4, what);
    const [bits, shift] = [u32(base + at.branch_range), u32(base + at.branch_shift)];
    const always = u32(base + at.island_always);
    if (always > 1) throw bad(`${what}: flags ${always} mean nothing`);
    if (u32(base + at.branch_fields) === 0 || bits < 1 || bits > 8 * word || shift > 31)
      throw bad(`${what}: no branch is like this`);
    return {
      branch: {
        word: u32(base + at.branch),
        addend: u32(base + at.branch_addend) | 0,
        range: bits,
        shift,
        fields: branchFields,
        flip: u32(base + at.branch_flip),
      },
      island: { words: island, always: always === 1 },
    };
  }

  function recipe(base: number, what: string): At<PatchRecipe> {
    const at = layout.suture_recipe.offset;
    const size = u32(base + at.size);
    const [flags, shift, bits] = [u32(base + at.flags), u32(base + at.shift), u32(base + at.range)];
    if (size !== 4 && size !== 8) throw bad(`${what}: a place of ${size} bytes`);
    if ((flags & ~recipePcRelative) !== 0 || shift > 63 || bits > 64 || u32(base + at.reserved) !== 0) {
      throw bad(`${what}: flags ${flags}, shift ${shift} or range ${bits} mean nothing`);
    }
    const offset = small(base + at.offset, `${what}: the offset`);
    const inSection = !isNull(base + at.section);
    if (!inSection && offset !== 0) throw bad(`${what}: an offset in no section`);
    return {
      at: base,
      symbol: string(base + at.symbol, `${what}: the symbol`),
      within: inSection ? { section: string(base + at.section, `${what}: the section`), offset } : undefined,
      sympos: small(base + at.sympos, `${what}: the sympos`),
      addend: BigInt.asIntN(8 * word, number(base + at.addend)),
      size,
      pcRelative: (flags & recipePcRelative) !== 0,
      shift,
      range: bits,
      fields: fields(base + at.fields, 3, size, what),
    };
  }

  let redirectsLeft: number = tableLimits.redirects;
  let recipesLeft: number = tableLimits.recipes;
  function object(base: number, what: string): ReadObject {
    const at = layout.suture_object.offset;
    const ofKernel = isNull(base + at.name);
    if (ofKernel && (!isNull(base + at.build_id) || u32(base + at.build_id_size) !== 0)) {
      throw bad(`${what}: the kernel's build id is not told here`);
    }
    if (u32(base + at.reserved) !== 0) throw bad(`${what}: reserved is not 0`);
    const redirects = list(
      base + at.redirects,
      u32(base + at.redirect_count),
      redirectsLeft,
      layout.suture_redirect.size,
      'redirects',
    ).map((start, i) => redirect(start, `${what}, redirect ${i}`));
    const recipes = list(
      base + at.recipes,
      u32(base + at.recipe_count),
      recipesLeft,
      layout.suture_recipe.size,
      'recipes',
    ).map((start, i) => recipe(start, `${what}, recipe ${i}`));
    redirectsLeft -= redirects.length;
    recipesLeft -= recipes.length;
    return {
      module: ofKernel
        ? undefined
        : {
            name: string(base + at.name, `${what}: the name`),
            buildId: buildId(base + at.build_id, base + at.build_id_size, `${what}: the build id`),
          },
      redirects,
      recipes,
    };
  }

  range(0, layout.suture_patch_table.size, 'the table');
  const head = layout.suture_patch_table.offset;
  if (u32(head.magic) !== tableMagic) throw bad('the table does not begin with its magic number');
  if (u32(head.version) !== tableVersion) {
    throw bad(`the table has version ${u32(head.version)}, this Suture knows ${tableVersion}`);
  }
  const count = u32(head.object_count);
  if (count < 1) throw bad('there are no objects');
  const objects = list(head.objects, count, tableLimits.objects, layout.suture_object.size, 'objects');
  return {
    buildId: {
      bytes: buildId(head.build_id, head.build_id_size, 'the build id'),
      address: linkAddress(number(head.build_id_address)),
    },
    objects: objects.map((start, i) => object(start, `object ${i}`)),
    entry: entryBranch(head.entry),
  };
}
