// A line too many here and every function below a change differs in its line numbers: the corpus would blame the builder.

import { expect, test } from 'vitest';
import { applyToFile } from './apply-diff.ts';
import { evenLines } from './even-lines.ts';
import { parseUnifiedDiff } from './unified-diff.ts';

const before = ['a', 'b', '#define m \\', '  x \\', '  y', 'c', 'd', 'e', 'f', ''].join('\n');
const patch = `--- a/x.c
+++ b/x.c
@@ -1,6 +1,7 @@
 a
-b
 #define m \\
   x \\
+  more \\
+  still \\
   y
 c
@@ -8,2 +9,2 @@
 e
-f
+g
`;
const [file] = parseUnifiedDiff(patch, 'x.patch');
const even = evenLines(before, file!);

test('lines that both states have stand at the same height', () => {
  const [old, fresh] = [even.before.split('\n'), even.after.split('\n')];
  expect(old).toEqual(['a', 'b', '#define m \\', '  x \\', '\\', '\\', '  y', 'c', 'd', 'e', 'f', '']);
  expect(fresh).toEqual(['a', '', '#define m \\', '  x \\', '  more \\', '  still \\', '  y', 'c', 'd', 'e', 'g', '']);
});

test('nothing but the padding differs from the file and the patched file', () => {
  const solid = (text: string) => text.split('\n').filter((line) => line !== '' && line !== '\\');
  expect(solid(even.before)).toEqual(solid(before));
  expect(solid(even.after)).toEqual(solid(applyToFile(before, file!).text));
});
