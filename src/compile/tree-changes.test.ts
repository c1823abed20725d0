// A fix is one file's difference; nothing of a neighbour may get into it, and nothing in it may be taken for the next file.

import { expect, test } from 'vitest';
import { readRecursiveDiff } from './tree-changes.ts';

const printed = `diff --recursive --unified fs/a.c /new/fs/a.c
--- fs/a.c	2026-06-19 11:37:33.000000000 +0000
+++ /new/fs/a.c	2026-09-02 12:28:36.000000000 +0000
@@ -1,3 +1,4 @@
 one
+diff --recursive is what it says
 two
 three
Only in fs: b.c
Only in /new/fs/sub: c.c
diff --recursive --unified fs/d.h /new/fs/d.h
--- fs/d.h	2026-06-19 11:37:33.000000000 +0000
+++ /new/fs/d.h	2026-09-02 12:28:36.000000000 +0000
@@ -1 +1 @@
-- old
++ new
\\ No newline at end of file
Binary files fs/e.bin and /new/fs/e.bin differ
`;

test('each file that both trees have is a patch of its own', () => {
  const { files, inOneTree } = readRecursiveDiff(printed, '/new/');
  expect(inOneTree).toBe(2);
  expect(files).toEqual([
    {
      path: 'fs/a.c',
      patch: '--- a/fs/a.c\n+++ b/fs/a.c\n@@ -1,3 +1,4 @@\n one\n+diff --recursive is what it says\n two\n three\n',
    },
    {
      path: 'fs/d.h',
      patch: '--- a/fs/d.h\n+++ b/fs/d.h\n@@ -1 +1 @@\n-- old\n++ new\n\\ No newline at end of file\n',
    },
  ]);
});

test('two equal trees have no changes', () => {
  expect(readRecursiveDiff('', '/new/')).toEqual({ files: [], inOneTree: 0 });
});
