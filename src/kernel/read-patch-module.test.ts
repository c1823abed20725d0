// What is read of a patch must be what the kernel's loader makes of it. A file that the two would see differently is refused.

import { describe, expect, it } from 'vitest';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, STB_LOCAL, STT_FUNC } from '../elf/constants.ts';
import { newModel, newSection, newSymbol, writeElf } from '../elf/elf.ts';
import type { Relocation, Section } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import type { ReasonError } from '../reason.ts';
import { patchSection, tableLayout, writePatchTable } from './patch-module.ts';
import { readPatchModule } from './read-patch-module.ts';

const text = new TextEncoder();

/** The new function at 0x10 of .text, its stub at 0x40 of 0x50 bytes. */
function patchModule(change: (table: Section) => void = () => {}): Uint8Array {
  const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const code = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(0x50));
  const { data, pointers } = writePatchTable(
    {
      entry: undefined,
      buildId: { bytes: new Uint8Array(20).fill(7), address: linkAddress(0xc000000000001000n) },
      objects: [
        {
          module: undefined,
          redirects: [
            {
              oldName: 'old',
              oldAddress: linkAddress(0xc000000000400000n),
              oldSympos: 0,
              oldWords: Uint32Array.of(1, 2, 3),
              masked: Uint32Array.of(1),
              site: 4,
              way: 'ftrace',
              stubSize: 8,
            },
          ],
          recipes: [],
        },
        {
          module: { name: 'm', buildId: Uint8Array.of(1) },
          redirects: [],
          recipes: [
            {
              symbol: 'theirs',
              within: undefined,
              sympos: 0,
              addend: 0n,
              size: 8,
              pcRelative: false,
              shift: 0,
              range: 0,
              fields: [{ from: 0, width: 64, to: 0 }],
            },
          ],
        },
      ],
    },
    8,
  );
  const table = newSection(patchSection, SHT_PROGBITS, SHF_ALLOC, data);
  model.sections.push(
    code,
    table,
    newSection('.modinfo', SHT_PROGBITS, SHF_ALLOC, text.encode('name=p\0vermagic=v\0')),
  );
  const symbols = {
    section: newSymbol('table', { place: table, binding: STB_LOCAL }),
    'new-function': newSymbol('mine', { place: code, value: 0x10n, type: STT_FUNC, binding: STB_LOCAL }),
    place: newSymbol('place', { place: code, value: 8n, binding: STB_LOCAL }),
    stub: newSymbol('stub', { place: code, value: 0x40n, type: STT_FUNC, binding: STB_LOCAL }),
  };
  model.symbols.push(...Object.values(symbols));
  for (const { offset, to } of pointers) {
    const addend = to.kind === 'section' ? BigInt(to.offset) : 0n;
    table.relocations.push({ offset, type: ppc64le.pointerRelocation, symbol: symbols[to.kind], addend });
  }
  change(table);
  return writeElf(model);
}

const layout = tableLayout(8);
/** Behind the table and its two objects. */
const objectsAt = Math.ceil(layout.suture_patch_table.size / 8) * 8;
const redirectAt = objectsAt + 2 * layout.suture_object.size;
const recipesOfSecond = objectsAt + layout.suture_object.size + layout.suture_object.offset.recipes;
const member = (name: keyof typeof layout.suture_redirect.offset) => redirectAt + layout.suture_redirect.offset[name];

it('a patch module’s stub is no longer than any can be', () => {
  const long = (table: Section): void => new DataView(table.data.buffer).setUint32(member('stub_size'), 0x1004, true);
  expect(() => readPatchModule(patchModule(long), 'p.ko')).toThrow(/longer than any can be/);
});
const at = (table: Section, offset: number): Relocation => table.relocations.find((r) => r.offset === offset)!;

it('a patch module is read with where each new function and stub is', () => {
  const { redirects, recipes, name, vermagic } = readPatchModule(patchModule(), 'p.ko');
  expect({ name, vermagic }).toEqual({ name: 'p', vermagic: 'v' });
  expect(redirects).toMatchObject([
    {
      oldName: 'old',
      newFunction: { name: 'mine', offset: 0x10 },
      stub: { offset: 0x40, words: Uint32Array.of(0, 0) },
    },
  ]);
  expect(recipes).toMatchObject([{ module: 'm', symbol: 'theirs', place: { section: { name: '.text' }, offset: 8 } }]);
});

describe('refused is a patch module', () => {
  it.each<[string, RegExp, (table: Section) => void]>([
    [
      'whose addend leads back into the module only where numbers have 53 bits',
      /its stub is not in the module/,
      (table) => {
        at(table, member('stub')).addend = 1n << 60n;
      },
    ],
    [
      'whose new function is behind the end of the code',
      /its new function is not in the module/,
      (table) => {
        at(table, member('new_function')).addend = 0x40n;
      },
    ],
    [
      'whose new function is in front of the code',
      /its new function is not in the module/,
      (table) => {
        at(table, member('new_function')).addend = -0x14n;
      },
    ],
    [
      'in which a recipe would write past the end of a section',
      /what it is to be written to is not in the module/,
      (table) => {
        const recipe = Number(at(table, recipesOfSecond).addend);
        at(table, recipe + layout.suture_recipe.offset.place).addend = 0x44n;
      },
    ],
    [
      'in which a name has no end where names have theirs',
      /the name has more than 512 bytes/,
      (table) => {
        at(table, member('old_name')).addend = BigInt(table.data.length);
        table.data = Uint8Array.of(...table.data, ...new Uint8Array(600).fill(97), 0);
        table.size = table.data.length;
      },
    ],
    [
      'in which two functions have the same copy, or one lies in the other',
      /lie over those of other functions/,
      (table) => {
        const view = new DataView(table.data.buffer, table.data.byteOffset);
        const words = Number(at(table, member('old_words')).addend);
        view.setBigUint64(member('masked_count'), BigInt((table.data.length - words) >> 2), true);
        at(table, member('masked')).addend = BigInt(words);
        at(table, member('old_words')).addend = 0n;
        view.setBigUint64(member('old_size'), BigInt(table.data.length & ~3), true);
      },
    ],
    [
      'in which two relocations make one pointer',
      /two relocations change this place/,
      (table) => table.relocations.push({ ...at(table, member('stub')) }),
    ],
    [
      'in which a relocation makes an address that is none of its pointers',
      /the loader would change it at 0x[0-9a-f]+, where no pointer is/,
      (table) => table.relocations.push({ ...at(table, member('stub')), offset: member('old_address') }),
    ],
  ])('%s', (_what, message, change) => {
    const read = () => readPatchModule(patchModule(change), 'p.ko');
    expect(read).toThrow(message);
    try {
      read();
    } catch (error) {
      expect((error as ReasonError).reasons).toMatchObject([{ code: 'patch-malformed' }]);
    }
  });
});
