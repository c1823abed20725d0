// What a fix changes, as the compilers show it: each thing that has made users of other tools replace too much, too little or the
// wrong thing is a small C file here, compiled for both architectures.

import { describe, expect, test } from 'vitest';
import { diffObjects, type NamedObject } from '../src/diff/diff.ts';
import { STT_FUNC } from '../src/elf/constants.ts';
import { isSection } from '../src/elf/elf.ts';
import { apart, compilePair, type Machine } from './diff/compile.ts';
import { inWords } from './support/diff-in-words.ts';
import { goldenCases } from './support/golden.ts';

const machines: readonly Machine[] = ['arm', 'ppc64le'];

/** The expected lines of one machine. */
const linesFor = (machine: Machine, expected: string): string[] =>
  expected
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [, own, rest] = /^(arm|ppc64le): (.*)$/.exec(line) ?? [undefined, machine, line];
      return own === machine ? [rest!] : [];
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

test('Thumb code is refused: its words are not those that are read here', async () => {
  const [original, patched] = await compilePair('arm', 'int f(void) { return MARK; }', ['-mthumb', '-DMARK=7']);
  expect(() => diffObjects(original, patched)).toThrow(/instructions of a set that Suture does not read/);
  const [arm] = await compilePair('arm', 'int f(void) { return MARK; }', ['-DMARK=7']);
  const [other] = await compilePair('arm', 'int f(void) { return MARK; }', ['-DMARK=8']);
  expect(diffObjects(arm, other).changed.map(({ name }) => name)).toEqual(['f']);
});

test('each reason that a difference can have is in a case', () => {
  const expected = goldenCases(new URL('diff/cases.txt', import.meta.url)).map((each) => each.expected);
  const codes = ['data-changed', 'init-text', 'export-changed', 'variable-ambiguous', 'layout-changed', 'no-call-site'];
  for (const code of [...codes, 'jump-label', 'sibling-call', 'table-unknown'])
    expect(
      expected.some((lines) => lines.includes(`refused ${code} `)),
      code,
    ).toBe(true);
});
