// An object taken apart: its sections are cut into pieces, and each piece is told what it refers to.

import type { ObjectCode } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import { SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { type Draft, piecesOf, symbolsBySection } from './cut.ts';
import { branchAt, instructionsOf } from './instructions.ts';
import { type DiffedObject, type Reference, resolvedBranch, type Target } from './object.ts';
import { type Resolved, resolveAll, targetsBySection, viewOf } from './resolve.ts';

/** Takes an object apart. Throws `elf-malformed` for symbols and relocations that lie outside their sections. */
export function takeApart(model: ElfModel, code: ObjectCode, name: string): DiffedObject {
  const allocated = model.sections.filter(({ flags }) => (flags & SHF_ALLOC) !== 0n);
  const tables = new Map(code.tables.map((table) => [table.section, table]));
  const prefixes = code.tables.filter(({ isPrefix }) => isPrefix);
  const table = ({ name }: Section) => tables.get(name) ?? prefixes.find(({ section }) => name.startsWith(section));
  const symbols = symbolsBySection(model, code, name);
  const resolved = new Map(allocated.map((section) => [section, resolveAll(section, code, table(section), name)]));
  const targets = targetsBySection(resolved.values());

  const instructions = instructionsOf(model, code);
  const bySection = new Map<Section, Draft[]>();
  for (const section of allocated) {
    const own = symbols.get(section) ?? [];
    const places = resolved.get(section)!;
    bySection.set(section, piecesOf(section, own, places, targets.get(section) ?? [], table(section), code));
  }
  for (const [section, pieces] of bySection) {
    connect(pieces, resolved.get(section)!, bySection, code);
    if ((section.flags & SHF_EXECINSTR) !== 0n) addBranches(pieces, resolved.get(section)!, code, instructions);
  }
  const pieces = [...bySection.values()].flat();
  seeThroughSlots(pieces);
  return { model, code, name, pieces, table, instructions };
}

/** The piece at a section offset: the last that begins there or before, else the first. */
function pieceAt(pieces: readonly Draft[], at: number): Draft | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pieces[middle]!.start <= at) low = middle + 1;
    else high = middle;
  }
  return pieces[Math.max(low - 1, 0)];
}

const none: readonly Draft[] = [];

/** Gives each piece its references. */
function connect(
  pieces: readonly Draft[],
  places: readonly Resolved[],
  all: ReadonlyMap<Section, Draft[]>,
  code: ObjectCode,
): void {
  let next = 0;
  for (const { relocation, section, at, anchored } of places) {
    const { offset, type, symbol } = relocation;
    while (next + 1 < pieces.length && pieces[next + 1]!.start <= offset) next++;
    const from = pieces[next];
    if (!from || offset < from.start || offset >= from.end) continue;
    // A symbol names its piece, also where the place is beyond it: one past the end of an array is still the array's.
    const named = symbol && Number(codeOffset(symbol, code));
    const owner = section && pieceAt(all.get(section) ?? none, anchored ? at : named!);
    const to: Target = owner
      ? { piece: owner, offset: at - owner.origin }
      : { piece: undefined, symbol, offset: section ? at - named! : at };
    from.references.push({ offset: offset - from.origin, type, to, slot: undefined, anchored });
  }
}

/** Branches that the assembler resolved itself, from one function to another in the same section. */
function addBranches(
  pieces: readonly Draft[],
  places: readonly Resolved[],
  code: ObjectCode,
  instructions: DiffedObject['instructions'],
): void {
  if (pieces.length < 2) return;
  const relocated = new Set(places.map(({ relocation }) => relocation.offset));
  for (const piece of pieces) {
    const view = viewOf(piece.section);
    const added: Reference[] = [];
    for (const at of instructions(piece)) {
      const branch = branchAt(code, view, at);
      if (!branch || relocated.has(at)) continue;
      const target = at + branch.distance;
      if (target >= piece.start && target < piece.end) continue;
      if (target < 0 || target >= piece.section.size) continue;
      const to = pieceAt(pieces, target)!;
      added.push({
        offset: at - piece.origin,
        type: resolvedBranch,
        to: { piece: to, offset: target - to.origin },
        slot: undefined,
        anchored: true,
      });
    }
    if (added.length === 0) continue;
    piece.references = [...piece.references, ...added].sort((a, b) => a.offset - b.offset);
  }
}

/** What loads a pointer from the TOC refers to what the pointer is to. */
function seeThroughSlots(pieces: readonly Draft[]): void {
  if (!pieces.some(({ kind }) => kind === 'slot')) return;
  for (const piece of pieces) {
    if (piece.kind === 'slot') continue;
    for (const [i, reference] of piece.references.entries()) {
      const slot = reference.to.piece;
      if (slot?.kind !== 'slot' || reference.to.offset !== 0) continue;
      const [only, ...more] = slot.references;
      if (!only || more.length > 0 || only.offset !== 0 || only.to.piece?.kind === 'slot') continue;
      piece.references[i] = { ...reference, to: only.to, slot, anchored: only.anchored };
    }
  }
}
