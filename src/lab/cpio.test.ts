// A kernel unpacks what we write, and says nothing about what it skips: so the archive is read back here by the format's
// own rules, for any entries.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CpioEntry, writeCpio } from './cpio.ts';

interface Member {
  path: string;
  mode: number;
  links: number;
  device: [number, number];
  data: Uint8Array;
}

/** Follows buffer-format.rst, not the writer. */
function readCpio(archive: Uint8Array): Member[] {
  const text = (from: number, to: number) => new TextDecoder().decode(archive.subarray(from, to));
  const members: Member[] = [];
  for (let at = 0; ; ) {
    expect(at % 4).toBe(0);
    expect(text(at, at + 6)).toBe('070701');
    const field = (n: number) => Number.parseInt(text(at + 6 + 8 * n, at + 14 + 8 * n), 16);
    const [mode, links, size, nameSize] = [field(1), field(4), field(6), field(11)];
    const path = text(at + 110, at + 110 + nameSize - 1);
    expect(archive[at + 110 + nameSize - 1]).toBe(0);
    const data = (at + 110 + nameSize + 3) & ~3;
    const end = (data + size + 3) & ~3;
    if (path === 'TRAILER!!!') {
      expect(end).toBe(archive.length);
      return members;
    }
    members.push({ path, mode, links, device: [field(9), field(10)], data: archive.subarray(data, data + size) });
    at = end;
  }
}

const entry = fc.record({
  path: fc
    .string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
    .filter((s) => !s.includes('\0') && s !== 'TRAILER!!!'),
  type: fc.constantFrom<CpioEntry['type']>('file', 'folder', 'link', 'characters'),
  permissions: fc.integer({ min: 0, max: 0o7777 }),
  data: fc.uint8Array({ maxLength: 50 }),
  device: fc.tuple(fc.nat(511), fc.nat(255)),
});

test('every entry comes back from the archive, whatever its name and length', () => {
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const members = readCpio(writeCpio(entries));
      expect(members.map(({ path, device, data }) => ({ path, device, data }))).toEqual(
        entries.map(({ path, device, data }) => ({ path, device, data })),
      );
      expect(members.map((m) => m.mode & 0o7777)).toEqual(entries.map((e) => e.permissions));
    }),
  );
});

test('the file type stands in the mode as the kernel has it', () => {
  const types = ['file', 'folder', 'link', 'characters'] as const;
  const members = readCpio(writeCpio(types.map((type) => ({ path: type, type, permissions: 0 }))));
  // include/uapi/linux/stat.h: S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR
  expect(members.map((m) => m.mode.toString(8))).toEqual(['100000', '40000', '120000', '20000']);
});

test('an archive of nothing is its trailer', () => {
  expect(readCpio(writeCpio([]))).toEqual([]);
});
