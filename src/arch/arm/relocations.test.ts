// The linker of patch modules refuses what the kernel's loader would refuse; the list must be the loader's.

import { expect, test } from 'vitest';
import { relocationKind } from './relocations.ts';

test('The kernel’s modules consist of these, and the loader takes them all', () => {
  // Every type that occurs in the modules of Debian's 6.1 armmp.
  const used = [0, 2, 3, 28, 29, 42, 43, 44];
  for (const type of [...used, 1, 38, 40, 45, 46, 57, 59, 63])
    expect(relocationKind(type), `type ${type}`).toMatchObject({ loadable: true });
});

test('Types of other code are known by name and not taken', () => {
  expect(relocationKind(96)).toEqual({ name: 'R_ARM_GOT_PREL', size: 4, use: 'pc-relative-data', loadable: false });
  expect(relocationKind(10)).toMatchObject({ name: 'R_ARM_THM_CALL', loadable: false });
  expect(relocationKind(255)).toBeUndefined();
});

test('Calls are told from data, and unwind tables from both', () => {
  const uses = [28, 2, 3, 42, 40].map((type) => relocationKind(type)?.use);
  expect(uses).toEqual(['call', 'data', 'pc-relative-data', 'unwind', 'none']);
});
