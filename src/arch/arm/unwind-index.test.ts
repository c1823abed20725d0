// Who unwinds from a stub by a table that speaks of something else oopses: what a table says of each word must be read as
// the kernel reads it.

import { expect, test } from 'vitest';
import { newModel, newSymbol } from '../../elf/elf.ts';
import type { ElfModel, Section } from '../../elf/model.ts';
import { layOutStubs } from './stub-section.ts';
import { unwindingOf } from './unwind-index.ts';

const [PREL31, NONE, ABS32] = [42, 0, 2];
/** An entry that unwinds: the compact model, `pop {r4, lr}`. */
const unwinds = 0x80a8b0b0;
const cannot = 1;

const nop = { word: 0xe1a00000, text: 'nop' };

/** Three stubs of two words, the first at 4, and the table with these entries: where each begins, and what it says. */
function moduleWith(...entries: [start: number, how: number][]): { model: ElfModel; code: Section; table: Section } {
  const { section: code, companions } = layOutStubs([1, 2, 3].map(() => ({ words: [nop, nop] })));
  const table = companions[0]!;
  const symbol = newSymbol('', { binding: 0, type: 3, place: code });
  const view = new DataView(new ArrayBuffer(8 * entries.length));
  entries.forEach(([start, how], i) => {
    view.setUint32(8 * i, start, true);
    view.setUint32(8 * i + 4, how, true);
  });
  table.data = new Uint8Array(view.buffer);
  table.relocations = entries.map((_, i) => ({ offset: 8 * i, type: PREL31!, symbol, addend: undefined }));
  const model = newModel({ class: 32, machine: 40, type: 1, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  model.sections.push(code, table);
  return { model, code, table };
}

/** What is said of each stub with the word before it. */
function saidOf(
  { model, code }: ReturnType<typeof moduleWith>,
  isWritten = (_: Section) => false,
): (string | undefined)[] {
  const unwinding = unwindingOf(model, isWritten);
  return [4, 12, 20].map((start) => unwinding(code, start - 4, start + 8));
}

const [fine, astray] = [undefined, expect.stringMatching('not said of all its words')];

test('One entry forbids unwinding up to the end', () => {
  expect(saidOf(moduleWith([0, cannot]))).toEqual([fine, fine, fine]);
});

test('An entry holds up to the next one, also for the word before a stub', () => {
  expect(saidOf(moduleWith([4, cannot]))).toEqual([astray, fine, fine]);
  expect(saidOf(moduleWith([0, cannot], [24, unwinds]))).toEqual([fine, fine, astray]);
  // The last word of the first stub is the one before the second.
  expect(saidOf(moduleWith([0, cannot], [8, unwinds], [12, cannot]))).toEqual([astray, astray, fine]);
  expect(saidOf(moduleWith([0, cannot], [16, cannot], [20, cannot]))).toEqual([fine, fine, fine]);
});

test('A stub without a word before it in its section is not covered', () => {
  const { model, code } = moduleWith([0, cannot]);
  expect(unwindingOf(model, () => false)(code, -4, 8)).toMatch(/looks elsewhere/);
});

test('Entries that are not in the order of the code are of no use', () => {
  const unordered = expect.stringMatching('not all for');
  expect(saidOf(moduleWith([12, cannot], [0, cannot]))).toEqual([unordered, unordered, unordered]);
  expect(saidOf(moduleWith([0, cannot], [0, unwinds]))).toContainEqual(unordered);
});

test('What is changed in a table by other means is not believed', () => {
  const all = (message: string) => Array(3).fill(expect.stringMatching(message));
  const withRelocation = (offset: number, type: number) => {
    const made = moduleWith([0, cannot]);
    made.table.relocations.push({ ...made.table.relocations[0]!, offset, type });
    return saidOf(made);
  };
  expect(withRelocation(0, NONE!)).toEqual([fine, fine, fine]);
  expect(withRelocation(0, PREL31!)).toEqual(all('in a way that cannot be told'));
  expect(withRelocation(4, ABS32!)).toEqual(all('not said of all its words'));
  expect(withRelocation(2, ABS32!)).toEqual(all('in a way that cannot be told'));
  expect(saidOf(moduleWith([0, cannot]), () => true)).toEqual(all('once it is loaded cannot be told'));
});
