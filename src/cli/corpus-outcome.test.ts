// Whether a patch replaces the right functions, and which fixes the rate is of.

import { describe, expect, it } from 'vitest';
import { checkReplaced, counts, type FixOutcome } from './corpus-outcome.ts';
import { corpusTable, describeTable } from './corpus-table.ts';

const functions = (changed: readonly string[], callers: Readonly<Record<string, readonly string[]>> = {}) => ({
  changed,
  added: [],
  removed: [],
  callers,
});

describe('what a patch replaces', () => {
  it('is what the compiler makes otherwise', () => {
    expect(checkReplaced(functions(['f', 'g']), ['g', 'f'], ['f', 'g'])).toEqual({ missed: [], unasked: [] });
  });

  it('is missed or unasked for if it is not', () => {
    expect(checkReplaced(functions(['f']), ['h'], ['h'])).toEqual({ missed: ['f'], unasked: ['h'] });
  });

  it('may be the callers of what cannot be redirected, and theirs', () => {
    const changed = functions(['leaf'], { leaf: ['middle'], middle: ['top'], other: ['top'] });
    expect(checkReplaced(changed, ['top'], ['leaf', 'middle', 'top'])).toEqual({ missed: [], unasked: [] });
    expect(checkReplaced(changed, ['far'], ['leaf', 'far'])).toEqual({ missed: [], unasked: ['far'] });
  });

  it('is the same function whatever number the compiler gave it', () => {
    expect(checkReplaced(functions(['f.isra']), ['f.isra.0'], [])).toEqual({ missed: [], unasked: [] });
  });

  it('is not judged where the compiler’s word is not to be had', () => {
    expect(checkReplaced(null, ['f'], [])).toEqual({ missed: [], unasked: [] });
  });
});

const outcome = (more: Partial<FixOutcome>): FixOutcome => ({
  schema: 1,
  path: 'fs/x.c',
  stage: 'passed',
  reasons: [],
  bodiesOnly: true,
  sourceFunctions: ['f'],
  compilesAlone: true,
  changed: ['f'],
  replaced: ['f'],
  alongside: ['f'],
  missed: [],
  unasked: [],
  module: '',
  missingTargets: {},
  seconds: 0,
  ...more,
});
const refused = (code: 'data-changed' | 'compile-failed' | 'nothing-to-patch', more: Partial<FixOutcome>) =>
  outcome({ stage: 'refused', reasons: [{ code, place: 'x', message: 'y', remedy: '' }], replaced: [], ...more });

describe('the rate', () => {
  it('is of fixes that change bodies only, compile alone, and change code', () => {
    expect(counts(outcome({}))).toBe(true);
    expect(counts(outcome({ bodiesOnly: false }))).toBe(false);
    expect(counts(outcome({ compilesAlone: false, changed: null }))).toBe(false);
    expect(counts(outcome({ changed: [] }))).toBe(false);
  });

  it('holds against us what cannot be told', () => {
    expect(counts(outcome({ changed: null }))).toBe(true);
  });

  it('is counted together with what became of the others', () => {
    const table = corpusTable([
      outcome({}),
      outcome({ missingTargets: { x: 'no such device' } }),
      outcome({
        stage: 'failed',
        unasked: ['g'],
        reasons: [{ code: 'rehearsal-failed', place: '', message: 'm', remedy: '' }],
      }),
      outcome({ stage: 'built' }),
      refused('data-changed', {}),
      refused('nothing-to-patch', { changed: [] }),
      refused('compile-failed', { compilesAlone: false, changed: null }),
      refused('data-changed', { bodiesOnly: false }),
    ]);
    expect(table).toMatchObject({
      ...{ fixes: 8, bodiesOnly: 7, compileAlone: 6, counted: 5 },
      ...{ passed: 2, passedCounted: 2, percentOfCounted: 40, percentOfAll: 25 },
      ...{ withoutTarget: 1, made: 4, exact: 3 },
    });
    expect(table.rows).toEqual([
      { outcome: 'passed', all: 2, counted: 2 },
      { outcome: 'data-changed', all: 2, counted: 1 },
      { outcome: 'failed: rehearsal-failed', all: 1, counted: 1 },
      { outcome: 'proven, not rehearsed', all: 1, counted: 1 },
      { outcome: 'nothing-to-patch', all: 1, counted: 0 },
      { outcome: 'compile-failed', all: 1, counted: 0 },
    ]);
    expect(describeTable(table)).toContain('live patches of those that count: 2 of 5 (40.0 %)');
  });

  it('is no number where there is nothing to count', () => {
    expect(corpusTable([])).toMatchObject({ percentOfCounted: null, percentOfAll: null, rows: [] });
  });
});
