// The rate that the corpus gives is of fixes that change function bodies only; what counts as one is decided here.

import { describe, expect, it } from 'vitest';
import { cutSource, sourceChange } from './function-bodies.ts';

const file = `/*
 * int no(void) { { " # ' */
#include <linux/module.h>
#define TWICE(x) do { \\
	(x)++; (x)++; \\
} while (0)

struct pair { int a, b; };
static const struct pair table[] = { { .a = '{', .b = 2 } };

static int helper(struct pair *p) __must_hold(&lock)
{
	if (p->a) {
		return p->b; /* } */
	}
	return "}"[0];
}

#ifdef CONFIG_A
static void early(int x) {
#else
static void early(long x) {
#endif
	helper(NULL);
}

SYSCALL_DEFINE2(mine, int, a, int, b)
{
	return a + b;
}
`;
const change = (from: string, to: string) => {
  expect(file).toContain(from);
  return sourceChange(file, file.replace(from, to));
};

describe('a file', () => {
  it('is cut into bodies and the rest', () => {
    const { outside, bodies } = cutSource(file);
    expect([...bodies.keys()].map((head) => head.split(' (')[0])).toEqual([
      'static int helper',
      // In two branches, with a head of its own in each.
      'static void early',
      'static void early',
      'SYSCALL_DEFINE2',
    ]);
    expect(outside).toContain('table [ ] = { {');
    expect(outside).not.toContain('return');
  });

  it('that ends within a body, a comment or a string is read to its end', () => {
    for (const text of [
      'int f(void) { if (x) {',
      'int f(void) { /* {',
      'int f(void) { "',
      '#if 1\n}}}\n#else',
      '#define',
    ]) {
      expect(() => cutSource(text)).not.toThrow();
    }
  });
});

describe('a change', () => {
  it('of comments and white space is none', () => {
    expect(change('/* } */', '\n\n/* other */')).toEqual({ bodiesOnly: true, functions: [] });
  });

  it('within a function is one of its body', () => {
    expect(change('return p->b;', 'return p->a;')).toEqual({ bodiesOnly: true, functions: ['helper'] });
    expect(change('a + b', 'a - b')).toEqual({ bodiesOnly: true, functions: ['mine'] });
    expect(change('helper(NULL)', 'helper(0)')).toEqual({ bodiesOnly: true, functions: ['early'] });
    expect(change('\thelper(NULL);', '#ifdef B\n\tif (0)\n#endif\n\thelper(NULL);').bodiesOnly).toBe(true);
  });

  it('that takes a function twice, in two branches, names it once', () => {
    expect(sourceChange(file, file.replace('(int x) {', '(char x) {'))).toEqual({
      bodiesOnly: false,
      functions: ['early'],
    });
  });

  it.each([
    ['an include', '#include <linux/module.h>', '#include <linux/slab.h>'],
    ['a macro', '(x)++; (x)++;', '(x) += 2;'],
    ['a type', 'int a, b;', 'int a, b, c;'],
    ['data', '.b = 2', '.b = 3'],
    ['a parameter', 'struct pair *p', 'const struct pair *p'],
    ['a new function', 'SYSCALL_DEFINE2', 'static void more(void) { }\nSYSCALL_DEFINE2'],
  ])('of %s is more than of bodies', (_, from, to) => {
    expect(change(from, to).bodiesOnly).toBe(false);
  });
});
