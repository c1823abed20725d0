// The corpus in figures: how many fixes of which kind became patches, and what became of the others.

import { counts, type FixOutcome } from './corpus-outcome.ts';
import { columns } from './output.ts';

/** How many of something, of all fixes and of those that count for the rate. */
export interface TableRow {
  readonly outcome: string;
  readonly all: number;
  readonly counted: number;
}

export interface CorpusTable {
  /** Fixes of which something is known. */
  readonly fixes: number;
  /** Of those: only bodies of functions differ in the source. */
  readonly bodiesOnly: number;
  /** Of those again: compiles with nothing else changed. */
  readonly compileAlone: number;
  /** Of those again: the compiler makes some function otherwise. These count for the rate. */
  readonly counted: number;
  /** Live patches: proven, and rehearsed with success where they were rehearsed. Percentages are null where there is nothing. */
  readonly passed: number;
  readonly passedCounted: number;
  readonly percentOfCounted: number | null;
  readonly percentOfAll: number | null;
  /** Patches among the passed that the guest could rehearse without one of their target modules only. */
  readonly withoutTarget: number;
  /** Of all patches that were made: how many replace just what the compiler makes otherwise. */
  readonly made: number;
  readonly exact: number;
  readonly rows: readonly TableRow[];
}

const labelOf = ({ stage, reasons }: FixOutcome): string => {
  const code = reasons[0]?.code ?? 'no reason';
  return { passed: 'passed', built: 'proven, not rehearsed', failed: `failed: ${code}`, refused: code }[stage];
};

export function corpusTable(outcomes: readonly FixOutcome[]): CorpusTable {
  const rows = new Map<string, { all: number; counted: number }>();
  for (const outcome of outcomes) {
    const label = labelOf(outcome);
    const row = rows.get(label) ?? { all: 0, counted: 0 };
    row.all++;
    if (counts(outcome)) row.counted++;
    rows.set(label, row);
  }
  const passed = outcomes.filter(({ stage }) => stage === 'passed');
  const made = outcomes.filter(({ stage }) => stage !== 'refused');
  const bodies = outcomes.filter(({ bodiesOnly }) => bodiesOnly);
  const counted = outcomes.filter(counts).length;
  const passedCounted = passed.filter(counts).length;
  const percent = (part: number, whole: number) => (whole === 0 ? null : Math.round((1000 * part) / whole) / 10);
  return {
    fixes: outcomes.length,
    bodiesOnly: bodies.length,
    compileAlone: bodies.filter(({ compilesAlone }) => compilesAlone).length,
    counted,
    passed: passed.length,
    passedCounted,
    percentOfCounted: percent(passedCounted, counted),
    percentOfAll: percent(passed.length, outcomes.length),
    withoutTarget: passed.filter(({ missingTargets }) => Object.keys(missingTargets).length > 0).length,
    made: made.length,
    exact: made.filter(({ missed, unasked }) => missed.length + unasked.length === 0).length,
    rows: [...rows]
      .map(([outcome, numbers]) => ({ outcome, ...numbers }))
      .sort((a, b) => Number(b.outcome === 'passed') - Number(a.outcome === 'passed') || b.all - a.all),
  };
}

/** The table for people. */
export function describeTable(table: CorpusTable): string {
  const share = (percent: number | null) => (percent === null ? '' : ` (${percent.toFixed(1)} %)`);
  return [
    `${table.fixes} fixes; of ${table.bodiesOnly} only function bodies differ; ${table.compileAlone} of those compile alone; ` +
      `in ${table.counted} of those the compiler makes some function otherwise: these count`,
    '',
    columns([
      ['outcome', 'all', 'of those that count'],
      ...table.rows.map(({ outcome, all, counted }) => [outcome, String(all), String(counted)]),
    ]),
    '',
    `live patches of those that count: ${table.passedCounted} of ${table.counted}${share(table.percentOfCounted)}`,
    `live patches of all: ${table.passed} of ${table.fixes}${share(table.percentOfAll)}`,
    `rehearsed without a target module that the guest cannot load: ${table.withoutTarget}`,
    `patches that replace exactly what the compiler makes otherwise: ${table.exact} of ${table.made}`,
  ].join('\n');
}
