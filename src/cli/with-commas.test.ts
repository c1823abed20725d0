// Numbers in reports are read by people, who are used to how the language has them.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { withCommas } from './with-commas.ts';

it('writes numbers as English does', () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(20_000), fc.nat()), (value) => {
      expect(withCommas(value)).toBe(value.toLocaleString('en'));
    }),
  );
});
