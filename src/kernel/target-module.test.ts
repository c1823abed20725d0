// A function of a module is known by its file alone until the module is there: which one is meant, and which of its words memory
// will not have as the file does, must be right before anybody compares.

import { describe, expect, it } from 'vitest';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOTE, SHT_PROGBITS, STT_FUNC, STT_OBJECT } from '../elf/constants.ts';
import { newModel, newSection, newSymbol, writeElf } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { ReasonError } from '../reason.ts';
import type { ModuleAbi } from './module-abi.ts';
import { findTargetFunction, findTargetSymbol, readTargetModule } from './target-module.ts';

// OpenPOWER ELFv2 ABI, section 3.5.3.
const [REL24, REL32, REL64, TOC16_HA, ENTRY] = [10, 26, 44, 50, 118];
const nop = 0x60000000;

/** TOC set-up, call site, a TOC reference, a call with its nop, two words that jump labels and features rewrite, `blr`. */
const words = [
  ...[0xe84cfff8, 0x7c426214, 0x7c0802a6, 0x48000001],
  ...[0x3d220000, 0x48000001, nop, nop, nop, 0x4e800020],
];
const start = 8;

const vermagic = '6.1.0 SMP ';
const abi = { vermagic, structModuleSize: 64, nameOffset: 8 } as ModuleAbi;
const text = new TextEncoder();

interface Made {
  readonly model: ElfModel;
  readonly code: Section;
}

function target(change: (made: Made) => void = () => {}) {
  const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const add = (name: string, data: Uint8Array, flags = SHF_ALLOC, type = SHT_PROGBITS) => {
    const section = newSection(name, type, flags, data, { align: 4 });
    model.sections.push(section);
    return section;
  };
  const struct = new Uint8Array(64);
  struct.set(text.encode('target'), 8);
  add('.gnu.linkonce.this_module', struct, SHF_ALLOC | SHF_WRITE);
  add('.modinfo', text.encode(`name=target\0vermagic=${vermagic}\0`));
  const note = Uint8Array.of(4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 1, 2, 3, 4);
  add('.note.gnu.build-id', note, SHF_ALLOC, SHT_NOTE);
  const bytes = new Uint8Array(start + 4 * words.length);
  bytes.set(new Uint8Array(Uint32Array.from(words).buffer), start);
  const code = add('.text', bytes, SHF_ALLOC | SHF_EXECINSTR);
  const symbol = (name: string, rest = {}) => {
    const made = newSymbol(name, rest);
    model.symbols.push(made);
    return made;
  };
  const here = symbol('', { place: code, type: 3, binding: 0 });
  symbol('show', { place: code, value: BigInt(start), size: BigInt(4 * words.length), type: STT_FUNC });
  const data = add('.data', new Uint8Array(16), SHF_ALLOC | SHF_WRITE);
  symbol('table', { place: data, value: 8n, size: 8n, type: STT_OBJECT });
  const relocate = (offset: number, type: number, name: string) =>
    code.relocations.push({ offset: start + offset, type, symbol: symbol(name), addend: 0n });
  relocate(0, ENTRY, '.TOC.');
  relocate(12, REL24, '_mcount');
  relocate(16, TOC16_HA, '.TOC.');
  relocate(20, REL24, 'printk');
  const jumps = add('__jump_table', new Uint8Array(16), SHF_ALLOC | SHF_WRITE);
  jumps.relocations.push({ offset: 0, type: REL32, symbol: here, addend: BigInt(start + 28) });
  // Start and end of a feature section are told as distances from the entry, so their addends count from there.
  const features = add('__ftr_fixup', new Uint8Array(48));
  features.relocations.push(
    { offset: 16, type: REL64, symbol: here, addend: BigInt(start + 32 + 16) },
    { offset: 24, type: REL64, symbol: here, addend: BigInt(start + 36 + 24) },
  );
  change({ model, code });
  return readTargetModule(writeElf(model), 'target.ko', ppc64le, abi);
}

const codeOf = (task: () => unknown): string => {
  try {
    task();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
  return 'none';
};

describe('a function of a module', () => {
  it('has the words of its file, and its call site', () => {
    const { words: found, site, address } = findTargetFunction(target(), 'show', 0);
    expect([...found]).toEqual(words);
    expect({ site, address }).toEqual({ site: 12n, address: 0n });
  });

  it('is not compared where the loader or the kernel writes', () => {
    // Both words of the TOC set-up, the call site, the TOC reference, the call and its nop, the jump label, the feature.
    expect([...findTargetFunction(target(), 'show', 0).masked]).toEqual([0, 1, 3, 4, 5, 6, 7, 8]);
  });

  it('has all of its last word, where Thumb-2 code ends in the middle of it', () => {
    const shorter = (by: bigint, change: (made: Made) => void = () => {}) =>
      target((made) => {
        made.model.symbols.find(({ name }) => name === 'show')!.size -= by;
        change(made);
      });
    expect([...findTargetFunction(shorter(2n), 'show', 0).words]).toEqual(words);
    // Behind a section is nobody knows what.
    const { words: found, masked } = findTargetFunction(
      shorter(2n, ({ code }) => {
        code.data = code.data.subarray(0, -2);
      }),
      'show',
      0,
    );
    expect([...found]).toEqual([...words.slice(0, -1), words.at(-1)! & 0xffff]);
    expect(masked.at(-1)).toBe(words.length - 1);
    expect(codeOf(() => findTargetFunction(shorter(BigInt(4 * words.length - 2)), 'show', 0))).toBe('name-missing');
  });

  it('is refused if a table does not tell where its words end', () => {
    const made = target(({ model }) => {
      model.sections.find(({ name }) => name === '__ftr_fixup')!.relocations.pop();
    });
    expect(codeOf(() => findTargetFunction(made, 'show', 0))).toBe('self-modified-unknown');
  });

  it('is refused without a call site, or if it is none', () => {
    const made = target(({ code }) => {
      code.relocations = code.relocations.filter(({ symbol }) => symbol!.name !== '_mcount');
    });
    expect(codeOf(() => findTargetFunction(made, 'show', 0))).toBe('no-call-site');
    expect(codeOf(() => findTargetFunction(target(), 'table', 0))).toBe('name-missing');
  });
});

describe('a name in a module', () => {
  const twice = (place: (made: Made) => Section) =>
    target((made) => {
      const first = newSymbol('show', { place: place(made), size: 8n, type: STT_FUNC });
      made.model.symbols.unshift(first);
    });

  it('means the only symbol, or the one at its sympos', () => {
    expect(findTargetSymbol(target(), 'table', 0).value).toBe(8n);
    expect(
      findTargetSymbol(
        twice(({ code }) => code),
        'show',
        2,
      ).value,
    ).toBe(8n);
  });

  it.each<[string, number, string]>([
    ['show', 0, 'name-ambiguous'],
    ['show', 3, 'name-missing'],
    ['shwo', 0, 'name-missing'],
    ['printk', 0, 'name-missing'],
  ])('%s, %i is refused', (name, sympos, code) => {
    expect(
      codeOf(() =>
        findTargetSymbol(
          twice((made) => made.code),
          name,
          sympos,
        ),
      ),
    ).toBe(code);
  });

  it('is refused if its sympos changes once the kernel has forgotten initialisation code, or if it is that', () => {
    const made = twice(({ model }) => {
      const section = newSection('.init.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(8));
      model.sections.push(section);
      return section;
    });
    expect(codeOf(() => findTargetSymbol(made, 'show', 2))).toBe('name-ambiguous');
    expect(codeOf(() => findTargetSymbol(made, 'show', 1))).toBe('init-text');
  });
});

describe('a file is refused as a target', () => {
  it.each<[string, (made: Made) => void]>([
    [
      'for another kernel',
      ({ model }) => {
        model.sections.find(({ name }) => name === '.modinfo')!.data = text.encode('vermagic=6.2.0 SMP \0');
      },
    ],
    [
      'with another struct module',
      ({ model }) => {
        model.sections.find(({ name }) => name === '.gnu.linkonce.this_module')!.data = new Uint8Array(32);
      },
    ],
    [
      'without a build id',
      ({ model }) => {
        model.sections = model.sections.filter(({ type }) => type !== SHT_NOTE);
      },
    ],
    [
      'that is no module',
      ({ model }) => {
        model.sections = model.sections.filter(({ name }) => name !== '.modinfo');
      },
    ],
  ])('%s', (_what, change) => {
    expect(codeOf(() => target(change))).toBe('wrong-kernel');
  });
});
