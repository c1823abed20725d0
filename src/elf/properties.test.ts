// What holds for every model and for every sequence of bytes, not only for those that somebody thought of.

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { meaning, models } from '../../test/support/elf-models.ts';
import { ReasonError } from '../reason.ts';
import { readElf, writeElf } from './elf.ts';
import type { ElfModel } from './model.ts';

// Thousands of files: seconds, and more on a machine that has other things to do.
vi.setConfig({ testTimeout: 120_000 });

describe('any model', () => {
  it('means the same after it was written and read', () => {
    fc.assert(
      fc.property(models, (model) => {
        expect(meaning(readElf(writeElf(model), 'x.o'))).toEqual(meaning(model));
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same bytes when what was read is written again', () => {
    fc.assert(
      fc.property(models, (model) => {
        const bytes = writeElf(model);
        expect(writeElf(readElf(bytes, 'x.o'))).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });
});

/** Changes to a file: single bytes, and whole words that aim at offsets, sizes and indexes. */
const changes = fc.array(
  fc.record({
    at: fc.nat({ max: 1 << 16 }),
    value: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 0x7fffffff, 0x80000000, 0xffffffff, 0xff00, 0xffff)),
    width: fc.constantFrom(1, 2, 4),
  }),
  { minLength: 1, maxLength: 4 },
);

function damage(bytes: Uint8Array, list: readonly { at: number; value: number; width: number }[]): Uint8Array {
  const damaged = bytes.slice();
  for (const { at, value, width } of list)
    for (let i = 0; i < width; i++) damaged[(at + i) % damaged.length] = (value >>> (8 * i)) & 0xff;
  return damaged;
}

/** The model, or undefined where the file was refused. Any other exception is a failure. */
function readOrRefuse(bytes: Uint8Array): ElfModel | undefined {
  try {
    return readElf(bytes, 'x.o');
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    for (const { code, place } of error.reasons) {
      expect(['elf-malformed', 'elf-unsupported']).toContain(code);
      expect(place).toMatch(/^x\.o: /);
    }
    return undefined;
  }
}

/** How much was made of a file: bytes of contents, and of entries that became objects. */
function taken(model: ElfModel): { contents: number; entries: number } {
  const { class: elfClass } = model.header;
  const relocations = model.sections.flatMap((s) => [...s.relocations, ...(s.relocationTable?.relocations ?? [])]);
  const members = model.sections.flatMap((s) => s.group?.members ?? []);
  return {
    contents: model.sections.reduce((sum, section) => sum + section.data.length, 0),
    entries: model.symbols.length * (elfClass === 64 ? 24 : 16) + relocations.length * 8 + members.length * 4,
  };
}

describe('damaged files', () => {
  const damagedFiles = fc.tuple(models, changes).map(([model, list]) => damage(writeElf(model), list));

  it('are read or refused, and take no more than their own size allows', () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(damagedFiles, (bytes) => {
        const model = readOrRefuse(bytes);
        if (!model) {
          refused++;
          return;
        }
        accepted++;
        const { contents, entries } = taken(model);
        expect(contents).toBeLessThanOrEqual(4 * bytes.length);
        expect(entries).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  });

  it('keep their meaning when they are accepted and written again', () => {
    fc.assert(
      fc.property(damagedFiles, (bytes) => {
        const model = readOrRefuse(bytes);
        // Images are read and never written.
        if (model?.header.type !== 1) return;
        expect(meaning(readElf(writeElf(model), 'x.o'))).toEqual(meaning(model));
      }),
      { numRuns: 3000 },
    );
  });

  it('are refused wherever they are cut off', () => {
    fc.assert(
      fc.property(models, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (model, part) => {
        const bytes = writeElf(model);
        // The section headers stand last, so no part of the file is a file.
        expect(readOrRefuse(bytes.subarray(0, Math.floor(part * bytes.length)))).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});
