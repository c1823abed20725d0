// Golden cases in plain text: `# title`, the input, `==>`, what is expected. Lines before the first title are
// remarks.

import { readFileSync } from 'node:fs';

export interface GoldenCase {
  readonly title: string;
  readonly input: string;
  readonly expected: string;
}

/** Reads a file of cases. A file without any, or a case without `==>`, is an error: such a test could not fail. */
export function goldenCases(file: URL): GoldenCase[] {
  const parts = readFileSync(file, 'utf8').split(/^# /m).slice(1);
  if (parts.length === 0) throw new Error(`${file.pathname}: no cases`);
  return parts.map((part) => {
    const end = part.indexOf('\n');
    const [input, expected] = part.slice(end).split(/^==>/m);
    if (expected === undefined) throw new Error(`${file.pathname}: ${part.slice(0, end)}: no ==>`);
    return { title: part.slice(0, end).trim(), input: input!.trim(), expected: expected.trim() };
  });
}
