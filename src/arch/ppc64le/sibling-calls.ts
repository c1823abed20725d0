// A function as it would be without its sibling calls.
//
// `b other` at a function's end hands on whatever the caller has put on the stack, and no word of the function shows it. A fix
// is compiled without such calls (`platform.ts`): each is `bl other` there, and a return. Where the callee is known and
// certainly reads nothing from the stack, there is nothing to hand on, and all that is left of the call is the return.

import type { LinkAddress } from '../../elf/units.ts';
import type { FunctionText } from '../arch.ts';
import { encode, fieldIn } from './instructions.ts';
import { findStackArguments, registerArguments } from './stack-arguments.ts';

/** `b`, whatever its target (Book I, section 2.4, I-form: primary opcode, AA and LK). */
const branch = encode('b', { LI: 0 });
const isBranch = (word: number): boolean => (word & 0xfc000003) >>> 0 === branch;
const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });

/** How many sibling calls in a row are followed. */
const deepest = 16;

/**
 * Gives functions' words with sibling calls turned into returns, those whose callees certainly read no stack arguments; the
 * others stay. `functionAt` gives the function that begins at an address, globally or locally, or undefined.
 */
export function siblingCallsRemover(
  functionAt: (address: LinkAddress) => FunctionText | undefined,
): (text: FunctionText) => Uint32Array {
  /** Whether a function reads stack arguments, or may; by address. One that is being looked at may. */
  const mayRead = new Map<LinkAddress, boolean>();

  const reads = (address: LinkAddress, depth: number): boolean => {
    const callee = depth > 0 ? functionAt(address) : undefined;
    if (!callee) return true;
    const known = mayRead.get(callee.address);
    if (known !== undefined) return known;
    mayRead.set(callee.address, true);
    const { doublewords, uncertain } = findStackArguments(without(callee, depth - 1));
    const answer = uncertain !== undefined || doublewords > registerArguments;
    mayRead.set(callee.address, answer);
    return answer;
  };

  const without = (text: FunctionText, depth: number): Uint32Array => {
    const { words: own } = text;
    let words = own;
    for (let i = 0; i < own.length; i++) {
      const word = own[i]!;
      if (!isBranch(word)) continue;
      const distance = 4 * i + fieldIn.LI(word);
      if (distance >= 0 && distance < 4 * own.length) continue;
      if (reads((text.address + BigInt(distance)) as LinkAddress, depth)) continue;
      if (words === own) words = own.slice();
      words[i] = blr;
    }
    return words;
  };

  return (text) => without(text, deepest);
}
