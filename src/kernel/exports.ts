// What a kernel exports to modules, read from the image without any symbol to find it by; and with it, at which address
// the image lies.
//
// Each export is a `struct kernel_symbol` (include/linux/export.h, 6.1, of architectures without relative references):
// pointers to the symbol, to its name and to the name of its namespace. The tables stand one behind the other
// (include/asm-generic/vmlinux.lds.h, RO_DATA): __ksymtab, __ksymtab_gpl, each sorted by name; with MODVERSIONS
// __kcrctab, __kcrctab_gpl, a u32 for each symbol in the same order; then __ksymtab_strings.
//
// A raw image does not say where it is loaded. But kallsyms says the address of a function that every kernel with
// modules exports, so its entry can be recognised; the pointer behind it leads to its name, and the name can be found in
// the image. The difference is the base.

import type { Architecture } from '../arch/arch.ts';
import { Allowance } from '../elf/checks.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import type { ImageBytes } from './image-bytes.ts';
import type { Kallsym } from './kallsyms.ts';
import { isFunction } from './old-function.ts';

export interface KernelExport {
  readonly name: string;
  /** Of the function's code or the data. */
  readonly address: LinkAddress;
  /** Undefined where the kernel has no versions (MODVERSIONS=n). */
  readonly crc: number | undefined;
  readonly gplOnly: boolean;
  /** Empty for none. */
  readonly namespace: string;
}

/** Functions that every kernel with modules exports. */
const anchors = ['module_put', 'kfree', 'add_timer', 'register_chrdev_region', 'vfree'];

/** KSYM_NAME_LEN: include/linux/kallsyms.h. */
const longestName = 512;
const namePattern = /^[A-Za-z_.$][\w.$]*$/;
/** An image begins on a page. */
const pageSize = 4096n;
/** How many pointers to one anchor are looked at. */
const mostPlaces = 256;
/** Entries that may be read in all: a kernel has some ten thousand, but an image can be made of what looks like one. */
const searchSteps = 1_000_000;

interface Exports {
  readonly base: LinkAddress;
  readonly exports: Map<string, KernelExport>;
}

/**
 * The exports, in the order of the tables, the address of the image's first byte, and which of the platform's instruction
 * sets the code is of: kallsyms have the address of a function, its pointer says in a bit beside it what the code is.
 * Throws `image-unreadable`.
 */
export function readExports(
  image: ImageBytes,
  kallsyms: readonly Kallsym[],
  place: string,
  arch: Architecture,
): Exports & { readonly arch: Architecture } {
  const allowance = new Allowance(searchSteps);
  for (const each of arch.otherSet ? [arch, arch.otherSet] : [arch]) {
    const found = findExports(image, kallsyms, allowance, each.codeBit);
    if (found) return { arch: each, base: found.base, exports: atAddresses(found.exports, kallsyms, each.codeBit) };
  }
  throw reasonError(
    'image-unreadable',
    place,
    'the table of exported symbols was not found in the image',
    'Suture needs a kernel with CONFIG_MODULES=y.',
  );
}

/** Exported functions by the addresses of their code; data may be at odd addresses. */
function atAddresses(exports: Exports['exports'], kallsyms: readonly Kallsym[], bit: bigint): Exports['exports'] {
  if (bit === 0n) return exports;
  const code = new Set<bigint>(kallsyms.filter(isFunction).map(({ address }) => address));
  const found = new Map<string, KernelExport>();
  for (const [name, each] of exports) {
    const address = linkAddress(each.address & ~bit);
    found.set(name, code.has(address) ? { ...each, address } : each);
  }
  return found;
}

/** `bit` is set in pointers to functions. */
function findExports(
  image: ImageBytes,
  kallsyms: readonly Kallsym[],
  allowance: Allowance,
  bit: bigint,
): Exports | undefined {
  for (const name of anchors) {
    const symbols = kallsyms.filter((symbol) => symbol.name === name);
    if (symbols.length !== 1) continue;
    for (const entry of image.findPointer(linkAddress(symbols[0]!.address | bit), mostPlaces)) {
      const pointer = image.pointer(entry + image.word) ?? 0n;
      // Pages are where they are linked to be, so a name is as far into one in the image as its address says.
      for (let at = Number(pointer % pageSize); at < image.bytes.length; at += Number(pageSize)) {
        const base = linkAddress(pointer - BigInt(at));
        if (base < 0n) break;
        const table = image.holds(at, name) && new ExportTable(image, base, allowance).around(entry);
        if (table) return { base, exports: new Map(table.map((each) => [each.name, each])) };
      }
    }
  }
  return undefined;
}

interface Entry {
  readonly name: string;
  readonly address: LinkAddress;
  readonly namespace: string;
  /** Offsets of the strings; of the namespace's only where it has one. */
  readonly nameAt: number;
  readonly namespaceAt: number | undefined;
}

class ExportTable {
  readonly #image: ImageBytes;
  readonly #base: LinkAddress;
  readonly #entrySize: number;
  readonly #allowance: Allowance;

  constructor(image: ImageBytes, base: LinkAddress, allowance: Allowance) {
    this.#allowance = allowance;
    this.#image = image;
    this.#base = base;
    this.#entrySize = 3 * image.word;
  }

  /** Both tables, given the place of any of their entries; undefined if what is there is no table. */
  around(middle: number): KernelExport[] | undefined {
    const before: Entry[] = [];
    const behind: Entry[] = [];
    let start = middle;
    for (let entry = this.#entry(start - this.#entrySize); entry; entry = this.#entry(start - this.#entrySize)) {
      before.push(entry);
      start -= this.#entrySize;
    }
    let end = middle;
    for (let entry = this.#entry(end); entry; entry = this.#entry(end)) {
      behind.push(entry);
      end += this.#entrySize;
    }
    const entries = [...before.reverse(), ...behind];

    // Names rise within each table, so the second begins where they do not.
    const descents = entries.flatMap(({ name }, i) => (i > 0 && entries[i - 1]!.name >= name ? [i] : []));
    const [gplFrom, ...more] = descents;
    if (gplFrom === undefined || more.length > 0) return undefined;

    // The strings are nothing but these names and namespaces, so where the first of them stands, their section begins.
    const strings = entries.reduce(
      (least, { nameAt, namespaceAt = nameAt }) => Math.min(least, nameAt, namespaceAt),
      Infinity,
    );
    const versioned = strings === end + 4 * entries.length;
    if (!versioned && strings !== end) return undefined;
    return entries.map(({ name, address, namespace }, i) => ({
      name,
      address,
      crc: versioned ? this.#image.u32(end + 4 * i) : undefined,
      gplOnly: i >= gplFrom,
      namespace,
    }));
  }

  /** The entry at an offset; undefined if its pointers do not lead to names, or the allowance is used up. */
  #entry(at: number): Entry | undefined {
    if (!this.#allowance.spend(1)) return undefined;
    const image = this.#image;
    const address = image.pointer(at);
    const nameAt = this.#offset(image.pointer(at + image.word));
    const namespacePointer = image.pointer(at + 2 * image.word);
    if (address === undefined || nameAt === undefined || namespacePointer === undefined) return undefined;
    // Symbols that assembly exports have no namespace, not even an empty one.
    const namespaceAt = this.#offset(namespacePointer);
    if (namespaceAt === undefined && namespacePointer !== 0n) return undefined;
    const name = image.text(nameAt, longestName);
    const namespace = namespaceAt === undefined ? '' : image.text(namespaceAt, longestName);
    if (name === undefined || namespace === undefined || !namePattern.test(name)) return undefined;
    return { name, address, namespace, nameAt, namespaceAt };
  }

  #offset(address: LinkAddress | undefined): number | undefined {
    const offset = address === undefined ? -1 : Number(address - this.#base);
    return offset >= 0 && offset < this.#image.bytes.length ? offset : undefined;
  }
}
