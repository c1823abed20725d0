// The prover believes that the same term is the same number. So every simplification is tried with numbers: a term built
// step by step evaluates to what the same steps give on numbers.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compute, type Operation, operations } from '../arch/machine.ts';
import { same, type Term, Terms } from './terms.ts';

/** A way to compute something from four initial values, as a tree. */
type Recipe = number | bigint | readonly [Operation, Recipe, Recipe];

const names = ['r0', 'r1', 'sp', 'byte'];
const edges = [
  0n,
  1n,
  2n,
  3n,
  4n,
  31n,
  32n,
  0xffn,
  0x7fffffffn,
  0x80000000n,
  0xfffffffcn,
  0xffffffffn,
  64n,
  0xffffffffffffffffn,
];

const recipes = fc.letrec<{ recipe: Recipe }>((tie) => ({
  recipe: fc.oneof(
    { maxDepth: 5, depthSize: 'large' },
    fc.integer({ min: 0, max: names.length - 1 }),
    fc.constantFrom(...edges),
    fc.tuple(fc.constantFrom(...(Object.keys(operations) as Operation[])), tie('recipe'), tie('recipe')),
  ),
})).recipe;

const isLeaf = (recipe: Recipe): recipe is number | bigint => typeof recipe !== 'object';

describe.each([32, 64] as const)('Terms of %i bits', (bits) => {
  const initials = (terms: Terms): Term[] => [
    terms.initial('r0'),
    terms.initial('r1'),
    terms.initial('sp', 3),
    terms.memory(terms.initial('sp', 3), 1),
  ];
  const build = (terms: Terms, recipe: Recipe): Term => {
    if (typeof recipe === 'number') return initials(terms)[recipe]!;
    if (isLeaf(recipe)) return terms.constant(recipe);
    return terms.apply(recipe[0], build(terms, recipe[1]), build(terms, recipe[2]));
  };
  const run = (numbers: readonly bigint[], recipe: Recipe): bigint => {
    if (typeof recipe === 'number') return numbers[recipe]!;
    if (isLeaf(recipe)) return BigInt.asUintN(bits, recipe);
    return compute(recipe[0], bits, run(numbers, recipe[1]), run(numbers, recipe[2]));
  };
  const word = fc
    .oneof(fc.constantFrom(...edges), fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }))
    .map((n) => BigInt.asUintN(bits, n));
  const numbers = fc.tuple(
    word,
    word,
    word.map((n) => n & ~7n & ((1n << BigInt(bits)) - 1n)),
    word.map((n) => n & 0xffn),
  );
  const evaluate = (terms: Terms, term: Term, values: readonly bigint[]): bigint =>
    terms.evaluate(term, ({ origin }) =>
      origin.kind === 'initial' ? values[names.indexOf(origin.name)]! : values[3]!,
    );

  test('are worth what the operations that made them give', () => {
    fc.assert(
      fc.property(recipes, numbers, (recipe, values) => {
        const terms = new Terms(bits);
        expect(evaluate(terms, build(terms, recipe), values)).toBe(run(values, recipe));
      }),
      { numRuns: 3000 },
    );
  });

  test('have the bits that are called certain, whatever the atoms are', () => {
    fc.assert(
      fc.property(recipes, numbers, (recipe, values) => {
        const terms = new Terms(bits);
        const term = build(terms, recipe);
        const mask = (1n << BigInt(terms.certainBits(term))) - 1n;
        expect(evaluate(terms, term, values) & mask).toBe(term.plus & mask);
      }),
      { numRuns: 2000 },
    );
  });

  test('are the same for one way to compute, and read back as text', () => {
    const terms = new Terms(bits);
    const [r0, r1, sp] = initials(terms) as [Term, Term, Term];
    const sixteen = terms.constant(16);
    const lower = terms.apply('subtract', sp, sixteen);
    expect(same(terms.apply('add', lower, sixteen), sp)).toBe(true);
    expect(terms.describe(lower)).toBe('sp - 0x10');
    expect(terms.describe(terms.memory(terms.apply('add', sp, terms.constant(4)), 4))).toBe('[sp + 4]');
    const masked = terms.apply('and', r0, terms.constant(0xff));
    expect(terms.describe(masked)).toBe('(r0 & 0xff)');
    expect(same(terms.apply('and', terms.constant(0xff), r0), masked)).toBe(true);
    expect(same(terms.apply('subtract', terms.apply('add', r0, r1), r1), r0)).toBe(true);
    // x - y is x + NOT(y) + 1.
    const turned = terms.apply('xor', r1, terms.constant(-1));
    const difference = terms.apply('add', terms.apply('add', r0, turned), terms.constant(1));
    expect(same(difference, terms.apply('subtract', r0, r1))).toBe(true);
    expect(terms.describe(difference)).toBe('r0 - r1');
  });

  test('know that an aligned address has no low bits', () => {
    const terms = new Terms(bits);
    const sp = terms.initial('sp', 3);
    const odd = terms.apply('add', sp, terms.constant(5));
    expect(same(terms.apply('and', odd, terms.constant(3)), terms.constant(1))).toBe(true);
    expect(same(terms.apply('and', odd, terms.constant(-8)), sp)).toBe(true);
    expect(same(terms.apply('equal', sp, terms.constant(4)), terms.constant(0))).toBe(true);
  });

  test('take apart again what was put together of narrow numbers', () => {
    const terms = new Terms(bits);
    const at = (term: Term, shift: number): Term => terms.apply('shiftLeft', term, terms.constant(shift));
    const [flag, field] = [terms.initial('flag', 0, 1), terms.initial('field', 0, 4)];
    const whole = terms.apply('or', terms.apply('or', at(flag, 29), at(field, 8)), terms.constant(3));
    const part = (shift: number, mask: number): Term =>
      terms.apply('and', terms.apply('shiftRight', whole, terms.constant(shift)), terms.constant(mask));
    expect([part(29, 1), part(8, 0xf), part(0, 0xff)].map((term) => terms.describe(term))).toEqual([
      'flag',
      'field',
      '3',
    ]);
    // What lies across the edge of a mask stays as it is said.
    expect(terms.describe(part(9, 1))).toContain('&');
    // A number that it has no bits for it is not.
    expect(same(terms.apply('equal', field, terms.constant(16)), terms.constant(0))).toBe(true);
  });

  test('keep two unknown numbers apart', () => {
    const terms = new Terms(bits);
    expect(same(terms.unknown('a handler'), terms.unknown('a handler'))).toBe(false);
  });
});

test('A term is printed within bounds, however many numbers are nested in it', () => {
  const terms = new Terms(64);
  const inputs = Array.from({ length: 15 }, (_, i) => terms.initial(`r${i}`));
  const all = (of: readonly Term[]): Term => of.reduce((sum, term) => terms.apply('add', sum, term));
  const widened = (of: readonly Term[]): Term[] =>
    of.map((_, i) => terms.apply('xor', all(of), terms.apply('add', all(of), terms.constant(i + 1))));
  const text = terms.describe(all(widened(widened(widened(inputs)))));
  expect(text.length).toBeLessThan(2000);
  expect(text).toContain('…');
});
