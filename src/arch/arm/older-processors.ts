// What processors older than ARMv7 lack of the tables. A kernel says in its vermagic for which version of the architecture it was
// compiled (`MODULE_ARCH_VERMAGIC_ARMVSN` in arch/arm/include/asm/vermagic.h, Linux 6.1), and it may run on any that has that.
//
// Versions are those of the manual's history (ARM DDI 0406C, section A1.1, and "Encoding A1" of each instruction). ARMv6T2 and
// ARMv6K count as 7: a kernel that says 6 runs on an ARM1136 as well, which is neither.

import type { ProofFacts } from '../machine.ts';
import { decode } from './instructions.ts';

/** Of instructions that came later than with the oldest version that Linux knows, the first with it. */
const since: ReadonlyMap<string, number> = new Map([
  ['MOV (immediate), wide', 7],
  ['MOVT', 7],
  ['NOP', 7],
  // The thread registers.
  ['MRC', 7],
  ['BX', 5],
  ['BLX (register)', 5],
]);

/** What is known of a processor of whose kernel nothing is known. */
const oldest = 4;
/** From here on words and halfwords may lie anywhere; before, the processor turns what it loads (section D12.3). */
const firstUnaligned = 6;
/** Doublewords came with ARMv5TE, and could lie at multiples of 4 only later. */
const firstDoublewords = 6;

/** `ProofFacts.forKernel`, of facts that hold for ARMv7. */
export function factsOfVersion(facts: ProofFacts, vermagic: string | undefined): ProofFacts {
  const version = Number(/ ARMv(\d+)( |$)/.exec(vermagic ?? '')?.[1] ?? oldest);
  return {
    ...facts,
    wantsAlignment: version < firstUnaligned,
    mayBeMissing: (word) => {
      const name = decode(word)?.encoding.name ?? '';
      return version < (/^(LDRD|STRD)/.test(name) ? firstDoublewords : (since.get(name) ?? 0));
    },
  };
}
