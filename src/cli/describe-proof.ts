// Verdicts of proofs for --json, and as reasons that a person can follow.

import type { Architecture } from '../arch/arch.ts';
import { linkAddress } from '../elf/units.ts';
import { describeFailure } from '../prove/describe-failure.ts';
import type { RedirectProof } from '../prove/prove-module.ts';
import { type Failure, obligations, type Verdict } from '../prove/redirect.ts';
import type { Reason } from '../reason.ts';
import { withCommas } from './with-commas.ts';

/** A verdict for --json: `failures` for one that is refuted, `reasons` for one that is unknown. */
export function describeVerdict(verdict: Verdict) {
  switch (verdict.verdict) {
    case 'proven':
      return { verdict: verdict.verdict, paths: verdict.paths };
    case 'refuted':
      return { verdict: verdict.verdict, failures: verdict.failures.map(failureResult) };
    case 'unknown':
      return { verdict: verdict.verdict, reasons: verdict.reasons };
  }
}

/** One failure for --json: what it breaks, and numbers for which it does. */
function failureResult({ obligation, entry, what, expected, found, example, machine }: Failure) {
  const { terms } = machine;
  const numbers = [...(example ?? [])].map(([atom, value]) => [terms.describeAtom(atom), hex(value)]);
  return {
    obligation,
    meaning: obligations[obligation],
    entry,
    what,
    expected: terms.describe(expected),
    found: terms.describe(found),
    example: Object.fromEntries(numbers),
    trace: traceOf(machine),
  };
}

/** The run that led to a failure, first to last: where, which instruction or event, and what it wrote. */
function traceOf({ trace, set, terms }: Failure['machine']) {
  const steps = [];
  for (let step = trace; step; step = step.before) {
    steps.push({
      at: terms.describe(step.pc),
      what: typeof step.what === 'number' ? hex(BigInt(step.what)) : step.what,
      writes: step.writes.map((write) => ({
        to: write.kind === 'register' ? set.registers[write.at] : `stack ${write.at} (${write.size})`,
        value: terms.describe(write.value),
      })),
    });
  }
  return steps.reverse();
}

/** One redirect for --json. */
export function describeRedirectProof({ oldName, module, oldAddress, site, newName, verdict }: RedirectProof) {
  return {
    function: oldName,
    module: module ?? null,
    address: oldAddress,
    site,
    newFunction: newName,
    ...describeVerdict(verdict),
  };
}

/** One list for all that have none: whole kernels do, and tell another thread. */
const noReasons: readonly Reason[] = [];

/** Why a redirect is not proven: `proof-refuted` with what it breaks, `proof-unknown`; nothing for a proven one. */
export function reasonsAgainst(place: string, verdict: Verdict): readonly Reason[] {
  if (verdict.verdict === 'proven') return noReasons;
  if (verdict.verdict === 'unknown') {
    return [
      {
        code: 'proof-unknown',
        place,
        message: [...new Set(verdict.reasons)].join('; '),
        remedy: 'what is not understood is not proven; docs/proof.md says what each answer means',
      },
    ];
  }
  return [
    {
      code: 'proof-refuted',
      place,
      message: [...new Set(verdict.failures.map(describeShortly))].join('\n'),
      remedy: 'docs/proof.md says what each obligation means; --json has every trace that leads there',
    },
  ];
}

/** Functions by name that share a verdict. */
export interface ProvenTogether {
  readonly names: readonly string[];
  readonly verdict: Verdict;
}

/** Reasons against many: each once, the most frequent first, with the function that it was found on. Others are counted. */
export function reasonsTogether(together: readonly ProvenTogether[]): Reason[] {
  const found = new Map<string, { reason: Reason; functions: number }>();
  for (const { names, verdict } of together) {
    for (const reason of reasonsAgainst(names[0]!, verdict)) {
      const key = verdict.verdict === 'refuted' ? obligationsIn(verdict) : reason.message;
      const same = found.get(key);
      if (same) same.functions += names.length;
      else found.set(key, { reason, functions: names.length });
    }
  }
  const all = [...found.values()].sort((a, b) => b.functions - a.functions);
  return all.slice(0, mostReasons).map(({ reason, functions }, i) => {
    const left = i === mostReasons - 1 ? all.slice(mostReasons).reduce((sum, each) => sum + each.functions, 0) : 0;
    const others = functions > 1 ? ` and ${withCommas(functions - 1)} more` : '';
    const rest = left > 0 ? `\n(${withCommas(left)} functions have other reasons; --json names them)` : '';
    return { ...reason, place: `${reason.place}${others}`, message: `${reason.message}${rest}` };
  });
}

const mostReasons = 8;

const obligationsIn = ({ failures }: Extract<Verdict, { verdict: 'refuted' }>): string =>
  [...new Set(failures.map(({ obligation }) => obligation))].sort().join();

/** One line. What it was found for stands in the report. */
const describeShortly = ({ obligation, what, expected, found, machine: { terms } }: Failure): string =>
  `${obligation} (${obligations[obligation]}): ${what} should be ${terms.describe(expected)} and is ${terms.describe(found)}`;

/** The report that a person can follow, of the first failure of each verdict that is refuted; nothing where none is. */
export function reportOf(together: readonly ProvenTogether[], { disassemble }: Architecture): string[] {
  const refuted = together.flatMap(({ names, verdict }) => (verdict.verdict === 'refuted' ? [{ names, verdict }] : []));
  return refuted.slice(0, mostReports).map(({ names, verdict: { failures } }) => {
    const text = describeFailure(failures[0]!, (word, address) => disassemble(word, linkAddress(address)));
    return `${names[0]}\n${text}`;
  });
}

/** A report is a page long. */
const mostReports = 3;

const hex = (value: bigint): string => `0x${value.toString(16)}`;
