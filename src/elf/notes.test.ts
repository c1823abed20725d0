// The build id, by which a patch knows its kernel, is read from notes; strings come from everywhere.

import { describe, expect, it } from 'vitest';
import { cString, cStringBytes, readNotes } from './elf.ts';

/** A note as an assembler lays it out. */
function note(name: string, type: number, desc: readonly number[], align = 4): number[] {
  const word = (value: number) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
  const padded = (bytes: number[], before: number) => [
    ...bytes,
    ...Array((align - ((before + bytes.length) % align)) % align).fill(0),
  ];
  const owner = [...cStringBytes(name)];
  return padded([...padded([...word(owner.length), ...word(desc.length), ...word(type), ...owner], 0), ...desc], 0);
}

describe('notes', () => {
  const buildId = Array.from({ length: 20 }, (_, i) => i + 1);

  it('come in order, each with the places of its header and its descriptor', () => {
    const data = Uint8Array.from([...note('Linux', 0x100, [1]), ...note('GNU', 3, buildId)]);
    expect(readNotes(data, 'vmlinux: .notes')).toEqual([
      { name: 'Linux', type: 0x100, desc: Uint8Array.of(1), offset: 0, descOffset: 20 },
      { name: 'GNU', type: 3, desc: Uint8Array.from(buildId), offset: 24, descOffset: 40 },
    ]);
  });

  it('may be aligned to 8', () => {
    const data = Uint8Array.from([...note('GNU', 5, [1, 2, 3, 4], 8), ...note('GNU', 3, buildId, 8)]);
    expect(readNotes(data, '.note.gnu.property', 8).map(({ type, descOffset }) => [type, descOffset])).toEqual([
      [5, 16],
      [3, 40],
    ]);
  });

  it('may lack the padding behind the last', () => {
    expect(readNotes(Uint8Array.from(note('GNU', 3, [9])).subarray(0, 17), '.notes')[0]!.desc).toEqual(
      Uint8Array.of(9),
    );
  });

  it('of no length at all end all the same', () => {
    expect(readNotes(new Uint8Array(120), '.notes').length).toBe(10);
  });

  it.each([
    ['a header that is cut off', 11, 0, 'note 0: its header at 0x0 is cut off'],
    ['a name beyond the end', 32, 0, 'note 0: namesz: a name of 4294967295 bytes'],
    ['a descriptor beyond the end', 32, 4, 'note 0: descsz: a descriptor of 4294967295 bytes'],
  ])('are refused with %s', (_, size, field, message) => {
    const data = Uint8Array.from(note('GNU', 3, buildId)).slice(0, size);
    data.fill(0xff, field, field + 4);
    expect(() => readNotes(data, 'foo.ko: .notes')).toThrow(`foo.ko: .notes: ${message}`);
  });
});

describe('a string', () => {
  const data = cStringBytes('vermagic=6.1.0\0größe');

  it('ends with its zero', () => {
    expect(cString(data, 0)).toBe('vermagic=6.1.0');
    expect(cString(data, 9)).toBe('6.1.0');
    expect(cString(data, 15)).toBe('größe');
  });

  it('is none without its zero, or outside the data', () => {
    expect(cString(data.subarray(0, 5), 0)).toBeUndefined();
    for (const offset of [data.length, -1, Number.NaN, 2 ** 40]) expect(cString(data, offset)).toBeUndefined();
  });

  it('shows bytes that are not UTF-8 as what they are: unknown', () => {
    expect(cString(Uint8Array.of(65, 0xff, 0), 0)).toBe('A\ufffd');
  });
});
