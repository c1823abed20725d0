// A call site or a rewritten word that is overlooked makes a proof of other code than runs.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { linkAddress } from '../elf/units.ts';
import { InstructionAddresses } from './instruction-addresses.ts';

const base = 0xc000000000000000n;
const size = 100;

it('has the addresses that were given and not taken out, halfwords too, and none outside of the image', () => {
  const places = fc.array(fc.nat(size / 2 - 1).map((half) => linkAddress(base + BigInt(2 * half))));
  fc.assert(
    fc.property(places, places, (given, taken) => {
      const image = { base: linkAddress(base), size };
      const some = new InstructionAddresses(image, [...given, linkAddress(base - 4n), linkAddress(base + 4096n)]);
      for (const address of taken) some.delete(address);
      some.delete(base - 4n);
      const left = new Set<bigint>(given);
      for (const address of taken) left.delete(address);
      for (let at = base - 8n; at < base + 5000n; at += 2n) expect(some.has(at)).toBe(left.has(at));
    }),
    { numRuns: 30 },
  );
});
