// From what has changed in some files of the kernel to one object of a patch: what they refer to is found in the kernel, then
// their pieces are put together with the lines that make a livepatch module of them.

import type { Architecture } from '../arch/arch.ts';
import type { Link, ObjectDiff, Piece, Reference } from '../diff/diff.ts';
import { isTracepoint, tracepointLost } from '../diff/names.ts';
import { SHF_ALLOC, SHF_WRITE, SHT_PROGBITS, STB_LOCAL, STT_FUNC, STT_OBJECT } from '../elf/constants.ts';
import { isSection, newSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import { collectReasons, type Reason, throwReasons } from '../reason.ts';
import type { Binding } from './bind-symbols.ts';
import { addLooseSymbols } from './finish-module.ts';
import type { KernelPlaces, OldName } from './kernel-places.ts';
import { lateModules } from './late-symbols.ts';
import type { Replacement } from './link-patch.ts';
import { PiecePlacer } from './place-pieces.ts';
import { type ResolvedLink, relocatePiece } from './relocate-pieces.ts';

/** What a patch does to one file of the kernel. */
export interface ChangedFile {
  /** The source file. */
  readonly path: string;
  /** The module that it is part of; '' for vmlinux. */
  readonly module: string;
  readonly diff: ObjectDiff;
  readonly places: KernelPlaces;
}

/** A function of the kernel and the piece that takes its place. */
export interface ReplacedFunction extends OldName {
  readonly path: string;
  readonly piece: Piece;
}

/** Files whose references are found in the kernel. */
export interface ResolvedFiles {
  readonly files: readonly ChangedFile[];
  readonly replaced: readonly ReplacedFunction[];
  /** All that goes along, in the order of the files and of what is in them. */
  readonly pieces: readonly Piece[];
  readonly links: ReadonlyMap<Reference, ResolvedLink>;
  /** The modules that functions are replaced in, '' for vmlinux, and then those that are only referred to. */
  readonly objects: readonly string[];
  /** Symbols bound to addresses, by name. */
  readonly bound: ReadonlyMap<string, Binding>;
  /** What a person should know. */
  readonly remarks: readonly string[];
}

/** Finds in the kernel what the pieces of files refer to. Throws `ReasonError` with every reason found, `jump-label` among them. */
export function resolveFiles(arch: Architecture, files: readonly ChangedFile[]): ResolvedFiles {
  const { reasons, attempt } = collectReasons();
  const links = new Map<Reference, ResolvedLink>();
  const symbols = new Set<ElfSymbol>();
  const pieces: Piece[] = [];
  const remarks = new Set<string>();
  const provided = newGlobals(files);
  const never = keyThatIsNeverOn();
  const replaced = files.flatMap(({ path, module, diff, places }) => {
    const newGlobal = (name: string) => provided.get(`${module} ${name}`) ?? provided.get(` ${name}`);
    for (const piece of diff.selection.included) {
      const found = piece.references.map((reference) => {
        const link = linkTo(diff.selection.links.get(reference)!, newGlobal);
        const resolved: ResolvedLink = { link, symbol: attempt(() => kernelSymbol(link, places)) };
        return { reference, resolved };
      });
      const key = arch.objectCode.tables.some(
        (table) => table.use === 'followed' && table.section === piece.section.name,
      )
        ? found.find(({ resolved: { symbol } }) => symbol && !isLoaders(symbol, places))
        : undefined;
      if (key) {
        const owner = `${path}: ${piece.references[0]?.to.piece?.name}`;
        const { to } = key.reference;
        const name = (to.piece ? to.piece.name : to.symbol?.name) ?? '';
        if (!isTracepoint(name)) {
          reasons.push(keyOfKernel(owner, name));
          continue;
        }
        remarks.add(tracepointLost(owner, name));
        key.resolved = { link: { kind: 'external', symbol: undefined }, symbol: never, offset: to.offset & 3 };
      }
      pieces.push(piece);
      for (const { reference, resolved } of found) {
        if (resolved.symbol && resolved.symbol !== never) symbols.add(resolved.symbol);
        links.set(reference, resolved);
      }
    }
    return diff.changed
      .filter(({ redirected }) => redirected)
      .flatMap(({ original, patched }): ReplacedFunction[] => {
        const old = attempt(() => places.replaced(original));
        return old ? [{ ...old, path, piece: patched }] : [];
      });
  });
  throwReasons(unique(reasons));
  const objects = [...new Set([...replaced.map(({ module }) => module), ...lateModules([...symbols])])];
  const bound = new Map([...symbols].flatMap((symbol) => boundTo(symbol)));
  return { files, replaced, pieces, links, objects, bound, remarks: [...remarks] };
}

/**
 * A static key of the patch's own that nobody switches on, for jump labels whose key the kernel keeps to itself; so their code
 * stays in the module's tables, where a proof finds what may jump where. Zeroes are a key that is off, and 16 bytes hold one
 * of either word size; its two low bits say how the label was compiled (struct static_key and jump_entry in
 * linux/jump_label.h, Linux 6.1).
 */
function keyThatIsNeverOn(): ElfSymbol {
  const place = newSection('.data.suture_no_key', SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, new Uint8Array(16), {
    align: 8,
  });
  return newSymbol('suture_no_key', { binding: STB_LOCAL, type: STT_OBJECT, size: 16n, place });
}

/** Whether the kernel's loader finds a symbol by itself. */
const isLoaders = ({ name, place }: ElfSymbol, places: KernelPlaces): boolean =>
  place === 'undefined' && places.isExported(name);

const keyOfKernel = (place: string, key: string): Reason => ({
  code: 'jump-label',
  place,
  message: `its jump label’s key ${key} is not exported, and the kernel’s loader would follow it before the patch could be checked`,
  remedy: 'ask static_key_enabled() in the fix instead of static_branch_likely() and the like',
});

/** To which address a symbol has been bound; empty for one that waits for the loader or for a module. */
const boundTo = ({ name, type, value, place }: ElfSymbol): [string, Binding][] =>
  place === 'undefined' ? [] : [[name, { kind: type === STT_FUNC ? 'function' : 'data', address: linkAddress(value) }]];

/** What is new in some files and goes along, by `MODULE NAME`: others of the module, and of vmlinux, can refer to it. */
function newGlobals(files: readonly ChangedFile[]): ReadonlyMap<string, Piece> {
  const globals = files.flatMap(({ module, diff: { selection, changed } }) => {
    const isReplacing = new Set(changed.map(({ patched }) => patched));
    return selection.included
      .filter((piece) => !isReplacing.has(piece))
      .flatMap((piece) =>
        piece.symbols.flatMap(({ name, binding }) =>
          binding === STB_LOCAL ? [] : [[`${module} ${name}`, piece] as const],
        ),
      );
  });
  return new Map(globals);
}

/** A reference to what another file of the patch brings leads there. */
function linkTo(link: Link, newGlobal: (name: string) => Piece | undefined): Link {
  const piece = link.kind === 'external' ? newGlobal(link.symbol?.name ?? '') : undefined;
  return piece ? { kind: 'included', piece } : link;
}

/**
 * Compares before and after of some files. `compare` does so for one of them; it is given the names by which the others refer to
 * what may be new in it.
 */
export function diffTogether<T>(files: readonly T[], compare: (file: T, wanted: ReadonlySet<string>) => ObjectDiff) {
  let wanted = new Set<string>();
  for (;;) {
    const diffs = files.map((file) => compare(file, wanted));
    const links = diffs.flatMap(({ selection }) => [...selection.links.values()]);
    const asked = new Set(links.flatMap((link) => (link.kind === 'external' && link.symbol ? [link.symbol.name] : [])));
    // More of a file can only ask for more.
    if (files.length === 1 || asked.size === wanted.size) return diffs;
    wanted = asked;
  }
}

function kernelSymbol(link: Link, places: KernelPlaces): ElfSymbol | undefined {
  switch (link.kind) {
    case 'included':
      return undefined;
    case 'original':
      return places.original(link.piece);
    case 'external':
      return link.symbol && places.external(link.symbol);
  }
}

const unique = (reasons: readonly Reason[]): Reason[] => [
  ...new Map(reasons.map((reason) => [JSON.stringify(reason), reason])).values(),
];

/** The name by which the lines of a livepatch module call the function that replaces the `index`-th one. */
export const newFunctionName = (index: number): string => `suture_new_${index}`;

/**
 * Puts the pieces of files into `frame`, the compiled lines of a livepatch module, which is changed. Undefined symbols and
 * calls of modules are left to `linkPatch`. Throws `ReasonError`.
 */
export function joinFiles(
  arch: Architecture,
  frame: ElfModel,
  { replaced, pieces, links }: ResolvedFiles,
): { readonly object: ElfModel; readonly replacements: readonly Replacement[] } {
  const placer = new PiecePlacer(frame, arch);
  for (const piece of pieces) placer.place(piece);
  for (const piece of pieces) relocatePiece(arch, piece, placer, links);

  const symbols = replaced.map(({ piece }) => placer.at(piece)!.symbol);
  const byName = new Map(symbols.map((symbol, i) => [newFunctionName(i), symbol]));
  for (const { relocations } of frame.sections)
    for (const relocation of relocations)
      relocation.symbol = byName.get(relocation.symbol?.name ?? '') ?? relocation.symbol;
  frame.symbols = frame.symbols.filter(({ name }) => !byName.has(name));
  for (const { symbol } of links.values()) {
    const own = symbol?.place;
    if (isSection(own) && !frame.sections.includes(own)) frame.sections.push(own);
  }
  addLooseSymbols(frame);
  return {
    object: frame,
    replacements: replaced.map(({ oldName, sympos, module }, i) => ({
      newName: symbols[i]!.name,
      oldName,
      sympos,
      module,
      isSameCopy: true,
    })),
  };
}
