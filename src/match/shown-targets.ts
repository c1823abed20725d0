// What the code of one region shows of the addresses that its relocations resolved to.

import type { Architecture, KernelText, ShownTarget } from '../arch/arch.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { Region } from './regions.ts';

/** Bytes of what a relocation changes in code, and of what is shown of it. */
export const wordSize = 4;

/** A reference that a region makes: its relocation, where it stands, and what the image shows of it. */
export interface Reference {
  readonly relocation: Relocation;
  readonly symbol: ElfSymbol;
  /** Byte offset in the section. */
  readonly offset: number;
  readonly shown: ShownTarget;
}

/** An address that a region shows. */
export interface FoundAddress {
  readonly symbol: ElfSymbol;
  /** The symbol's own, without the addend; where `isContent`, what its entry holds, less the addend. */
  readonly address: LinkAddress;
  /** The symbol's own if the place leads through a stub of the linker's; undefined if it cannot. */
  readonly through: LinkAddress | undefined;
  /** What the relocation adds. */
  readonly addend: bigint;
  readonly isContent: boolean;
  /** The place that showed it, or the last of them: a byte offset in the section. */
  readonly offset: number;
}

export interface Difference {
  /** Byte offset in the region. */
  readonly offset: number;
  readonly message: string;
}

export interface RegionReferences {
  readonly difference: Difference | undefined;
  /** Whether the first difference is one of unknown ground: a relocation of a type that cannot be followed. */
  readonly isUnknown: boolean;
  readonly references: readonly Reference[];
  readonly found: readonly FoundAddress[];
}

/** Relocations of a section by the word that they change, in order. A word of code begins where an instruction may. */
export function relocationsByWord(
  section: Section,
  { objectCode: { step } }: Architecture,
): ReadonlyMap<number, readonly Relocation[]> {
  const words = new Map<number, Relocation[]>();
  for (const relocation of section.relocations) {
    const at = relocation.offset - (relocation.offset % step);
    words.set(at, [...(words.get(at) ?? []), relocation]);
  }
  return words;
}

/**
 * How many bytes are compared at once at an offset of a section: a word where relocations change it, else as much as the
 * shortest instruction has. Undefined where the word has the start of another relocation in it.
 */
export function comparedSize(
  relocations: ReadonlyMap<number, readonly Relocation[]>,
  at: number,
  { objectCode: { step } }: Architecture,
): number | undefined {
  if (!relocations.has(at)) return step;
  for (let next = at + step; next < at + wordSize; next += step) if (relocations.has(next)) return undefined;
  return wordSize;
}

/** A word, or the half of one that lies at the lower address. */
export const readUnit = (view: DataView, at: number, size: number): number =>
  size === wordSize ? view.getUint32(at, true) : view.getUint16(at, true);

const hex = (word: number, size: number): string => word.toString(16).padStart(2 * size, '0');

/**
 * Compares a region's words with those of an image that has the region's section at `base`, relocations left open, and
 * reads from the image what they resolved to. It stops at the first difference.
 */
export function readRegion(
  region: Region,
  relocations: ReadonlyMap<number, readonly Relocation[]>,
  base: LinkAddress,
  image: KernelText,
  arch: Architecture,
): RegionReferences {
  const { section } = region;
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  const references: Reference[] = [];
  const stop = (at: number, message: string, isUnknown = false): RegionReferences => ({
    difference: { offset: at - region.offset, message },
    isUnknown,
    references,
    found: [],
  });
  const text = (word: number, address: LinkAddress, size: number) => {
    const instruction = size === wordSize ? arch.disassemble(word, address) : undefined;
    return instruction === undefined ? hex(word, size) : `${hex(word, size)} (${instruction.replace(/\s+/g, ' ')})`;
  };

  for (let at = region.offset, size = 0; at < region.offset + region.size; at += size) {
    const address = linkAddress(base + BigInt(at));
    const compared = comparedSize(relocations, at, arch);
    if (compared === undefined) return stop(at, 'two relocations change the same bytes', true);
    size = compared;
    if (at + size > section.data.length) return stop(at, 'the section ends within a word', true);
    const compiled = readUnit(view, at, size);
    const word = image.word(address);
    if (word === undefined) return stop(at, `0x${address.toString(16)} is outside the image`);
    const linked = size === wordSize ? word : word & 0xffff;
    const here = relocations.get(at) ?? [];
    let changes = false;
    for (const { type, addend, symbol } of here) {
      const shown = arch.shownTarget({ type, addend, compiled, linked, address }, image);
      const name = arch.relocationKind(type)?.name ?? `relocation ${type}`;
      if (shown === 'unknown') return stop(at, `${name} cannot be followed`, true);
      if (shown === 'nothing') continue;
      changes = true;
      if (shown === 'differs') {
        return stop(
          at,
          `compiled ${text(compiled, address, size)} with ${name} against ${nameOf(symbol)}, the image has ${text(linked, address, size)}`,
        );
      }
      if (shown === 'left-out') {
        const isMissing = symbol?.place === 'undefined' && symbol.binding === 2;
        if (!isMissing) return stop(at, `compiled as a call of ${nameOf(symbol)}, which the image does not make`);
        continue;
      }
      if (symbol) references.push({ relocation: { offset: at, type, addend, symbol }, symbol, offset: at, shown });
    }
    if (!changes && compiled !== linked) {
      return stop(at, `compiled ${text(compiled, address, size)}, the image has ${text(linked, address, size)}`);
    }
  }
  return { isUnknown: false, references, ...sumUp(references, region, arch.elf.class) };
}

/** Puts the parts of addresses together. Two words that show one part must agree. */
function sumUp(
  references: readonly Reference[],
  region: Region,
  bits: 32 | 64,
): { difference: Difference | undefined; found: FoundAddress[] } {
  interface Sum {
    readonly parts: Map<number, bigint>;
    last: Reference;
    isContent: boolean;
    contentKnown: boolean;
  }
  const bySymbol = new Map<ElfSymbol, Map<string, Sum>>();
  for (const reference of references) {
    const { symbol, shown, offset } = reference;
    const sums = bySymbol.get(symbol) ?? new Map<string, Sum>();
    bySymbol.set(symbol, sums);
    const key = `${shown.of} ${shown.addend}`;
    const sum = sums.get(key) ?? { parts: new Map(), last: reference, isContent: shown.isContent, contentKnown: false };
    sums.set(key, sum);
    sum.last = reference;
    for (const [part, amount] of shown.parts) {
      const known = sum.parts.get(part);
      if (known !== undefined && known !== amount) {
        const difference = {
          offset: offset - region.offset,
          message: `the image refers to another place for ${nameOf(symbol)} here than further up`,
        };
        return { difference, found: [] };
      }
      sum.parts.set(part, amount);
      // The high part alone does not tell.
      if (part === 0) {
        if (sum.contentKnown && sum.isContent !== shown.isContent) {
          const message = `the image takes ${nameOf(symbol)} itself here and what it holds further up, or the other way round`;
          return { difference: { offset: offset - region.offset, message }, found: [] };
        }
        sum.isContent = shown.isContent;
        sum.contentKnown = true;
      }
    }
  }
  const found: FoundAddress[] = [];
  for (const [symbol, sums] of bySymbol) {
    for (const { parts, last, isContent } of sums.values()) {
      if (parts.size < last.shown.of) continue;
      const sum = [...parts.values()].reduce((a, b) => a + b, 0n);
      const { shown, relocation, offset } = last;
      // With REL the addend is what the word shows; only code refers to code by a branch, whose addend means nothing here.
      const addend = relocation.addend ?? shown.addend;
      const own = (target: bigint) => linkAddress(BigInt.asUintN(bits, target - shown.addend));
      const through = shown.through === undefined ? undefined : own(shown.through);
      found.push({ symbol, address: own(sum), through, addend, isContent, offset });
    }
  }
  return { difference: undefined, found };
}

export const nameOf = (symbol: ElfSymbol | undefined): string =>
  symbol === undefined
    ? 'nothing'
    : symbol.name || (typeof symbol.place === 'object' && 'name' in symbol.place ? symbol.place.name : 'a section');
