// Where a register points, as seen from sp at the function's entry: the values that `stack-arguments.ts` computes with.
//
// An address is the constant that the code has added to r1, and whether something unknown was added too: `a[i]` of an
// array in the frame is `add rX,r1,rI; ld rY,c(rX)`, and only the sum of all constants says which array was meant. So
// the constant is kept through additions, copies and joins, and judged where the address is used.
//
// A well-defined C program does not leave the array that it indexes (C11, 6.5.6, paragraph 8), and never points
// elsewhere in between. Hence an unknown index from an address among the function's own variables stays there. It is
// the compiler that may move a constant from the index into the address: `s.t[i - 'a']` with `s` at 96 looks like an
// array at -1. `isLocal` bounds that, and the walk asks for more (`Walk.checkIndexes`).

/** Bytes from a frame's sp to its parameter save area (ELFv2 ABI 1.5, section 2.2.3, "The Stack Frame"). */
export const frameHeader = 32;

/** Bytes below sp that a function without a frame may use (section 2.2.3.4, "Protected Zone"). */
const protectedZone = 288;

/** An address in the stack plus something unknown. */
export interface Indexed {
  /** Bytes from sp at the entry, the unknown left out. */
  readonly from: number;
}

/** Something made without sp, plus a constant: an index to which the compiler has added what belongs to the address. */
export interface Index {
  readonly plus: number;
}

/**
 * A number is an address, in bytes from sp at the entry; 'other' is the index plus 0, whatever is made without sp; 'lost'
 * is made from sp in a way that is not followed. 'return address' is one that is made without sp: where the function returns to.
 */
export type Value = number | Indexed | Index | 'other' | 'lost' | 'return address';

export const isIndexed = (value: Value): value is Indexed => typeof value === 'object' && 'from' in value;

/** The constant in what is made without sp; undefined for what is made with it. */
const indexOf = (value: Value): number | undefined =>
  value === 'other' || value === 'return address'
    ? 0
    : typeof value === 'object' && 'plus' in value
      ? value.plus
      : undefined;

/** Where an address starts; undefined for what is none, or is lost. */
const origin = (value: Value): number | undefined =>
  typeof value === 'number' ? value : isIndexed(value) ? value.from : undefined;

export const isMadeFromSp = (value: Value): boolean => indexOf(value) === undefined;

/** The same without the constant, where it was made without sp: less is known. */
export const withoutConstant = (value: Value): Value =>
  isMadeFromSp(value) || value === 'return address' ? value : 'other';

export const isSame = (a: Value, b: Value): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && origin(a) === origin(b) && indexOf(a) === indexOf(b));

/** Whether a variable of a function whose sp is now `sp` can be at an address. */
export const isLocal = (address: number, sp: number): boolean =>
  address < 0 && address >= (sp === 0 ? -protectedZone : sp + frameHeader);

/** Whether the value may point into the caller's frame; nobody but this function then knows where. */
export const mayLeave = (value: Value): boolean => value === 'lost' || (origin(value) ?? -1) >= 0;

/** A value plus a constant. */
export function shifted(value: Value, by: number): Value {
  if (typeof value === 'number') return value + by;
  if (value === 'lost') return value;
  return isIndexed(value) ? { from: value.from + by } : { plus: indexOf(value)! + by };
}

/** One value plus another. */
export function sum(a: Value, b: Value): Value {
  const indexA = indexOf(a);
  const indexB = indexOf(b);
  if (indexA !== undefined && indexB !== undefined) return indexA + indexB === 0 ? 'other' : { plus: indexA + indexB };
  const from = (origin(a) ?? indexA ?? Number.NaN) + (origin(b) ?? indexB ?? Number.NaN);
  return (indexA === undefined && indexB === undefined) || Number.isNaN(from) ? 'lost' : { from };
}

/** `a` minus `b`. The distance between two addresses is a plain number. */
export function difference(a: Value, b: Value): Value {
  const index = indexOf(b);
  if (index !== undefined) return sum(a, { plus: -index });
  return origin(a) !== undefined && origin(b) !== undefined ? 'other' : 'lost';
}

/** A value with its lowest bits cleared: so many more bytes down, at most. */
export function alignedDown(value: Value, bits: number): Value {
  const from = origin(value);
  return from === undefined ? 'lost' : { from: from - (2 ** bits - 1) };
}

/**
 * A value that is one or the other. Of two variables' addresses the first stands for both; so does one for itself and
 * something else, since a constant added later makes either wrong. Any other address is lost.
 */
export function joined(a: Value, b: Value, sp: number): Value {
  if (isSame(a, b)) return a;
  const isA = isMadeFromSp(a);
  const isB = isMadeFromSp(b);
  if (!isA && !isB) return 'other';
  const first = isA ? a : b;
  const from = origin(first);
  const second = origin(isB ? b : a);
  if (from === undefined || second === undefined || !isLocal(from, sp) || !isLocal(second, sp)) return 'lost';
  return isIndexed(first) ? first : { from };
}
