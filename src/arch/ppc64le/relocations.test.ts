// The loader's list decides which modules load; an entry too many would be found out only by a kernel.

import { expect, test } from 'vitest';
import { localEntryOffset, relocationKind } from './relocations.ts';

test('what the loader takes is marked so, and R_PPC64_NONE is not', () => {
  const loadable = Array.from({ length: 256 }, (_, type) => relocationKind(type))
    .filter((kind) => kind?.loadable)
    .map((kind) => kind!.name.replace('R_PPC64_', ''));
  expect(loadable.sort()).toEqual(
    // biome-ignore format: a list
    ['ADDR32', 'ADDR64', 'ENTRY', 'REL16_HA', 'REL16_LO', 'REL24', 'REL32', 'REL64', 'TOC', 'TOC16', 'TOC16_DS', 'TOC16_HA', 'TOC16_LO', 'TOC16_LO_DS', 'TOCSAVE'],
  );
  expect(relocationKind(0)).toMatchObject({ name: 'R_PPC64_NONE', loadable: false });
  expect(relocationKind(255)).toBeUndefined();
});

test('a local entry lies 4 to 64 bytes behind the global one, or is the same', () => {
  const offsets = [0, 1, 2, 3, 4, 5, 6, 7].map((code) => localEntryOffset((code << 5) | 2));
  expect(offsets).toEqual([0, 0, 4, 8, 16, 32, 64, 0]);
});
