// A patch comes from anywhere: from git, from diff, out of a mail. What it means must be read exactly, and a file that is
// none, or one that was damaged on its way, must not be taken for a smaller fix.

import { describe, expect, it } from 'vitest';
import { ReasonError } from '../reason.ts';
import { applyToFile } from './apply-diff.ts';
import { parseUnifiedDiff } from './unified-diff.ts';

const parse = (text: string) => parseUnifiedDiff(text, 'fix.patch');
const reasonOf = (task: () => unknown) => {
  try {
    task();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0];
    throw error;
  }
  throw new Error('nothing was refused');
};

const edit = `Subject: say more
---
 fs/proc/cmdline.c | 2 +-

diff --git a/fs/proc/cmdline.c b/fs/proc/cmdline.c
index 1..2 100644
--- a/fs/proc/cmdline.c
+++ b/fs/proc/cmdline.c
@@ -2,3 +2,4 @@ static int show(void)
 two
-three
+THREE
+and more
 four
-- 
2.39.5
`;
const file = 'one\ntwo\nthree\nfour\nfive\n';

describe('a patch', () => {
  it('is read with what stands around it', () => {
    const [patch] = parse(edit);
    expect(patch).toMatchObject({ path: 'fs/proc/cmdline.c', oldPath: 'fs/proc/cmdline.c', change: 'edit' });
    expect(patch!.hunks[0]!.lines.map(({ sign, text }) => sign + text)).toEqual([
      ' two',
      '-three',
      '+THREE',
      '+and more',
      ' four',
    ]);
  });

  it('may make, remove and rename files', () => {
    const text = `--- /dev/null
+++ b/include/linux/new.h
@@ -0,0 +1 @@
+int x;
--- a/mm/old.c\t2026-01-01
+++ /dev/null
@@ -1 +0,0 @@
-int y;
diff --git a/mm/from.c b/mm/to.c
similarity index 100%
rename from mm/from.c
rename to mm/to.c
`;
    expect(parse(text).map(({ path, oldPath, change }) => [path, oldPath, change])).toEqual([
      ['include/linux/new.h', 'include/linux/new.h', 'create'],
      ['mm/old.c', 'mm/old.c', 'delete'],
      ['mm/to.c', 'mm/from.c', 'edit'],
    ]);
  });

  it('may make and remove files as plain `diff -N` writes it, with a date of 1970', () => {
    const text = `diff -uN a/lib/new.c b/lib/new.c
--- a/lib/new.c\t1970-01-01 01:00:00.000000000 +0100
+++ b/lib/new.c\t2026-07-02 13:50:42.000000000 +0000
@@ -0,0 +1 @@
+int x;
--- a/mm/old.c\t2026-07-02 13:50:42.000000000 +0000
+++ b/mm/old.c\t1969-12-31 19:00:00.000000000 -0500
@@ -1 +0,0 @@
-int y;
--- a/mm/empty.c\t2026-07-02 13:50:42.000000000 +0000
+++ b/mm/empty.c\t2026-07-03 13:50:42.000000000 +0000
@@ -0,0 +1 @@
+int z;
`;
    expect(parse(text).map(({ path, change }) => [path, change])).toEqual([
      ['lib/new.c', 'create'],
      ['mm/old.c', 'delete'],
      ['mm/empty.c', 'edit'],
    ]);
  });

  it('is read without the CR of lines that all have one, as a mail may bring it', () => {
    expect(parse(edit.replaceAll('\n', '\r\n'))).toEqual(parse(edit));
  });

  it.each([
    ['no patch at all', 'int main(void) {}\n', /no change of a file/],
    ['a path that leads out of the tree', edit.replaceAll('fs/proc/', '../'), /no path with one component/],
    ['a hunk that was cut short', edit.slice(0, edit.indexOf('+and')), /cut short/],
    ['a binary change', 'diff --git a/x b/x\nGIT binary patch\n', /binary/],
    ['a hunk without a file', '@@ -1 +1 @@\n-a\n+b\n', /belongs to no file/],
    ['a hunk with a damaged header', edit.replace('-2,3', '-2,x'), /should read @@/],
    ['a hunk with more lines than it says', edit.replace('-2,3 +2,4', '-2,2 +2,2'), /has more lines than it says/],
    [
      'a hunk whose last lines it does not count',
      edit.replace(' four\n', ' four\n five\n+six\n'),
      /has more lines than/,
    ],
    ['partly one as `diff -c` writes it', `${edit}*** a/f.c\n--- b/f.c\n${'*'.repeat(15)}\n`, /diff -c/],
    ['one that makes a symbolic link', `diff --git a/x b/x\nnew file mode 120000\n${edit}`, /symbolic link/],
    ['a path that no file can have', edit.replaceAll('cmdline', 'cmd\0line'), /no file can have/],
    ['a path that is too long', edit.replaceAll('cmdline', 'x'.repeat(256)), /no file can have/],
    [
      'an edit of a file that it renames',
      `diff --git a/fs/proc/cmdline.c b/x.c\nrename from fs/proc/cmdline.c\nrename to x.c\n${edit}`,
      /two places/,
    ],
  ])('is refused when it is %s', (_, text, message) => {
    expect(reasonOf(() => parse(text))).toMatchObject({
      code: 'patch-unreadable',
      message: expect.stringMatching(message),
    });
  });
});

describe('applying', () => {
  const [patch] = parse(edit);

  it('changes the lines, and nothing else', () => {
    expect(applyToFile(file, patch!)).toMatchObject({ text: 'one\ntwo\nTHREE\nand more\nfour\nfive\n', moved: [] });
  });

  it('finds lines that have moved, and says so', () => {
    expect(applyToFile(`zero\n${file}`, patch!)).toMatchObject({
      text: 'zero\none\ntwo\nTHREE\nand more\nfour\nfive\n',
      moved: [{ hunk: 1, lines: 1 }],
    });
  });

  it('refuses to choose between two places', () => {
    const twice = `zero\n${file}${file}`;
    expect(reasonOf(() => applyToFile(twice, patch!))).toMatchObject({ code: 'patch-does-not-apply' });
  });

  it('says which hunk does not fit, and what stands there instead', () => {
    expect(reasonOf(() => applyToFile(file.replace('three', '3'), patch!))).toMatchObject({
      code: 'patch-does-not-apply',
      place: 'fs/proc/cmdline.c:3',
      message: expect.stringMatching(/hunk 1 of 1.*expects “three”, the file has “3”/),
    });
  });

  it('shows a CR, where one makes the difference', () => {
    const [some] = parse(edit.replace('-three', '-three\r'));
    expect(reasonOf(() => applyToFile(file, some!))).toMatchObject({
      message: expect.stringMatching(/expects “three␍”, the file has “three”/),
      remedy: expect.stringMatching(/without CR/),
    });
  });

  it('knows a fix that is there already', () => {
    const { text } = applyToFile(file, patch!);
    expect(reasonOf(() => applyToFile(text, patch!))).toMatchObject({ message: expect.stringMatching(/already/) });
  });

  it('keeps a file’s end as the patch has it', () => {
    const unended = parse('--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n')[0]!;
    expect(applyToFile('a\n', unended).text).toBe('b');
  });

  it('inserts where a hunk has no lines of the file', () => {
    const insert = parse('--- a/f\n+++ b/f\n@@ -1,0 +2 @@\n+between\n')[0]!;
    expect(applyToFile('a\nb\n', insert).text).toBe('a\nbetween\nb\n');
  });

  it('gives code below a change its old numbers, for what has its line in it', () => {
    const c = 'int a;\nint f(void)\n{\n\tg(1,\n\t  2);\n}\n#define m { \\\n}\nint c;\n';
    const [more] = parse('--- a/f.c\n+++ b/f.c\n@@ -1,2 +1,3 @@\n int a;\n+int more;\n int f(void)\n');
    expect(applyToFile(c, more!).withOldNumbers).toBe(
      'int a;\nint more;\nint f(void)\n{\n#line 4\n\tg(1,\n\t  2);\n#line 6\n}\n#line 7\n#define m { \\\n}\n#line 9\nint c;\n#line 10\n',
    );
  });
});
