// A header that only adds names changes nothing for the thousands of files that include it and do not use them. What is taken for such
// a header and is not one leaves old code in the kernel.

import { expect, test } from 'vitest';
import { namesAdded } from './header-additions.ts';

/** A header; lines that the patch adds begin with `+`. */
function namesIn(lines: string): string[] | undefined {
  const all = lines.trim().split('\n');
  const added = new Set(all.flatMap((line, i) => (line.startsWith('+') ? [i] : [])));
  const names = namesAdded(all.map((line) => line.replace(/^[+ ]/, '')).join('\n'), added);
  return names && [...names];
}

test.each<[string, string, string[]]>([
  [
    'a prototype',
    ' #ifndef H\n #define H\n int old(void);\n+int fresh(struct page *p, int (*f)(void));\n #endif',
    ['fresh'],
  ],
  ['one of several lines', '+int __must_check\n+fresh(int a,\n+      int b);', ['fresh']],
  ['a macro', ' struct a {\n+#define FRESH(x) \\\n+\t((x) + 1)\n int x;\n };', ['FRESH']],
  [
    'an inline function',
    ' int old(void);\n+static inline int fresh(int a)\n+{\n+\tif (a)\n+\t\treturn a;\n+\treturn 0;\n+}',
    ['fresh'],
  ],
  ['an external variable', '+extern unsigned int fresh[4];\n+extern struct x *other;', ['fresh', 'other']],
  ['a structure that is only named', '+struct fresh;\n int old(struct fresh *);', []],
  ['a comment', ' /* old\n+ * and more { \n  */\n+// (\n int old(void);', []],
  [
    'within one of several branches',
    ' #ifdef A\n int old(void);\n+int fresh(void);\n #else\n static inline int old(void) { return 0; }\n+static inline int fresh(void) { return 0; }\n #endif',
    ['fresh'],
  ],
])('names are found: %s', (_, header, names) => expect(namesIn(header)).toEqual(names));

test.each([
  ['a member', ' struct a {\n \tint x;\n+\tint y;\n };'],
  ['a line of a function', ' static inline int f(int a)\n {\n+\ta++;\n \treturn a;\n }'],
  ['a line of a macro', ' #define A(x) \\\n+\tdo_it(); \\\n \tx'],
  ['a line behind a macro that goes on', ' #define A(x) \\\n+int fresh(void);\n int old(void);'],
  ['a condition', '+#ifdef FRESH\n int old(void);\n+#endif'],
  ['a macro that is taken away', '+#undef old'],
  ['an include', '+#include <linux/fresh.h>'],
  ['a type', '+typedef int fresh;'],
  ['a structure', '+struct fresh {\n+\tint a;\n+};'],
  ['an attribute of what follows', '+__must_check\n int old(void);'],
  ['what ends in the middle of something', ' int old(int a,\n+int b); int fresh(\n int c);'],
  ['a comment that swallows', '+/* from here\n int old(void);\n /* to here */'],
  ['a comment that ends early', ' /* from here\n+ */ int fresh(void); /*\n  to here */'],
  ['a function that is more than inline', '+void fresh(void)\n+{\n+}'],
  ['a function that is used by nobody', '+static inline __used void fresh(void)\n+{\n+}'],
  ['code of assembly', '+asm(".pushsection .init");'],
  ['two at once, with a value', '+extern int fresh(void), other;'],
  ['a brace that nothing opens', '+}'],
])('nothing is claimed of %s', (_, header) => expect(namesIn(header)).toBe(undefined));
