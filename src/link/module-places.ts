// Where a module of the kernel has what one of its files refers to: as symbols that wait until the module is loaded
// (late-symbols.ts), since its addresses are not known before. What the kernel itself exports is left to the loader.

import type { Architecture } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import type { Piece } from '../diff/diff.ts';
import { STB_LOCAL, STT_SECTION } from '../elf/constants.ts';
import { isSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { TargetModule } from '../kernel/target-module.ts';
import type { ModuleMatch } from '../match/match-module.ts';
import { reasonError } from '../reason.ts';
import { thisModuleSymbol } from './finish-module.ts';
import type { KernelPlaces, OldName } from './kernel-places.ts';
import { lateSymbolName, targetOf } from './late-symbols.ts';
import { plainSymbol, regionAt } from './plain-symbol.ts';

/** What a file of a module can refer to outside itself. */
export interface ModuleSurroundings {
  readonly arch: Architecture;
  readonly image: KernelImage;
  /** The module itself and those that it uses, by name. */
  readonly targets: ReadonlyMap<string, TargetModule>;
  /** Which module exports a symbol. */
  readonly exporters: ReadonlyMap<string, string>;
}

/** Places in and around a module, as one of its files shows them. */
export class ModulePlaces implements KernelPlaces {
  readonly #around: ModuleSurroundings;
  readonly #target: TargetModule;
  readonly #path: string;
  readonly #plain: ElfModel;
  readonly #match: ModuleMatch;
  readonly #made = new Map<string, ElfSymbol>();

  /** `match` is what came of comparing `plain`, the object of the file `path`, with the module `target`. */
  constructor(around: ModuleSurroundings, target: TargetModule, path: string, plain: ElfModel, match: ModuleMatch) {
    this.#around = around;
    this.#target = target;
    this.#path = path;
    this.#plain = plain;
    this.#match = match;
  }

  replaced(piece: Piece): OldName {
    const symbol = plainSymbol(this.#plain, piece, this.#path);
    const place = `${this.#path}: ${piece.name}`;
    const region = regionAt(this.#match.regions, symbol, this.#around.arch);
    if (region?.verdict !== 'same') {
      throw reasonError(
        'build-differs',
        place,
        region?.difference?.message ?? 'the module has no function of this name where the file has it',
        'change a function that calls it instead',
      );
    }
    const own = this.#symbolOf(symbol, place);
    if (isSection(own.place) && own.place.name.startsWith('.exit')) {
      throw reasonError(
        'no-call-site',
        place,
        'it is only called when the module goes, and ftrace is not told of such functions (scripts/recordmcount.c)',
        'leave that part of the fix out: to be rid of the module’s old code, load a new one',
      );
    }
    const { name, sympos } = this.#named(own, this.#target);
    return { oldName: name, sympos, module: this.#target.name };
  }

  original(piece: Piece): ElfSymbol {
    const symbol = plainSymbol(this.#plain, piece, this.#path);
    return this.#late(this.#symbolOf(symbol, `${this.#path}: ${piece.name}`), this.#target);
  }

  external(symbol: ElfSymbol): ElfSymbol {
    const { name } = symbol;
    const { arch, image, targets, exporters } = this.#around;
    if (arch.loaderSymbols.includes(name)) return symbol;
    const own = globalOf(this.#target, name);
    if (own) return this.#late(own, this.#target);
    if (image.exports.has(name)) return this.#make(name);
    const exporter = exporters.get(name);
    const other = exporter === undefined ? undefined : targetOf(exporter, targets);
    const theirs = other && globalOf(other, name);
    return other && theirs ? this.#late(theirs, other) : this.#make(name);
  }

  isExported(name: string): boolean {
    return this.#around.image.exports.has(name);
  }

  /** The module's own symbol for what the file has under a symbol. */
  #symbolOf(symbol: ElfSymbol, place: string): ElfSymbol {
    const found = this.#match.placeOf(symbol);
    const here = found && 'section' in found ? symbolsAt(this.#target, found.section, found.offset) : [];
    const own = here.find(({ name }) => name === symbol.name) ?? here[0];
    if (own) return own;
    throw reasonError(
      'data-address-unknown',
      place,
      `nothing in the file’s code shows where ${this.#target.name} has it`,
      'change a function that calls this one instead, or give the functions as a C file',
    );
  }

  /** The name and the sympos of a symbol of a module; 0 where it is the only one of its name. */
  #named(symbol: ElfSymbol, { model }: TargetModule): { readonly name: string; readonly sympos: number } {
    const named = model.symbols.filter(({ name, place }) => name === symbol.name && place !== 'undefined');
    return { name: symbol.name, sympos: named.length > 1 ? named.indexOf(symbol) + 1 : 0 };
  }

  #late(symbol: ElfSymbol, target: TargetModule): ElfSymbol {
    const { name, sympos } = this.#named(symbol, target);
    return this.#make(lateSymbolName(target.name, name, sympos));
  }

  #make(name: string): ElfSymbol {
    const known = this.#made.get(name) ?? newSymbol(name);
    this.#made.set(name, known);
    return known;
  }
}

/** What a module defines under a name for others; `__this_module`, too. */
const globalOf = ({ model }: TargetModule, name: string): ElfSymbol | undefined =>
  model.symbols.find((each) => each.name === name && each.binding !== STB_LOCAL && isSection(each.place)) ??
  (name === thisModuleSymbol ? model.symbols.find((each) => each.name === name && isSection(each.place)) : undefined);

const symbolsAt = ({ model, arch }: TargetModule, section: Section, offset: number): ElfSymbol[] =>
  model.symbols.filter((symbol) => {
    const { name, type, place } = symbol;
    const isHere = place === section && Number(codeOffset(symbol, arch)) === offset;
    return isHere && name !== '' && type !== STT_SECTION && !/^[.$]/.test(name);
  });
