// Where the kernel's image has what a file of vmlinux refers to. The comparison of the file as compiled with the image tells
// (match/): of data and of static functions too, which kernels without KALLSYMS_ALL have no table of, or several by one name.

import type { Architecture } from '../arch/arch.ts';
import type { Link, Piece } from '../diff/diff.ts';
import { STB_LOCAL, STB_WEAK, STT_FUNC, STT_OBJECT } from '../elf/constants.ts';
import { newSymbol } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { SymbolAddresses } from '../kernel/further-symbols.ts';
import type { KernelImage } from '../kernel/image.ts';
import { isInitMemory } from '../kernel/init-memory.ts';
import { isFunction, symbolsNamed } from '../kernel/old-function.ts';
import type { ObjectMatch } from '../match/match.ts';
import { reasonError } from '../reason.ts';
import type { KernelPlaces, OldName } from './kernel-places.ts';
import { plainSymbol, regionAt } from './plain-symbol.ts';

/** What is known of a kernel's image by name. */
interface ImageNames {
  readonly image: KernelImage;
  readonly furtherSymbols: SymbolAddresses;
  /** Addresses that the code of other files shows, of what several files may refer to by name. May be filled until it is needed. */
  readonly shownElsewhere?: ReadonlyMap<string, LinkAddress>;
}

/** Places in vmlinux, as one of its files shows them. */
export class ImagePlaces implements KernelPlaces {
  readonly #arch: Architecture;
  readonly #names: ImageNames;
  readonly #path: string;
  readonly #plain: ElfModel;
  readonly #match: ObjectMatch;
  readonly #made = new Map<string, ElfSymbol>();

  /** `match` is what came of comparing `plain`, the object of the file `path`, with the image. */
  constructor(arch: Architecture, names: ImageNames, path: string, plain: ElfModel, match: ObjectMatch) {
    this.#arch = arch;
    this.#names = names;
    this.#path = path;
    this.#plain = plain;
    this.#match = match;
  }

  original(piece: Piece): ElfSymbol {
    const symbol = plainSymbol(this.#plain, piece, this.#path);
    const address = this.#match.addressOf(symbol);
    if (symbol.binding !== STB_LOCAL && this.#isExportedAt(symbol.name, address)) return this.#undefined(symbol.name);
    const found = address ?? this.#told(symbol);
    if (found !== undefined) return this.#bound(piece.name, found, piece.kind === 'function');
    throw reasonError(
      'data-address-unknown',
      `${this.#path}: ${piece.name}`,
      symbol.binding === STB_LOCAL
        ? 'no unchanged function of the file shows where the kernel has it, and no table does'
        : 'no unchanged function of the file, nor of the others that were looked at, shows where the kernel has it, and no table does',
      'import the kernel with --system-map or --vmlinux, or reach it through a function of the file that uses it',
    );
  }

  /** Where a table, or the code of another file, says that it is. */
  #told({ name, binding }: ElfSymbol): LinkAddress | undefined {
    const { furtherSymbols, shownElsewhere } = this.#names;
    const told = furtherSymbols.get(name) ?? [];
    return told.length === 1 ? told[0] : binding === STB_LOCAL ? undefined : shownElsewhere?.get(name);
  }

  /** What a link leads to by a name that other files know too, if nothing is known that tells where it is. */
  unknownName(link: Link): string | undefined {
    if (link.kind === 'included') return undefined;
    const symbol = link.kind === 'original' ? this.#plainSymbolOf(link.piece) : link.symbol;
    if (!symbol || symbol.name === '' || symbol.binding === STB_LOCAL || symbol.binding === STB_WEAK) return undefined;
    const { image, furtherSymbols } = this.#names;
    const { name } = symbol;
    if (image.exports.has(name) || furtherSymbols.has(name) || this.#arch.loaderSymbols.includes(name))
      return undefined;
    const isCode = globalFunctions(image, name).length > 0;
    const own = this.#plain.symbols.find((each) => each.name === name && each.binding !== STB_LOCAL);
    return isCode || (own && this.#match.addressOf(own) !== undefined) ? undefined : name;
  }

  #plainSymbolOf({ name }: Piece): ElfSymbol | undefined {
    return this.#plain.symbols.find((each) => each.name === name && each.binding !== STB_LOCAL);
  }

  external(symbol: ElfSymbol): ElfSymbol {
    const { name } = symbol;
    const { image } = this.#names;
    if (image.exports.has(name) || this.#arch.loaderSymbols.includes(name)) return this.#undefined(name);
    const own = this.#plain.symbols.find((each) => each.name === name && each.place === 'undefined');
    const global = globalFunctions(image, name);
    const address =
      (own && this.#match.addressOf(own)) ??
      (global.length === 1 ? global[0]!.address : this.#names.shownElsewhere?.get(name));
    if (address === undefined) return this.#undefined(name, symbol.binding === STB_WEAK);
    return this.#bound(
      name,
      address,
      symbolsNamed(image.kallsyms, name).some((each) => each.address === address && isFunction(each)),
    );
  }

  replaced(piece: Piece): OldName {
    const symbol = plainSymbol(this.#plain, piece, this.#path);
    const place = `${this.#path}: ${piece.name}`;
    const region = regionAt(this.#match.regions, symbol, this.#arch);
    if (region?.verdict === 'overridden') {
      throw reasonError('not-compiled', place, `the kernel does not use it: ${region.difference?.message}`);
    }
    const { image } = this.#names;
    const named = symbolsNamed(image.kallsyms, piece.name);
    const at = named.findIndex(({ address }) => address === region?.address);
    if (region?.verdict !== 'same' || at < 0) {
      throw reasonError(
        'build-differs',
        place,
        region?.difference?.message ?? 'the kernel has no function of this name where the file has it',
        'change a function that calls it instead',
      );
    }
    return { oldName: piece.name, sympos: named.length > 1 ? at + 1 : 0, module: '' };
  }

  isExported(name: string): boolean {
    return this.#names.image.exports.has(name);
  }

  #isExportedAt(name: string, address: LinkAddress | undefined): boolean {
    const exported = this.#names.image.exports.get(name);
    return exported !== undefined && (address === undefined || exported.address === address);
  }

  /** A symbol that is left to the loader, or to be bound by its name. */
  #undefined(name: string, isWeak = false): ElfSymbol {
    return this.#make(name, () => newSymbol(name, isWeak ? { binding: STB_WEAK } : {}));
  }

  #bound(name: string, address: LinkAddress, isCode: boolean): ElfSymbol {
    const { image } = this.#names;
    if (isCode && isInitMemory(address, (known) => image.symbol(known))) {
      throw reasonError(
        'init-text',
        `${this.#path}: ${name}`,
        'it is start-up code, whose memory the kernel has given back',
        'put a copy of it into the fix',
      );
    }
    return this.#make(`${name} ${address}`, () =>
      newSymbol(name, {
        binding: STB_LOCAL,
        type: isCode ? STT_FUNC : STT_OBJECT,
        value: isCode ? address | this.#arch.codeBit : address,
        place: isCode ? this.#arch.boundFunctionPlace : 'absolute',
      }),
    );
  }

  #make(key: string, make: () => ElfSymbol): ElfSymbol {
    const known = this.#made.get(key) ?? make();
    this.#made.set(key, known);
    return known;
  }
}

/** There may be static functions of the same name; a symbol that another file refers to is the one that is not. */
const globalFunctions = (image: KernelImage, name: string) =>
  symbolsNamed(image.kallsyms, name).filter(({ type }) => 'TW'.includes(type));
