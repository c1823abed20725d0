// What has changed is told from symbols, relocations and words; each rule of that is a small case here, written as text. And
// whatever a file says, the answer is a difference or a reason.

import fc from 'fast-check';
import { describe, expect, it, test, vi } from 'vitest';
import { inWords } from '../../test/support/diff-in-words.ts';
import { models } from '../../test/support/elf-models.ts';
import { goldenCases } from '../../test/support/golden.ts';
import { textObject } from '../../test/support/text-object.ts';
import { ET_EXEC, SHF_ALLOC, SHT_NOBITS, SHT_PROGBITS, STT_SECTION } from '../elf/constants.ts';
import { newSection, newSymbol, readElf, writeElf } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { type ReasonCode, ReasonError } from '../reason.ts';
import { diffObjects } from './diff.ts';

vi.setConfig({ testTimeout: 120_000 });

/** 64-Bit ELF V2 ABI, section 3.5.4. */
const R_PPC64_ADDR32 = 1;

const diff = (original: ElfModel, patched: ElfModel) =>
  diffObjects({ name: 'before.o', model: original }, { name: 'after.o', model: patched });

describe('the difference between two objects', () => {
  test.each(goldenCases(new URL('cases.txt', import.meta.url)))('$title', ({ input, expected }) => {
    const [before, after] = input.split(/^---$/m).map(textObject);
    expect(inWords(diff(before!, after!))).toEqual(
      expected
        .split('\n')
        .filter((line) => line !== '')
        .sort(),
    );
    expect(inWords(diff(after!, after!))).toEqual([]);
  });
});

/** Functions that use two static locals of each of three names, call each other and have strings. */
const functions = fc.array(
  fc.array(
    fc.oneof(
      fc.constantFrom('a', 'b', 'c').map((name) => ({ use: name })),
      fc
        .constantFrom('call f0', 'call f1', 'call far', 'use "one"', 'use "two"', 'word 60000000')
        .map((line) => ({ line })),
    ),
    { maxLength: 8 },
  ),
  { minLength: 1, maxLength: 5 },
);

describe('an object whose static locals have got other numbers', () => {
  it('is the same', () => {
    fc.assert(
      fc.property(functions, fc.infiniteStream(fc.nat(1000)), (bodies, numbers) => {
        const text = (number: (i: number) => number) => {
          let made = 0;
          const variables: string[] = [];
          const code = bodies.map((body, f) => {
            const lines = body.map((part) => {
              if ('line' in part) return part.line;
              const name = `${part.use}.${number(made++)}`;
              variables.push(`data ${name} 4\n  value ${part.use.charCodeAt(0)}`);
              return `use ${name}`;
            });
            return [`code f${f}`, ...lines].join('\n  ');
          });
          return [...code, ...variables].join('\n');
        };
        const shuffled = new Set<number>();
        const next = () => {
          for (;;) {
            const number = numbers.next().value;
            if (!shuffled.has(number)) return shuffled.add(number) && number;
          }
        };
        const others = Array.from({ length: 40 }, next);
        expect(inWords(diff(textObject(text((i) => i)), textObject(text((i) => others[i]!))))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

/** The codes that two files end with, none if they are compared. Any other exception is a failure. */
function codesOf(work: () => unknown): ReasonCode[] {
  try {
    work();
    return [];
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return error.reasons.map(({ code }) => code);
  }
}

describe('files that nobody made in good faith', () => {
  it('end in a difference or a reason', () => {
    fc.assert(
      fc.property(models, models, (a, b) => {
        expect(['elf-malformed', 'objects-unrelated', undefined]).toContain(codesOf(() => diff(a, b))[0]);
        expect(['elf-malformed', 'objects-unrelated', undefined]).toContain(codesOf(() => diff(a, a))[0]);
      }),
      { numRuns: 500 },
    );
  });

  it('are compared where one has code that is not in the file', () => {
    const bytes = writeElf(textObject('code f\n  word 60000000'));
    const emptied = readElf(bytes, 'after.o');
    const text = emptied.sections.find(({ name }) => name === '.text.f')!;
    Object.assign(text, { type: SHT_NOBITS, data: new Uint8Array() });
    expect(diff(readElf(bytes, 'before.o'), emptied).changed.map(({ name }) => name)).toEqual(['f']);
  });

  it('end so when bytes of a good one are changed', () => {
    const good = goldenCases(new URL('cases.txt', import.meta.url)).map(({ input }) =>
      writeElf(textObject(input.split('---')[0]!)),
    );
    const change = fc.record({ at: fc.nat(), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.constantFrom(...good), fc.array(change, { minLength: 1, maxLength: 6 }), (bytes, list) => {
        const damaged = bytes.slice();
        for (const { at, value } of list) damaged[at % damaged.length] = value;
        const codes = codesOf(() => diff(readElf(bytes, 'before.o'), readElf(damaged, 'after.o')));
        expect(['elf-malformed', 'elf-unsupported', 'objects-unrelated', undefined]).toContain(codes[0]);
      }),
      { numRuns: 1000 },
    );
  });

  it('take no longer than their size asks for', () => {
    // Each of thousands of functions uses every one of many static locals of one name: nothing tells them apart.
    const names = Array.from({ length: 60 }, (_, i) => `x.${i}`);
    const uses = names.map((name) => `  use ${name}`).join('\n');
    const code = Array.from({ length: 60 }, (_, i) => `code f${i}\n${uses}`).join('\n');
    const data = names.map((name) => `data ${name} 4`).join('\n');
    const [before, after] = [textObject(`${code}\n${data}`), textObject(`${code.replaceAll('x.59', 'x.0')}\n${data}`)];
    expect(diff(before, after).changed.length).toBe(60);
  });
});

describe('new code that refers to a section in which nothing is', () => {
  it('is refused, with the names of both: nothing can be taken along, and the kernel has no name for it', () => {
    const [before, after] = ['word 60000000', 'word 60000001'].map((word) => {
      const model = textObject(`code f\n ${word}`);
      const empty = newSection('__ftr_alt_97', SHT_PROGBITS, SHF_ALLOC, new Uint8Array());
      const symbol = newSymbol('', { place: empty, type: STT_SECTION });
      const text = model.sections.find(({ name }) => name === '.text.f')!;
      text.relocations.push({ offset: 0, type: R_PPC64_ADDR32, symbol, addend: 0n });
      model.sections.push(empty);
      model.symbols.push(symbol);
      return model;
    });
    expect(diff(before!, after!).reasons).toMatchObject([
      { code: 'relocation-unsupported', place: 'f', message: expect.stringContaining('__ftr_alt_97') },
    ]);
  });
});

describe('two files that are not of one source', () => {
  const object = textObject('code f');
  it('are refused', () => {
    const foreign = textObject('code f');
    foreign.header.machine = 62;
    const image = textObject('code f');
    image.header.type = ET_EXEC;
    for (const other of [foreign, image]) expect(codesOf(() => diff(object, other))).toEqual(['objects-unrelated']);
  });
});

describe('an object of a machine that Suture does not know', () => {
  it('is compared, and no more is said', () => {
    const [before, after] = ['word 60000000', 'word 60000001'].map((word) => textObject(`code f\n ${word}\ncode g`));
    for (const model of [before!, after!]) model.header.machine = 62;
    const { changed, reasons, remarks } = diff(before!, after!);
    expect(changed.map(({ name }) => name)).toEqual(['f']);
    expect(reasons).toEqual([]);
    expect(remarks).toEqual([expect.stringContaining('machine 62')]);
  });
});
