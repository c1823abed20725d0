// A proof as plain data, so that two of them can be compared across programs.

import type { RedirectProof } from '../../src/prove/prove-module.ts';

export function plainProof({ oldName, oldAddress, site, newName, verdict }: RedirectProof) {
  const what =
    verdict.verdict === 'proven'
      ? [`${verdict.paths} paths`]
      : verdict.verdict === 'unknown'
        ? verdict.reasons
        : verdict.failures.map(({ obligation, what, expected, found, machine: { terms } }) =>
            [obligation, what, terms.describe(expected), terms.describe(found)].join(': '),
          );
  return { oldName, oldAddress: oldAddress.toString(16), site, newName, verdict: verdict.verdict, what };
}
