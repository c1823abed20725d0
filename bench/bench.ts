// What a bench is, and how its figures are shown. A new bench is a file with one `Bench` and a line in `main.ts`.

/** What a bench is given. */
export interface Setting {
  /** Names of the kernels in the cache to measure on. */
  readonly kernels: readonly string[];
  /** How often each thing is measured; the best counts, because others on the machine only ever make it slower. */
  readonly runs: number;
  /** Told what is being measured. */
  readonly say: (what: string) => void;
}

/** A number under the name of its column, which says its unit; undefined where it does not apply. */
export type Figures = Readonly<Record<string, number | undefined>>;

export interface Row {
  /** What was measured: the first column. */
  readonly what: string;
  readonly figures: Figures;
  /** Why there are no figures, where something that is needed is missing. */
  readonly missing?: string;
}

export interface Bench {
  /** One word, by which it can be asked for alone. */
  readonly name: string;
  readonly title: string;
  /** What must hold, by column: the most that each row may have. */
  readonly limits?: Readonly<Record<string, number>>;
  readonly run: (setting: Setting) => Promise<Row[]>;
}

/** Three digits are all that a measurement is good for. */
export function shown(value: number | undefined): string {
  if (value === undefined) return '';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** The cells of a bench's table, the heading first; a figure beyond its limit has a `!`. */
export function cells({ limits = {} }: Pick<Bench, 'limits'>, rows: readonly Row[]): string[][] {
  const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const marked = (column: string, value: number | undefined): string =>
    `${shown(value)}${value !== undefined && value > (limits[column] ?? Number.POSITIVE_INFINITY) ? ' !' : ''}`;
  return [
    ['', ...columns],
    ...rows.map(({ what, figures, missing }) =>
      missing === undefined ? [what, ...columns.map((column) => marked(column, figures[column]))] : [what, missing],
    ),
  ];
}

/** The figures of the fastest of several runs, by a column; all of a row are of one run. */
export function best(runs: readonly Figures[], by: string): Figures {
  const value = (figures: Figures): number => figures[by] ?? Number.POSITIVE_INFINITY;
  return runs.reduce((least, each) => (value(each) < value(least) ? each : least));
}

/** What stands beside what: `a` as so many times `b`. */
export const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b === 0 ? undefined : a / b;
