// What a module tells of its code beside the words: how control comes to some that no branch leads to (a jump label that is
// switched on, an access to user memory that faults, a fixup that branches back), and which the loader and the kernel make
// others. Its tables and relocations tell.

import type { Architecture } from '../arch/arch.ts';
import type { Alternative, WaysIn } from '../arch/machine.ts';
import { SHF_ALLOC } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../elf/model.ts';
import { type RelocationTable, relocationTables } from './loader-relocations.ts';
import { wordsOf } from './old-function.ts';
import { between, byOffset, firstFrom, listIn } from './places.ts';
import { type RewrittenRange, rewrittenCode } from './rewritten-code.ts';

/** From one section offset to another. */
interface Jump {
  readonly offset: number;
  /** Undefined where it is not in the same section. */
  readonly to: number | undefined;
}

/** Bytes that the kernel rewrites, from a section offset on. No two overlap. */
interface Rewritten extends Pick<RewrittenRange, 'bytes' | 'alternative'> {
  readonly offset: number;
}

const instructionSize = 4;

/** No relocation changes more bytes than this. */
const widestRelocation = 8;

/** The code of one module. Each section's tables are read once, when somebody first asks. */
export class ModuleCode {
  readonly #arch: Architecture;
  readonly #model: ElfModel;
  readonly #relocations = new Map<Section, Relocation[]>();
  /** Places that anything in memory refers to. */
  readonly #referred = new Map<Section, { readonly offset: number }[]>();
  #jumps: ReadonlyMap<Section, readonly Jump[]> | undefined;
  /** What the kernel rewrites, as the tables say it, and for the sections that somebody has asked for in order. */
  #rewritten: ReadonlyMap<Section, readonly RewrittenRange[]> | undefined;
  /** Which table does not say what the kernel rewrites. */
  #untold: string | undefined;
  readonly #inOrder = new Map<Section, readonly Rewritten[]>();

  constructor(arch: Architecture, model: ElfModel) {
    this.#arch = arch;
    this.#model = model;
    for (const table of relocationTables(model)) this.#note(table);
    for (const [section, all] of this.#relocations) this.#relocations.set(section, byOffset(all));
    for (const [section, all] of this.#referred) this.#referred.set(section, byOffset(all));
  }

  #note({ target, relocations }: RelocationTable): void {
    const all = listIn(this.#relocations, target);
    const isInMemory = (target.flags & SHF_ALLOC) !== 0n;
    for (const relocation of relocations) {
      all.push(relocation);
      if (isInMemory) this.#refer(relocation);
    }
  }

  #refer({ symbol, addend = 0n }: Relocation): void {
    if (symbol && isSection(symbol.place))
      listIn(this.#referred, symbol.place).push({ offset: Number(symbol.value + addend) });
  }

  /** The relocations that change a section, whichever table they stand in, by offset. */
  relocations(section: Section): readonly Relocation[] {
    return this.#relocations.get(section) ?? [];
  }

  /**
   * The ranges that the kernel rewrites and that have a part of [start, end). Throws what `refuse` makes of the
   * words that say which table does not tell.
   */
  rewritten(code: Section, start: number, end: number, refuse: (message: string) => Error): Rewritten[] {
    if (this.#untold !== undefined) throw refuse(this.#untold);
    this.#rewritten ??= rewrittenCode(this.#arch, this.#model, (message) => {
      this.#untold = message;
      return refuse(message);
    });
    const all = this.#inOrder.get(code) ?? withoutOverlap(this.#rewritten.get(code) ?? []);
    this.#inOrder.set(code, all);
    const first = firstFrom(all, start);
    const before = all[first - 1];
    const within = between(all, start, end);
    return before && before.offset + before.bytes > start ? [before, ...within] : within;
  }

  /**
   * What is told of the code from one section offset up to another; undefined where that is nothing, or nobody asks. Throws as
   * `rewritten` does.
   */
  waysIn(code: Section, start: number, end: number, refuse: (message: string) => Error): WaysIn | undefined {
    if (this.#arch.jumpTables.length === 0) return undefined;
    const indexOf = (place: number): number => (place - start) >> 2;
    const leading = between(this.#jumpsIn(code), start, end);
    const rewritten = this.rewritten(code, start, end, refuse);
    // Code without any relocation was linked before, as that of an image: its tables are elsewhere.
    const isLinked = this.relocations(code).length === 0;
    if (isLinked && leading.length === 0 && rewritten.length === 0) return undefined;
    const jumps = new Map<number, number[]>();
    for (const { offset, to } of leading) {
      const targets = jumps.get(indexOf(offset)) ?? [];
      targets.push(to !== undefined && to >= start && to < end ? indexOf(to) : -1);
      jumps.set(indexOf(offset), targets);
    }
    const alternatives = rewritten.map((range) => this.#alternative(range, start, end));
    const relocations = between(this.relocations(code), start, end);
    const { relocationKind, objectCode } = this.#arch;
    const isMcount = ({ type, symbol }: Relocation): boolean =>
      relocationKind(type)?.use === 'call' && symbol?.name === objectCode.mcount && symbol.place === 'undefined';
    const indexes = (places: readonly { readonly offset: number }[]): Set<number> =>
      new Set(places.map(({ offset }) => indexOf(offset)));
    return {
      jumps,
      referred: isLinked ? undefined : indexes(between(this.#referred.get(code) ?? [], start, end)),
      filled: indexes(relocations.filter(({ type }) => objectCode.relocatedPlace(type)?.mask !== 0)),
      alternatives,
      mcountCalls: indexes(relocations.filter(isMcount)),
    };
  }

  /** The jumps that start in a section. */
  #jumpsIn(code: Section): readonly Jump[] {
    this.#jumps ??= this.#readJumps();
    return this.#jumps.get(code) ?? [];
  }

  /** All jumps, by the section that they start in. */
  #readJumps(): Map<Section, Jump[]> {
    const jumps = new Map<Section, Jump[]>();
    const tables = new Map(this.#arch.jumpTables.map((table) => [table.section, table]));
    for (const section of this.#model.sections) {
      const table = tables.get(section.name);
      if (!table) continue;
      const { entrySize, from, to } = table;
      const places = new Map(this.relocations(section).map((each) => [each.offset, placeOf(each)]));
      for (const [offset, start] of places) {
        if (!start || offset % entrySize !== from) continue;
        const end = places.get(offset - from + to);
        listIn(jumps, start.section).push({
          offset: start.offset,
          to: end?.section === start.section ? end.offset : undefined,
        });
      }
    }
    for (const [section, all] of jumps) jumps.set(section, byOffset(all));
    return jumps;
  }

  #alternative({ offset, bytes, alternative }: Rewritten, start: number, end: number): Alternative {
    const isInside = offset >= start && offset + bytes <= end && (offset - start) % instructionSize === 0;
    return {
      from: Math.max(0, (offset - start) >> 2),
      to: Math.ceil((Math.min(offset + bytes, end) - start) / instructionSize),
      words: isInside ? this.#wordsOf(alternative, bytes) : undefined,
    };
  }

  /** Words for which there is room, and which nobody changes when they are loaded; undefined if they are others. */
  #wordsOf(alternative: RewrittenRange['alternative'], room: number): Uint32Array | undefined {
    if (alternative === 'none') return new Uint32Array();
    if (alternative === 'unknown') return undefined;
    const { section, from, bytes } = alternative;
    const isThere = from >= 0 && bytes <= room && from + bytes <= section.data.length && bytes % instructionSize === 0;
    const isChanged = between(this.relocations(section), from - widestRelocation, from + bytes).length > 0;
    return isThere && !isChanged ? wordsOf(section.data.subarray(from, from + bytes)) : undefined;
  }
}

/** Where a RELA relocation leads in the module; undefined if elsewhere. */
const placeOf = ({ symbol, addend = 0n }: Relocation): { section: Section; offset: number } | undefined =>
  symbol && isSection(symbol.place) ? { section: symbol.place, offset: Number(symbol.value + addend) } : undefined;

/** In which order two tables put something in one place, and what then stands there, is not followed. */
function withoutOverlap(ranges: readonly RewrittenRange[]): Rewritten[] {
  const found: Rewritten[] = [];
  for (const { from: offset, bytes, alternative } of [...ranges].sort((a, b) => a.from - b.from)) {
    if (bytes === 0) continue;
    const before = found.at(-1);
    const end = before ? before.offset + before.bytes : offset;
    if (!before || offset >= end) found.push({ offset, bytes, alternative });
    else
      found.splice(-1, 1, {
        offset: before.offset,
        bytes: Math.max(end, offset + bytes) - before.offset,
        alternative: 'unknown',
      });
  }
  return found;
}
