// A check whose output differs says so to a person, who has to find in what.

import { expect, test } from 'vitest';
import { lineDifference } from './line-difference.ts';

test.each([
  ['one line of several', 'a\nb\nc\n', 'a\nx\nc\n', 'from line 2 on:\n-b\n+x'],
  ['a line more', 'a\n', 'a\nscar\n', 'from line 2 on:\n+scar'],
  ['a line that comes twice', 'a\na\n', 'a\n', 'from line 2 on:\n-a'],
  ['everything', 'a', 'b', '-a\n+b'],
  ['nothing before', '', 'x\n', '+x'],
  ['the last newline', 'a\n', 'a', 'from line 2 on:\n-'],
])('%s', (_, before, after, expected) => expect(lineDifference(before, after)).toBe(expected));

test('very much is cut', () => {
  const many = Array.from({ length: 50 }, (_, i) => `line ${i}`).join('\n');
  const text = lineDifference('', many);
  expect(text.split('\n')).toHaveLength(1 + 20 + 1);
  expect(text).toMatch(/\+… and 30 lines more$/);
});
