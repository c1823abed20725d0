// What a function reads of its caller's frame.
//
// A caller's frame, seen from the callee's entry (ELFv2 ABI 1.5, section 2.2.3, "The Stack Frame"); sp is r1:
//
//       0(r1)  back chain                   16(r1)  the callee's return address (LR save)
//       8(r1)  CR save                      24(r1)  TOC save
//      32(r1)  parameter save area: one doubleword for each argument, of which the first eight come in r3–r10 and
//      96(r1)  are only reserved here; from the ninth on the caller stores the arguments themselves
//
// A stub with a frame of its own between caller and callee moves all that out of the callee's reach, so it must copy
// the arguments, and so somebody must say how many there are. The compiled code says it: `argument-walk.ts` follows r1 and
// its copies through the new function, word by word, and collects every access at or above the caller's 32(r1).
//
// Where that cannot be told the answer names the reason, and the function is refused: the address of an argument taken
// (variable arguments, `va_start`, always do), an argument chosen by an index, a frame whose size is computed, a word
// that the tables do not know, a branch out of the function. The last is why fixes are compiled with -fno-optimize-sibling-calls: `b other` may hand
// on stack arguments that it does not touch, and no word would show it.

import type { StackArguments, StackArgumentsFinder } from '../arch.ts';
import { ByWords } from '../by-words.ts';
import type { WaysIn } from '../machine.ts';
import { type Found, NeedsConstants, registerArguments, Uncertain } from './argument-accesses.ts';
import { Walk } from './argument-walk.ts';
import { atEntry, link, type Registers, spOf, withLink } from './followed-registers.ts';

export { registerArguments } from './argument-accesses.ts';

/** Bounds for code made to keep us busy: no function of the stock kernel comes near either. */
const mostUnreached = 1000;
const mostFrames = 16;

/**
 * Goes on at code that no branch in the words leads to, and no jump of a table that is known: what a WARN comes back to, what
 * code elsewhere branches to, and in a kernel's image what a jump label or an access to user memory reaches. Its frame is one that the rest of the function has; a wrong guess contradicts the code
 * that it runs into. Code behind a WARN's trap has the trap's frame if that fits, and its return address where the trap has
 * it; if several others fit, all count.
 */
function walkUnreached(walk: Walk, start: number): void {
  const frames = walk.registersByFrame();
  if (frames.size > mostFrames) throw new Uncertain('the function has frames of too many sizes');
  let failure = new Uncertain('no code was reached');
  const before = walk.isBehindTrap(start) ? walk.registersAt(start - 1) : undefined;
  const attempt = (inFrame: Registers, keep = false): { registers: Registers; found: Found }[] => {
    const registers = before
      ? withLink(inFrame, before.lr, before.lrSave)
      : withLink(inFrame, link.returnAddress, link.returnAddress);
    try {
      return [{ registers, found: walk.tryOut(start, registers, keep) }];
    } catch (error) {
      if (!(error instanceof Uncertain)) throw error;
      failure = error;
      return [];
    }
  };
  const trapped = before ? frames.get(spOf(before)) : undefined;
  if (trapped && attempt(trapped, true).length > 0) return;
  const inFrames = [...frames.values()];
  const last = inFrames.pop();
  const fitting = inFrames.flatMap((frame) => attempt(frame));
  // If the last one is the only one that fits, it need not be walked again.
  const isOnly = fitting.length === 0;
  if (last) fitting.push(...attempt(last, isOnly));
  if (fitting.length === 0) throw failure;
  if (isOnly) return;
  const widest = fitting.reduce((a, b) => (b.found.doublewords > a.found.doublewords ? b : a));
  walk.run(start, widest.registers);
  walk.accesses.found.certain = Math.min(...fitting.map(({ found }) => found.certain));
}

/**
 * What a function does with its caller's parameter save area.
 * `words` are its instructions from the global entry on; relocations need not be applied. `waysIn`
 * is how a module leads into them; where that is not known, what no branch leads to is guessed at.
 */
export function findStackArguments(words: Uint32Array, waysIn?: WaysIn): StackArguments {
  // Whoever proves a module asks for the very words that its maker has asked for just before.
  return waysIn ? walkAsNeeded(words, waysIn) : answers.of(words, () => walkAsNeeded(words, undefined));
}

/** For the new functions of a patch module, which are 4096 at most and mostly shorter than this. */
const answers = new ByWords<StackArguments>(4096 * 128);

export const stackArguments: StackArgumentsFinder = {
  find: findStackArguments,
  learn: (words, found) => void answers.of(words, () => found),
};

function walkAsNeeded(words: Uint32Array, waysIn: WaysIn | undefined): StackArguments {
  try {
    return walkThrough(new Walk(words, waysIn, false));
  } catch (error) {
    if (!(error instanceof NeedsConstants)) throw error;
    return walkThrough(new Walk(words, waysIn, true));
  }
}

/** The same by a walk that looks at every value: what tests hold the usual one against, which leaves out what it can. */
export const findWithConstants = (words: Uint32Array): StackArguments => walkThrough(new Walk(words, undefined, true));

function walkThrough(walk: Walk): StackArguments {
  let uncertain: string | undefined;
  try {
    walk.run(0, atEntry);
    let start: number | undefined = 0;
    let tables = walk.found.tables;
    for (let rounds = 0; ; rounds++) {
      start = walk.firstUnreached(tables === walk.found.tables ? start : 0);
      tables = walk.found.tables;
      if (start === undefined) break;
      if (rounds === mostUnreached) throw new Uncertain('too much of the code is reached by no branch');
      walkUnreached(walk, start);
    }
    walk.accesses.checkIndexes();
  } catch (error) {
    if (!(error instanceof Uncertain)) throw error;
    uncertain = error.message;
  }
  const { doublewords, certain } = walk.found;
  return { doublewords, certain, uncertain };
}

/** Whether a function certainly reads arguments from its caller's frame: what tests hold against names that are known to. */
export const readsStackArguments = (words: Uint32Array): boolean =>
  findStackArguments(words).certain > registerArguments;
