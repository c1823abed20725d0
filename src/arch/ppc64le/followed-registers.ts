// What the general registers hold at one place of a function, as far as `stack-arguments.ts` follows it.
//
// Most instructions do nothing with what is followed: two masks tell so at once, and no value is looked at. And what they
// leave is the same object as before, so that words in a row share one.

import { isMadeFromSp, isSame, joined, type Value } from './frame-address.ts';

export interface Registers {
  /** Bit n for rn: it holds anything but 'other'. */
  readonly known: number;
  /** What these hold, in the order of the registers: at most places it is sp and a few more. */
  readonly values: readonly Value[];
  /** Bit n for rn: what it holds was made from sp. */
  readonly fromSp: number;
  readonly lr: Link;
  /** The doubleword of the caller's frame that is its callee's to keep LR in. */
  readonly lrSave: Link;
}

/**
 * What LR holds, or the place where it is kept. Where two ways meet the greater one holds: a way from behind a call to where
 * others have the return address is one that nobody goes, since the call does not return.
 */
export const link = { whatCallLeft: 0, returnAddress: 1, other: 2 } as const;
export type Link = (typeof link)[keyof typeof link];

/** The stack pointer. */
export const SP = 1;

/** The bits of a mask that are set. */
function count(mask: number): number {
  let found = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) found++;
  return found;
}

/** The place in `values` of a register, known or not. */
const placeIn = (known: number, r: number): number => count(known & ((1 << r) - 1));

/** What a register holds. */
export const valueIn = ({ known, values }: Registers, r: number): Value =>
  (known >>> r) & 1 ? values[placeIn(known, r)]! : 'other';

/** sp in bytes from sp at the entry: the size of the frame, negative. It is always known, and only r0 comes before it. */
export const spOf = ({ known, values }: Registers): number => values[known & 1] as number;

/** At the entry nothing is known but sp. */
export const atEntry: Registers = {
  known: 1 << SP,
  values: [0],
  fromSp: 1 << SP,
  lr: link.returnAddress,
  lrSave: link.other,
};

/** The registers with LR, or with the place where it is kept, changed. */
export const withLink = (registers: Registers, lr: Link, lrSave: Link = registers.lrSave): Registers =>
  registers.lr === lr && registers.lrSave === lrSave
    ? registers
    : { values: registers.values, known: registers.known, fromSp: registers.fromSp, lr, lrSave };

/** The registers with one of them changed; themselves where that changes nothing. */
export function assigned(registers: Registers, r: number, value: Value): Registers {
  const { values, known, fromSp, lr, lrSave } = registers;
  const bit = 1 << r;
  const wasKnown = (known & bit) !== 0;
  if (!wasKnown && value === 'other') return registers;
  const place = placeIn(known, r);
  if (wasKnown && isSame(values[place]!, value)) return registers;
  const kept = wasKnown ? values.length - 1 : values.length;
  const after = new Array<Value>(value === 'other' ? kept : kept + 1);
  let to = 0;
  for (let from = 0; from < place; from++) after[to++] = values[from]!;
  if (value !== 'other') after[to++] = value;
  for (let from = wasKnown ? place + 1 : place; from < values.length; from++) after[to++] = values[from]!;
  return {
    known: value === 'other' ? known & ~bit : known | bit,
    values: after,
    fromSp: isMadeFromSp(value) ? fromSp | bit : fromSp & ~bit,
    lr,
    lrSave,
  };
}

/** The registers of which nothing is known after a call: r0 and r3–r12 (section 2.2.2.1, "Register Roles"); r2 is of no interest. */
const volatile = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].reduce((mask, r) => mask | (1 << r), 0);

export function afterCall(registers: Registers): Registers {
  const { values, known, fromSp } = registers;
  const lr = link.whatCallLeft;
  // Without a frame of the function's own its callee keeps LR where the function does.
  const lrSave = spOf(registers) === 0 ? link.whatCallLeft : registers.lrSave;
  if ((known & volatile) === 0) return withLink(registers, lr, lrSave);
  const kept = new Array<Value>(count(known & ~volatile));
  let from = 0;
  let to = 0;
  for (let rest = known; rest !== 0; rest &= rest - 1, from++) {
    if ((rest & -rest & volatile) === 0) kept[to++] = values[from]!;
  }
  return { known: known & ~volatile, values: kept, fromSp: fromSp & ~volatile, lr, lrSave };
}

const greater = (a: Link, b: Link): Link => (a > b ? a : b);

/** What two hold together, one value after the other: for one join at a time. */
const together = new Array<Value>(32).fill('other');

/** What holds whichever of two it is that share a frame; `a` itself where `b` adds nothing to it. */
export function joinedRegisters(a: Registers, b: Registers): Registers {
  const lr = greater(a.lr, b.lr);
  const lrSave = greater(a.lrSave, b.lrSave);
  if (a.values === b.values) return withLink(a, lr, lrSave);
  const sp = spOf(a);
  // Mostly both say the same.
  let differs = false;
  let known = 0;
  let fromSp = 0;
  let count = 0;
  let inA = 0;
  let inB = 0;
  for (let rest = a.known | b.known; rest !== 0; rest &= rest - 1) {
    const bit = rest & -rest;
    const before = a.known & bit ? a.values[inA++]! : 'other';
    const other = b.known & bit ? b.values[inB++]! : 'other';
    let both = before === other ? before : joined(before, other, sp);
    if (isSame(both, before)) both = before;
    else differs = true;
    if (both === 'other') continue;
    known |= bit;
    if (isMadeFromSp(both)) fromSp |= bit;
    together[count++] = both;
  }
  if (!differs) return withLink(a, lr, lrSave);
  return { known, values: together.slice(0, count), fromSp, lr, lrSave };
}
