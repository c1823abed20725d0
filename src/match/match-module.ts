// Fidelity for a module: is an object that was compiled here what a module as shipped was linked from?
//
// A module is relocatable still (`ld -r`): its sections are those of its objects one behind the other, and its relocations
// are the objects', against the same symbols or against what they were found to be. So code is the same if its words are,
// relocated fields left out, and each relocation is of the same type and leads to the same place. What the comparison tells
// of a symbol is its section and offset in the module; the address follows when the module is loaded.

import type { Architecture } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { SHF_MERGE, SHF_STRINGS, STB_WEAK, STT_FUNC } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import type { DataDifference, MatchedRegion } from './match.ts';
import { codeSections, type Region, regionsOf } from './regions.ts';
import { comparedSize, type Difference, nameOf, readUnit, relocationsByWord, wordSize } from './shown-targets.ts';

/** Where a module has something: a byte of one of its sections, or a name that it takes from elsewhere. */
export type ModulePlace = { readonly section: Section; readonly offset: number } | { readonly name: string };

export interface ModuleMatch {
  /** As for an image; `address` is undefined throughout, since a module has none before it is loaded. */
  readonly regions: readonly MatchedRegion[];
  readonly data: readonly DataDifference[];
  /** Where the module has a symbol of the object; undefined where nothing shows it. */
  placeOf(symbol: ElfSymbol): ModulePlace | undefined;
}

/** Compares an object with a module that it is said to be part of, both read. Never throws. */
export function matchModule(object: ElfModel, module: ElfModel, arch: Architecture): ModuleMatch {
  return new ModuleMatching(object, module, arch).run();
}

/** Where a section of the object begins in the module. */
interface Base {
  readonly section: Section;
  readonly offset: number;
}

class ModuleMatching {
  readonly #object: ElfModel;
  readonly #module: ElfModel;
  readonly #arch: Architecture;
  readonly #bases = new Map<Section, Base>();
  /** What undefined symbols of the object were found to be. */
  readonly #found = new Map<string, ModulePlace>();
  readonly #functions = new Map<string, ElfSymbol[]>();
  readonly #words = new Map<Section, ReadonlyMap<number, readonly Relocation[]>>();

  constructor(object: ElfModel, module: ElfModel, arch: Architecture) {
    this.#object = object;
    this.#module = module;
    this.#arch = arch;
    for (const symbol of module.symbols) {
      if (!isSection(symbol.place) || symbol.name === '') continue;
      this.#functions.set(symbol.name, [...(this.#functions.get(symbol.name) ?? []), symbol]);
    }
  }

  run(): ModuleMatch {
    const parts = codeSections(this.#object).map((section) => {
      const its = regionsOf(section, this.#object.symbols, this.#arch);
      return { section, its, candidates: this.#basesOf(section, its), regions: [] as MatchedRegion[] };
    });
    // What lies in one place only shows where the rest must be.
    const settled = parts.filter(({ candidates }) => candidates.length <= 1);
    for (const { section, candidates } of settled) if (candidates[0]) this.#bases.set(section, candidates[0]);
    for (const part of settled) part.regions = this.#compareAll(part.section, part.its);
    for (const part of parts) {
      if (part.candidates.length > 1) part.regions = this.#tryAll(part.section, part.its, part.candidates);
    }
    const regions = parts.flatMap((part) => part.regions);
    return { regions, data: this.#compareData(), placeOf: (symbol) => this.#placeOf(symbol) };
  }

  /** Of several places that look alike, the one whose relocations lead where those of the section do; else the first. */
  #tryAll(section: Section, regions: readonly Region[], candidates: readonly Base[]): MatchedRegion[] {
    const [bases, found] = [new Map(this.#bases), new Map(this.#found)];
    const at = (base: Base) => {
      restore(this.#bases, bases);
      restore(this.#found, found);
      this.#bases.set(section, base);
      return this.#compareAll(section, regions);
    };
    for (const base of candidates) {
      const compared = at(base);
      if (compared.every(({ verdict }) => verdict === 'same')) return compared;
    }
    return at(candidates[0]!);
  }

  #compareAll(section: Section, regions: readonly Region[]): MatchedRegion[] {
    const base = this.#bases.get(section);
    const relocations = relocationsByWord(section, this.#arch);
    return regions.map((region) => {
      const difference = base
        ? this.#compare(region, relocations, base)
        : { offset: 0, message: `the module has no function of ${section.name} by name` };
      return {
        name: region.name,
        isFunction: region.symbols.some(({ type }) => type === STT_FUNC),
        section: section.name,
        offset: region.offset,
        size: region.size,
        address: undefined,
        verdict: !base ? 'not-compared' : difference ? 'different' : 'same',
        difference,
      };
    });
  }

  /** The places in the module's section of the same name that most functions' names show, those whose words are the likest. */
  #basesOf(section: Section, regions: readonly Region[]): Base[] {
    const votes = new Map<string, { base: Base; count: number }>();
    for (const { symbols, offset } of regions) {
      for (const { name } of symbols) {
        for (const symbol of this.#functions.get(name) ?? []) {
          const { place } = symbol;
          const value = this.#offsetOf(symbol);
          if (!isSection(place) || place.name !== section.name || value < offset) continue;
          const base = { section: place, offset: value - offset };
          const key = `${this.#module.sections.indexOf(place)} ${base.offset}`;
          votes.set(key, { base, count: (votes.get(key)?.count ?? 0) + 1 });
        }
      }
    }
    const most = Math.max(...[...votes.values()].map(({ count }) => count));
    const best = [...votes.values()].filter(({ count }) => count === most).map(({ base }) => base);
    const alike = best.map((base) => this.#likeness(section, base));
    const likest = Math.max(...alike);
    return best.filter((_, i) => alike[i] === likest);
  }

  #likeness({ data, relocations }: Section, { section, offset }: Base): number {
    const changed = new Set(
      relocations.flatMap(({ offset: at }) => [at - (at % wordSize), at + 3 - ((at + 3) % wordSize)]),
    );
    let alike = 0;
    for (let at = 0; at < data.length; at++) {
      if (!changed.has(at - (at % wordSize)) && data[at] === section.data[offset + at]) alike++;
    }
    return alike;
  }

  #compare(
    region: Region,
    relocations: ReadonlyMap<number, readonly Relocation[]>,
    base: Base,
  ): Difference | undefined {
    const { section } = region;
    const there = this.#words.get(base.section) ?? relocationsByWord(base.section, this.#arch);
    this.#words.set(base.section, there);
    const [own, other] = [section, base.section].map(
      ({ data }) => new DataView(data.buffer, data.byteOffset, data.length),
    );
    for (let at = region.offset, size = 0; at < region.offset + region.size; at += size) {
      const say = (message: string): Difference => ({ offset: at - region.offset, message });
      const moved = at + base.offset;
      const compared = [comparedSize(relocations, at, this.#arch), comparedSize(there, moved, this.#arch)];
      if (compared.includes(undefined)) return say('two relocations change the same bytes');
      size = Math.max(compared[0]!, compared[1]!);
      if (at + size > section.data.length || moved + size > base.section.data.length) {
        return say('the module’s section ends here');
      }
      const [compiled, shipped] = [readUnit(own!, at, size), readUnit(other!, moved, size)];
      const [before, after] = [relocations.get(at) ?? [], there.get(moved) ?? []];
      let mask = 0;
      if (before.length !== after.length) return say('the module has other relocations here');
      for (const [i, relocation] of before.entries()) {
        const problem = this.#lead(relocation, compiled, after[i]!, shipped, at);
        if (problem !== undefined) return say(problem);
        const place = this.#arch.objectCode.relocatedPlace(relocation.type);
        if (!place) return say(`relocation ${relocation.type} cannot be followed`);
        // A field of two bytes begins where the relocation does.
        mask |= (place.size === 0 ? 0 : place.mask) << (8 * (relocation.offset - at));
      }
      if (((compiled ^ shipped) & ~mask) !== 0) {
        const text = (word: number) =>
          this.#arch.disassemble(word, 0n as never)?.replace(/\s+/g, ' ') ?? 'no instruction known';
        const hex = (word: number) => word.toString(16).padStart(2 * size, '0');
        return say(`compiled ${hex(compiled)} (${text(compiled)}), the module has ${hex(shipped)} (${text(shipped)})`);
      }
    }
    return undefined;
  }

  /** Compares data that code refers to, and what that refers to in turn: tables of pointers, entries of a TOC. */
  #compareData(): DataDifference[] {
    const differences: DataDifference[] = [];
    const code = new Set(codeSections(this.#object));
    // What a table leads to is added while this runs.
    for (const [section, base] of this.#bases) {
      if (code.has(section)) continue;
      const there = new Map(base.section.relocations.map((each) => [each.offset, each]));
      const changed = new Set<number>();
      const differ = (offset: number, message: string) => differences.push({ section: section.name, offset, message });
      const [own, other] = [section, base.section].map(
        ({ data }) => new DataView(data.buffer, data.byteOffset, data.length),
      );
      for (const relocation of section.relocations) {
        const { offset, type } = relocation;
        const counterpart = there.get(offset + base.offset);
        const size = this.#arch.objectCode.relocatedPlace(type)?.size ?? 0;
        for (let i = 0; i < size; i++) changed.add(offset + i);
        if (!counterpart) differ(offset, 'the module has no relocation here');
        else if (size >= wordSize) {
          const [compiled, shipped] = [own!.getUint32(offset, true), other!.getUint32(offset + base.offset, true)];
          const problem = this.#lead(relocation, compiled, counterpart, shipped, offset);
          if (problem !== undefined) differ(offset, problem);
        }
      }
      const at = section.data.findIndex((byte, i) => byte !== base.section.data[base.offset + i] && !changed.has(i));
      if (at >= 0) differ(at, 'the module has other bytes here');
    }
    return differences;
  }

  /** Whether two relocations lead to the same place, as far as is known; takes in what is new. A sentence if they do not. */
  #lead(own: Relocation, compiled: number, other: Relocation, shipped: number, at: number): string | undefined {
    const kind = (type: number) => this.#arch.relocationKind(type)?.name ?? `relocation ${type}`;
    if (own.type !== other.type) return `compiled with ${kind(own.type)}, the module has ${kind(other.type)}`;
    const [symbol, target] = [own.symbol, other.symbol];
    if (!symbol || !target) return symbol === target ? undefined : 'one of the relocations has no symbol';
    const difference = this.#addend(other, shipped, at) - this.#addend(own, compiled, at);
    if (symbol.place === 'undefined') {
      if (target.place === 'undefined') {
        if (symbol.name !== target.name || difference !== 0) return this.#elsewhere(symbol, target);
        this.#found.set(symbol.name, { name: target.name });
        return undefined;
      }
      // Another object of the module has it.
      if (!isSection(target.place)) return this.#elsewhere(symbol, target);
      const offset = this.#offsetOf(target) + difference;
      const isNamed = this.#functions
        .get(symbol.name)
        ?.some((each) => each.place === target.place && this.#offsetOf(each) === offset);
      const known = this.#found.get(symbol.name);
      const isOther =
        known !== undefined && (!('section' in known) || known.section !== target.place || known.offset !== offset);
      if (!isNamed || isOther) return this.#elsewhere(symbol, target);
      this.#found.set(symbol.name, { section: target.place, offset });
      return undefined;
    }
    if (!isSection(symbol.place) || !isSection(target.place)) return this.#elsewhere(symbol, target);
    const offset = this.#offsetOf(target) + difference - this.#offsetOf(symbol);
    const known = this.#bases.get(symbol.place);
    if (known && (known.section !== target.place || known.offset !== offset)) {
      // A weak function of the object that another object of the module overrides.
      if (symbol.binding === STB_WEAK && symbol.name === target.name) return undefined;
      return this.#elsewhere(symbol, target);
    }
    if (!known) {
      const wrong = this.#wrongData(symbol.place, { section: target.place, offset });
      if (wrong !== undefined) return wrong;
      this.#bases.set(symbol.place, { section: target.place, offset });
    }
    return undefined;
  }

  #elsewhere(symbol: ElfSymbol, target: ElfSymbol): string {
    return `compiled to refer to ${nameOf(symbol)}, the module refers to ${nameOf(target)} or another place in it`;
  }

  /** What the module has in the place of an object's data: texts and constants must be the same. */
  #wrongData(own: Section, base: Base): string | undefined {
    if (own.name !== base.section.name)
      return `compiled to refer to ${own.name}, the module refers to ${base.section.name}`;
    if (base.offset < 0 || base.offset + own.size > base.section.size) return `the module’s ${own.name} is too short`;
    if (own.data.length === 0 || own.relocations.length > 0) return undefined;
    const there = base.section.data.subarray(base.offset, base.offset + own.data.length);
    const at = own.data.findIndex((byte, i) => byte !== there[i]);
    if (at < 0) return undefined;
    const isText = (own.flags & SHF_MERGE) !== 0n && (own.flags & SHF_STRINGS) !== 0n;
    return `${isText ? 'a text' : 'a datum'} is not the module’s: ${own.name}+0x${at.toString(16)}`;
  }

  /** In bytes; with REL it stands in the word. */
  #addend({ addend, type, offset }: Relocation, word: number, at: number): number {
    if (addend !== undefined) return Number(addend);
    return (
      this.#arch.objectCode.relocatedPlace(type)?.addend(word >>> (8 * (offset % wordSize === 0 ? 0 : offset - at))) ??
      0
    );
  }

  #placeOf(symbol: ElfSymbol): ModulePlace | undefined {
    const { place, name } = symbol;
    if (place === 'undefined') return this.#found.get(name);
    const base = isSection(place) ? this.#bases.get(place) : undefined;
    return base && { section: base.section, offset: base.offset + this.#offsetOf(symbol) };
  }

  /** Of its code or data in its section. */
  #offsetOf(symbol: ElfSymbol): number {
    return Number(codeOffset(symbol, this.#arch));
  }
}

function restore<K, V>(map: Map<K, V>, to: ReadonlyMap<K, V>): void {
  map.clear();
  for (const [key, value] of to) map.set(key, value);
}
