// One function of a kernel that is to be redirected: where it is, its instructions, its call site, and which of its words
// the kernel rewrites itself.

import type { CallSite, EntryWay, FunctionText, KernelText, SelfModified } from '../arch/arch.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { type Reason, ReasonError, reasonError } from '../reason.ts';
import { isInitMemory } from './init-memory.ts';
import type { Kallsym } from './kallsyms.ts';
import type { Way } from './patch-module.ts';

/** What is known of a kernel's text once it has been looked through. */
export interface KernelFunctions extends KernelText {
  readonly kallsyms: readonly Kallsym[];
}

export interface OldFunction extends FunctionText {
  readonly way: Way;
  /** The `ip` that ftrace knows the function by; in the entry way the word that becomes a branch. */
  readonly site: LinkAddress;
  /** Indexes into `words`, ascending: the call sites and whatever else the running kernel may have changed. */
  readonly masked: Uint32Array;
}

/** Kallsyms types of functions: text, global or local, and weak ones. */
const functionTypes = 'tTwW';

export const isFunction = (symbol: Kallsym): boolean => functionTypes.includes(symbol.type);

/**
 * All symbols with this name, in kallsyms order. A sympos counts them from 1, those of data too: klp_find_callback in
 * kernel/livepatch/core.c does not look at types either.
 */
export function symbolsNamed(kallsyms: readonly Kallsym[], name: string): readonly Kallsym[] {
  let names = byName.get(kallsyms);
  if (!names) {
    names = new Map();
    for (const symbol of kallsyms) {
      const same = names.get(symbol.name);
      if (same === undefined) names.set(symbol.name, symbol);
      else if (Array.isArray(same)) same.push(symbol);
      else names.set(symbol.name, [same, symbol]);
    }
    byName.set(kallsyms, names);
  }
  const found = names.get(name);
  return found === undefined ? [] : Array.isArray(found) ? found : [found];
}

/** Kallsyms do not change; they are looked through once. Most names are those of one symbol. */
const byName = new WeakMap<readonly Kallsym[], Map<string, Kallsym | Kallsym[]>>();

/** Index of the first element for which `before` is false. */
function lowerBound<T>(sorted: readonly T[], before: (item: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(sorted[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The way that was not asked for, where it could be: what a refusal says about it must be true of the function. */
export type OtherWay = EntryWay | 'ftrace';

/**
 * Finds the function that a name and a sympos mean (0: the name must be unique, as in `struct klp_func`), to be redirected at its
 * call site, or with `entry` at its entry. `other` is for remedies.
 * Throws `name-missing`, `name-ambiguous`, `init-text`, `no-call-site`, `self-modified-unknown`, `entry-rewritten`, `entry-in-use`.
 */
export function findOldFunction(
  kernel: KernelFunctions,
  sites: readonly CallSite[],
  selfModified: SelfModified,
  name: string,
  sympos: number,
  entry?: EntryWay,
  other?: OtherWay,
): OldFunction {
  const candidates = symbolsNamed(kernel.kallsyms, name);
  const symbol = candidates[sympos === 0 ? 0 : sympos - 1];
  if (!symbol) throw missing(kernel.kallsyms, name, sympos, candidates.length);
  if (sympos === 0 && candidates.length > 1) {
    throw reasonError(
      'name-ambiguous',
      name,
      `the kernel has ${candidates.length} symbols of this name: ${candidates
        .map((c, i) => `${i + 1} at ${hex(c.address)}${isFunction(c) ? '' : ' (data)'}`)
        .join(', ')}`,
      `say which one with SUTURE_REPLACES(new_function, ${name}, SYMPOS, "")`,
    );
  }
  if (!isFunction(symbol)) {
    throw reasonError(
      'name-missing',
      name,
      `the symbol of this name at ${hex(symbol.address)} is not one of a function`,
      candidates.some(isFunction) ? 'sympos counts symbols of data too: give that of the function' : '',
    );
  }

  const bounds = kernel.enclosing(symbol.address);
  const size = bounds ? Number(bounds.end - symbol.address) : 0;
  const bytes = size <= 0 ? undefined : kernel.bytes(symbol.address, size < wordSize ? size : wholeWords(size));
  if (!bytes) {
    throw reasonError('image-unreadable', name, `its code at ${hex(symbol.address)} is not in the image`);
  }
  if (isInitMemory(symbol.address, (known) => kernel.symbol(known))) {
    throw reasonError(
      'init-text',
      name,
      `it is initialisation code at ${hex(symbol.address)}; the kernel gave that memory back`,
      'such a function has run already and will not run again: there is nothing to patch',
    );
  }
  if (size < wordSize) {
    throw reasonError(
      entry ? 'entry-in-use' : 'no-call-site',
      name,
      `it has ${size} bytes up to the next symbol, and a branch takes ${wordSize}: it is a label within a function of assembly`,
      callersInstead,
    );
  }
  const end = symbol.address + BigInt(bytes.length);
  const first = lowerBound(sites, (s) => s.address < symbol.address);
  const site = sites[first];
  const isTraced = site !== undefined && site.address < end;
  if (!isTraced && !entry) {
    throw reasonError(
      'no-call-site',
      name,
      `the function at ${hex(symbol.address)} has no call of mcount (it is notrace, assembly, or compiled without -pg)`,
      remedyWithoutSite(other, (way) => findOldFunction(kernel, sites, selfModified, name, sympos, way)),
    );
  }
  if (selfModified.unknown.length > 0) {
    throw reasonError('self-modified-unknown', name, selfModified.unknown.join('; '));
  }
  const text = { name, address: symbol.address, words: wordsOf(bytes) };
  const masked = maskedWords(symbol.address, end as LinkAddress, sites, first, selfModified);
  const { address, words } = text;
  if (!entry) return { name, address, words, way: 'ftrace', site: site!.address, masked };
  const index = entrySite(entry, text, masked, isTraced ? undefined : kernel, name, remedyAtEntry(other, isTraced));
  return { name, address, words, way: 'entry', site: linkAddress(address + BigInt(4 * index)), masked };
}

const callersInstead = 'patch its callers instead';

/** What to do about a function without a call site; `find` finds it to be redirected at its entry, or refuses. */
export function remedyWithoutSite(other: OtherWay | undefined, find: (way: EntryWay) => OldFunction): string {
  if (other === undefined || other === 'ftrace') return callersInstead;
  try {
    find(other);
    return 'redirect it at its entry (--way entry), or patch its callers instead';
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return `${callersInstead}; at its entry it cannot be redirected either: ${error.reasons[0].message}`;
  }
}

/** What to do about a function that cannot be redirected at its entry. */
export const remedyAtEntry = (other: OtherWay | undefined, isTraced: boolean): string =>
  other === 'ftrace' && isTraced ? 'redirect it at its call site (--way ftrace), or patch its callers' : callersInstead;

/**
 * The index of the word that becomes a branch. `kernel` is the text around a function that nothing shows to be compiled from C.
 * Throws `entry-rewritten`, `entry-in-use`, with the remedy that is given.
 */
export function entrySite(
  entry: EntryWay,
  text: FunctionText,
  masked: Uint32Array,
  kernel: KernelText | undefined,
  place: string,
  remedy: string,
): number {
  const index = entry.site(text.words);
  if (masked.includes(index)) {
    throw reasonError(
      'entry-rewritten',
      place,
      'the kernel rewrites the word that would become a branch, and neither would know of the other',
      remedy,
    );
  }
  const hindrance = entry.hindrance(text, kernel) ?? (kernel && entry.doubt(text, kernel));
  if (hindrance !== undefined) throw reasonError('entry-in-use', place, hindrance, remedy);
  return index;
}

const wordSize = 4;

/**
 * The bytes of all words that code of `size` bytes at the start of a word is in. Thumb-2 code may end in the middle of one: then
 * the other half is compared with it, and who stands in it counts as inside.
 */
export const wholeWords = (size: number): number => (size + wordSize - 1) & -wordSize;

/** Little-endian instructions of a byte range whose length is a multiple of 4; nobody changes them. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = bytes;
  if (isLittleEndian && byteOffset % 4 === 0) return new Uint32Array(buffer, byteOffset, bytes.length >>> 2);
  const words = new Uint32Array(bytes.length >>> 2);
  if (isLittleEndian) {
    new Uint8Array(words.buffer).set(bytes.subarray(0, words.byteLength));
    return words;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, true);
  return words;
}

/** The other way round. */
export function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  if (isLittleEndian) return bytes;
  const view = new DataView(new ArrayBuffer(words.byteLength));
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, words[i]!, true);
  return new Uint8Array(view.buffer);
}

/** Lists of words, one behind the other. */
export function joinWords(lists: readonly Uint32Array[]): Uint32Array<ArrayBuffer> {
  const all = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const words of lists) {
    all.set(words, at);
    at += words.length;
  }
  return all;
}

/** Whether this machine is; then whole kernels need no turning round. */
const isLittleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** Of a function in [start, end) whose first call site, if it has any, is `sites[first]`. */
function maskedWords(
  start: LinkAddress,
  end: LinkAddress,
  sites: readonly CallSite[],
  first: number,
  selfModified: SelfModified,
): Uint32Array {
  const indexes: number[] = [];
  /** Most come in order. */
  const add = (index: number): void => {
    let at = indexes.length;
    while (at > 0 && indexes[at - 1]! > index) at--;
    if (indexes[at - 1] !== index) indexes.splice(at, 0, index);
  };
  for (let i = first; i < sites.length && sites[i]!.address < end; i++) {
    // What begins at a halfword is in two words.
    const at = Number(sites[i]!.address - start);
    add(at >>> 2);
    add(Math.min(at + 3, Number(end - start) - 1) >>> 2);
  }
  const { words } = selfModified;
  for (let i = lowerBound(words, (a) => a < start); i < words.length && words[i]! < end; i++) {
    add(Number(words[i]! - start) >>> 2);
  }
  return Uint32Array.from(indexes);
}

function missing(kallsyms: readonly Kallsym[], name: string, sympos: number, found: number): ReasonError {
  // gcc names a specialised copy NAME.isra.0, NAME.constprop.0, NAME.part.0 or NAME.cold.
  const clones = kallsyms.filter((symbol) => symbol.name.startsWith(`${name}.`)).map((symbol) => symbol.name);
  const reason: Reason = {
    code: 'name-missing',
    place: name,
    message:
      found > 0
        ? `sympos ${sympos} was asked for, the kernel has ${found} of this name`
        : clones.length > 0
          ? `the kernel has only compiler-made copies of it: ${clones.join(', ')}`
          : 'the kernel has no function of this name (it may have been inlined everywhere)',
    remedy: 'patch the functions that call it instead',
  };
  return new ReasonError(reason);
}

const hex = (address: bigint) => `0x${address.toString(16)}`;
