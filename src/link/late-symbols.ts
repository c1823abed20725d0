// Symbols that a livepatch module has of objects that are not there when it is loaded, or that are not exported
// (Documentation/livepatch/module-elf-format.rst, Linux 6.1):
//
//     .klp.sym.OBJECT.NAME,SYMPOS     a symbol with the section index SHN_LIVEPATCH
//     .klp.rela.OBJECT.SECTION        relocations of SECTION that are to be applied when OBJECT is there
//
// What is of vmlinux is there from the start, so it becomes an ordinary symbol with its address. What is of a module becomes
// recipes for the core. A call into it goes through a veneer of ours, so no code is written when the module comes: the
// recipe fills a word of data.

import type { Architecture } from '../arch/arch.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, STB_GLOBAL, STB_LOCAL, STT_FUNC } from '../elf/constants.ts';
import { newSymbol, removeSections } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import type { KernelImage } from '../kernel/image.ts';
import { isFunction, symbolsNamed } from '../kernel/old-function.ts';
import { findTargetSymbol, isTargetFunction, type TargetModule, type TargetSymbol } from '../kernel/target-module.ts';
import { type Attempt, reasonError } from '../reason.ts';
import { dataSection } from './module-sections.ts';
import type { LinkedRecipe } from './redirects.ts';

/** What symbols of the kernel itself are said to be of. */
export const vmlinux = 'vmlinux';

/** The name of a symbol, apart: module names have neither dots nor commas. */
const symbolName = /^\.klp\.sym\.([^.,]+)\.(.+),(\d+)$/;
const tableName = /^\.klp\.rela?\.([^.]+)\.(.*)$/;

/** The name by which a module's symbol is asked for; a sympos of 0 means the only one of its name. */
export const lateSymbolName = (module: string, name: string, sympos = 0): string =>
  `.klp.sym.${module}.${name},${sympos}`;

/** The target of that name. Throws `target-missing`. */
export function targetOf(name: string, targets: ReadonlyMap<string, TargetModule>): TargetModule {
  const target = targets.get(name);
  if (target) return target;
  throw reasonError(
    'target-missing',
    name,
    'the module of this name was not given and is none of the kernel’s own',
    'give its .ko with --module',
  );
}

/** One relocation against such a symbol. */
interface LateReference {
  readonly section: Section;
  readonly relocation: Relocation;
  readonly object: string;
  readonly name: string;
  readonly sympos: number;
}

/** What a symbol of this kind means, by its name; undefined if it is none. */
export function lateSymbol(symbol: string): { object: string; name: string; sympos: number } | undefined {
  const [, object, name, sympos] = symbolName.exec(symbol) ?? [];
  return object === undefined || name === undefined ? undefined : { object, name, sympos: Number(sympos) };
}

/** The modules that symbols of this kind are of. */
export function lateModules(symbols: readonly Pick<ElfSymbol, 'name'>[]): string[] {
  const names = symbols.flatMap(({ name }) => lateSymbol(name)?.object ?? []);
  return [...new Set(names)].filter((name) => name !== vmlinux);
}

/**
 * Does away with everything of that kind in a module: what is of vmlinux is left to be bound like any other symbol, the rest
 * is returned as recipes, by module. `attempt` runs a step and keeps its reasons, among them `relocation-unsupported`,
 * `name-missing`, `name-ambiguous`, `init-text`, `target-missing`.
 */
export function bindLate(
  model: ElfModel,
  arch: Architecture,
  image: KernelImage,
  targets: ReadonlyMap<string, TargetModule>,
  attempt: Attempt,
): Map<string, LinkedRecipe[]> {
  mergeTables(model, arch, attempt);
  const references = lateReferences(model);
  const recipes = new Map<string, LinkedRecipe[]>();
  const veneers = new Veneers(model, arch);
  for (const reference of references) {
    attempt(() => {
      if (reference.object === vmlinux) {
        bindNow(reference.relocation.symbol!, reference, arch, image);
        return;
      }
      const target = targetOf(reference.object, targets);
      const list = recipes.get(reference.object) ?? [];
      recipes.set(reference.object, list);
      list.push(...bindToModule(reference, target, arch, veneers));
    });
  }
  veneers.finish();
  const stillUsed = new Set(model.sections.flatMap(({ relocations }) => relocations.map(({ symbol }) => symbol)));
  model.symbols = model.symbols.filter((symbol) => stillUsed.has(symbol) || !symbolName.test(symbol.name));
  return recipes;
}

/** Puts the relocations of `.klp.rela.…` sections among those of the sections that they change. */
function mergeTables(model: ElfModel, arch: Architecture, attempt: Attempt): void {
  for (const section of model.sections) {
    const table = section.relocationTable;
    if (!table) continue;
    const object = tableName.exec(section.name)?.[1];
    if (object === undefined) {
      attempt(() => refuseLate(table.relocations, section));
      continue;
    }
    for (const relocation of table.relocations) {
      attempt(() => {
        const place = placeOf(table.target, relocation);
        const of = symbolName.exec(relocation.symbol?.name ?? '')?.[1];
        // What belongs to the module alone was set apart for a reason (alternatives, jump labels) that nobody here knows.
        if (object !== vmlinux && of !== object && of !== vmlinux) {
          throw reasonError(
            'relocation-unsupported',
            place,
            `${section.name} has a relocation against ${relocation.symbol?.name ?? 'no symbol'}, which is not of ${object}`,
            'make the module with relocations of an object against symbols of that object alone',
          );
        }
        table.target.relocations.push(asModulesHaveIt(arch, table.target, relocation, place));
      });
    }
  }
  removeSections(model, ({ name, relocationTable }) => relocationTable !== undefined && tableName.test(name));
}

/** Symbols of this kind, in a table of which nobody knows when it is to be applied. */
function refuseLate(relocations: readonly Relocation[], { name }: Section): void {
  const late = relocations.find(({ symbol }) => symbolName.test(symbol?.name ?? ''));
  if (!late) return;
  throw reasonError(
    'relocation-unsupported',
    name,
    `it has a relocation against ${late.symbol!.name}, and is not named .klp.rela.OBJECT.SECTION`,
    'make the module anew; the name says whose symbols the relocations are against',
  );
}

/** The tables of `.klp.rela` always have addends of their own; on ARM modules have them in the place. */
function asModulesHaveIt(arch: Architecture, section: Section, relocation: Relocation, place: string): Relocation {
  const { type, offset, addend } = relocation;
  if (arch.elf.rela === (addend !== undefined)) return relocation;
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  const word = offset + 4 <= view.byteLength ? view.getUint32(offset, true) : undefined;
  const changed = word === undefined || addend === undefined ? undefined : arch.putAddend(type, word, addend);
  if (changed === undefined) {
    throw reasonError(
      'relocation-unsupported',
      place,
      `${nameOf(arch, type)} cannot have the addend ${addend ?? 'of its place'} here`,
      'compile the code with the kernel’s own flags for modules',
    );
  }
  view.setUint32(offset, changed, true);
  return { ...relocation, addend: undefined };
}

function lateReferences(model: ElfModel): LateReference[] {
  return model.sections
    .filter(({ flags }) => (flags & SHF_ALLOC) !== 0n)
    .flatMap((section) =>
      section.relocations.flatMap((relocation): LateReference[] => {
        const symbol = lateSymbol(relocation.symbol?.name ?? '');
        return symbol ? [{ section, relocation, ...symbol }] : [];
      }),
    );
}

/** Makes a symbol of vmlinux an ordinary one: without a sympos left to be found by its name, with one bound here. */
function bindNow(symbol: ElfSymbol, { name, sympos }: LateReference, arch: Architecture, image: KernelImage): void {
  const named = symbolsNamed(image.kallsyms, name);
  const found = sympos === 0 ? undefined : named[sympos - 1];
  if (sympos !== 0 && !found) {
    throw reasonError(
      'name-missing',
      name,
      `sympos ${sympos} was asked for, the kernel has ${named.length} of this name`,
      'sympos counts the symbols of this name in the kernel’s kallsyms from 1',
    );
  }
  symbol.name = name;
  symbol.binding = STB_GLOBAL;
  symbol.place = 'undefined';
  if (!found) return;
  symbol.value = isFunction(found) ? found.address | arch.codeBit : found.address;
  symbol.place = isFunction(found) ? arch.boundFunctionPlace : 'absolute';
}

const placeOf = (section: Section, { offset }: Relocation): string => `${section.name}+0x${offset.toString(16)}`;
const nameOf = (arch: Architecture, type: number): string =>
  arch.relocationKind(type)?.name ?? `relocation type ${type}`;

/** Where the core is to look for a symbol. */
function lookup(symbol: TargetSymbol, sympos: number): Pick<LinkedRecipe, 'symbol' | 'within' | 'sympos'> {
  if (isTargetFunction(symbol)) return { symbol: symbol.name, within: undefined, sympos };
  // By its name while the module comes and has its whole symbol table, by where it lies once that is gone.
  const within = { section: symbol.place.name, offset: Number(symbol.value) };
  return { symbol: symbol.name, within, sympos: 0 };
}

function bindToModule(
  { section, relocation, name, sympos }: LateReference,
  target: TargetModule,
  arch: Architecture,
  veneers: Veneers,
): LinkedRecipe[] {
  const place = placeOf(section, relocation);
  const unsupported = (message: string) =>
    reasonError(
      'relocation-unsupported',
      place,
      `${message} (${nameOf(arch, relocation.type)} against ${name} of ${target.name})`,
      'reach the symbol through a pointer in writable data, or compile the code with the kernel’s own flags for modules',
    );
  const symbol = findTargetSymbol(target, name, sympos);
  if (section.name.startsWith('.init') || section.name.startsWith('.exit')) {
    throw unsupported('code and data of init and exit cannot wait for a module');
  }
  if (arch.relocationKind(relocation.type)?.use === 'call') {
    if (!isTargetFunction(symbol)) throw unsupported('it calls what is no function');
    const problem = arch.readyLateCall(section, relocation.offset);
    if (problem) throw unsupported(problem);
    const { veneer, recipe } = veneers.of(target, symbol, sympos);
    relocation.symbol = veneer;
    return recipe ? [recipe] : [];
  }

  const shape = arch.lateRelocation(relocation.type);
  if (!shape) throw unsupported('what it does cannot be left to the core');
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  if (relocation.offset + shape.size > view.byteLength) throw unsupported('it is beyond the end of its section');
  const addend = relocation.addend ?? arch.addendInPlace(relocation.type, view.getUint32(relocation.offset, true));
  if (addend === undefined) throw unsupported('its addend cannot be read');
  section.relocations = section.relocations.filter((each) => each !== relocation);
  // Constants whose value comes late are written late, so they go where the module may write.
  if ((section.flags & SHF_EXECINSTR) === 0n) section.flags |= SHF_WRITE;
  return [{ ...lookup(symbol, sympos), ...shape, addend, place: { section, offset: relocation.offset } }];
}

/** One veneer for each function that is called late, and the word that it leads on by. */
class Veneers {
  private readonly model: ElfModel;
  private readonly arch: Architecture;
  private readonly known = new Map<TargetSymbol, ElfSymbol>();
  private readonly words: Section;
  private readonly wordSymbols: ElfSymbol[] = [];

  constructor(model: ElfModel, arch: Architecture) {
    this.model = model;
    this.arch = arch;
    this.words = dataSection('.data.suture_late', new Uint8Array(), arch.elf.class / 8, true);
  }

  /** The veneer's symbol, which gets its place by `finish`, and the recipe of its word when it is new. */
  of(target: TargetModule, symbol: TargetSymbol, sympos: number): { veneer: ElfSymbol; recipe?: LinkedRecipe } {
    const known = this.known.get(symbol);
    if (known) return { veneer: known };
    const size = (this.arch.elf.class / 8) as 4 | 8;
    const offset = size * this.known.size;
    const name = `suture_late_${target.name}_${symbol.name}`;
    const veneer = newSymbol(name, { binding: STB_LOCAL, type: STT_FUNC });
    this.known.set(symbol, veneer);
    this.wordSymbols.push(
      newSymbol(`${name}_address`, { binding: STB_LOCAL, value: BigInt(offset), place: this.words }),
    );
    const shape = this.arch.lateRelocation(this.arch.pointerRelocation)!;
    const recipe = { ...lookup(symbol, sympos), ...shape, addend: 0n, place: { section: this.words, offset } };
    return { veneer, recipe };
  }

  /** Adds the veneers and their words to the module. */
  finish(): void {
    if (this.known.size === 0) return;
    const { arch, model, words } = this;
    const { veneer } = arch;
    const symbols = [...this.known.values()];
    words.data = new Uint8Array((symbols.length * arch.elf.class) / 8);
    words.size = words.data.length;
    const { section, offsets, companions } = arch.layOutStubs(
      symbols.map(() => veneer),
      '.text.suture_late',
    );
    symbols.forEach((symbol, i) => {
      symbol.place = section;
      symbol.value = BigInt(offsets[i]!) | arch.codeBit;
      symbol.size = BigInt(4 * veneer.words.length);
      for (const { offset, type, addend } of veneer.relocations) {
        section.relocations.push({
          offset: offsets[i]! + offset,
          type,
          symbol: this.wordSymbols[i]!,
          addend: arch.elf.rela ? addend : undefined,
        });
      }
    });
    model.sections.push(section, ...companions, words);
    model.symbols.push(...symbols, ...this.wordSymbols);
  }
}
