// The table of a switch. GCC puts it right behind the jump, one word a case, each the distance from the table to the case:
//
//     lwax  rX,…      the distance
//     add   rX,rX,rT  with the table's address
//     mtctr rX
//     bctr

import { decode, field } from './instructions.ts';
import { registersWritten } from './register-use.ts';
import type { WalkedCode } from './walked-code.ts';

/** CTR among the special registers: mfspr in Book I, section 3.3.17. */
const CTR = 9;

/** Where a `bctr` may lead, by the indexes of words, one for each word of the table; none if it is no switch's. */
export function switchTargets({ words, length }: WalkedCode, bctr: number): number[] {
  const table = bctr + 1;
  const targets: number[] = [];
  let end = length;
  for (let at = table; at < end; at++) {
    const distance = words[at]! | 0;
    const target = table + distance / 4;
    if (!Number.isInteger(target) || target < 0 || target >= length || target === at) break;
    if (target > at) end = Math.min(end, target);
    targets.push(target);
  }
  return jumpsBySum(bctr, words) ? targets : [];
}

/** Whether CTR was last set, in the same run of words, to a sum. */
function jumpsBySum(bctr: number, words: Uint32Array): boolean {
  let source: number | undefined;
  for (let at = bctr - 1; at >= 0; at--) {
    const instruction = decode(words[at]!);
    if (!instruction || instruction.encoding.name.startsWith('b')) return false;
    const { word, encoding } = instruction;
    if (source === undefined) {
      if (encoding.name === 'mtspr' && field('spr', word) === CTR) source = field('RS', word);
    } else if (registersWritten(instruction).includes(source)) {
      return encoding.name === 'add';
    }
  }
  return false;
}
