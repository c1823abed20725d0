// What a model refers to and does not hold: a section that was taken out, a symbol that nobody lists. `writeElf` has no index for it. In a
// model that a program makes this is an error of the program; a file that came from elsewhere may have been made so that
// it appears once something is taken out.

import { isSection } from './edit.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from './model.ts';

/** A reference that leads out of the model. */
export interface Dangling {
  /** What has it: a section or a symbol, by its name. */
  readonly from: string;
  /** What it leads to. */
  readonly to: string;
}

/** The first of them; undefined where there is none. */
export function findDangling(model: ElfModel): Dangling | undefined {
  const sections = new Set(model.sections);
  const symbols = new Set(model.symbols);
  const toSection = (from: string, section: Section | undefined): Dangling | undefined =>
    section && !sections.has(section) ? { from, to: `the section ${section.name}` } : undefined;
  const toSymbol = (from: string, symbol: ElfSymbol | undefined): Dangling | undefined =>
    symbol && !symbols.has(symbol) ? { from, to: `the symbol ${symbol.name}` } : undefined;
  const ofRelocations = (from: string, relocations: readonly Relocation[]): Dangling | undefined => {
    for (const { symbol } of relocations) {
      const found = toSymbol(from, symbol);
      if (found) return found;
    }
    return undefined;
  };
  const ofSection = ({ name, link, info, group, relocations, relocationTable }: Section): Dangling | undefined =>
    toSection(name, link) ??
    (typeof info === 'number' ? undefined : toSection(name, info)) ??
    toSymbol(name, group?.signature) ??
    toSection(
      name,
      group?.members.find((member) => !sections.has(member)),
    ) ??
    toSection(name, relocationTable?.target) ??
    ofRelocations(name, relocations) ??
    ofRelocations(name, relocationTable?.relocations ?? []);
  for (const section of model.sections) {
    const found = ofSection(section);
    if (found) return found;
  }
  for (const { name, place } of model.symbols) {
    const found = isSection(place) ? toSection(name, place) : undefined;
    if (found) return found;
  }
  return undefined;
}
