// A kernel as shipped: everything that its image tells by itself.

import type { Architecture, KernelText } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { PT_LOAD, SHF_ALLOC, STT_FILE, STT_SECTION } from '../elf/constants.ts';
import { type ElfImage, readImage } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import { findBuildId } from './build-id.ts';
import { largestUnpacked, unpackIfPacked } from './compression.ts';
import { type KernelExport, readExports } from './exports.ts';
import { findText, ImageBytes } from './image-bytes.ts';
import { type Kallsym, readKallsyms } from './kallsyms.ts';
import { symbolsNamed } from './old-function.ts';
import { isZimage, unpackZimage } from './zimage.ts';

export interface KernelImage extends KernelText {
  /** The platform's, for the instruction set that the image's code is of. */
  readonly arch: Architecture;
  /** The address of the image's first byte, and the number of bytes that it has (without .bss). */
  readonly base: LinkAddress;
  readonly size: number;
  /** What /proc/version shows. */
  readonly banner: string;
  /** What `uname -r` shows. */
  readonly release: string;
  /** What the loader compares with a module's own (`VERMAGIC_STRING`, include/linux/vermagic.h); undefined if not found. */
  readonly vermagic: string | undefined;
  /** `address` is where the running kernel has the same bytes. */
  readonly buildId: { readonly bytes: Uint8Array; readonly address: LinkAddress };
  /** In kallsyms order, as /proc/kallsyms shows them before those of modules. */
  readonly kallsyms: readonly Kallsym[];
  readonly exports: ReadonlyMap<string, KernelExport>;
  /** The symbol table of an ELF image, data included, without symbols of sections and files; else empty. */
  readonly symbolTable: readonly ElfSymbol[];
}

/**
 * Reads a kernel's image: an ARM zImage, an ELF vmlinux, or either of them packed. `name` is what errors call it.
 * Throws `image-unreadable`, `kallsyms-unreadable`, `packed-data-unreadable`, `elf-malformed`, `elf-unsupported`.
 */
export async function readKernelImage(bytes: Uint8Array, name: string, arch: Architecture): Promise<KernelImage> {
  const unpacked = await unpackIfPacked(bytes, name);
  if (isZimage(unpacked) && arch.platform.image.payload === 'zimage')
    return new LoadedImage(await unpackZimage(unpacked, name), undefined, name, arch);
  const elf = readImage(unpacked, name);
  if (elf.header.machine !== arch.elf.machine || elf.header.class !== arch.elf.class)
    throw unreadable(
      name,
      `it is not a kernel for ${arch.platform.name}`,
      'Give the image that fits the architecture.',
    );
  return new LoadedImage(flatten(elf, name), elf, name, arch);
}

/** Symbols of sections and files name nothing in memory. */
const isNamedPlace = ({ type, place }: ElfSymbol): boolean =>
  type !== STT_SECTION && type !== STT_FILE && place !== 'undefined';

/** The symbols of a linked kernel that name something in memory, those of functions with the addresses of their code. */
export const namedPlaces = (symbols: readonly ElfSymbol[], { codeBit }: Architecture): ElfSymbol[] =>
  symbols
    .filter(isNamedPlace)
    .map((symbol) => (codeBit === 0n ? symbol : { ...symbol, value: codeOffset(symbol, { codeBit }) }));

/** The segments of a vmlinux as `objcopy -O binary` lays them out: by physical address, since that is how they are loaded. */
function flatten(elf: ElfModel, name: string): Uint8Array {
  const loaded = elf.segments.filter(({ type, data }) => type === PT_LOAD && data.length > 0);
  loaded.sort((a, b) => (a.physicalAddress < b.physicalAddress ? -1 : 1));
  const [first] = loaded;
  if (!first) throw unreadable(name, 'it has no segments to load', 'Give the vmlinux of a kernel.');
  if (loaded.length === 1) return first.data;
  const offset = (address: bigint) => Number(address - first.physicalAddress);
  const size = Math.max(...loaded.map(({ physicalAddress, data }) => offset(physicalAddress) + data.length));
  if (size > largestUnpacked)
    throw unreadable(name, `its segments spread over ${size} bytes`, 'Give the vmlinux of a kernel.');
  const bytes = new Uint8Array(size);
  for (const { physicalAddress, data } of loaded) bytes.set(data, offset(physicalAddress));
  return bytes;
}

class LoadedImage implements KernelImage {
  readonly arch: Architecture;
  readonly base: LinkAddress;
  readonly size: number;
  readonly banner: string;
  readonly release: string;
  readonly vermagic: string | undefined;
  readonly buildId: KernelImage['buildId'];
  readonly kallsyms: readonly Kallsym[];
  readonly exports: ReadonlyMap<string, KernelExport>;
  readonly textRanges: KernelImage['textRanges'];
  readonly #image: ImageBytes;
  readonly #elf: ElfImage | undefined;
  #symbolTable: readonly ElfSymbol[] | undefined;
  /** What has been asked for, by name; undefined for one that several addresses have, or none. */
  readonly #addresses = new Map<string, LinkAddress | undefined>();

  constructor(bytes: Uint8Array, elf: ElfImage | undefined, name: string, arch: Architecture) {
    this.#elf = elf;
    this.#image = new ImageBytes(bytes, arch.elf.class === 32 ? 4 : 8);
    this.size = bytes.length;
    this.kallsyms = readKallsyms(bytes, this.#image.word, name);
    const found = readExports(this.#image, this.kallsyms, name, arch);
    const { base, exports } = found;
    this.arch = found.arch;
    this.base = base;
    this.exports = exports;
    this.textRanges = [this.#range('_stext', '_etext', name), this.#range('_sinittext', '_einittext', name)];
    this.banner = findBanner(this.#image, name);
    this.release = this.banner.split(' ')[2]!;
    this.vermagic = findVermagic(this.#image, this.release);
    const id = findBuildId(this.#image);
    if (!id)
      throw unreadable(
        name,
        'it has no build id, by which a running kernel could be recognised',
        'Suture needs a kernel that was linked with --build-id.',
      );
    this.buildId = {
      bytes: bytes.subarray(id.offset, id.offset + id.size),
      address: linkAddress(base + BigInt(id.offset)),
    };
  }

  word(address: LinkAddress): number | undefined {
    return this.#image.u32(this.#offset(address));
  }

  bytes(address: LinkAddress, size: number): Uint8Array | undefined {
    const offset = this.#offset(address);
    return offset >= 0 && size >= 0 && offset + size <= this.size
      ? this.#image.bytes.subarray(offset, offset + size)
      : undefined;
  }

  symbol(name: string): LinkAddress | undefined {
    const known = this.#addresses.get(name);
    if (known !== undefined || this.#addresses.has(name)) return known;
    const address = this.#addressOf(name);
    this.#addresses.set(name, address);
    return address;
  }

  get symbolTable(): readonly ElfSymbol[] {
    this.#symbolTable ??= namedPlaces(this.#elf?.symbols ?? [], this.arch);
    return this.#symbolTable;
  }

  section(name: string): { address: LinkAddress; bytes: Uint8Array } | undefined {
    const section = this.#elf?.sections.find((each) => each.name === name && (each.flags & SHF_ALLOC) !== 0n);
    return section && { address: linkAddress(section.address), bytes: section.data };
  }

  /** As get_symbol_pos (kernel/kallsyms.c) has it: of several symbols at one address, the first. */
  enclosing(address: LinkAddress): { name: string; start: LinkAddress; end: LinkAddress } | undefined {
    let low = 0;
    let high = this.kallsyms.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.kallsyms[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    const next = this.kallsyms[low];
    let found = low - 1;
    while (found > 0 && this.kallsyms[found - 1]!.address === this.kallsyms[found]!.address) found--;
    const symbol = this.kallsyms[found];
    if (!symbol) return undefined;
    const end = next?.address ?? this.textRanges.find((range) => address >= range.start && address < range.end)?.end;
    return end === undefined || end <= address ? undefined : { name: symbol.name, start: symbol.address, end };
  }

  #offset(address: LinkAddress): number {
    return Number(address - this.base);
  }

  /** Looked for when somebody asks: a kernel has a hundred thousand names. */
  #addressOf(name: string): LinkAddress | undefined {
    const exported = this.exports.get(name);
    const [address, ...others] = new Set([
      ...symbolsNamed(this.kallsyms, name).map((symbol) => symbol.address),
      ...namedPlaces(this.#elf?.symbolsNamed(name) ?? [], this.arch).map(({ value }) => linkAddress(value)),
      ...(exported ? [exported.address] : []),
    ]);
    return others.length > 0 ? undefined : address;
  }

  #range(from: string, to: string, place: string): { start: LinkAddress; end: LinkAddress } {
    const start = this.symbol(from);
    const end = this.symbol(to);
    if (start === undefined || end === undefined || start > end)
      throw reasonError(
        'kallsyms-unreadable',
        place,
        `it does not tell the range from ${from} to ${to}`,
        'Get the image anew.',
      );
    return { start, end };
  }
}

const longestBanner = 1024;

/** linux_banner (init/version-timestamp.c): others of its shape have no build number, or have it filled in later. */
function findBanner(image: ImageBytes, place: string): string {
  for (const at of findText(image.bytes, 'Linux version ', 64)) {
    const end = image.bytes.subarray(at, at + longestBanner).indexOf(0x0a);
    const banner = String.fromCharCode(...image.bytes.subarray(at, at + Math.max(end, 0)));
    if (/^Linux version \S+ [ -~]*#\d+ [ -~]*$/.test(banner)) return banner;
  }
  throw unreadable(place, 'it has no banner that tells the release', 'Give the image of a Linux kernel.');
}

/** How often a kernel's release stands in its image: in the banner, in what uname tells, in modules that are built in. */
const mostReleases = 64;
const longestVermagic = 256;

/** A string that begins with the release, and goes on with what modules are compared by. */
function findVermagic(image: ImageBytes, release: string): string | undefined {
  for (const at of findText(image.bytes, `${release} `, mostReleases)) {
    const text = image.bytes[at - 1] === 0 ? image.text(at, longestVermagic) : undefined;
    if (text?.endsWith(' ')) return text;
  }
  return undefined;
}

function unreadable(place: string, message: string, remedy: string) {
  return reasonError('image-unreadable', place, message, remedy);
}
