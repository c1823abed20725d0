// A structure that grows is no change of any function, and yet what the kernel has allocated is too small for it.

import { expect, test } from 'vitest';
import { ET_REL, SHT_PROGBITS } from '../elf/constants.ts';
import { newModel, newSection } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { changedLayouts, typeLayouts } from './type-layouts.ts';

/** BTF with these types: [name, kind, count, flag, size or type, words…]. */
function described(...types: [string, number, number, boolean, number, ...(number | string)[]][]): ElfModel {
  let strings = '\0';
  const name = (text: string): number => {
    if (text === '') return 0;
    strings += `${text}\0`;
    return strings.length - text.length - 1;
  };
  const words = types.flatMap(([own, kind, count, flag, size, ...rest]) => [
    name(own),
    ((flag ? 1 << 31 : 0) | (kind << 24) | count) >>> 0,
    size,
    ...rest.map((each) => (typeof each === 'string' ? name(each) : each)),
  ]);
  const header = [0x1eb9f, 24, 0, 4 * words.length, 4 * words.length, strings.length];
  const bytes = new Uint8Array(4 * (6 + words.length) + strings.length);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of [...header, ...words].entries()) view.setUint32(4 * i, word, true);
  bytes.set(new TextEncoder().encode(strings), 4 * (6 + words.length));
  return objectWith(bytes);
}

function objectWith(bytes: Uint8Array): ElfModel {
  const model = newModel({ class: 32, machine: 40, type: ET_REL, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  model.sections.push(newSection('.BTF', SHT_PROGBITS, 0n, bytes));
  return model;
}

const [INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF] = [1, 2, 3, 4, 5, 6, 8];
const int: [string, number, number, boolean, number, number] = ['int', INT, 0, false, 4, 32];

/** struct s { int first; struct s *next; }, with whatever is to be otherwise. */
const structure = (size: number, ...members: (number | string)[]) =>
  described(int, ['s', STRUCT, members.length / 3, false, size, ...members], ['', PTR, 0, false, 2]);
const changes = (before: ElfModel, after: ElfModel) =>
  changedLayouts(typeLayouts(before, 'before.o')!, typeLayouts(after, 'after.o')!);

test('A member more, a member elsewhere and a member of another size are seen; the same structure is the same', () => {
  const before = structure(8, 'first', 1, 0, 'next', 3, 32);
  expect(changes(before, structure(8, 'first', 1, 0, 'next', 3, 32))).toEqual([]);
  expect(changes(before, structure(12, 'first', 1, 0, 'next', 3, 32, 'more', 1, 64))).toEqual(['struct s']);
  expect(changes(before, structure(8, 'next', 3, 0, 'first', 1, 32))).toEqual(['struct s']);
  expect(changes(before, structure(8, 'first', 3, 0, 'next', 3, 32))).toEqual(['struct s']);
});

test('What has no name is a part of what it lies in; a typedef is what it names; new types are no change', () => {
  const outer = (inner: number | string, type: number) =>
    described(
      int,
      ['', UNION, 1, false, 4, inner, type, 0],
      ['alias', TYPEDEF, 0, false, 2],
      ['outer', STRUCT, 1, false, 4, 'inner', 3, 0],
      ['', ARRAY, 0, false, 0, 1, 1, 1],
    );
  expect(changes(outer('a', 1), outer('b', 1))).toEqual(['typedef alias', 'struct outer']);
  expect(changes(outer('a', 1), outer('a', 5))).toEqual(['typedef alias', 'struct outer']);
  expect(changes(described(int), outer('a', 1))).toEqual([]);
});

test('A bit field has a size as well as a place', () => {
  const fields = (bits: number) => described(int, ['f', STRUCT, 1, true, 4, 'bits', 1, (bits << 24) | 3]);
  expect(changes(fields(3), fields(4))).toEqual(['struct f']);
  expect(changes(fields(3), fields(3))).toEqual([]);
});

test('An enumerator that becomes another number is seen, and a new one is no change', () => {
  const states = (...numbers: (string | number)[]) =>
    described(['state', ENUM, numbers.length / 2, false, 4, ...numbers]);
  const before = states('IDLE', 0, 'BUSY', 1);
  expect(changes(before, states('IDLE', 0, 'BUSY', 1, 'DEAD', 2))).toEqual([]);
  expect(changes(before, states('IDLE', 0, 'DEAD', 1, 'BUSY', 2))).toEqual(['enumerator BUSY']);
});

test('Whatever bytes stand there end in an answer or a clear refusal', () => {
  const whole = structure(8, 'first', 1, 0, 'next', 3, 32).sections[0]!.data;
  for (let at = 0; at < whole.length; at++)
    for (const value of [0, 1, 0x7f, 0xff]) {
      const bytes = whole.slice();
      bytes[at] = value;
      for (const data of [bytes, whole.slice(0, at)]) {
        try {
          typeLayouts(objectWith(data), 'x.o');
        } catch (error) {
          expect(error).toMatchObject({ reasons: [{ code: 'elf-malformed' }] });
        }
      }
    }
  expect(
    typeLayouts(
      newModel({ class: 32, machine: 40, type: ET_REL, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 }),
      'x.o',
    ),
  ).toBeUndefined();
});
