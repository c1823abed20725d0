// A case that failed, or never ran, must never be counted as one that passed: what the scripts print is the only witness.

import { describe, expect, test } from 'vitest';
import {
  differsInPointerSizeOnly,
  outputOfDeadGuest,
  readSelftestOutput,
  type SelftestCase,
  titlesOf,
  withAlarms,
} from './selftest-output.ts';

const titles = ['first', 'second, with more ... dots', 'third'];
const outcomes = (cases: readonly SelftestCase[]) => cases.map(({ outcome }) => outcome);
const read = (output: string, status: number | null) => readSelftestOutput('test-x.sh', titles, output, status);

test('titles are what stands behind start_test, in order', () => {
  const script = 'setup_config\nstart_test "one"\n# start_test "no"\nload_lp x\n\n  start_test "two words"\nexit 0\n';
  expect(titlesOf(script)).toEqual(['one', 'two words']);
});

describe('what a script printed', () => {
  const allOk = titles.map((title) => `TEST: ${title} ... ok\n`).join('');

  test('gives every case its outcome when all went well', () => {
    expect(outcomes(read(allOk, 0))).toEqual(['passed', 'passed', 'passed']);
  });

  test('fails the last case when the script itself fails behind it', () => {
    expect(outcomes(read(allOk, 1))).toEqual(['passed', 'passed', 'failed']);
    expect(outcomes(read(allOk, null))).toEqual(['passed', 'passed', 'failed']);
  });

  test('fails the case whose log differs, with the difference, and runs none behind it', () => {
    const output = 'TEST: first ... ok\nTEST: second, with more ... dots ... not ok\n\n-a\n+b\n\nERROR: it failed\n';
    const cases = read(output, 1);
    expect(outcomes(cases)).toEqual(['passed', 'failed', 'not run']);
    expect(cases[1]!.detail).toBe('not ok\n\n-a\n+b\n\nERROR: it failed');
  });

  test('fails a case that dies without a verdict', () => {
    expect(outcomes(read('TEST: first ... ERROR: modprobe: no such device\n', 1))).toEqual([
      'failed',
      'not run',
      'not run',
    ]);
  });

  test('skips what says so and nothing else', () => {
    expect(outcomes(read('TEST: first ... SKIP: no module\n', 4))).toEqual(['skipped', 'not run', 'not run']);
    expect(outcomes(read('skip all tests: must be run as root\n', 4))).toEqual(['skipped', 'skipped', 'skipped']);
  });

  test('is told with the first case when no case was begun', () => {
    const cases = read('./functions.sh: line 1: no such thing\n', 2);
    expect(outcomes(cases)).toEqual(['not run', 'not run', 'not run']);
    expect(cases[0]!.detail).toMatch('no such thing');
  });

  test('is not believed when the case is another one than the script has there', () => {
    expect(outcomes(read('TEST: third ... ok\n', 0))).toEqual(['not run', 'not run', 'not run']);
  });
});

test('a guest that dies fails the case it was in', () => {
  const console =
    '[ 1.0] ===== TEST: first =====\nx\n[ 2.0] ===== TEST: second, with more ... dots =====\n[ 2.1] Oops\n';
  const cases = read(outputOfDeadGuest(console, 'panic: the kernel panicked'), null);
  expect(outcomes(cases)).toEqual(['passed', 'failed', 'not run']);
  expect(cases[1]!.detail).toBe('panic: the kernel panicked');
  expect(outcomes(read(outputOfDeadGuest('', 'timeout'), null))).toEqual(['not run', 'not run', 'not run']);
});

test('a warning in the kernel’s log fails the case under which it came, whatever the script says', () => {
  const passed = read(titles.map((title) => `TEST: ${title} ... ok\n`).join(''), 0);
  const log =
    '[ 1] x\n[ 1] ===== TEST: first =====\n[ 2] ===== TEST: second =====\n[ 2] WARNING: CPU: 0 at x\n[ 3] y\n';
  const cases = withAlarms(passed, `${log}[ 4] ===== TEST: third =====\n`);
  expect(outcomes(cases)).toEqual(['passed', 'failed', 'passed']);
  expect(cases[1]!.detail).toBe('[ 2] WARNING: CPU: 0 at x\n[ 3] y');
});

describe('the size of a pointer', () => {
  const diff = (...lines: string[]) =>
    ['not ok', '', '--- expected', '+++ result', '@@ -1,3 +1,3 @@', ...lines, '', 'ERROR: it failed'].join('\n');
  const line = (size: number, id = 1) => `m: klp_shadow_alloc(obj=PTR${id}, size=${size}, gfp_flags=GFP_KERNEL)`;

  test('is excused where it is all that differs', () => {
    expect(
      differsInPointerSizeOnly(diff(' same', `-${line(8)}`, `-${line(8, 2)}`, `+${line(4)}`, `+${line(4, 2)}`)),
    ).toBe(true);
  });

  test('excuses nothing else', () => {
    expect(differsInPointerSizeOnly(diff(`-${line(8)}`, `+${line(4, 2)}`))).toBe(false);
    expect(differsInPointerSizeOnly(diff(`-${line(8)}`, `+${line(4)}`, '+more'))).toBe(false);
    expect(differsInPointerSizeOnly(diff(`-${line(8)}`, `+${line(4)}`, '-a', '+b'))).toBe(false);
    expect(differsInPointerSizeOnly('ERROR: modprobe')).toBe(false);
  });
});
