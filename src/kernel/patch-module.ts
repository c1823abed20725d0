// The layout of patch modules: the table in section `.suture.patch`, which tells the core what is redirected where.
//
// core/include/suture/patch-table.h is the same layout in C and explains every member; `tableLayout` is compared with it
// when the core is built (section .comment.suture.layout of suture.ko). All numbers are little-endian. A "word" is a pointer-size number: 4 bytes on ARM, 8 on ppc64le.
//
// The section holds, one behind the other: the table, the redirects, the build id, then for each redirect the words of
// the old function, the indexes of the masked ones, and its name.

import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';

export const patchSection = '.suture.patch';
export const patchTableSymbol = 'suture_patch_table';

/** "SUTR". */
export const tableMagic = 0x52545553;
export const tableVersion = 1;

/** What the core is willing to look at (SUTURE_MAX_… in the header). */
export const tableLimits = { redirects: 4096, buildId: 64, oldSize: 0x40000 } as const;

/** The hook of ftrace resumes at the stub (SUTURE_WAY_FTRACE). */
export const wayFtrace = 0;

type Member = readonly [name: string, size: 'u32' | 'word'];

const tableMembers = [
  ['magic', 'u32'],
  ['version', 'u32'],
  ['redirect_count', 'u32'],
  ['build_id_size', 'u32'],
  ['build_id_address', 'word'],
  ['build_id', 'word'],
  ['redirects', 'word'],
] as const satisfies readonly Member[];

const redirectMembers = [
  ['old_name', 'word'],
  ['old_address', 'word'],
  ['old_size', 'word'],
  ['old_words', 'word'],
  ['masked', 'word'],
  ['masked_count', 'word'],
  ['ip', 'word'],
  ['new_function', 'word'],
  ['stub', 'word'],
  ['stub_size', 'u32'],
  ['way', 'u32'],
] as const satisfies readonly Member[];

/** One structure's offsets and size in bytes, for a word of 4 or 8 bytes. No member has padding before it. */
interface Layout<Name extends string> {
  readonly size: number;
  readonly offset: Readonly<Record<Name, number>>;
}

function layOut<M extends readonly Member[]>(members: M, word: 4 | 8): Layout<M[number][0]> {
  let size = 0;
  const offset: Record<string, number> = {};
  for (const [name, kind] of members) {
    offset[name] = size;
    size += kind === 'u32' ? 4 : word;
  }
  return { size, offset: offset as Record<M[number][0], number> };
}

/** The structures of the header for a word of 4 or 8 bytes: what the core's `.suture.layout` must say as well. */
export function tableLayout(word: 4 | 8) {
  return { suture_patch_table: layOut(tableMembers, word), suture_redirect: layOut(redirectMembers, word) };
}

/** What the table says of one redirect. Addresses are run-time addresses in the kernel, equal to the image's. */
export interface PatchRedirect {
  readonly oldName: string;
  readonly oldAddress: LinkAddress;
  readonly oldWords: Uint32Array;
  /** Indexes into `oldWords`, ascending, of words that a kernel rewrites itself. */
  readonly masked: Uint32Array;
  /** The call site's address. */
  readonly ip: LinkAddress;
  readonly way: number;
  readonly stubSize: number;
}

export interface PatchTable {
  readonly buildId: { readonly bytes: Uint8Array; readonly address: LinkAddress };
  readonly redirects: readonly PatchRedirect[];
}

/** A word of the section that is a pointer: into the section itself, to a redirect's new function or to its stub. */
export interface TablePointer {
  /** Section offset of the pointer. */
  readonly offset: number;
  readonly to:
    | { readonly kind: 'section'; readonly offset: number }
    | { readonly kind: 'new-function' | 'stub'; readonly redirect: number };
}

/** The bytes of `.suture.patch`, pointers left 0 and listed. */
export function writePatchTable(table: PatchTable, word: 4 | 8): { data: Uint8Array; pointers: TablePointer[] } {
  const layout = tableLayout(word);
  const text = new TextEncoder();

  // Reserve: every part gets its place.
  let end = layout.suture_patch_table.size;
  const reserve = (size: number, align: number): number => {
    const start = Math.ceil(end / align) * align;
    end = start + size;
    return start;
  };
  const redirectsAt = reserve(table.redirects.length * layout.suture_redirect.size, 8);
  const buildIdAt = reserve(table.buildId.bytes.length, 4);
  const parts = table.redirects.map((r) => ({
    words: reserve(r.oldWords.length * 4, 4),
    masked: reserve(r.masked.length * 4, 4),
    name: text.encode(`${r.oldName}\0`),
    nameAt: 0,
  }));
  for (const part of parts) part.nameAt = reserve(part.name.length, 1);

  // Write.
  const data = new Uint8Array(end);
  const view = new DataView(data.buffer);
  const pointers: TablePointer[] = [];
  const put = (offset: number, value: number | bigint): void => {
    if (word === 8) view.setBigUint64(offset, BigInt(value), true);
    else view.setUint32(offset, Number(value), true);
  };
  const point = (offset: number, to: TablePointer['to']): void => void pointers.push({ offset, to });

  const head = layout.suture_patch_table.offset;
  view.setUint32(head.magic, tableMagic, true);
  view.setUint32(head.version, tableVersion, true);
  view.setUint32(head.redirect_count, table.redirects.length, true);
  view.setUint32(head.build_id_size, table.buildId.bytes.length, true);
  put(head.build_id_address, table.buildId.address);
  point(head.build_id, { kind: 'section', offset: buildIdAt });
  point(head.redirects, { kind: 'section', offset: redirectsAt });
  data.set(table.buildId.bytes, buildIdAt);

  table.redirects.forEach((r, i) => {
    const base = redirectsAt + i * layout.suture_redirect.size;
    const at = layout.suture_redirect.offset;
    const part = parts[i]!;
    point(base + at.old_name, { kind: 'section', offset: part.nameAt });
    put(base + at.old_address, r.oldAddress);
    put(base + at.old_size, r.oldWords.length * 4);
    point(base + at.old_words, { kind: 'section', offset: part.words });
    if (r.masked.length > 0) point(base + at.masked, { kind: 'section', offset: part.masked });
    put(base + at.masked_count, r.masked.length);
    put(base + at.ip, r.ip);
    point(base + at.new_function, { kind: 'new-function', redirect: i });
    point(base + at.stub, { kind: 'stub', redirect: i });
    view.setUint32(base + at.stub_size, r.stubSize, true);
    view.setUint32(base + at.way, r.way, true);
    r.oldWords.forEach((value, k) => {
      view.setUint32(part.words + 4 * k, value, true);
    });
    r.masked.forEach((value, k) => {
      view.setUint32(part.masked + 4 * k, value, true);
    });
    data.set(part.name, part.nameAt);
  });
  return { data, pointers };
}

/**
 * Reads the table back from the bytes of `.suture.patch`. `pointer(offset)` says where in the section the pointer at that
 * section offset leads, undefined where it leads elsewhere or nowhere; `place` names the file in errors.
 * Throws `patch-malformed`.
 */
export function readPatchTable(
  data: Uint8Array,
  word: 4 | 8,
  pointer: (offset: number) => number | undefined,
  place: string,
): PatchTable {
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
  const words = (start: number, count: number) => Uint32Array.from({ length: count }, (_, i) => u32(start + 4 * i));

  range(0, layout.suture_patch_table.size, 'the table');
  const head = layout.suture_patch_table.offset;
  if (u32(head.magic) !== tableMagic) throw bad('the table does not begin with its magic number');
  if (u32(head.version) !== tableVersion) {
    throw bad(`the table has version ${u32(head.version)}, this Suture knows ${tableVersion}`);
  }
  const count = u32(head.redirect_count);
  if (count < 1 || count > tableLimits.redirects) throw bad(`${count} redirects are not 1 to ${tableLimits.redirects}`);
  const buildIdSize = u32(head.build_id_size);
  if (buildIdSize < 1 || buildIdSize > tableLimits.buildId) throw bad(`a build id of ${buildIdSize} bytes`);
  const buildIdAt = range(pointer(head.build_id), buildIdSize, 'the build id');
  const redirectsAt = range(pointer(head.redirects), count * layout.suture_redirect.size, 'the list of redirects');

  const redirects: PatchRedirect[] = [];
  for (let i = 0; i < count; i++) {
    const base = redirectsAt + i * layout.suture_redirect.size;
    const at = layout.suture_redirect.offset;
    const what = `redirect ${i}`;
    const size = number(base + at.old_size);
    if (size < 4n || size > BigInt(tableLimits.oldSize) || size % 4n !== 0n) {
      throw bad(`${what}: an old function of ${size} bytes`);
    }
    const length = Number(size) / 4;
    const maskedCount = number(base + at.masked_count);
    if (maskedCount > BigInt(length)) throw bad(`${what}: more masked words than words`);
    const oldWords = words(range(pointer(base + at.old_words), length * 4, `${what}: the old words`), length);
    const masked =
      maskedCount === 0n
        ? new Uint32Array()
        : words(
            range(pointer(base + at.masked), Number(maskedCount) * 4, `${what}: the masked words`),
            Number(maskedCount),
          );
    if (masked.some((index, k) => index >= length || (k > 0 && index <= masked[k - 1]!))) {
      throw bad(`${what}: the masked words are not in order or not within the function`);
    }
    const nameAt = range(pointer(base + at.old_name), 1, `${what}: the name`);
    const nameEnd = data.indexOf(0, nameAt);
    if (nameEnd < 0) throw bad(`${what}: the name does not end`);
    redirects.push({
      oldName: new TextDecoder().decode(data.subarray(nameAt, nameEnd)),
      oldAddress: linkAddress(number(base + at.old_address)),
      oldWords,
      masked,
      ip: linkAddress(number(base + at.ip)),
      way: u32(base + at.way),
      stubSize: u32(base + at.stub_size),
    });
  }
  return {
    buildId: {
      bytes: data.slice(buildIdAt, buildIdAt + buildIdSize),
      address: linkAddress(number(head.build_id_address)),
    },
    redirects,
  };
}
