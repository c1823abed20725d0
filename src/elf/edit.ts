// Making and finding the parts of a model.

import { SHT_NOBITS } from './constants.ts';
import type { ElfHeader, ElfModel, ElfSymbol, Section, SymbolPlace } from './model.ts';

/** An empty relocatable file. */
export function newModel(header: ElfHeader): ElfModel {
  return { header, sections: [], symbols: [], segments: [] };
}

/**
 * A section of the given bytes, not yet in any model. For SHT_NOBITS say how much memory it takes by `rest.size`;
 * otherwise the size is that of `data`.
 */
export function newSection(
  name: string,
  type: number,
  flags: bigint,
  data: Uint8Array = new Uint8Array(0),
  rest: Partial<Omit<Section, 'name' | 'type' | 'flags' | 'data'>> = {},
): Section {
  const section: Section = {
    name,
    type,
    flags,
    address: 0n,
    align: 1,
    entrySize: 0,
    data,
    size: data.length,
    link: undefined,
    info: 0,
    relocations: [],
    ...rest,
  };
  if (type !== SHT_NOBITS) section.size = data.length;
  return section;
}

/** A symbol, not yet in any model; undefined, global and without a type unless `rest` says otherwise. */
export function newSymbol(name: string, rest: Partial<Omit<ElfSymbol, 'name'>> = {}): ElfSymbol {
  return { name, value: 0n, size: 0n, binding: 1, type: 0, other: 0, place: 'undefined', ...rest };
}

/** Replaces a section's bytes. */
export function setData(section: Section, data: Uint8Array): void {
  section.data = data;
  section.size = data.length;
}

/** The first section of that name; ELF allows several. */
export function findSection(model: ElfModel, name: string): Section | undefined {
  return model.sections.find((section) => section.name === name);
}

/** The first symbol of that name; local symbols can share one. */
export function findSymbol(model: ElfModel, name: string): ElfSymbol | undefined {
  return model.symbols.find((symbol) => symbol.name === name);
}

/** Whether a symbol is defined in a section. */
export const isSection = (place: SymbolPlace | undefined): place is Section =>
  typeof place === 'object' && 'data' in place;

/** Takes sections out of a model. What says that it belongs to one of them (sh_link) belongs to none from then on. */
export function removeSections(model: ElfModel, isGone: (section: Section) => boolean): void {
  const gone = new Set(model.sections.filter(isGone));
  model.sections = model.sections.filter((section) => !gone.has(section));
  for (const section of model.sections) if (section.link && gone.has(section.link)) section.link = undefined;
}
