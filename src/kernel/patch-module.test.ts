// The table of patch modules is read by C code in the kernel and by the prover: what is written must come back, and a
// damaged table must end in a reason, never in a crash.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linkAddress } from '../elf/units.ts';
import { ReasonError } from '../reason.ts';
import { type PatchTable, type TablePointer, tableLayout, writePatchTable } from './patch-module.ts';
import { readPatchTable } from './read-patch-table.ts';

const table: PatchTable = {
  entry: {
    branch: { word: 0x48000000, addend: -8, range: 26, shift: 2, fields: [{ from: 0, width: 24, to: 2 }], flip: 3 },
    island: {
      always: false,
      words: [
        { word: 0xe51ff004, text: '' },
        { word: 0, text: '', field: { from: 0, width: 32, to: 0 } },
      ],
    },
  },
  buildId: { bytes: Uint8Array.from({ length: 20 }, (_, i) => i + 1), address: linkAddress(0xc0a01234n) },
  objects: [
    {
      module: undefined,
      redirects: [
        {
          oldName: 'cmdline_proc_show',
          oldAddress: linkAddress(0xc0400000n),
          oldSympos: 0,
          oldWords: Uint32Array.of(0xe92d4010, 0xe52de004, 0xebfa1234, 0xe8bd8010),
          masked: Uint32Array.of(2),
          site: 8,
          way: 'ftrace',
          stubSize: 8,
        },
        {
          oldName: 'leaf',
          oldAddress: linkAddress(0xc0400010n),
          oldSympos: 2,
          oldWords: Uint32Array.of(0xe52de004, 0xebfa1234),
          masked: new Uint32Array(),
          site: 4,
          way: 'ftrace',
          stubSize: 4,
        },
      ],
      recipes: [],
    },
    {
      module: { name: 'ext4', buildId: Uint8Array.of(9, 8, 7) },
      redirects: [],
      recipes: [
        {
          symbol: 'ext4_free',
          within: undefined,
          sympos: 1,
          addend: -8n,
          size: 4,
          pcRelative: true,
          shift: 2,
          range: 26,
          fields: [{ from: 0, width: 24, to: 0 }],
        },
        {
          symbol: 'table',
          within: { section: '.data', offset: 0x24 },
          sympos: 0,
          addend: 0n,
          size: 4,
          pcRelative: false,
          shift: 0,
          range: 0,
          fields: [
            { from: 0, width: 12, to: 0 },
            { from: 12, width: 4, to: 16 },
          ],
        },
      ],
    },
  ],
};

/** Follows the pointers that the writer listed, as the kernel's loader would. */
const follow = (pointers: readonly TablePointer[]) => (offset: number) => {
  const to = pointers.find((p) => p.offset === offset)?.to;
  return to?.kind === 'section' ? to.offset : undefined;
};

/** What no pointer stands in. */
const isNull = (pointers: readonly TablePointer[]) => (offset: number) => !pointers.some((p) => p.offset === offset);

describe('the table of a patch module', () => {
  it.each([4, 8] as const)('comes back as it was written, with words of %i bytes', (word) => {
    const { data, pointers } = writePatchTable(table, word);
    expect(readPatchTable(data, word, follow(pointers), isNull(pointers), 'x.ko')).toMatchObject(table);
  });

  it('has the sizes that the C header asserts', () => {
    expect(tableLayout(4).suture_redirect.size).toBe(2 * 4 + 10 * 4);
    expect(tableLayout(8).suture_redirect.size).toBe(2 * 4 + 10 * 8);
    expect(tableLayout(8).suture_patch_table.offset.build_id_address).toBe(16);
  });

  it('names a pointer for every new function, every stub and every place', () => {
    const { pointers } = writePatchTable(table, 8);
    const kinds = pointers.map((p) => p.to).filter((to) => to.kind !== 'section');
    expect(kinds).toEqual([
      { kind: 'new-function', object: 0, redirect: 0 },
      { kind: 'stub', object: 0, redirect: 0 },
      { kind: 'new-function', object: 0, redirect: 1 },
      { kind: 'stub', object: 0, redirect: 1 },
      { kind: 'place', object: 1, recipe: 0 },
      { kind: 'place', object: 1, recipe: 1 },
    ]);
  });

  it('is read whole or refused, whatever bytes are changed or cut off', () => {
    const { data, pointers } = writePatchTable(table, 8);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(data.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(data.length),
        (changes, length) => {
          const damaged = data.slice(0, length);
          for (const [at, value] of changes) if (at < length) damaged[at] = value;
          try {
            readPatchTable(damaged, 8, follow(pointers), isNull(pointers), 'x.ko');
          } catch (error) {
            expect(error).toBeInstanceOf(ReasonError);
          }
        },
      ),
    );
  });
});
