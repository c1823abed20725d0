// Addresses of what kallsyms leaves out: from the image's own symbol table, a System.map, an unstripped vmlinux.
//
// The latter two are files that a user gives. One of another build names everything, at addresses that are wrong; a patch
// that is bound by it writes into other data. So neither is believed before it has agreed with the image.

import { readElf } from '../elf/elf.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import { elfBuildId, hexOfBuildId } from './build-id.ts';
import { type KernelImage, namedPlaces } from './image.ts';
import { isFunction } from './old-function.ts';
import { readSystemMap } from './system-map.ts';

/** All addresses that a name has; one may be told more than once. */
export type SymbolAddresses = ReadonlyMap<string, readonly LinkAddress[]>;

/** A file that was given with the kernel; `name` is what errors call it. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Throws `wrong-kernel` for a file of another kernel, `system-map-malformed`, `elf-malformed`, `elf-unsupported`. */
export function readFurtherSymbols(
  image: KernelImage,
  files: { readonly systemMap?: NamedFile | undefined; readonly vmlinux?: NamedFile | undefined },
): SymbolAddresses {
  const symbols = new Map<string, LinkAddress[]>();
  addAll(
    symbols,
    image.symbolTable.map(({ name, value }) => ({ name, address: linkAddress(value) })),
  );
  if (files.systemMap) addAll(symbols, symbolsOfMap(image, files.systemMap));
  if (files.vmlinux) addAll(symbols, symbolsOfVmlinux(image, files.vmlinux));
  return symbols;
}

type NamedAddress = { readonly name: string; readonly address: LinkAddress };

function addAll(symbols: Map<string, LinkAddress[]>, more: readonly NamedAddress[]): void {
  for (const { name, address } of more) {
    const known = symbols.get(name);
    if (known) known.push(address);
    else symbols.set(name, [address]);
  }
}

/**
 * A System.map has no build id. But it must have everything that is exported, data too, at the address that the image
 * has, and no function of kallsyms anywhere else.
 */
function symbolsOfMap(image: KernelImage, file: NamedFile): readonly NamedAddress[] {
  const told = readSystemMap(file.bytes, file.name);
  const addresses = new Map<string, LinkAddress[]>();
  addAll(addresses, told);
  const isElsewhere = ({ name, address }: NamedAddress) => !addresses.get(name)?.includes(address);
  const functions = image.kallsyms.filter((symbol) => isFunction(symbol) && addresses.has(symbol.name));
  const [first, ...others] = [...image.exports.values(), ...functions].filter(isElsewhere);
  if (!first) return told;
  const hex = (address: LinkAddress) => `0x${address.toString(16)}`;
  const there = addresses.get(first.name)?.map(hex).join(' and ') ?? 'missing';
  throw wrong(
    file.name,
    `${first.name} is at ${hex(first.address)} in the image and ${there} in this file${
      others.length > 0 ? `, and so with ${others.length} more symbols` : ''
    }`,
    'give the complete System.map of this very build',
  );
}

function symbolsOfVmlinux(image: KernelImage, file: NamedFile): NamedAddress[] {
  const elf = readElf(file.bytes, file.name);
  const id = elfBuildId(elf, file.name);
  const own = hexOfBuildId(image.buildId.bytes);
  const its = id ? hexOfBuildId(id) : 'none';
  if (its !== own) {
    throw wrong(file.name, `its build id is ${its}, the image has ${own}`, 'give the vmlinux of this very build');
  }
  return namedPlaces(elf.symbols, image.arch).map(({ name, value }) => ({ name, address: linkAddress(value) }));
}

const wrong = (place: string, message: string, remedy: string) => reasonError('wrong-kernel', place, message, remedy);
