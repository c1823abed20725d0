// The second half of what a linker does: every reference of the pieces that were placed in a module becomes a relocation of
// the module, against the piece that goes along, or against what the kernel has.

import type { Architecture } from '../arch/arch.ts';
import type { Link, Piece, Reference } from '../diff/diff.ts';
import { called, isCode, resolvedBranch } from '../diff/object.ts';
import type { ElfSymbol } from '../elf/model.ts';
import { reasonError } from '../reason.ts';
import type { PiecePlacer, PlacedPiece } from './place-pieces.ts';

/** A word of code or data: the unit that REL addends are read and written by. */
const wordSize = 4;

/** A reference together with what it is to be relocated against, unless that is a piece that goes along. */
export interface ResolvedLink {
  readonly link: Link;
  /** Undefined where the piece goes along, and for a relocation without a symbol. */
  readonly symbol: ElfSymbol | undefined;
  /** Bytes from the symbol, where they are not those from the piece that was referred to. */
  readonly offset?: number;
}

/**
 * Makes the relocations of one placed piece; all that it refers to has been placed. `links` says where each reference leads.
 * Throws `relocation-unsupported`, `layout-changed`.
 */
export function relocatePiece(
  arch: Architecture,
  piece: Piece,
  placer: PiecePlacer,
  links: ReadonlyMap<Reference, ResolvedLink>,
): void {
  const placed = placer.at(piece)!;
  const table = arch.objectCode.tables.find(({ section, fromStart }) => fromStart && section === piece.section.name);
  for (const reference of piece.references) {
    const { type, slot, to } = reference;
    const { link, symbol, offset: distance = to.offset } = links.get(reference)!;
    if (type === resolvedBranch) {
      checkBranch(piece, placed, reference, link, placer);
      continue;
    }
    const offset = placed.origin + reference.offset;
    // Through its TOC slot code refers to the slot, wherever that leads.
    const goesAlong = slot ?? (link.kind === 'included' ? link.piece : undefined);
    const bias = table ? reference.offset % table.entrySize : 0;
    const lead = arch.objectCode.relocatedPlace(type)?.lead ?? 0;
    const target = goesAlong && placer.at(goesAlong)!;
    // A function's symbol may mean more than the place of its code (`codeBit`), which a label's does not.
    const isLabel = arch.codeBit !== 0n && reference.anchored && to.piece !== undefined && isCode(to.piece);
    if (isLabel && !target) throw labelElsewhere(piece, reference, to.piece!);
    const from = isLabel ? target!.origin : 0;
    const addend = BigInt(from + (slot ? 0 : distance) - lead + bias);
    if (!arch.elf.rela) putAddend(arch, piece, placed, offset, type, addend);
    placed.section.relocations.push({
      offset,
      type,
      symbol: isLabel ? placer.sectionSymbol(target!.section) : target ? target.symbol : symbol,
      addend: arch.elf.rela ? addend : undefined,
    });
  }
}

const labelElsewhere = (piece: Piece, { offset }: Reference, to: Piece) =>
  reasonError(
    'relocation-unsupported',
    `${piece.section.name}+0x${(piece.origin + offset).toString(16)}`,
    `it refers to a place within ${called(to)}, which does not go along`,
    'give the whole function as a C file',
  );

/** With REL the addend stands in the place, where it may have counted from a section's start. */
function putAddend(
  arch: Architecture,
  piece: Piece,
  { section }: PlacedPiece,
  offset: number,
  type: number,
  addend: bigint,
): void {
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  const word = offset + wordSize <= view.byteLength ? view.getUint32(offset, true) : undefined;
  const place = arch.objectCode.relocatedPlace(type);
  if (word === undefined || (place && BigInt(place.addend(word)) === addend)) return;
  const changed = arch.putAddend(type, word, addend);
  if (changed === undefined) {
    throw reasonError(
      'relocation-unsupported',
      `${piece.name || section.name}+0x${offset.toString(16)}`,
      `${arch.relocationKind(type)?.name ?? `relocation type ${type}`} cannot have the addend ${addend}`,
      'give the whole function as a C file',
    );
  }
  view.setUint32(offset, changed, true);
}

/** A branch that the assembler resolved holds as long as both ends lie as they did. */
function checkBranch(piece: Piece, placed: PlacedPiece, reference: Reference, link: Link, placer: PiecePlacer): void {
  const target = link.kind === 'included' ? placer.at(link.piece) : undefined;
  const distance = (target?.origin ?? 0) - placed.origin;
  const before = link.kind === 'included' ? link.piece.origin - piece.origin : undefined;
  if (target?.section === placed.section && distance === before) return;
  throw reasonError(
    'layout-changed',
    piece.name || piece.section.name,
    `it has a branch to ${reference.to.piece?.name ?? 'another place'} that no relocation tells of, and only one of them goes along`,
    'give the whole function as a C file',
  );
}
