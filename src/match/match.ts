// Fidelity: is an object that was compiled here what the kernel's image was linked from? Ksplice called it run-pre matching.
//
// Every function of the object, compiled as the kernel's build compiles it, is compared with the image word by word. Where
// a relocation has been resolved, the word shows an address instead, so the same comparison tells the addresses of
// everything that the functions refer to, data that no symbol table has included. All that is shown must agree: two places
// that give one symbol different addresses, or a name that kallsyms or the exports know at another address, are differences.
//
// How an object lies in an image: ld puts each section of it in one piece at one address, so one symbol gives all its
// section. Not so strings and constants that it merges (SHF_MERGE) and tables of addresses (.toc), which it takes apart:
// of these every piece has an address of its own.

import type { Architecture, ShownTarget } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { SHF_ALLOC, SHF_MERGE, SHF_STRINGS, SHF_WRITE, SHT_PROGBITS, STT_FUNC, STT_SECTION } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import { codeSections, type Region, regionsOf } from './regions.ts';
import {
  type Difference,
  type FoundAddress,
  nameOf,
  type Reference,
  readRegion,
  relocationsByWord,
} from './shown-targets.ts';

/** How a run of an object's code compares with the image. */
export interface MatchedRegion {
  /** A function's name; for what lies between functions the section's and the offset. */
  readonly name: string;
  readonly isFunction: boolean;
  /** The section of the object, the offset and the size in bytes. */
  readonly section: string;
  readonly offset: number;
  readonly size: number;
  /** Where the image has it; undefined if that cannot be told. */
  readonly address: LinkAddress | undefined;
  /**
   * `overridden`: a weak function in whose stead the image uses another. `not-compared`: the image does not have the section,
   * or something in the code cannot be followed.
   */
  readonly verdict: 'same' | 'different' | 'overridden' | 'not-compared';
  /** The first difference, its offset counted from the region's start; or why there was no comparison. */
  readonly difference: Difference | undefined;
}

/** A section of data that the image does not have as it was compiled. */
export interface DataDifference {
  readonly section: string;
  /** Byte offset in the section. */
  readonly offset: number;
  readonly message: string;
}

export interface ObjectMatch {
  readonly regions: readonly MatchedRegion[];
  readonly data: readonly DataDifference[];
  /** Where the image has sections of the object that lie in one piece. */
  readonly sections: ReadonlyMap<Section, LinkAddress>;
  /** The address of a symbol of the object, defined in it or not; undefined where nothing shows it. */
  addressOf(symbol: ElfSymbol): LinkAddress | undefined;
  /** The address of a byte of a section: also of a string that was merged, by the offset of its first byte. */
  addressIn(section: Section, offset: number): LinkAddress | undefined;
}

/** Compares an object with the image of the kernel that it is said to be part of. Never throws: what it finds is the result. */
export function matchObject(object: ElfModel, image: KernelImage, arch: Architecture): ObjectMatch {
  return new Matching(object, image, arch).run();
}

/** A region on its way to a verdict. */
interface Candidate {
  readonly region: Region;
  readonly address: LinkAddress | undefined;
  verdict: MatchedRegion['verdict'];
  difference: Difference | undefined;
  references: readonly Reference[];
  found: readonly FoundAddress[];
}

/** What one place says of where something is. */
interface Vote {
  readonly address: bigint;
  readonly by: Candidate;
  readonly offset: number;
}

class Matching {
  readonly #object: ElfModel;
  readonly #image: KernelImage;
  readonly #arch: Architecture;
  readonly #known: Names;
  /** What others than the file that defines it may refer to by name. */
  readonly #global: Names;
  readonly #sections = new Map<Section, LinkAddress>();
  readonly #pieces = new Map<Section, Map<number, LinkAddress>>();
  readonly #undefined = new Map<string, LinkAddress>();
  /** Weak functions of the object, and the function that the image has in the stead of each. */
  readonly #overridden = new Map<ElfSymbol, LinkAddress>();
  readonly #candidates: Candidate[] = [];

  constructor(object: ElfModel, image: KernelImage, arch: Architecture) {
    this.#object = object;
    this.#image = image;
    this.#arch = arch;
    ({ all: this.#known, global: this.#global } = namesOf(image));
  }

  run(): ObjectMatch {
    for (const section of codeSections(this.#object)) this.#readCode(section);
    this.#settleVotes();
    this.#checkReferences();
    const data = this.#readData();
    return {
      regions: this.#candidates.map(({ region, address, verdict, difference }) => ({
        name: region.name,
        isFunction: region.symbols.some(({ type }) => type === STT_FUNC),
        section: region.section.name,
        offset: region.offset,
        size: region.size,
        address,
        verdict,
        difference,
      })),
      data,
      sections: this.#sections,
      addressOf: (symbol) => this.#addressOf(symbol),
      addressIn: (section, offset) => this.#addressIn(section, offset),
    };
  }

  /** Finds a section of code in the image, and reads it. */
  #readCode(section: Section): void {
    const regions = regionsOf(section, this.#object.symbols, this.#arch);
    const relocations = relocationsByWord(section, this.#arch);
    const base = this.#baseOf(section, regions);
    if (typeof base === 'string') {
      for (const region of regions) {
        this.#candidates.push({
          region,
          address: undefined,
          verdict: 'not-compared',
          difference: { offset: 0, message: base },
          references: [],
          found: [],
        });
      }
      return;
    }
    this.#sections.set(section, base);
    for (const region of regions) {
      const read = readRegion(region, relocations, base, this.#image, this.#arch);
      const candidate: Candidate = {
        region,
        address: linkAddress(base + BigInt(region.offset)),
        verdict: read.difference === undefined ? 'same' : read.isUnknown ? 'not-compared' : 'different',
        difference: read.difference,
        references: read.references,
        found: read.found,
      };
      this.#checkName(candidate);
      this.#candidates.push(candidate);
    }
  }

  /** Where the image has a section of code: where most of its functions' names say; or why that cannot be told. */
  #baseOf(section: Section, regions: readonly Region[]): LinkAddress | string {
    const votes = new Map<LinkAddress, number>();
    for (const { symbols, offset, isWeak } of regions) {
      const bases = new Set(symbols.flatMap(({ name }) => this.#known.get(name) ?? []));
      // The body that the image has for a weak name is likely to be another.
      for (const address of bases) {
        const base = linkAddress(address - BigInt(offset));
        votes.set(base, (votes.get(base) ?? 0) + (isWeak ? 0.5 : 1));
      }
    }
    const most = Math.max(...votes.values());
    const best = [...votes].filter(([, count]) => count === most).map(([base]) => base);
    const [first] = best;
    if (first === undefined) return `the image has no function of ${section.name} by name`;
    if (best.length === 1) return first;
    // Names that several functions of the kernel have: the bytes tell.
    const likeness = best.map((base) => this.#likeness(section, base));
    const most2 = Math.max(...likeness);
    const likest = best.filter((_, i) => likeness[i] === most2);
    return likest.length === 1
      ? likest[0]!
      : `the image has ${likest.length} places that ${section.name} may be, all alike`;
  }

  /** How many words of a section that no relocation changes an image has at a base. */
  #likeness({ data, relocations }: Section, base: LinkAddress): number {
    const changed = new Set(
      relocations.flatMap(({ offset }) => [offset - (offset % 4), offset + 3 - ((offset + 3) % 4)]),
    );
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let alike = 0;
    for (let at = 0; at + 4 <= data.length; at += 4) {
      if (!changed.has(at) && view.getUint32(at, true) === this.#image.word(linkAddress(base + BigInt(at)))) alike++;
    }
    return alike;
  }

  /** The image must know a function under its name where its section says that it is. */
  #checkName(candidate: Candidate): void {
    const { region, address } = candidate;
    const functions = region.symbols.filter(({ type }) => type === STT_FUNC);
    if (functions.length === 0) return;
    const missing = functions.find(({ name }) => !this.#known.get(name)?.includes(address!));
    if (!missing) return;
    const elsewhere = this.#global.get(missing.name)?.[0];
    if (region.isWeak && elsewhere !== undefined) {
      candidate.verdict = 'overridden';
      for (const symbol of region.symbols) this.#overridden.set(symbol, elsewhere);
      candidate.difference = {
        offset: 0,
        message: `the image’s ${missing.name} is at 0x${elsewhere.toString(16)}; this weak one is not used`,
      };
    } else if (candidate.verdict === 'same') {
      candidate.verdict = 'different';
      candidate.difference = { offset: 0, message: `the image has no ${missing.name} at 0x${address!.toString(16)}` };
    }
  }

  /** Has all places of code that show an address agree on it. */
  #settleVotes(): void {
    const sections = new Map<Section, Vote[]>();
    const pieces = new Map<Section, Map<number, Vote[]>>();
    const names = new Map<string, Vote[]>();
    const add = <K>(votes: Map<K, Vote[]>, key: K, vote: Vote) => votes.set(key, [...(votes.get(key) ?? []), vote]);
    const take = (symbol: ElfSymbol, shown: bigint, addend: bigint, by: Candidate, offset: number): void => {
      const { place } = symbol;
      const address = this.#withoutCodeBit(symbol, shown);
      const instead = this.#overridden.get(symbol);
      if (instead !== undefined) {
        if (instead !== address) this.#differ(by, offset, this.#refersElsewhere(symbol.name, address));
      } else if (place === 'undefined') {
        if (symbol.name !== '') add(names, symbol.name, { address, by, offset });
      } else if (isSection(place)) {
        if (inPieces(place, this.#arch)) {
          const isWhole = symbol.type === STT_SECTION;
          const of = pieces.get(place) ?? new Map<number, Vote[]>();
          pieces.set(place, of);
          add(of, Number(symbol.value + (isWhole ? addend : 0n)), {
            address: address + (isWhole ? addend : 0n),
            by,
            offset,
          });
        } else add(sections, place, { address: address - codeOffset(symbol, this.#arch), by, offset });
      }
    };
    for (const candidate of this.#candidates) {
      if (candidate.verdict !== 'same' && candidate.verdict !== 'overridden') continue;
      for (const found of candidate.found) {
        const { symbol, addend, isContent, offset } = found;
        const address = this.#throughStub(found);
        if (!isTableEntry(symbol, this.#arch)) {
          if (isContent) this.#differ(candidate, offset, `the image takes what ${nameOf(symbol)} would hold`);
          else take(symbol, address, addend, candidate, offset);
          continue;
        }
        // An entry of a table of addresses, or what it holds.
        const table = symbol.place as Section;
        const at = Number(symbol.value + addend);
        const entry = table.relocations.find((each) => each.offset === at);
        const shown = linkAddress(address + addend);
        const held = isContent ? shown : this.#arch.linkedPointer(shown, this.#image);
        if (!entry?.symbol || entry.addend === undefined || held === undefined) continue;
        take(entry.symbol, held - entry.addend, entry.addend, candidate, offset);
      }
    }

    for (const [section, votes] of sections) {
      const fixed = this.#sections.get(section);
      const base = fixed ?? this.#decide(votes, section.name);
      if (base === undefined) continue;
      this.#reject(votes, base, `${section.name} of the object`);
      this.#sections.set(section, base);
    }
    for (const [name, votes] of names) {
      const known = this.#global.get(name);
      const address = known === undefined ? this.#decide(votes, name) : undefined;
      if (known) {
        for (const vote of votes) {
          if (!known.includes(linkAddress(vote.address)))
            this.#differ(vote.by, vote.offset, this.#refersElsewhere(name, vote.address));
        }
      }
      const at = known ? votes.find((vote) => known.includes(linkAddress(vote.address)))?.address : address;
      if (at === undefined) continue;
      this.#reject(votes, linkAddress(at), name);
      this.#undefined.set(name, linkAddress(at));
    }
    for (const [section, offsets] of pieces) {
      const found = new Map<number, LinkAddress>();
      this.#pieces.set(section, found);
      for (const [offset, votes] of offsets) {
        const address = this.#decide(votes, section.name);
        if (address === undefined) continue;
        this.#reject(votes, address, `${section.name}+0x${offset.toString(16)}`);
        const wrong = this.#wrongPiece(section, offset, address);
        if (wrong === undefined) found.set(offset, address);
        else for (const vote of votes) this.#differ(vote.by, vote.offset, wrong);
      }
    }
  }

  /** The address that a place shows; through a linker's stub where only that leads to what is meant. */
  #throughStub({ symbol, address, through }: FoundAddress): LinkAddress {
    if (through === undefined) return address;
    const { place, name, value } = symbol;
    const base = isSection(place) ? this.#sections.get(place) : undefined;
    const instead = this.#overridden.get(symbol);
    const meant = instead
      ? [instead]
      : base === undefined
        ? (this.#global.get(name) ?? [])
        : [linkAddress(base + value)];
    return !meant.includes(address) && meant.includes(through) ? through : address;
  }

  #refersElsewhere(name: string, address: bigint): string {
    const there = this.#image.enclosing(linkAddress(address));
    const at =
      there && address < there.end
        ? `${there.name}${address === there.start ? '' : `+0x${(address - there.start).toString(16)}`}`
        : 'something else';
    return `compiled to refer to ${name}, the image refers to ${at} (0x${address.toString(16)})`;
  }

  /** The address that most regions show; none if two have as many. */
  #decide(votes: readonly Vote[], what: string): LinkAddress | undefined {
    const regions = new Map<bigint, Set<Candidate>>();
    for (const { address, by } of votes) regions.set(address, (regions.get(address) ?? new Set()).add(by));
    const sorted = [...regions].sort((a, b) => b[1].size - a[1].size);
    const [first, second] = sorted;
    if (first && (!second || first[1].size > second[1].size)) return linkAddress(first[0]);
    for (const vote of votes) this.#differ(vote.by, vote.offset, `the image shows more than one address for ${what}`);
    return undefined;
  }

  #reject(votes: readonly Vote[], address: LinkAddress, what: string): void {
    for (const vote of votes) {
      if (vote.address === address) continue;
      this.#differ(
        vote.by,
        vote.offset,
        `the image has ${what} at 0x${vote.address.toString(16)} here and at 0x${address.toString(16)} elsewhere`,
      );
    }
  }

  #differ(candidate: Candidate, offset: number, message: string): void {
    if (candidate.verdict !== 'same') return;
    candidate.verdict = 'different';
    candidate.difference = { offset: offset - candidate.region.offset, message };
  }

  /** What is wrong with the image's bytes at the address of a string or constant of the object; undefined if nothing. */
  #wrongPiece(section: Section, offset: number, address: LinkAddress): string | undefined {
    if ((section.flags & SHF_MERGE) === 0n) return undefined;
    const isText = (section.flags & SHF_STRINGS) !== 0n;
    const end = isText ? section.data.indexOf(0, offset) + 1 : offset + section.entrySize;
    const own = section.data.subarray(offset, end);
    const there = this.#image.bytes(address, own.length);
    if (there && own.every((byte, i) => byte === there[i])) return undefined;
    const show = (bytes: Uint8Array | undefined) =>
      JSON.stringify(new TextDecoder('latin1').decode(bytes).replace(/\0.*$/s, ''));
    return isText
      ? `the text compiled is ${show(own)}, the image has ${show(there)}`
      : `a constant of ${section.name} is not the image’s`;
  }

  /** Every reference of a region, also those that show a part of an address only, must fit what is known by now. */
  #checkReferences(): void {
    for (const candidate of this.#candidates) {
      for (const { symbol, shown, offset, relocation } of candidate.references) {
        if (shown.isContent || isTableEntry(symbol, this.#arch)) continue;
        const address = this.#referred(symbol, relocation.addend ?? shown.addend);
        if (address !== undefined && !this.#fits(shown, symbol, address)) {
          this.#differ(
            candidate,
            offset,
            `${nameOf(symbol)} is at 0x${address.toString(16)}, which is not what the image refers to here`,
          );
        }
      }
    }
  }

  /**
   * Compares data whose place is known, and follows the pointers in it. Sections whose order the build changes afterwards
   * (exception tables) are never referred to, so their places are not known.
   */
  #readData(): DataDifference[] {
    const differences: DataDifference[] = [];
    const done = new Set<Section>();
    const bits = this.#arch.elf.class;
    for (let found = true; found; ) {
      found = false;
      for (const [section, base] of this.#sections) {
        const { data, flags, type, relocations, name } = section;
        if (done.has(section) || type !== SHT_PROGBITS || (flags & SHF_ALLOC) === 0n || inPieces(section, this.#arch))
          continue;
        done.add(section);
        if (codeSections(this.#object).includes(section)) continue;
        const there = this.#image.bytes(base, data.length);
        const sizeOf = (kind: number) => this.#arch.objectCode.relocatedPlace(kind)?.size ?? bits / 8;
        const changed = new Set(
          relocations.flatMap((each) => Array.from({ length: sizeOf(each.type) }, (_, i) => each.offset + i)),
        );
        const at = there === undefined ? 0 : data.findIndex((byte, i) => byte !== there[i] && !changed.has(i));
        if (at >= 0) {
          const message = there === undefined ? 'it is outside the image' : 'the image has other bytes here';
          differences.push({ section: name, offset: at, message });
          // What may be another datum gives no addresses.
          if ((flags & SHF_WRITE) === 0n) this.#sections.delete(section);
          continue;
        }
        for (const { offset, type: kind, symbol, addend } of relocations) {
          if (!symbol) continue;
          if (kind !== this.#arch.pointerRelocation) {
            const problem = this.#shownInData(section, offset, kind, symbol, addend, base);
            if (problem !== undefined) differences.push({ section: name, offset, message: problem });
            continue;
          }
          const pointer = this.#arch.linkedPointer(linkAddress(base + BigInt(offset)), this.#image);
          if (pointer === undefined) continue;
          const added = addend ?? BigInt(new DataView(data.buffer, data.byteOffset).getInt32(offset, true));
          const problem = this.#pointsTo(symbol, pointer, added);
          if (problem !== undefined) differences.push({ section: name, offset, message: problem });
          else found = true;
        }
      }
      if (done.size >= this.#object.sections.length) found = false;
      if (![...this.#sections.keys()].some((section) => !done.has(section))) found = false;
    }
    return differences;
  }

  /** What is wrong with a word of data that is not a plain pointer, an entry of a switch's table mostly; undefined if nothing. */
  #shownInData(
    { data }: Section,
    offset: number,
    type: number,
    symbol: ElfSymbol,
    addend: bigint | undefined,
    base: LinkAddress,
  ): string | undefined {
    const place = linkAddress(base + BigInt(offset));
    const linked = this.#image.word(place);
    const address = this.#referred(symbol, addend ?? 0n);
    if (linked === undefined || address === undefined || offset + 4 > data.length) return undefined;
    const compiled = new DataView(data.buffer, data.byteOffset).getUint32(offset, true);
    const shown = this.#arch.shownTarget({ type, addend, compiled, linked, address: place }, this.#image);
    if (shown === 'differs') return 'the image has other bytes here';
    if (typeof shown === 'string' || this.#fits(shown, symbol, address)) return undefined;
    return `it is to lead to ${nameOf(symbol)} at 0x${address.toString(16)}, and the image leads elsewhere`;
  }

  /** Takes in what a pointer in data shows; what is wrong with it, if something is. */
  #pointsTo(symbol: ElfSymbol, pointer: LinkAddress, addend: bigint): string | undefined {
    const own = this.#withoutCodeBit(symbol, linkAddress(BigInt.asUintN(this.#arch.elf.class, pointer - addend)));
    const { place } = symbol;
    const known = this.#addressOf(symbol);
    if (isSection(place) && inPieces(place, this.#arch)) {
      const isWhole = symbol.type === STT_SECTION;
      const at = Number(symbol.value + (isWhole ? addend : 0n));
      const address = isWhole ? pointer : own;
      const pieces = this.#pieces.get(place) ?? new Map<number, LinkAddress>();
      this.#pieces.set(place, pieces);
      const wrong = this.#wrongPiece(place, at, address);
      if (wrong === undefined && !pieces.has(at)) pieces.set(at, address);
      return wrong;
    }
    if (known !== undefined) {
      if (known === own) return undefined;
      if (place === 'undefined' && this.#global.get(symbol.name)?.includes(own)) return undefined;
      return `a pointer to ${nameOf(symbol)} leads to 0x${own.toString(16)}, and it is at 0x${known.toString(16)}`;
    }
    if (isSection(place)) this.#sections.set(place, linkAddress(own - codeOffset(symbol, this.#arch)));
    else if (place === 'undefined' && symbol.name !== '') this.#undefined.set(symbol.name, own);
    return undefined;
  }

  /** Whether a symbol is one that pointers to may have another bit than its address: a function, or of what is not known. */
  #mayBeFunction({ place, type }: ElfSymbol, address: bigint): boolean {
    if (place !== 'undefined') return type === STT_FUNC;
    return this.#image.textRanges.some(({ start, end }) => address >= start && address < end);
  }

  /** The address of code that a pointer to a function shows; of all else what is shown. */
  #withoutCodeBit<Address extends bigint>(symbol: ElfSymbol, shown: Address): Address {
    const { codeBit } = this.#arch;
    return codeBit !== 0n && this.#mayBeFunction(symbol, shown) ? ((shown & ~codeBit) as Address) : shown;
  }

  #fits(shown: ShownTarget, symbol: ElfSymbol, address: LinkAddress): boolean {
    const { codeBit } = this.#arch;
    if (codeBit === 0n || !this.#mayBeFunction(symbol, address)) return shown.fits(address);
    // A label of assembly may have none.
    return shown.fits(address | codeBit) || (symbol.place === 'undefined' && shown.fits(address));
  }

  /** The address of a symbol as a reference means it: a section's name stands for each piece of the section. */
  #referred(symbol: ElfSymbol, addend: bigint): LinkAddress | undefined {
    const { place, type, value } = symbol;
    if (type !== STT_SECTION || !isSection(place) || !inPieces(place, this.#arch)) return this.#addressOf(symbol);
    const piece = this.#pieces.get(place)?.get(Number(value + addend));
    return piece === undefined ? undefined : linkAddress(piece - addend);
  }

  #addressOf(symbol: ElfSymbol): LinkAddress | undefined {
    const { place, name } = symbol;
    const instead = this.#overridden.get(symbol);
    if (instead !== undefined) return instead;
    if (place === 'undefined') {
      const known = this.#global.get(name);
      return this.#undefined.get(name) ?? (known?.length === 1 ? known[0] : undefined);
    }
    return isSection(place) ? this.#addressIn(place, Number(codeOffset(symbol, this.#arch))) : undefined;
  }

  #addressIn(section: Section, offset: number): LinkAddress | undefined {
    if (inPieces(section, this.#arch)) return this.#pieces.get(section)?.get(offset);
    const base = this.#sections.get(section);
    return base === undefined ? undefined : linkAddress(base + BigInt(offset));
  }
}

/** Sections that a linker takes apart. */
const inPieces = ({ flags, name }: Section, { objectCode }: Architecture): boolean =>
  (flags & SHF_MERGE) !== 0n || name === objectCode.toc?.section;

/** Whether a symbol stands for an entry of the table of addresses that code loads. */
const isTableEntry = ({ place }: ElfSymbol, { objectCode }: Architecture): boolean =>
  isSection(place) && place.name === objectCode.toc?.section;

type Names = ReadonlyMap<string, readonly LinkAddress[]>;

interface ImageNames {
  readonly all: Names;
  /** Without those that one file has for itself, in kallsyms a type in lower case: data of another file may be called the same. */
  readonly global: Names;
}

const names = new WeakMap<KernelImage, ImageNames>();

/** What kallsyms and the exports of an image know by name. */
function namesOf(image: KernelImage): ImageNames {
  const known = names.get(image);
  if (known) return known;
  const found = { all: new Map<string, LinkAddress[]>(), global: new Map<string, LinkAddress[]>() };
  const add = (to: Map<string, LinkAddress[]>, name: string, address: LinkAddress) => {
    const list = to.get(name);
    if (list === undefined) to.set(name, [address]);
    else if (!list.includes(address)) list.push(address);
  };
  for (const { name, type, address } of image.kallsyms) {
    add(found.all, name, address);
    if (type !== type.toLowerCase()) add(found.global, name, address);
  }
  for (const { name, address } of image.exports.values())
    for (const map of [found.all, found.global]) add(map, name, address);
  names.set(image, found);
  return found;
}
