// The door of the room: from two objects of one source, before and after a fix, to what the fix has changed and what of it
// goes into a patch.

import { architectureOfObject } from '../arch/architectures.ts';
import { foreignCode } from '../arch/foreign.ts';
import { ET_REL, SHF_ALLOC, SHF_EXECINSTR, STB_LOCAL } from '../elf/constants.ts';
import type { ElfModel } from '../elf/model.ts';
import { type Reason, reasonError } from '../reason.ts';
import { Comparison } from './compare.ts';
import { type Correlation, correlate, isByContent } from './correlate.ts';
import { branchAt, wordAt } from './instructions.ts';
import { isIgnored, isInit, isRegistered, refusalOf } from './kernel-sections.ts';
import { isExpendable, source, stem } from './names.ts';
import { called, type DiffedObject, grouped, isDescriptor, isNamelessCode, isWritable, type Piece } from './object.ts';
import { type Selection, select } from './select.ts';
import { takeApart } from './take-apart.ts';

export type { Piece, Reference, Target } from './object.ts';
export type { Link, Selection } from './select.ts';

/** A function that is in both objects and not the same. */
export interface ChangedFunction {
  readonly name: string;
  readonly original: Piece;
  readonly patched: Piece;
  /**
   * Whether the kernel's is to be redirected to the new one. One without a call site is not: all that call it are in
   * `changed` too, and call the new one.
   */
  readonly redirected: boolean;
}

export interface ObjectDiff {
  readonly changed: readonly ChangedFunction[];
  /** Functions of the patched object that the original has not, whether or not a changed one needs them. */
  readonly new: readonly Piece[];
  readonly removed: readonly Piece[];
  /** Names of functions that differ in nothing but line numbers of the source: they count as the same. */
  readonly onlyLines: readonly string[];
  readonly selection: Selection;
  /** What cannot be patched. While there are any, the selection must not be used. */
  readonly reasons: readonly Reason[];
  /** What a person should know. */
  readonly remarks: readonly string[];
}

/** An object with the name that errors call it by. */
export interface NamedObject {
  readonly name: string;
  readonly model: ElfModel;
}

/** What is known of two objects beside their bytes. */
export interface DiffOptions {
  /** Names by which other files of the fix refer to what is new in this one, so that it goes along. */
  readonly wanted?: ReadonlySet<string>;
  /** Functions, by their names in the source, that are replaced whether or not they have changed: the kernel has others inlined in them. */
  readonly replacedToo?: ReadonlySet<string>;
  /** Whether both were compiled with -fno-section-anchors: then code reaches each variable by its own address. */
  readonly noSectionAnchors?: boolean;
}

/**
 * Compares two relocatable objects. Throws `elf-malformed`, and `objects-unrelated` for two that cannot be of one source: of
 * different machines, or not relocatable; `elf-unsupported` for instructions of a set that is not known.
 */
export function diffObjects(original: NamedObject, patched: NamedObject, options: DiffOptions = {}): ObjectDiff {
  checkRelated(original, patched);
  const [before, after] = [original, patched].map(({ model, name }) => takeApart(model, codeOf(model), name)) as [
    DiffedObject,
    DiffedObject,
  ];
  return new Differ(before, after, isKnown(patched.model)).run(options);
}

const isKnown = (model: ElfModel) => architectureOfObject(model) !== undefined;

const codeOf = (model: ElfModel) =>
  architectureOfObject(model)?.objectCode ??
  foreignCode(
    model.header.machine,
    model.sections.some(({ relocations }) => relocations.some(({ addend }) => addend !== undefined)),
  );

function checkRelated(original: NamedObject, patched: NamedObject): void {
  const remedy = 'give two objects of one source, before and after the fix, compiled for the same machine';
  for (const { model, name } of [original, patched])
    if (model.header.type !== ET_REL)
      throw reasonError('objects-unrelated', name, 'it is not a relocatable object (.o)', remedy);
  for (const { model, name } of [original, patched]) {
    const code = architectureOfObject(model)?.objectCode;
    const [toDo] = model.symbols.flatMap((symbol) => code?.otherSet?.(symbol.name) ?? []);
    // Read as those of one set, the others might seem to differ in nothing.
    if (toDo) throw reasonError('elf-unsupported', name, 'it has instructions of two sets', toDo);
  }
  const [a, b] = [original.model.header, patched.model.header];
  if (a.machine !== b.machine || a.class !== b.class)
    throw reasonError(
      'objects-unrelated',
      patched.name,
      `it is for machine ${b.machine} with ${b.class} bits, ${original.name} for machine ${a.machine} with ${a.class}`,
      remedy,
    );
  const [before, after] = [original, patched].map(({ model }) => architectureOfObject(model)?.codeName);
  if (before !== after)
    throw reasonError(
      'objects-unrelated',
      patched.name,
      `it has ${after} code, ${original.name} ${before} code`,
      remedy,
    );
}

/** Whether a piece is one that other files may refer to, and the original object has not got it. */
const isNew = (piece: Piece, { original }: Correlation): boolean =>
  !original.has(piece) && piece.symbols.some(({ binding }) => binding !== STB_LOCAL);

/** Who is named, and how many more. */
const few = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');

/** Words of code that are in no piece, without what only fills space, by section. */
function betweenPieces({ model, pieces, code }: DiffedObject): Map<string, string> {
  const bySection = grouped(pieces, ({ section }) => section);
  const found = new Map<string, string>();
  for (const section of model.sections) {
    if ((section.flags & codeFlags) !== codeFlags) continue;
    const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
    const words: number[] = [];
    const add = (from: number, to: number) => {
      const { step } = code;
      for (let at = Math.ceil(from / step) * step; at + step <= Math.min(to, view.byteLength); at += step) {
        const word = step === 4 ? view.getUint32(at, true) : view.getUint16(at, true);
        if (word === 0 || code.padding.includes(word)) continue;
        // A nop of four bytes, where two are a step.
        if (step < 4 && at + 4 <= to && code.padding.includes(wordAt(view, at))) at += 4 - step;
        else words.push(word);
      }
    };
    let end = 0;
    for (const piece of bySection.get(section) ?? []) {
      add(end, piece.start);
      end = Math.max(end, piece.end);
    }
    add(end, section.size);
    if (words.length > 0) found.set(section.name, `${found.get(section.name) ?? ''} ${words.join(' ')}`);
  }
  return found;
}

const codeFlags = SHF_ALLOC | SHF_EXECINSTR;

class Differ {
  readonly #original: DiffedObject;
  readonly #patched: DiffedObject;
  readonly #isKnown: boolean;
  readonly #correlation: Correlation;
  readonly #comparison: Comparison;
  readonly #reasons: Reason[] = [];
  readonly #remarks: string[] = [];

  constructor(original: DiffedObject, patched: DiffedObject, known: boolean) {
    this.#original = original;
    this.#patched = patched;
    this.#isKnown = known;
    this.#correlation = correlate(original, patched);
    this.#comparison = new Comparison(original, patched, this.#correlation);
  }

  run({ wanted = new Set(), replacedToo = new Set(), noSectionAnchors = false }: DiffOptions): ObjectDiff {
    const functions = this.#patched.pieces.filter(({ kind }) => kind === 'function');
    const onlyLines: string[] = [];
    const changed = new Set<Piece>();
    for (const piece of functions) {
      const original = this.#correlation.original.get(piece);
      const verdict = original && this.#comparison.compare(original, piece);
      // Start-up code has run, whatever is inlined in it.
      const isAsked = original !== undefined && replacedToo.has(source(piece.name)) && !isInit(piece.section.name);
      if (verdict === 'changed' || isAsked) changed.add(piece);
      else if (verdict === 'lines') onlyLines.push(piece.name);
    }
    const redirected = this.#isKnown ? this.#placeRedirects(changed) : changed;
    this.#compareData();
    const list = functions.filter((piece) => changed.has(piece));
    const live = list.filter((piece) => !isInit(piece.section.name));
    const asked = this.#patched.pieces.filter((piece) => isNew(piece, this.#correlation) && wanted.has(piece.name));
    const selected = select(this.#original, this.#patched, this.#correlation, this.#comparison, live, {
      asked,
      noSectionAnchors,
    });
    if (this.#isKnown) {
      this.#reasons.push(...selected.reasons);
      this.#compareNamelessCode(selected.selection);
    }
    if (onlyLines.length > 0)
      this.#remarks.push(`only line numbers differ in ${few(onlyLines)}, so nothing is done about it`);
    if (this.#isKnown) this.#remarks.push(...selected.remarks, ...this.#unused(functions, selected.selection));
    else
      this.#remarks.push(
        `machine ${this.#patched.model.header.machine} is not one that Suture can patch: the names are all that is said of it`,
      );
    return {
      changed: list.map((piece) => ({
        name: piece.name,
        original: this.#correlation.original.get(piece)!,
        patched: piece,
        redirected: redirected.has(piece),
      })),
      new: functions.filter((piece) => !this.#correlation.original.has(piece)),
      removed: this.#original.pieces.filter(
        (piece) => piece.kind === 'function' && !this.#correlation.patched.has(piece),
      ),
      onlyLines,
      selection: selected.selection,
      reasons: this.#reasons,
      remarks: this.#remarks,
    };
  }

  /** New functions that other files may call, and that are left out. */
  #unused(functions: readonly Piece[], { included }: Selection): string[] {
    const alongside = new Set(included);
    return functions
      .filter((piece) => isNew(piece, this.#correlation) && !alongside.has(piece) && !isInit(piece.section.name))
      .map(({ name }) => `${name} is new, and nothing that has changed uses it: the patch does not bring it`);
  }

  #refuse(code: Reason['code'], place: string, message: string, remedy: string): void {
    this.#reasons.push({ code, place, message, remedy });
  }

  /**
   * Which of the changed functions are redirected. What has no call site cannot be; where it is nobody's but this file's and is
   * only called, whoever calls it is replaced in its stead, and is added to `changed`.
   */
  #placeRedirects(changed: Set<Piece>): Set<Piece> {
    const { mcount } = this.#patched.code;
    const isTraced = (piece: Piece) => piece.references.some(({ to }) => !to.piece && to.symbol?.name === mcount);
    // Where none is, without ftrace or without -pg as lib/ is built, whoever links asks the kernel for its call sites.
    const anyTraced = this.#patched.pieces.some(isTraced);
    const callers = this.#callers();
    const redirected = new Set<Piece>();
    for (const piece of changed) {
      if (isInit(piece.section.name)) {
        const { code, why, remedy } = refusalOf(piece.section.name);
        this.#refuse(code, piece.name, `it has changed, and ${why}`, remedy);
        continue;
      }
      if (!anyTraced || isTraced(piece)) {
        redirected.add(piece);
        continue;
      }
      const found = callers.get(piece);
      if (found === undefined) {
        this.#refuse(
          'no-call-site',
          piece.name,
          'it has changed, and it has no ftrace call site (it is notrace, or in assembly); not all that call it can be found here',
          'make the change in the functions that call it',
        );
        continue;
      }
      this.#remarks.push(
        `${piece.name} has no call site; what calls it is replaced instead: ${few([...found].map(called))}`,
      );
      // A set may grow while it is walked through.
      for (const caller of found) if (this.#correlation.original.has(caller)) changed.add(caller);
    }
    return redirected;
  }

  /** For each function that is local and only called, never pointed to: those that call it. */
  #callers(): Map<Piece, Set<Piece>> {
    const callers = new Map<Piece, Set<Piece>>();
    const pointedTo = new Set<Piece>();
    for (const from of this.#patched.pieces) {
      if (this.#patched.table(from.section) || isIgnored(from.section.name)) continue;
      const view = new DataView(from.section.data.buffer, from.section.data.byteOffset, from.section.data.byteLength);
      for (const { to, offset } of from.references) {
        if (to.piece?.kind !== 'function' || to.piece === from) continue;
        const at = from.origin + offset;
        const isCall = from.kind === 'function' && branchAt(this.#patched.code, view, at) !== undefined;
        if (!isCall) pointedTo.add(to.piece);
        else callers.set(to.piece, (callers.get(to.piece) ?? new Set()).add(from));
      }
    }
    for (const piece of callers.keys())
      if (pointedTo.has(piece) || piece.symbols.some(({ binding }) => binding !== 0)) callers.delete(piece);
    return callers;
  }

  /** Code between functions, as assembly has it: no part of any of them, so none that is redirected would bring it. */
  #compareNamelessCode({ included }: Selection): void {
    const alongside = new Set(included);
    const refuse = (section: string) =>
      this.#refuse(
        'nameless-code',
        section,
        'code in it has changed that belongs to no function, and only functions can be redirected',
        'make the change in the functions that use this code, in C',
      );
    for (const piece of this.#patched.pieces)
      if (isNamelessCode(piece) && !alongside.has(piece) && !this.#comparison.isInOriginal(piece))
        refuse(called(piece));
    const before = betweenPieces(this.#original);
    for (const [name, words] of betweenPieces(this.#patched)) if ((before.get(name) ?? '') !== words) refuse(name);
  }

  /** Variables and tables that a kernel that runs has its own copy of, or has read already. */
  #compareData(): void {
    for (const piece of this.#patched.pieces) {
      const { name } = piece.section;
      if (piece.kind !== 'variable' && piece.kind !== 'rest') continue;
      if (isByContent(piece) || isIgnored(name) || isDescriptor(piece)) continue;
      const original = this.#correlation.original.get(piece);
      const { code, why, remedy } = refusalOf(name);
      if (!original) {
        if (isRegistered(name)) this.#refuse(code, called(piece), `it is new, and ${why}`, remedy);
        continue;
      }
      if (original.section.name !== name && isRegistered(name)) {
        this.#refuse(code, called(piece), `it has moved from ${original.section.name} to ${name}, and ${why}`, remedy);
        continue;
      }
      if (this.#comparison.compare(original, piece) !== 'changed') continue;
      this.#refuse(code, called(piece), `it has changed (in ${name}), and ${why}`, remedy);
    }
    const gone = this.#original.pieces.filter(
      (piece) => piece.kind === 'variable' && !isByContent(piece) && !this.#correlation.patched.has(piece),
    );
    for (const piece of gone) {
      const { name } = piece.section;
      const { code, why, remedy } = refusalOf(name);
      if (isIgnored(name)) continue;
      if (isRegistered(name)) this.#refuse(code, called(piece), `it is gone, and ${why}`, remedy);
      else if (isWritable(piece) && !isDescriptor(piece) && !isExpendable(piece.name))
        this.#remarks.push(`${stem(piece.name)} is no longer used; what it holds stays as it is`);
    }
  }
}
