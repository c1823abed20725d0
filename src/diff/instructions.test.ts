// A halfword that is taken for an instruction's first one when it is a second one, or data, may look like a branch to anywhere.

import { expect, test } from 'vitest';
import { architectureByName } from '../arch/architectures.ts';
import { EM_ARM, ET_REL, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STB_GLOBAL, STT_FUNC } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import { diffObjects } from './diff.ts';
import { instructionsOf } from './instructions.ts';
import { takeApart } from './take-apart.ts';

const arm = architectureByName('arm');
const thumb = arm.otherSet!;

/** Where instructions begin in halfwords, of which marks say what they are. */
function starts(halves: readonly number[], marks: readonly (readonly [name: string, at: number])[], set = thumb) {
  const bytes = new Uint8Array(Uint16Array.from(halves).buffer);
  const section = newSection('.text', SHT_PROGBITS, SHF_EXECINSTR, bytes);
  const model = newModel({ class: 32, type: ET_REL, machine: EM_ARM, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  model.sections.push(section);
  model.symbols.push(...marks.map(([name, at]) => newSymbol(name, { place: section, value: BigInt(at) })));
  const instructions = instructionsOf(model, set.objectCode);
  return (start = 0, end = bytes.length) => instructions({ section, start, end });
}

// push {lr}; bl; ldr r0, [pc]; bx lr; a literal of two halfwords like `b.n`; nop; nop.w
const halves = [0xb500, 0xf7ff, 0xe7fe, 0x4800, 0x4770, 0xe7fe, 0xe7fe, 0xbf00, 0xf3af, 0x8000];
const marks = [
  ['$t', 0],
  ['$d', 10],
  ['$t.1', 14],
] as const;

test('each instruction tells where the next one begins, and what is marked as data has none', () => {
  expect(starts(halves, marks)()).toEqual([0, 2, 6, 8, 14, 16]);
});

test('a piece may begin with what an earlier mark said', () => {
  expect(starts(halves, marks)(8, 16)).toEqual([8, 14]);
  expect(starts(halves, marks)(12, 20)).toEqual([14, 16]);
});

test('an instruction that does not end before the piece does is none of it', () => {
  expect(starts(halves, marks)(0, 4)).toEqual([0]);
  expect(starts([0xb500, 0xf7ff], [])()).toEqual([0]);
});

test('a branch of two bytes is followed and compared, also where the section ends behind it', () => {
  /** `f: bx lr; nop …`, and `g: b.n f` behind it. */
  const objectOf = (nops: number) => {
    const g = 2 + 2 * nops;
    const code = [0x4770, ...Array.from({ length: nops }, () => 0xbf00), 0xe000 | ((-(g + 4) >> 1) & 0x7ff)];
    const flags = SHF_ALLOC | SHF_EXECINSTR;
    const section = newSection('.text', SHT_PROGBITS, flags, new Uint8Array(Uint16Array.from(code).buffer));
    const model = newModel({ class: 32, type: ET_REL, machine: EM_ARM, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
    const named = { type: STT_FUNC, place: section, binding: STB_GLOBAL };
    model.sections.push(section);
    model.symbols.push(newSymbol('$t', { place: section }));
    model.symbols.push(newSymbol('f', { ...named, value: 1n, size: BigInt(g) }));
    model.symbols.push(newSymbol('g', { ...named, value: BigInt(g) | 1n, size: 2n }));
    return { name: 'o', model };
  };
  const { changed } = diffObjects(objectOf(1), objectOf(3));
  expect(changed.map(({ name }) => name)).toEqual(['f']);
  const { pieces } = takeApart(objectOf(3).model, thumb.objectCode, 'o');
  expect(pieces[1]!.references.map(({ to }) => [to.piece?.name, to.offset])).toEqual([['f', 0]]);
});

test('without marks all is code; of A32 code each word is an instruction, but for literals', () => {
  expect(starts(halves, [])()).toEqual([0, 2, 6, 8, 10, 12, 14, 16]);
  expect(starts(halves, [['$d', 8]], arm)()).toEqual([0, 4]);
});
