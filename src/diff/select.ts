// What goes into a patch: functions that have changed, and whatever they need that the kernel does not have. What the kernel has
// is bound to it.
//
// - A call of a function that goes along leads to the new one. A pointer to it stays the old one's, which is redirected: so
//   comparisons of pointers hold, and none that has been stored leads into a patch that is gone.
// - Strings and the compiler's own constants are copied. Variables of the original are bound, and so are constants that the source
//   gave a name and that hold what they held; new ones go along.
// - Entries of the kernel's tables go along with the code that they are about.
// - A TOC slot goes along with who loads from it, and not the section with all that its other slots refer to.

import { isSection } from '../elf/elf.ts';
import type { ElfSymbol, Section } from '../elf/model.ts';
import type { Reason } from '../reason.ts';
import type { Comparison } from './compare.ts';
import { type Correlation, isByContent } from './correlate.ts';
import { branchAt, wordAt } from './instructions.ts';
import { isIgnored, isInit } from './kernel-sections.ts';
import { isExpendable, isOfCompiler, isTracepoint, stem, tracepointLost } from './names.ts';
import { called, type DiffedObject, isCode, isDescriptor, isWritable, type Piece, type Reference } from './object.ts';

/** Where a reference of a piece that goes along is to lead. */
export type Link =
  | { readonly kind: 'included'; readonly piece: Piece }
  /** To a piece of the original object, wherever the kernel has it. */
  | { readonly kind: 'original'; readonly piece: Piece }
  | { readonly kind: 'external'; readonly symbol: ElfSymbol | undefined };

export interface Selection {
  /** Pieces of the patched object, in its order. */
  readonly included: readonly Piece[];
  /** For every reference of those; the offset is the reference's own. */
  readonly links: ReadonlyMap<Reference, Link>;
}

export interface Selected {
  readonly selection: Selection;
  readonly reasons: readonly Reason[];
  readonly remarks: readonly string[];
}

/** What goes along with the functions that have changed, and with what else is asked for. */
export function select(
  original: DiffedObject,
  patched: DiffedObject,
  correlation: Correlation,
  comparison: Comparison,
  changed: readonly Piece[],
  options: { readonly asked: readonly Piece[]; readonly noSectionAnchors: boolean },
): Selected {
  return new Selector(original, patched, correlation, comparison, changed).run(options);
}

class Selector {
  readonly #patched: DiffedObject;
  readonly #correlation: Correlation;
  readonly #comparison: Comparison;
  readonly #changed: ReadonlySet<Piece>;
  readonly #included = new Set<Piece>();
  readonly #links = new Map<Reference, Link>();
  readonly #waiting: Piece[] = [];
  #functionCounts: Map<Section, number> | undefined;
  readonly #whole = new Set<Section>();
  readonly #reasons = new Map<string, Reason>();
  readonly #remarks = new Set<string>();
  readonly #exported: ReadonlySet<string>;
  readonly #variables: readonly [Map<string, Piece[]>, Map<string, Piece[]>];

  constructor(
    original: DiffedObject,
    patched: DiffedObject,
    correlation: Correlation,
    comparison: Comparison,
    changed: readonly Piece[],
  ) {
    this.#patched = patched;
    this.#correlation = correlation;
    this.#comparison = comparison;
    this.#changed = new Set(changed);
    const exports = original.model.symbols.filter(({ name }) => name.startsWith('__ksymtab_'));
    this.#exported = new Set(exports.map(({ name }) => name.slice('__ksymtab_'.length)));
    this.#variables = [variablesBySection(original), variablesBySection(patched)];
  }

  run({ asked, noSectionAnchors }: { readonly asked: readonly Piece[]; readonly noSectionAnchors: boolean }): Selected {
    for (const piece of [...this.#changed, ...asked]) this.#include(piece);
    for (let piece = this.#waiting.pop(); piece; piece = this.#waiting.pop()) this.#follow(piece);
    if (!noSectionAnchors) this.#checkLayouts();
    this.#checkSiblingCalls();
    this.#checkUnknownTables();
    const included = this.#patched.pieces.filter((piece) => this.#included.has(piece));
    return {
      selection: { included, links: this.#links },
      reasons: [...this.#reasons.values()],
      remarks: [...this.#remarks],
    };
  }

  #refuse(code: Reason['code'], place: string, message: string, remedy: string): void {
    const key = `${code} ${place} ${message}`;
    if (!this.#reasons.has(key)) this.#reasons.set(key, { code, place, message, remedy });
  }

  #include(piece: Piece): void {
    if (this.#included.has(piece)) return;
    this.#included.add(piece);
    this.#waiting.push(piece);
  }

  #follow(piece: Piece): void {
    // Where a slot leads has been said by who loads from it.
    if (piece.kind === 'slot' && piece.references.every((reference) => this.#links.has(reference))) return;
    for (const reference of piece.references) this.#link(piece, reference);
    if (isCode(piece)) for (const entry of this.#comparison.entriesOf(piece)) this.#addEntry(piece, entry);
    if (piece.kind === 'rest' && !isCode(piece)) this.#includeNameless(piece.section);
  }

  /** Data without names may be reached from an address before it, without a relocation. */
  #includeNameless(section: Section): void {
    if (!this.#patched.code.sectionAnchors || this.#whole.has(section)) return;
    this.#whole.add(section);
    for (const each of this.#variables[1].get(section.name) ?? [])
      if (each.kind === 'rest' && each.section === section) this.#include(each);
  }

  #link(from: Piece, reference: Reference): void {
    const { to } = reference;
    if (reference.slot) this.#include(reference.slot);
    const link: Link = to.piece ? this.#linkTo(from, reference, to.piece) : { kind: 'external', symbol: to.symbol };
    if (link.kind === 'external' && link.symbol?.name === '') this.#refuseNameless(from, link.symbol);
    this.#links.set(reference, link);
    // The slot's own reference leads where the reference through it does.
    if (reference.slot) this.#links.set(reference.slot.references[0]!, link);
    if (link.kind === 'included') this.#include(link.piece);
    this.#checkDistance(from, reference);
  }

  #linkTo(from: Piece, reference: Reference, piece: Piece): Link {
    const included: Link = { kind: 'included', piece };
    const original = this.#correlation.original.get(piece);
    this.#checkLasting(from, piece);
    const kept: Link = original ? { kind: 'original', piece: original } : included;
    if (piece === from && piece.kind !== 'function') return included;
    switch (piece.kind) {
      case 'function':
        if (!this.#changed.has(piece)) return kept;
        // A table's entry is about the code itself.
        if (from.kind === 'entry') return included;
        return reference.to.offset === 0 && !this.#isBranch(from, reference) ? kept : included;
      case 'variable':
        return this.#linkToVariable(from, piece, kept);
      case 'rest':
        if (isByContent(piece) || original) return kept;
        this.#refuseAmbiguous(from, piece);
        return included;
      default:
        return included;
    }
  }

  /** Start-up code and data are gone, whoever still refers to them. */
  #checkLasting(from: Piece, piece: Piece): void {
    if (!isInit(piece.section.name) || from.kind === 'entry') return;
    this.#refuse(
      'init-text',
      called(from),
      `it refers to ${called(piece)} in ${piece.section.name}, which is gone once the kernel or the module has started`,
      'take __init or __initdata off it',
    );
  }

  #linkToVariable(from: Piece, piece: Piece, kept: Link): Link {
    const included: Link = { kind: 'included', piece };
    if (isByContent(piece)) {
      // Its address may be stored where it outlives the patch, as inode->i_fop does (inode_init_always in fs/inode.c, Linux 6.1).
      const same = isOfCompiler(piece.name) ? undefined : this.#comparison.unchangedConstant(from, piece);
      return same ? { kind: 'original', piece: same } : included;
    }
    // The switch of a pr_debug() is found through the module that it is in.
    if (isDescriptor(piece)) return included;
    // A lock's key is nothing without lockdep: neither does it hold anything, nor is it somewhere in particular.
    if (piece.start === piece.end && isExpendable(piece.name)) return included;
    if (this.#correlation.ambiguous.has(piece) && !isExpendable(piece.name)) this.#refuseAmbiguous(from, piece);
    if (kept.kind === 'included' && isWritable(piece) && !isExpendable(piece.name))
      this.#remarks.add(`${stem(called(piece))} is new and starts from its initial value`);
    return kept;
  }

  #refuseAmbiguous(from: Piece, piece: Piece): void {
    this.#refuse(
      'variable-ambiguous',
      called(from),
      `it uses ${called(piece)}, of which it cannot be told which variable of the original it is, if any`,
      'give the static local a name that the file has only once, or leave the order of such variables as it was',
    );
  }

  /** As entries of __ftr_fixup do whose alternative is empty. */
  #refuseNameless(from: Piece, { place }: ElfSymbol): void {
    this.#refuse(
      'relocation-unsupported',
      called(from),
      `it refers to ${isSection(place) ? `the section ${place.name}, at a place where nothing is` : 'something without a name'}, so there is nothing to take along or to look for in the kernel`,
      from.kind === 'entry' ? 'patch the function in C that uses this code' : 'leave that reference out of the fix',
    );
  }

  /** Whether a reference is a branch: the word that it is in decides. */
  #isBranch(from: Piece, { offset }: Reference): boolean {
    return this.#branchWord(from, offset) !== undefined;
  }

  #branchWord({ section, origin, kind }: Piece, offset: number): number | undefined {
    const at = origin + offset;
    const { data } = section;
    if (kind !== 'function' && kind !== 'rest') return undefined;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    return branchAt(this.#patched.code, view, at) && wordAt(view, at);
  }

  #addEntry(owner: Piece, entry: Piece): void {
    const table = this.#patched.table(entry.section)!;
    if (table.use === 'followed')
      for (const { to } of entry.references) {
        if (!to.piece || isCode(to.piece) || isDescriptor(to.piece)) continue;
        const name = called(to.piece);
        if (!this.#correlation.original.has(to.piece) || this.#exported.has(name)) continue;
        if (isTracepoint(name)) {
          this.#remarks.add(tracepointLost(called(owner), name));
          continue;
        }
        this.#refuse(
          'jump-label',
          called(owner),
          `its jump label's key ${name} is not exported, and the kernel's loader would follow it before the patch could be checked`,
          'ask static_key_enabled() in the fix instead of static_branch_likely() and the like',
        );
        return;
      }
    this.#include(entry);
  }

  // What stands in the way.

  /** A jump table's distances count from its start, and each addend has the difference: it may seem to be another function's. */
  #checkDistance(from: Piece, { type, anchored, to }: Reference): void {
    if (!anchored || from.kind !== 'rest' || isCode(from) || to.piece?.kind !== 'function') return;
    if (!this.#patched.code.relocatedPlace(type)?.isDistance || this.#isAlone(to.piece.section)) return;
    this.#refuse(
      'layout-changed',
      `${called(from)} in ${from.section.name}`,
      `it has distances to places in ${to.piece.section.name}, and which function each is in cannot be told`,
      'compile both objects with -ffunction-sections',
    );
  }

  #isAlone(section: Section): boolean {
    this.#functionCounts ??= countFunctions(this.#patched);
    return (this.#functionCounts.get(section) ?? 0) <= 1;
  }

  /** Code that reaches variables from an anchor counts on how they lie, and which it reaches cannot be seen. */
  #checkLayouts(): void {
    if (!this.#patched.code.sectionAnchors || this.#changed.size === 0) return;
    const seen = new Set<string>();
    for (const { references } of this.#patched.pieces)
      for (const { anchored, to } of references) {
        if (!anchored || !to.piece || isCode(to.piece) || !isWritable(to.piece)) continue;
        if (to.piece.kind !== 'variable' && to.piece.kind !== 'rest') continue;
        const { name } = to.piece.section;
        if (seen.has(name)) continue;
        seen.add(name);
        if (this.#sameLayout(name)) continue;
        this.#refuse(
          'layout-changed',
          name,
          'code may reach any of its variables from the address of another one, and they do not lie as in the original',
          'compile both objects with -fdata-sections, or with -fno-section-anchors',
        );
      }
  }

  /** Sections of one variable each have no layout. */
  #sameLayout(name: string): boolean {
    const [before, after] = this.#variables.map((lists) => lists.get(name) ?? []) as [Piece[], Piece[]];
    const alone = (pieces: Piece[]) => new Set(pieces.map(({ section }) => section)).size === pieces.length;
    if (alone(before) && alone(after)) return true;
    return (
      before.length === after.length &&
      after.every((piece, i) => {
        const other = before[i]!;
        return (
          piece.origin === other.origin && piece.end === other.end && this.#correlation.original.get(piece) === other
        );
      })
    );
  }

  #checkSiblingCalls(): void {
    const why = this.#patched.code.noSiblingCalls;
    if (why === undefined) return;
    for (const piece of this.#included) {
      if (piece.kind !== 'function') continue;
      for (const reference of piece.references) {
        const word = this.#branchWord(piece, reference.offset);
        if (word === undefined || !this.#patched.code.isJump(word)) continue;
        const link = this.#links.get(reference);
        if (!link || link.kind === 'included') continue;
        const name = link.kind === 'original' ? called(link.piece) : (link.symbol?.name ?? '');
        this.#refuse(
          'sibling-call',
          called(piece),
          `it ends with a jump to ${name}: ${why}`,
          'compile both objects with -fno-optimize-sibling-calls',
        );
      }
    }
  }

  /** A table that nobody knows may be about code that goes along. */
  #checkUnknownTables(): void {
    for (const piece of this.#patched.pieces) {
      if (isCode(piece) || this.#included.has(piece) || isIgnored(piece.section.name)) continue;
      if (this.#patched.table(piece.section)) continue;
      for (const { to } of piece.references) {
        if (to.piece?.kind !== 'function' || to.offset === 0 || !this.#included.has(to.piece)) continue;
        this.#refuse(
          'table-unknown',
          called(to.piece),
          `${called(piece)} in ${piece.section.name} says something about a place inside it, and what is not known`,
          'leave the construct that makes this table out of the function',
        );
      }
    }
  }
}

/** Variables and nameless data by section, in order. */
function variablesBySection({ pieces }: DiffedObject): Map<string, Piece[]> {
  const found = new Map<string, Piece[]>();
  for (const piece of pieces) {
    if (isCode(piece) || (piece.kind !== 'variable' && piece.kind !== 'rest')) continue;
    const list = found.get(piece.section.name);
    if (list) list.push(piece);
    else found.set(piece.section.name, [piece]);
  }
  return found;
}

function countFunctions({ pieces }: DiffedObject): Map<Section, number> {
  const counts = new Map<Section, number>();
  for (const { kind, section } of pieces) if (kind === 'function') counts.set(section, (counts.get(section) ?? 0) + 1);
  return counts;
}
