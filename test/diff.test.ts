// What a fix changes, as the compilers show it: each thing that has made users of other tools replace too much, too little or the
// wrong thing is a small C file here, compiled for both architectures.

import { describe, expect, test } from 'vitest';
import { diffObjects, type NamedObject } from '../src/diff/diff.ts';
import { STT_FUNC } from '../src/elf/constants.ts';
import { isSection } from '../src/elf/elf.ts';
import { ReasonError } from '../src/reason.ts';
import { apart, compilePair, type Machine, machines } from './diff/compile.ts';
import { inWords } from './support/diff-in-words.ts';
import { goldenCases } from './support/golden.ts';

/** The expected lines of one machine. What is said of `arm` holds for both instruction sets, if nothing is said of `thumb`. */
const linesFor = (machine: Machine, expected: string): string[] =>
  expected
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [, own, rest] = /^(arm|thumb|ppc64le): (.*)$/.exec(line) ?? [undefined, machine, line];
      return own === machine || (own === 'arm' && machine === 'thumb' && !/^thumb:/m.test(expected)) ? [rest!] : [];
    })
    .sort();

/** What the first line of a case says of how to compile it. */
function optionsFor(machine: Machine, how: string): readonly string[] {
  if (how === 'ONE_SECTION') return [];
  if (how === 'ANCHORS') return apart.filter((option) => option !== '-fno-section-anchors');
  // As vmlinux is compiled, not modules.
  if (how === 'MEDIUM') return machine === 'ppc64le' ? [...apart, '-mcmodel=medium'] : apart;
  return how.startsWith('OPTIONS ') ? [...apart, ...how.split(' ').slice(1)] : apart;
}

describe.each(machines)('two objects for %s', (machine) => {
  test.each(goldenCases(new URL('diff/cases.txt', import.meta.url)))('$title', async ({ input, expected }) => {
    const [, how = '', source = ''] = /^((?:ONE_SECTION|ANCHORS|MEDIUM|OPTIONS )[^\n]*\n)?(.*)$/s.exec(input)!;
    const [original, patched] = await compilePair(machine, source, optionsFor(machine, how.trim()));
    expect(inWords(diffObjects(original, patched))).toEqual(linesFor(machine, expected));
    // An object is never different from itself.
    expect(inWords(diffObjects(patched, patched))).toEqual([]);
  });
});

test('changed code of no function is refused with where it is', async () => {
  const code =
    'asm(".pushsection .text.entry,\\"ax\\"\\n.long " FIXELSE("0x7ffffff7", "0x7ffffff6") "\\n.popsection");';
  for (const machine of machines) {
    const [original, patched] = await compilePair(machine, code);
    expect(diffObjects(original, patched).reasons).toMatchObject([{ code: 'nameless-code', place: '.text.entry' }]);
  }
});

/** Twelve functions that call and inline each other, with all that compilers make names for; MARK says which one is changed. */
const many = Array.from(
  { length: 12 },
  (_, i) => `
${i % 3 === 0 ? 'static' : ''} int f${i}(int x) {
  static int count${i % 2};
  count${i % 2} += other("text ${i % 4}", __func__, ${i > 0 ? `f${i - 1}(x + ${i})` : 'x'});
  switch (x) { case 0: return 7${i}; case 1: return 91${i}; case 2: return 4${i}; case 3: return 8${i}; case 4: return 3${i}; case 5: return 5; }
#if MARK == ${i}
  { static int marks; marks++; }
  asm volatile(".long 0x0badc0de");
#endif
  return count${i % 2};
}`,
).join('');

/** Names of the functions that hold the word of the marked one. */
const marked = ({ model }: NamedObject): string[] =>
  model.symbols.flatMap(({ name, type, place, value, size }) => {
    if (type !== STT_FUNC || !isSection(place)) return [];
    const code = place.data.subarray(Number(value), Number(value + size));
    return Buffer.from(code).includes(Buffer.from([0xde, 0xc0, 0xad, 0x0b])) ? [name] : [];
  });

describe.each(machines)('a fix of one function of many for %s', (machine) => {
  test.each([0, 3, 4, 7, 9, 11])('changes f%i, and those that it is inlined into', async (i) => {
    const [, patched] = await compilePair(machine, many, [...apart, `-DMARK=${i}`]);
    const [original] = await compilePair(machine, many, [...apart, '-DMARK=-1']);
    const { changed, new: added, reasons } = diffObjects(original, patched);
    expect([...changed.map(({ name }) => name), ...added.map(({ name }) => name)].sort()).toEqual(
      marked(patched).sort(),
    );
    expect(reasons).toEqual([]);
  });
});

test('code of two instruction sets is refused, in one object and in two', async () => {
  const source = 'int f(void) { return 7; } __attribute__((target(MODE))) int g(void) { return 8; }';
  const [both] = await compilePair('arm', source, ['-DMODE="thumb"']);
  const [arm] = await compilePair('arm', source, ['-DMODE="arm"']);
  const [thumb] = await compilePair('thumb', source, ['-DMODE="thumb"']);
  expect(codeOf(() => diffObjects(both, both))).toBe('elf-unsupported');
  expect(codeOf(() => diffObjects(arm, both))).toBe('elf-unsupported');
  expect(codeOf(() => diffObjects(arm, thumb))).toBe('objects-unrelated');
  expect(inWords(diffObjects(arm, arm))).toEqual([]);
  expect(inWords(diffObjects(thumb, thumb))).toEqual([]);
});

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
  return undefined;
}

test('each reason that a difference can have is in a case', () => {
  const expected = goldenCases(new URL('diff/cases.txt', import.meta.url)).map((each) => each.expected);
  const codes = ['data-changed', 'init-text', 'export-changed', 'variable-ambiguous', 'layout-changed', 'no-call-site'];
  for (const code of [...codes, 'jump-label', 'sibling-call', 'table-unknown'])
    expect(
      expected.some((lines) => lines.includes(`refused ${code} `)),
      code,
    ).toBe(true);
});
