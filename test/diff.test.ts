// What a fix changes, as the compilers show it: each thing that has made users of other tools replace too much, too little or the
// wrong thing is a small C file here, compiled for both architectures.

import { describe, expect, test } from 'vitest';
import { diffObjects } from '../src/diff/diff.ts';
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

describe.each(machines)('two objects for %s', (machine) => {
  test.each(goldenCases(new URL('diff/cases.txt', import.meta.url)))('$title', async ({ input, expected }) => {
    const [, how, more = '', source] = /^(ONE_SECTION|ANCHORS|OPTIONS ([^\n]*))?\n?(.*)$/s.exec(input)!;
    const options = how === 'ONE_SECTION' ? [] : how === 'ANCHORS' ? apart.slice(0, 2) : apart;
    const [original, patched] = await compilePair(machine, source!, [
      ...options,
      ...more.split(' ').filter((option) => option !== ''),
    ]);
    expect(inWords(diffObjects(original, patched))).toEqual(linesFor(machine, expected));
    // An object is never different from itself.
    expect(inWords(diffObjects(patched, patched))).toEqual([]);
  });
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
