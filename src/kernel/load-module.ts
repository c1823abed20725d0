// What the kernel's module loader makes of a stub.
//
// The words of a stub in a file are not those that run: the loader gives every section its address and then changes
// the places that relocations name (apply_relocate and apply_relocate_add, arch/…/kernel/module*.c, Linux 6.1). Here is
// said which relocations change a stub and what they refer to; nothing is changed, because a proof is about every
// address at once. What a relocation does to its word stands beside the architecture's tables.
//
// Between a branch and a target that it does not reach the loader puts an entry of its own (`.plt`, `ldr pc, [pc, #…]` with the
// target as its literal): it changes nothing but pc, so with or without it control arrives in the same state.
//
// A loader also changes code by tables (jump labels, feature fixups, call sites). They name their places by relocations
// too, so no reference into a stub may come from anywhere but the patch table, which tells the core where the stub is, and
// no table may enclose one. Nor may a relocation reach behind its section's end: the loader looks at no bounds.
// What a module's own code does, its init function for one, is no matter of a proof.

import type { StubRelocation } from '../arch/arch.ts';
import type { WaysIn } from '../arch/machine.ts';
import { SHF_ALLOC, SHF_EXECINSTR, STT_FUNC } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { ReasonError, reasonError } from '../reason.ts';
import { type RelocationTable, relocationTables } from './loader-relocations.ts';
import { ModuleCode } from './module-code.ts';
import { neverReturns } from './never-return.ts';
import { wordsOf } from './old-function.ts';
import { patchSection } from './patch-module.ts';
import { between, byOffset, firstFrom, listIn } from './places.ts';
import type { ModulePlace, PatchModule, ReadRedirect } from './read-patch-module.ts';

/** A new function's words as the file has them, and the ways into them. */
interface LoadedFunction {
  readonly newFunction: Uint32Array;
  readonly waysIn: WaysIn | undefined;
}

/** A stub as the file has it, with the relocations that the loader applies to it. */
export interface LoadedStub extends LoadedFunction {
  readonly words: Uint32Array;
  /** In the order of their places, each against the new function, at most one a word. */
  readonly relocations: readonly StubRelocation[];
}

/** No relocation changes more bytes than this, and no recipe. */
const widestRelocation = 8;
const widestRecipe = 8;

const instructionSize = 4;

/** How far behind the code a distance in a table may seem to lead that counts from the start of its entry. */
const mostLead = 64;

/** With REL the addend stands in the word, and whoever reads the word reads it. */
const addendInPlace = 0n;

/** Says of each stub of one module how the loader will treat it, wherever it puts the module. */
export class StubLoader {
  readonly #patch: PatchModule;
  readonly #code: ModuleCode;
  /** Places that something else than the patch table refers to, by section, with the name of where the reference is. */
  readonly #referred = new Map<Section, { readonly offset: number; readonly from: string }[]>();
  /** Where functions begin and how many bytes they have, by section; undefined where two symbols say two sizes. */
  readonly #functions = new Map<Section, Map<number, number | undefined>>();
  /** Where they begin, in the order of places. */
  readonly #starts = new Map<Section, readonly { readonly offset: number }[]>();
  /** What the symbols of functions have in st_other, by section and where they begin. */
  readonly #others = new Map<Section, Map<number, number[]>>();
  /** What the core writes for other modules, in the order of places. */
  readonly #recipes = new Map<Section, readonly { readonly offset: number; readonly size: number }[]>();
  /** The new functions that have been read, or why they are refused; of one, always the same object. */
  readonly #read = new Map<Section, Map<number, LoadedFunction | ReasonError>>();
  /** How many words may still be read: each may belong to one function, and stand behind another. */
  #wordsLeft: number;
  /** Data that refers to code outside of the section whose code it names, and so maybe to a stub. */
  #astray: { readonly from: Section; readonly of: Section } | undefined;
  /** A section of memory behind whose end the loader would write. */
  readonly #overrun: Section | undefined;

  constructor(patch: PatchModule) {
    this.#patch = patch;
    const { model, arch } = patch;
    this.#code = new ModuleCode(arch, model);
    const code = model.sections.filter(({ flags }) => (flags & SHF_EXECINSTR) !== 0n);
    this.#wordsLeft = code.reduce((sum, { data }) => sum + 2 * Math.ceil(data.length / instructionSize), 0);
    const inMemory = [...relocationTables(model)].filter(({ target }) => (target.flags & SHF_ALLOC) !== 0n);
    this.#noteReferences(inMemory.filter(({ target }) => target.name !== patchSection));
    this.#overrun = inMemory.findLast((table) => this.#overruns(table))?.target;
    this.#noteRecipes();
    this.#noteFunctions();
  }

  #noteReferences(tables: readonly RelocationTable[]): void {
    const { arch } = this.#patch;
    for (const { target, relocations } of tables)
      for (const relocation of relocations) this.#refer(target, relocation, arch.elf.class);
    for (const places of this.#referred.values()) places.sort((a, b) => a.offset - b.offset);
  }

  #overruns({ target, relocations }: RelocationTable): boolean {
    return relocations.some((each) => this.#reachesBehind(target, each));
  }

  #noteRecipes(): void {
    const recipes = new Map<Section, { readonly offset: number; readonly size: number }[]>();
    for (const { place, size } of this.#patch.recipes)
      listIn(recipes, place.section).push({ offset: place.offset, size });
    for (const [section, all] of recipes) this.#recipes.set(section, byOffset(all));
  }

  #noteFunctions(): void {
    for (const symbol of this.#patch.model.symbols) if (symbol.type === STT_FUNC) this.#noteFunction(symbol);
    for (const [section, sizes] of this.#functions)
      this.#starts.set(section, byOffset([...sizes.keys()].map((offset) => ({ offset }))));
  }

  #noteFunction({ place, value, size, other }: ElfSymbol): void {
    if (!isSection(place)) return;
    const offset = Number(value & ~this.#patch.arch.codeBit);
    const bytes = Number(size);
    const others = inMap(this.#others, place, () => new Map<number, number[]>());
    const before = others.get(offset);
    if (before) before.push(other);
    else others.set(offset, [other]);
    const sizes = inMap(this.#functions, place, () => new Map<number, number | undefined>());
    const isAsBefore = !sizes.has(offset) || sizes.get(offset) === bytes;
    sizes.set(offset, isAsBefore ? bytes : undefined);
  }

  #refer(from: Section, relocation: Relocation, bits: 32 | 64): void {
    const { symbol, type } = relocation;
    if (!symbol || !isSection(symbol.place)) return;
    const { place } = symbol;
    const offset = Number(symbol.value + (relocation.addend ?? addendOf(from, relocation, bits)));
    listIn(this.#referred, place).push({ offset, from: from.name });
    const use = this.#patch.arch.relocationKind(type)?.use ?? '';
    const isOfData = (from.flags & SHF_EXECINSTR) === 0n && ['data', 'pc-relative-data'].includes(use);
    const isOutside = offset < 0 || offset > place.data.length + mostLead;
    if (isOfData && isOutside && (place.flags & SHF_EXECINSTR) !== 0n) this.#astray ??= { from, of: place };
  }

  #reachesBehind(target: Section, { type, offset, symbol }: Relocation): boolean {
    const { arch } = this.#patch;
    const kind = arch.relocationKind(type);
    const end = Math.max(target.data.length, Number(target.size));
    // What the loader puts behind a call, in the place of a nop, belongs to calls out of the module.
    const isCallOut = kind?.use === 'call' && !isSection(symbol?.place ?? 'undefined');
    const next = isCallOut && offset + 2 * instructionSize > end ? arch.proofFacts?.hook.idleSiteWord : undefined;
    const size = kind ? Math.max(kind.size, arch.relocationReach(type, next)) : widestRelocation;
    return offset + size > end;
  }

  /** The stub of one redirect. Throws `proof-unknown` where it cannot be told what the loader makes of it. */
  load(redirect: ReadRedirect): LoadedStub {
    const { stub, newFunction, stubSize } = redirect;
    if (this.#overrun)
      throw unknown(redirect, 0, `the loader would write behind the end of ${this.#overrun.name}, and maybe over it`);
    if (this.#astray) {
      const { from, of } = this.#astray;
      throw unknown(redirect, 0, `${from.name} refers to a place outside of ${of.name}, which may be any`);
    }
    checkCode(redirect, stub, 'stub');
    checkCode(redirect, newFunction, 'new function');
    const functions = this.#functions.get(newFunction.section);
    if (!functions?.has(newFunction.offset))
      throw unknown(redirect, 0, 'no function begins where the table says that the new one is');
    const size = functions.get(newFunction.offset);
    if (size === undefined) throw unknown(redirect, 0, 'the symbols of its new function say two sizes');
    if (size < instructionSize || newFunction.offset + size > newFunction.section.data.length)
      throw unknown(redirect, 0, `its new function has ${size} bytes, as its symbol says, which are not there`);
    const end = stub.offset + stubSize;
    const [reference] = between(this.#referred.get(stub.section) ?? [], stub.offset, end);
    if (reference)
      throw unknown(
        redirect,
        reference.offset - stub.offset,
        `${reference.from} refers to it: the loader may change it`,
      );
    const refuse = (message: string): ReasonError => unknown(redirect, 0, message);
    const [rewritten] = this.#code.rewritten(stub.section, stub.offset, end, refuse);
    if (rewritten)
      throw unknown(redirect, rewritten.offset - stub.offset, 'a table has the loader rewrite what is here');
    const [written] = this.#writtenLate(stub, end);
    if (written) throw unknown(redirect, written.offset - stub.offset, 'the core writes here for another module');
    const relocations = this.#relocations(redirect);
    const { newFunction: words, waysIn } = this.#newFunction(redirect, size, refuse);
    return { words: stub.words, relocations, newFunction: words, waysIn };
  }

  /** Where the core writes between a place and the end of something there. */
  #writtenLate({ section, offset }: ModulePlace, end: number): { readonly offset: number; readonly size: number }[] {
    const all = between(this.#recipes.get(section) ?? [], offset - widestRecipe, end);
    return all.filter((each) => each.offset + each.size > offset);
  }

  /** The new function's words and the ways into them. Many redirects may lead to one, which is read once. */
  #newFunction(redirect: ReadRedirect, size: number, refuse: (message: string) => ReasonError): LoadedFunction {
    const { section, offset } = redirect.newFunction;
    const read = this.#read.get(section) ?? new Map<number, LoadedFunction | ReasonError>();
    this.#read.set(section, read);
    const found = read.get(offset) ?? this.#readNewFunction(redirect, size, refuse);
    read.set(offset, found);
    if (found instanceof ReasonError) throw found;
    return found;
  }

  /** A new function, or why it is refused. */
  #readNewFunction(
    redirect: ReadRedirect,
    size: number,
    refuse: (message: string) => ReasonError,
  ): LoadedFunction | ReasonError {
    const { section, offset } = redirect.newFunction;
    const words = this.#words(redirect.newFunction, size);
    this.#wordsLeft -= words.length;
    if (this.#wordsLeft < 0) return unknown(redirect, 0, 'the new functions of its module lie over each other');
    try {
      this.#checkPlaces(redirect, words);
      this.#checkEntry(redirect, words, size);
      this.#checkEnd(redirect, words);
      const waysIn = this.#code.waysIn(section, offset, offset + instructionSize * words.length, refuse);
      return { newFunction: words, waysIn };
    } catch (error) {
      if (error instanceof ReasonError) return error;
      throw error;
    }
  }

  /**
   * The words of a function, and those behind its end that belong to none: control may get there, behind a call for one.
   * What fills the space between functions is left out.
   */
  #words({ section, offset }: ModulePlace, size: number): Uint32Array {
    const starts = this.#starts.get(section) ?? [];
    const next = starts[firstFrom(starts, offset + instructionSize)]?.offset ?? section.data.length;
    const words = wordsOf(section.data.subarray(offset, offset + (Math.max(next - offset, size) & -instructionSize)));
    const own = Math.floor(size / instructionSize);
    const filling = new Set([0, this.#patch.arch.proofFacts?.hook.idleSiteWord]);
    let length = words.length;
    while (length > own && filling.has(words[length - 1])) length--;
    return words.subarray(0, length);
  }

  /**
   * What is told of the new function by its words in the file must hold for those that run: what the loader fills is empty,
   * as assemblers leave it, and no branch, for one, seems to lead where it does not. With REL these bits are the addend.
   */
  #checkPlaces(redirect: ReadRedirect, words: Uint32Array): void {
    const { arch } = this.#patch;
    if (!arch.elf.rela) return;
    const { section, offset: start } = redirect.newFunction;
    const end = start + instructionSize * words.length;
    if (this.#writtenLate(redirect.newFunction, end).length > 0)
      throw unknown(redirect, 0, 'the core would write into its new function for another module');
    for (const { type, offset } of between(this.#code.relocations(section), start - widestRelocation, end)) {
      const filled = arch.objectCode.relocatedPlace(type)?.mask ?? ~0;
      // A mark fills nothing, and what it has the loader do is to set up the TOC pointer.
      const size = filled === 0 ? 0 : (arch.relocationKind(type)?.size ?? widestRelocation);
      if (offset + size <= start && offset < start) continue;
      // What begins before a word, or goes on in the next one, fills more than this word's own field.
      if (offset < start || offset % instructionSize !== 0 || size > instructionSize)
        throw unknown(
          redirect,
          0,
          `the loader would change more than one field of its new function at ${hex(Math.max(offset - start, 0))}`,
        );
      const word = words[Math.floor((offset - start) / instructionSize)]!;
      if (arch.objectCode.fillsField?.(type, word) === false)
        throw unknown(redirect, 0, `a relocation fills no field of its new function’s word at ${hex(offset - start)}`);
      if ((word & filled) !== 0)
        throw unknown(redirect, 0, `its new function has a number at ${hex(offset - start)} that the loader replaces`);
    }
  }

  /**
   * That a call behind which there is nothing does not return, as who reads the function believes: it would go on in the next
   * one. Of a callee of the kernel that is known by its name; one in the module itself the compiler has seen.
   */
  #checkEnd(redirect: ReadRedirect, words: Uint32Array): void {
    const { arch } = this.#patch;
    // Where nobody asks what a new function does, it may end as it likes.
    if (arch.jumpTables.length === 0) return;
    const { section, offset } = redirect.newFunction;
    const last = words.findLastIndex((word) => !arch.objectCode.padding.includes(word));
    const at = offset + instructionSize * last;
    const call = between(this.#code.relocations(section), at, at + 1).find(
      ({ type }) => arch.relocationKind(type)?.use === 'call',
    );
    if (!call?.symbol || isSection(call.symbol.place) || arch.objectCode.isJump(words[last]!)) return;
    const { name } = call.symbol;
    if (!neverReturns(name))
      throw unknown(
        redirect,
        0,
        `its new function ends in a call of ${name}, behind which it would run into the next one`,
      );
  }

  /** That the new function begins where whoever comes from elsewhere enters it: there its TOC pointer is set up. */
  #checkEntry(redirect: ReadRedirect, words: Uint32Array, size: number): void {
    const { arch } = this.#patch;
    const toc = arch.proofFacts?.convention.toc;
    if (!toc) return;
    const { section, offset } = redirect.newFunction;
    const setUp = toc.setUpWords(words);
    const said = this.#others.get(section)?.get(offset) ?? [];
    if (said.some((other) => ![0, setUp * instructionSize].includes(arch.localEntryOffset(other))))
      throw unknown(redirect, 0, 'its new function’s words do not set up its TOC pointer where its symbol says so');
    if (setUp > 0) return;
    // Behind a function may lie another one, nameless, that sets up its own.
    const isSetUp = (index: number): boolean => toc.setUpWords(words, index) > 0;
    // What is no instruction there may be data, and in the function itself is anything.
    const own = Math.floor(size / instructionSize);
    const isUser = (word: number, index: number): boolean => toc.isUsedBy(word) ?? index < own;
    const user = words.findIndex((word, index) => isUser(word, index) || isSetUp(index));
    if (user >= 0 && !isSetUp(user))
      throw unknown(
        redirect,
        0,
        `its new function uses its TOC pointer at ${hex(user * instructionSize)}, set by nobody`,
      );
  }

  #relocations(redirect: ReadRedirect): StubRelocation[] {
    const { stub, newFunction, stubSize } = redirect;
    const { arch } = this.#patch;
    const found: StubRelocation[] = [];
    for (const relocation of between(
      this.#code.relocations(stub.section),
      stub.offset - widestRelocation,
      stub.offset + stubSize,
    )) {
      const kind = arch.relocationKind(relocation.type);
      const offset = relocation.offset - stub.offset;
      const next = stub.words[offset / instructionSize + 1];
      // A mark without a size is taken for one that changes its word: some are acted on.
      const size = kind
        ? Math.max(kind.size || instructionSize, arch.relocationReach(relocation.type, next))
        : widestRelocation;
      if (offset + size <= 0) continue;
      const name = kind?.name ?? `relocation ${relocation.type}`;
      if (offset < 0 || offset % instructionSize !== 0 || size > instructionSize || !kind?.loadable)
        throw unknown(redirect, offset, `the loader would apply ${name} here, which no stub has`);
      if (found.at(-1)?.offset === offset)
        throw unknown(redirect, offset, 'the loader would apply two relocations to this word');
      if (!refersTo(relocation, newFunction)) {
        const to = relocation.symbol?.name || 'something else';
        throw unknown(redirect, offset, `${name} is against ${to}, not against the new function ${newFunction.name}`);
      }
      const { type, addend = addendInPlace } = relocation;
      found.push({ offset, type, symbol: 'new-function', addend });
    }
    return found;
  }
}

/** Code that stays: in a section that is executable and that the loader keeps when the module's start is over. */
function checkCode(redirect: ReadRedirect, { section, offset }: ModulePlace, what: string): void {
  const { flags, name, align } = section;
  if ((flags & SHF_ALLOC) === 0n || (flags & SHF_EXECINSTR) === 0n)
    throw unknown(redirect, 0, `its ${what} is in ${name}, which the loader does not make executable`);
  if (name.startsWith('.init') || name.startsWith('.exit'))
    throw unknown(redirect, 0, `its ${what} is in ${name}, which the loader does not keep`);
  // Some sections are tables or templates to the loader, or init memory, and it knows them by how their names begin. The
  // kernel's own names of code are `.text` and one word before it, `.sched.text`.
  if (!/^(\.[a-z]+)?\.text(\.|$)/.test(name))
    throw unknown(redirect, 0, `its ${what} is in ${name}, which may be more than code to the loader`);
  // Without an alignment the next byte that is free is taken.
  if (offset % instructionSize !== 0 || align === 0 || align % instructionSize !== 0)
    throw unknown(redirect, 0, `its ${what} does not begin at a multiple of ${instructionSize} bytes`);
}

/** The symbol that a relocation names is the new function itself: nothing is added to it but what the word adds. */
const refersTo = ({ symbol }: Relocation, { section, offset }: ModulePlace): boolean =>
  symbol !== undefined && symbol.place === section && Number(symbol.value) === offset;

/** The addend of a REL relocation of data; code does not refer to stubs. */
function addendOf({ data }: Section, { offset }: Relocation, bits: 32 | 64): bigint {
  if (bits !== 32 || offset + 4 > data.length) return 0n;
  return BigInt(new DataView(data.buffer, data.byteOffset, data.byteLength).getInt32(offset, true));
}

/** What a map has for a section; made, if there is nothing yet. */
function inMap<T>(map: Map<Section, T>, section: Section, make: () => T): T {
  const found = map.get(section) ?? make();
  map.set(section, found);
  return found;
}

const hex = (offset: number): string => `+0x${offset.toString(16)}`;

const unknown = ({ oldName }: ReadRedirect, offset: number, message: string): ReasonError =>
  reasonError(
    'proof-unknown',
    `the stub of ${oldName}+0x${Math.max(offset, 0).toString(16)}`,
    message,
    '`suture build` makes stubs that can be proven',
  );
