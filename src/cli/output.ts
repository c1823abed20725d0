// The contract of every command: what it prints where, and the status that it ends with.
//
// Results go to stdout; progress, remarks and reasons to stderr. With --json one document goes to stdout and nothing
// else, however the command ends. Exit status: 0 done, 1 a fault, 2 refused.

import picocolors from 'picocolors';
import type { Reason } from '../reason.ts';
import type { Clock } from './progress.ts';

export type Status = 'done' | 'refused' | 'fault';

export const exitStatus: Readonly<Record<Status, number>> = { done: 0, fault: 1, refused: 2 };

/** What a command comes to. */
export interface Report {
  /** The command's words: `kernel fetch`. */
  readonly command: string;
  /** The kernel that it is about, if there is one. */
  readonly kernel: string | null;
  readonly status: Status;
  /** As the command's own documentation says; null where it did not come to one. */
  readonly result: unknown;
  readonly reasons: readonly Reason[];
  /** The result for people, without a newline at its end. */
  readonly text: string;
}

/** Where output goes. Tests put strings here; the program puts the process's own streams. */
export interface Terminal {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Whether somebody watches stderr: they see all progress, and colours. A log gets a line now and then. */
  readonly watched: boolean;
  readonly colours: boolean;
  /** This machine's if it is left out. */
  readonly clock?: Clock;
}

/** Prints a report, and returns the exit status. */
export function print(report: Report, json: boolean, terminal: Terminal): number {
  if (json) {
    terminal.stdout(`${toJson(report)}\n`);
  } else {
    if (report.text !== '') terminal.stdout(`${printable(report.text)}\n`);
    report.reasons.forEach((reason, i) => {
      // What several reasons in a row have in common stands once, below the last.
      const remedy = reason.remedy === report.reasons[i + 1]?.remedy ? '' : reason.remedy;
      terminal.stderr(describeReason({ ...reason, remedy }, terminal.colours));
    });
  }
  return exitStatus[report.status];
}

/** The one document of --json. Numbers too large for JSON (addresses) and bytes are strings in hexadecimal. */
function toJson({ command, kernel, status, result, reasons }: Report): string {
  return JSON.stringify({ schema: 1, command, kernel, status, result, reasons }, plainValue, 2);
}

function plainValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value === undefined ? null : value;
}

/** `code  place: message`, and below it what to do next. */
function describeReason({ code, place, message, remedy }: Reason, colours: boolean): string {
  const { red, bold, dim } = picocolors.createColors(colours);
  const lines = printable(message).split('\n').join('\n    ');
  const first = `${red(code)}  ${place ? `${bold(printable(place))}: ` : ''}${lines}\n`;
  return remedy ? `${first}    ${dim(printable(remedy))}\n` : first;
}

/** Text that may come from a file, without what a terminal would act on; newlines and tabs stay. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Rows as columns two blanks apart. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
