// Instructions of the tables that came with version 3.0 of the Power ISA (POWER9) or later. Kernels for ppc64le run on
// POWER8, too (CONFIG_TARGET_CPU of Debian's is power8), where such a word is an illegal instruction, or means less.

import { decode, field } from './instructions.ts';

const names: ReadonlySet<string> = new Set([
  ...['addpcis', 'modsw', 'moduw', 'modsd', 'modud', 'maddhd', 'maddhdu', 'maddld'],
  ...['cnttzw', 'cnttzw.', 'cnttzd', 'cnttzd.', 'extswsli', 'extswsli.', 'wait'],
]);

/** `ProofFacts.mayBeMissing`. Of `dcbf` and `sync` it is forms that are newer: 3.1 has widened L, and added SC. */
export function mayBeMissing(word: number): boolean {
  const name = decode(word)?.encoding.name;
  if (name === undefined) return false;
  if (name === 'dcbf') return field('L8', word) > 3;
  if (name === 'sync') return field('L8', word) > 2 || field('SC', word) !== 0;
  return names.has(name);
}
