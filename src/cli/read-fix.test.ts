// What people first try is a patch file, or the kernel's own livepatch sample. Both are answered before anything is compiled.

import { describe, expect, test } from 'vitest';
import { ReasonError } from '../reason.ts';
import { checkFix, isPatch } from './read-fix.ts';

const codeOf = (text: string, file = 'fix.c'): string => {
  try {
    checkFix(text, file);
    return 'a fix';
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
};

describe('a source patch', () => {
  test.each([
    ['fix.patch', ''],
    ['fix.diff', ''],
    ['fix.c', '--- a/fs/proc/cmdline.c\n+++ b/fs/proc/cmdline.c\n'],
    ['fix.c', 'diff --git a/x b/x\n'],
    ['fix', `From ${'0123456789'.repeat(4)} Mon Sep 17 00:00:00 2001\n`],
    ['mail', 'Subject: mend it\n\nWhy.\n---\n\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n'],
  ])('%s: %j', (file, text) => expect(isPatch(text, file)).toBe(true));

  test.each(['int a = b--- c;\n', '/*\n--- a\n+++ b\n*/\n'])('is not %j', (text) =>
    expect(isPatch(text, 'fix.c')).toBe(false),
  );
});

describe('a whole livepatch module', () => {
  test.each(['module_init(livepatch_init);', 'ret = klp_enable_patch(&patch);', 'return klp_enable_patch\n(&patch);'])(
    '%j',
    (line) => expect(codeOf(`int f(void)\n{\n\t${line}\n}\n`)).toBe('whole-module'),
  );
});

test.each(['redirect.S', 'code.s'])('%s is assembly, and no fix', (file) =>
  expect(codeOf('.globl f\nf: nop\n', file)).toBe('usage'),
);

describe('a fix', () => {
  test.each([
    'int f(void) { return 0; }',
    '/* unlike a module_init(x) */ int f;',
    'int f; // no klp_enable_patch(&patch)',
    'char *f = "module_init(";',
    "char q = '\\''; /* klp_enable_patch( */",
    'int my_module_init(void);',
    'int a = b--- c;',
  ])('%j', (text) => expect(codeOf(text)).toBe('a fix'));

  test('may have a comment that does not end, which is for the compiler to say', () => {
    expect(codeOf(`int f; ${'/* '.repeat(100_000)}module_init(`)).toBe('a fix');
  });
});
