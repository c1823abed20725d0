// What the scripts of mainline's livepatch selftests print, and what it says of each case.
//
// functions.sh writes `TEST: <title> ... ` when a case starts and `ok` or `not ok` and a diff when its log is compared. A
// script ends at its first failure (`ERROR: …`, status 1), so the cases behind it do not run; status 4 and `SKIP: …` mean
// that the machine lacks something.

import { alarm } from './kernel-log.ts';

export interface SelftestCase {
  /** The script's file name. */
  readonly script: string;
  /** As the script has it behind start_test. */
  readonly title: string;
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'not run';
  /** What the script printed of it; '' for one that passed. */
  readonly detail: string;
  /** Why a failure of the script is not one of the kernel's. */
  readonly remark?: string;
}

/** The titles of a script's cases, in order, from its text. */
export function titlesOf(script: string): string[] {
  return [...script.matchAll(/^\s*start_test "([^"]*)"/gm)].map(([, title]) => title!);
}

/** The state of all cases of a script after it ended with `status` (null: the guest did not live to tell). */
export function readSelftestOutput(
  script: string,
  titles: readonly string[],
  output: string,
  status: number | null,
): SelftestCase[] {
  const [before = '', ...pieces] = output.split(/^TEST: /m);
  return titles.map((title, index): SelftestCase => {
    const opening = `${title} ... `;
    // In order: a title may occur twice, and what a case prints may look like the start of another one.
    const piece = pieces[index];
    const last = index === pieces.length - 1;
    if (piece === undefined || !piece.startsWith(opening)) {
      const outcome = status === skipped && pieces.length === 0 ? 'skipped' : 'not run';
      return { script, title, outcome, detail: index === 0 ? before.trim() : '' };
    }
    const text = piece.slice(opening.length).trim();
    if (text === 'ok' && (!last || status === 0)) return { script, title, outcome: 'passed', detail: '' };
    return { script, title, outcome: last && status === skipped ? 'skipped' : 'failed', detail: text };
  });
}

/** What the script must have printed up to the moment when its guest died, as far as the console tells. */
export function outputOfDeadGuest(consoleText: string, lastWords: string): string {
  const started = [...consoleText.matchAll(caseInLog)].map(([, title]) => title!);
  return started.map((title, i) => `TEST: ${title} ... ${i < started.length - 1 ? 'ok' : lastWords}\n`).join('');
}

/**
 * Counts the report of something wrong in the kernel's log (an oops, a warning, a lockup) as a failure of the case under
 * which it came. `log` has the kernel's lines since the script was started.
 */
export function withAlarms(cases: readonly SelftestCase[], log: string): SelftestCase[] {
  // The text before the first case, then a title and the lines below it in turn.
  const pieces = log.split(caseInLog);
  return cases.map((each, index) => {
    const lines = (pieces[2 * index + 2] ?? '').split('\n');
    const first = lines.findIndex((line) => alarm(line) !== undefined);
    if (first < 0) return each;
    const detail = [each.detail, ...lines.slice(first, first + 30)].filter((line) => line !== '').join('\n');
    return { ...each, outcome: 'failed', detail };
  });
}

/** functions.sh: start_test writes this to /dev/kmsg. */
const caseInLog = /^.*===== TEST: (.*) =====$/gm;

/** The kselftest framework's code for a test that cannot run here (functions.sh: ksft_skip). */
const skipped = 4;

/**
 * Whether a failure is none of the kernel's: test-shadow-vars.sh expects `size=8` where the module prints the size of a
 * pointer, which is 4 on a 32-bit kernel, mainline's own included. True if the diff of expected and found lines has this
 * difference and no other.
 */
export function differsInPointerSizeOnly(detail: string): boolean {
  const lines = detail.split('\n');
  const changed = (sign: '-' | '+') =>
    lines.filter((line) => line.startsWith(sign) && !/^(---|\+\+\+) /.test(line)).map((line) => line.slice(1));
  const [expected, found] = [changed('-'), changed('+')];
  return (
    expected.length > 0 &&
    expected.length === found.length &&
    expected.every((line, i) => line.includes(', size=8,') && line.replace(', size=8,', ', size=4,') === found[i])
  );
}
