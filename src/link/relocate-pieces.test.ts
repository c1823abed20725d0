// In Thumb code a pointer to a function has bit 0 set and a label has not, in tables by which the kernel mends a fault or rewrites
// code. Both become relocations against what is in one place, so each is seen here to keep its bit; guests see the rest.

import { expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { diffObjects, type Piece, type Reference } from '../diff/diff.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STB_GLOBAL, STT_FUNC, STT_SECTION } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { ReasonError } from '../reason.ts';
import { PiecePlacer } from './place-pieces.ts';
import { type ResolvedLink, relocatePiece } from './relocate-pieces.ts';

const thumb = arm.otherSet!;
const header = { class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 } as const;
const [R_ARM_ABS32, R_ARM_THM_CALL] = [2, 10] as const;

/** `f: nop; bl g; nop; bx lr`, whose last instruction is `last`; an exception table's entry and a pointer lead to it. */
function objectOf(last: number): ElfModel {
  const model = newModel(header);
  const sectionOf = (name: string, flags: bigint, halves: readonly number[]): Section => {
    const section = newSection(name, SHT_PROGBITS, flags, new Uint8Array(Uint16Array.from(halves).buffer), {
      align: 4,
    });
    model.sections.push(section);
    return section;
  };
  const code = SHF_ALLOC | SHF_EXECINSTR;
  const text = sectionOf('.text.f', code, [0xbf00, 0xf7ff, 0xfffe, 0xbf00, last, 0xbf00]);
  const table = sectionOf('__ex_table', SHF_ALLOC, [6, 0, 8, 0]);
  const pointer = sectionOf('.rodata.pointer', SHF_ALLOC, [0, 0]);
  const label = newSymbol('', { type: STT_SECTION, place: text });
  const f = newSymbol('f', { type: STT_FUNC, binding: STB_GLOBAL, value: 1n, size: 10n, place: text });
  const named = newSymbol('pointer', { type: 1, binding: STB_GLOBAL, size: 4n, place: pointer });
  const mark = newSymbol('$t', { place: text });
  const g = newSymbol('g', { binding: STB_GLOBAL });
  model.symbols.push(label, mark, f, named, g);
  text.relocations.push({ offset: 2, type: R_ARM_THM_CALL, symbol: g, addend: undefined });
  for (const offset of [0, 4]) table.relocations.push({ offset, type: R_ARM_ABS32, symbol: label, addend: undefined });
  pointer.relocations.push({ offset: 0, type: R_ARM_ABS32, symbol: f, addend: undefined });
  return model;
}

/** The selected pieces, put behind 12 bytes that a module has already in each of their sections. */
function placed() {
  const [original, patched] = [0x4770, 0x4718].map((last) => ({ name: 'o', model: objectOf(last) }));
  const { selection, changed } = diffObjects(original!, patched!);
  const module = newModel(header);
  for (const name of ['.text.f', '__ex_table']) {
    const flags = name === '.text.f' ? SHF_ALLOC | SHF_EXECINSTR : SHF_ALLOC;
    module.sections.push(newSection(name, SHT_PROGBITS, flags, new Uint8Array(12), { align: 4 }));
  }
  const placer = new PiecePlacer(module, thumb);
  for (const piece of selection.included) placer.place(piece);
  const links = new Map<Reference, ResolvedLink>(
    [...selection.links].map(([reference, link]) => [
      reference,
      { link, symbol: link.kind === 'external' ? link.symbol : undefined },
    ]),
  );
  return { selection, changed, module, placer, links };
}

const wordAt = ({ data }: Section, at: number) => new DataView(data.buffer, data.byteOffset).getUint32(at, true);

it('a function keeps its bit, labels get none, and calls count from where they stand', () => {
  const { selection, changed, module, placer, links } = placed();
  expect(changed.map(({ name }) => name)).toEqual(['f']);
  for (const piece of selection.included) relocatePiece(thumb, piece, placer, links);
  const section = (name: string) => module.sections.find((each) => each.name === name)!;
  const f = module.symbols.find(({ name }) => name === 'f')!;
  expect(f.value).toBe(12n | 1n);

  const [call] = section('.text.f').relocations;
  expect(call).toMatchObject({ offset: 14, type: R_ARM_THM_CALL, symbol: { name: 'g' } });
  expect(wordAt(section('.text.f'), 14)).toBe(0xfffef7ff);

  const entries = section('__ex_table').relocations;
  expect(entries.map(({ offset, symbol }) => [offset, symbol!.type, symbol!.place])).toEqual(
    [12, 16].map((offset) => [offset, STT_SECTION, section('.text.f')]),
  );
  expect(entries.map(({ offset }) => wordAt(section('__ex_table'), offset))).toEqual([12 + 6, 12 + 8]);
});

it('a label of a function that does not go along is refused', () => {
  const { selection, placer, links } = placed();
  const entry = selection.included.find(({ kind }) => kind === 'entry') as Piece;
  const [first] = entry.references;
  links.set(first!, { link: { kind: 'original', piece: first!.to.piece! }, symbol: newSymbol('kernel’s f') });
  const refusal = () => {
    try {
      relocatePiece(thumb, entry, placer, links);
    } catch (error) {
      return error instanceof ReasonError ? error.reasons[0] : error;
    }
    return undefined;
  };
  expect(refusal()).toMatchObject({
    code: 'relocation-unsupported',
    place: '__ex_table+0x0',
    message: expect.stringMatching(/a place within f, which does not go along/),
  });
});

it('a new function begins at a multiple of 4, also if its section asks for less', () => {
  const [original, patched] = [0x4770, 0x4718].map((last) => ({ name: 'o', model: objectOf(last) }));
  for (const { model } of [original!, patched!]) model.sections[0]!.align = 2;
  const module = newModel(header);
  module.sections.push(newSection('.text.f', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(6), { align: 2 }));
  const placer = new PiecePlacer(module, thumb);
  const { selection } = diffObjects(original!, patched!);
  const { section, start } = placer.place(selection.included.find(({ name }) => name === 'f')!);
  expect([start, section.align]).toEqual([8, 4]);
});
