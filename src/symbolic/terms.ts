// The values of the symbolic machine: numbers that nobody knows yet.
//
// A term is a sum: atoms with coefficients, and a constant, all modulo the register's width. An atom is something that
// cannot be said in simpler terms: what a register held at the start, what memory held, a number that nobody can
// know, or an operation other than addition on terms. So an address is always base and offset, and `x + y - y` is `x`.
//
// Two terms that are the same object are equal whatever the atoms stand for: that is all that `same` says. Two that are
// not may be equal none the less; `evaluate` with numbers in place of the atoms tells when they are not.

import { compute, type Operation } from '../arch/machine.ts';

/** Where a number comes from. */
export type Origin =
  /** What something held at the start of the run: a register, or the address of something, by name. */
  | { readonly kind: 'initial'; readonly name: string }
  /** What memory held at the start of the run; the address of its first byte, and how many bytes. */
  | { readonly kind: 'memory'; readonly address: Term; readonly size: number }
  /**
   * A number of its own that nothing is known of. `free`: it may be any indeed; else it is only more than is said here,
   * and no example can be made of it. `at` is the address that it was loaded from, if it was.
   */
  | { readonly kind: 'unknown'; readonly why: string; readonly free: boolean; readonly at?: Term | undefined }
  | { readonly kind: 'operation'; readonly operation: Operation; readonly a: Term; readonly b: Term };

export interface Atom {
  readonly id: number;
  readonly origin: Origin;
  /** How many low bits are known to be zero. */
  readonly lowZeros: number;
  /** How many bits it may have: those above are zero. */
  readonly width: number;
  /** How many operations and loads are nested in it. */
  readonly depth: number;
}

/** The atoms of a sum with their coefficients, in the order of their numbers. The same sum is the same object. */
export interface Base {
  readonly key: string;
  readonly parts: readonly (readonly [atom: Atom, coefficient: bigint])[];
}

export interface Term {
  /** Undefined for a plain number. */
  readonly base: Base | undefined;
  readonly plus: bigint;
}

/** Operations with a name of their own where terms are printed. */
const signs: Record<Operation, string> = {
  add: '+',
  subtract: '-',
  multiply: '*',
  and: '&',
  or: '|',
  xor: '^',
  shiftLeft: '<<',
  shiftRight: '>>',
  shiftRightSigned: '>>>',
  equal: '==',
  lessUnsigned: '<',
  lessSigned: 'is less, as signed, than',
};

/** A part of a term that has bits for itself. */
interface Piece {
  readonly term: Term;
  /** Those that it may have. */
  readonly bits: bigint;
  /** How far up its atom has been shifted. */
  readonly shift: number;
}

const truths: ReadonlySet<Operation> = new Set(['equal', 'lessUnsigned', 'lessSigned']);
/** a op b is b op a. */
const symmetric: ReadonlySet<Operation> = new Set(['multiply', 'and', 'or', 'xor', 'equal']);

const bitLength = (value: bigint): number => (value === 0n ? 0 : value.toString(2).length);
const trailingZeros = (value: bigint, bits: number): number => (value === 0n ? bits : bitLength(value & -value) - 1);

// Code can be written to make terms grow without end, and a proof has no use for long ones: beyond these a term is
// unknown.
const mostParts = 16;
const deepest = 48;
/** How far down a term is printed, and how many of its numbers. */
const printedDepth = 4;
const mostPrinted = 64;

/** How many numbers of a term may still be printed. */
interface Room {
  left: number;
}

export const same = (a: Term, b: Term): boolean => a.base === b.base && a.plus === b.plus;

/** The terms of one run and of all that forks from it. */
export class Terms {
  readonly bits: 32 | 64;
  private readonly bases = new Map<string, Base>();
  /** Each atom by its key, as the term that is nothing but it. */
  private readonly atoms = new Map<string, Term>();
  private readonly basePieces = new Map<Base, readonly Piece[] | undefined>();
  private count = 0;

  constructor(bits: 32 | 64) {
    this.bits = bits;
  }

  constant(value: number | bigint): Term {
    return { base: undefined, plus: this.cut(BigInt(value)) };
  }

  /** What something of this name held at the start, with its lowest `lowZeros` bits zero, and those from `width` up. */
  initial(name: string, lowZeros = 0, width: number = this.bits): Term {
    return this.atom(`initial ${name}`, { kind: 'initial', name }, { lowZeros, width });
  }

  /** What memory held at the start. */
  memory(address: Term, size: number): Term {
    const depth = depthOf(address) + 1;
    if (depth > deepest) return this.unknown('a load at the end of a long chain', 8 * size, false);
    return this.atom(`memory ${size} ${keyOf(address)}`, { kind: 'memory', address, size }, { width: 8 * size, depth });
  }

  /** A number of `width` bits that no other term has to do with. */
  unknown(why: string, width: number = this.bits, free = true, at?: Term): Term {
    return this.atom(`unknown ${this.count}`, { kind: 'unknown', why, free, at }, { width });
  }

  apply(operation: Operation, a: Term, b: Term): Term {
    if (!a.base && !b.base) return this.constant(compute(operation, this.bits, a.plus, b.plus));
    switch (operation) {
      case 'add':
        return this.sum(a, b, 1n);
      case 'subtract':
        return this.sum(a, b, -1n);
      case 'multiply':
        if (!b.base) return this.scale(a, b.plus);
        if (!a.base) return this.scale(b, a.plus);
        break;
      case 'shiftLeft':
        if (!b.base) return this.scale(a, b.plus >= this.bits ? 0n : 1n << b.plus);
        break;
      case 'shiftRight':
      case 'shiftRightSigned':
        if (!b.base && b.plus === 0n) return a;
        if (operation === 'shiftRight' && !b.base) {
          const lowered = this.lowered(a, Number(b.plus < BigInt(this.bits) ? b.plus : this.bits));
          if (lowered) return lowered;
        }
        break;
      case 'and':
        return this.and(a, b);
      case 'or':
        if (same(a, b) || isNumber(b, 0n)) return a;
        if (isNumber(a, 0n)) return b;
        if (isNumber(a, this.ones)) return a;
        if (isNumber(b, this.ones)) return b;
        if ((this.bitsOf(a) & this.bitsOf(b)) === 0n) return this.sum(a, b, 1n);
        break;
      case 'xor':
        if (same(a, b)) return this.constant(0);
        if (isNumber(b, 0n)) return a;
        if (isNumber(a, 0n)) return b;
        // Turning every bit over is -1 - x.
        if (isNumber(b, this.ones)) return this.sum(b, a, -1n);
        if (isNumber(a, this.ones)) return this.sum(a, b, -1n);
        if ((this.bitsOf(a) & this.bitsOf(b)) === 0n) return this.sum(a, b, 1n);
        break;
      case 'equal':
        return this.equal(a, b);
      case 'lessUnsigned':
      case 'lessSigned':
        if (same(a, b)) return this.constant(0);
    }
    return this.operation(operation, a, b);
  }

  /** How many low bits of a term are certain, and so those of its constant. */
  certainBits({ base }: Term): number {
    if (!base) return this.bits;
    return Math.min(
      this.bits,
      ...base.parts.map(([atom, coefficient]) => atom.lowZeros + trailingZeros(coefficient, this.bits)),
    );
  }

  /** The number that a term is when each atom is what `numbers` says; operations are computed. */
  evaluate(term: Term, numbers: (atom: Atom) => bigint): bigint {
    const known = new Map<Atom, bigint>();
    const ofAtom = (atom: Atom): bigint => {
      const { origin } = atom;
      const value =
        known.get(atom) ??
        (origin.kind === 'operation'
          ? compute(origin.operation, this.bits, ofTerm(origin.a), ofTerm(origin.b))
          : numbers(atom));
      known.set(atom, value);
      return value;
    };
    const ofTerm = ({ base, plus }: Term): bigint =>
      this.cut((base?.parts ?? []).reduce((sum, [atom, coefficient]) => sum + coefficient * ofAtom(atom), plus));
    return ofTerm(term);
  }

  /** What a term is made of, down through operations: all that numbers must be told for to `evaluate` it. */
  *atomsOf(...all: Term[]): Iterable<Atom> {
    const seen = new Set<Atom>();
    for (let term = all.pop(); term; term = all.pop())
      for (const [atom] of term.base?.parts ?? []) {
        if (seen.has(atom)) continue;
        seen.add(atom);
        if (atom.origin.kind === 'operation') all.push(atom.origin.a, atom.origin.b);
        else yield atom;
      }
  }

  /** A term for people: `sp - 0x10`, `[sp + 4]`, `(r0 & 0xff)`. */
  describe({ base, plus }: Term, depth = printedDepth, room: Room = { left: mostPrinted }): string {
    if (!base) return hex(plus);
    if (depth === 0 || room.left <= 0) return '…';
    const signed = BigInt.asIntN(this.bits, plus);
    const parts = base.parts.map(([atom, coefficient]) => {
      const factor = BigInt.asIntN(this.bits, coefficient);
      if (room.left-- <= 0) return '…';
      const text = this.describeAtom(atom, depth - 1, room);
      if (factor === 1n) return text;
      return factor === -1n ? `-${text}` : `${factor} * ${text}`;
    });
    if (signed !== 0n) parts.push(`${signed < 0n ? '-' : ''}${hex(signed < 0n ? -signed : signed)}`);
    return parts.reduce((text, part) => (part.startsWith('-') ? `${text} - ${part.slice(1)}` : `${text} + ${part}`));
  }

  /** An atom for people, as it stands in a term. */
  describeAtom({ origin }: Atom, depth = printedDepth, room: Room = { left: mostPrinted }): string {
    switch (origin.kind) {
      case 'initial':
        return origin.name;
      case 'memory':
        return `[${this.describe(origin.address, depth, room)}]`;
      case 'unknown':
        return `unknown (${origin.why})`;
      case 'operation':
        return `(${this.describe(origin.a, depth, room)} ${signs[origin.operation]} ${this.describe(origin.b, depth, room)})`;
    }
  }

  private unsaid(why: string): Term {
    return this.unknown(why, this.bits, false);
  }

  private get ones(): bigint {
    return (1n << BigInt(this.bits)) - 1n;
  }

  private cut(value: bigint): bigint {
    return BigInt.asUintN(this.bits, value);
  }

  /** The one atom of this key. */
  private atom(key: string, origin: Origin, known: Partial<Omit<Atom, 'id' | 'origin'>>): Term {
    const term = this.atoms.get(key);
    if (term) return term;
    const atom = { id: this.count++, origin, lowZeros: 0, width: this.bits, depth: 0, ...known };
    const made = { base: this.base([[atom, 1n]]), plus: 0n };
    this.atoms.set(key, made);
    return made;
  }

  private base(parts: readonly (readonly [Atom, bigint])[]): Base | undefined {
    if (parts.length === 0) return undefined;
    const key = parts.map(([{ id }, coefficient]) => `${coefficient}*${id}`).join('+');
    let base = this.bases.get(key);
    if (!base) {
      base = { key, parts };
      this.bases.set(key, base);
    }
    return base;
  }

  private sum(a: Term, b: Term, factor: bigint): Term {
    const plus = this.cut(a.plus + factor * b.plus);
    if (!b.base) return { base: a.base, plus };
    const coefficients = new Map(a.base?.parts);
    for (const [atom, coefficient] of b.base.parts)
      coefficients.set(atom, this.cut((coefficients.get(atom) ?? 0n) + factor * coefficient));
    const parts = [...coefficients].filter(([, coefficient]) => coefficient !== 0n);
    if (parts.length > mostParts) return this.unsaid('a sum of many numbers');
    return { base: this.base(parts.sort(([x], [y]) => x.id - y.id)), plus };
  }

  private scale({ base, plus }: Term, factor: bigint): Term {
    const parts = (base?.parts ?? []).map(([atom, coefficient]) => [atom, this.cut(coefficient * factor)] as const);
    return { base: this.base(parts.filter(([, coefficient]) => coefficient !== 0n)), plus: this.cut(plus * factor) };
  }

  /**
   * A term as parts that have no bit in common, so that adding them is putting them side by side: a register full of
   * flags can be taken apart again. Undefined where the parts may carry into each other.
   */
  private pieces({ base, plus }: Term): readonly Piece[] | undefined {
    const atoms = base ? this.piecesOf(base) : [];
    if (!atoms || plus === 0n) return atoms;
    const overlaps = atoms.some(({ bits }) => (bits & plus) !== 0n);
    return overlaps ? undefined : [{ term: this.constant(plus), bits: plus, shift: this.bits }, ...atoms];
  }

  private piecesOf(base: Base): readonly Piece[] | undefined {
    if (this.basePieces.has(base)) return this.basePieces.get(base);
    const pieces: Piece[] = [];
    let taken = 0n;
    for (const [atom, coefficient] of base.parts) {
      const shift = trailingZeros(coefficient, this.bits);
      const low = BigInt(atom.lowZeros);
      const bits = (((1n << BigInt(atom.width)) - 1n) >> low) << (low + BigInt(shift));
      if (coefficient !== 1n << BigInt(shift) || bits > this.ones || (bits & taken) !== 0n) {
        this.basePieces.set(base, undefined);
        return undefined;
      }
      taken |= bits;
      pieces.push({ term: { base: this.base([[atom, coefficient]]), plus: 0n }, bits, shift });
    }
    this.basePieces.set(base, pieces);
    return pieces;
  }

  /** The bits that a term may have. */
  private bitsOf(term: Term): bigint {
    const pieces = this.pieces(term);
    if (pieces) return pieces.reduce((bits, piece) => bits | piece.bits, 0n);
    const certain = (1n << BigInt(this.certainBits(term))) - 1n;
    return (this.ones & ~certain) | (term.plus & certain);
  }

  /** How many low bits a term may have that are not zero. */
  private widthOf(term: Term): number {
    return bitLength(this.bitsOf(term));
  }

  private together(pieces: readonly Piece[]): Term {
    return pieces.reduce((sum, { term }) => this.sum(sum, term, 1n), this.constant(0));
  }

  /** A term shifted right, if each of its pieces goes as a whole or stays as a whole. */
  private lowered(term: Term, by: number): Term | undefined {
    const staying = this.pieces(term)?.filter(({ bits }) => bits >> BigInt(by) !== 0n);
    if (!staying?.every(({ term: { base }, shift }) => !base || shift >= by)) return undefined;
    return staying.reduce((sum, { term: { base, plus } }) => {
      const parts = (base?.parts ?? []).map(([atom, coefficient]) => [atom, coefficient >> BigInt(by)] as const);
      return this.sum(sum, { base: this.base(parts), plus: plus >> BigInt(by) }, 1n);
    }, this.constant(0));
  }

  private and(a: Term, b: Term): Term {
    if (!a.base) return this.and(b, a);
    if (same(a, b)) return a;
    if (b.base) return this.operation('and', a, b);
    const mask = b.plus;
    if (mask === 0n) return b;
    // Bits that the term does not have need no mask, and those that are certain none either.
    const certain = this.certainBits(a);
    if (bitLength(mask) <= certain) return this.constant(a.plus & mask);
    const possible = (1n << BigInt(this.widthOf(a))) - 1n;
    const cleared = possible & ~mask;
    if (bitLength(cleared) <= certain) return { base: a.base, plus: a.plus - (a.plus & cleared) };
    const pieces = this.pieces(a);
    const isWhole = ({ term, bits }: Piece): boolean => !term.base || (bits & mask) === bits || (bits & mask) === 0n;
    if (pieces?.every(isWhole)) {
      const kept = pieces.filter(({ term, bits }) => term.base && (bits & mask) !== 0n);
      return this.sum(this.together(kept), this.constant(a.plus & mask), 1n);
    }
    // A mask of a mask is one mask.
    const origin = onlyAtom(a)?.origin;
    if (origin?.kind === 'operation' && origin.operation === 'and' && !origin.b.base)
      return this.and(origin.a, this.constant(origin.b.plus & mask));
    return this.operation('and', a, b);
  }

  private equal(a: Term, b: Term): Term {
    const { base, plus } = this.sum(a, b, -1n);
    if (!base) return this.constant(plus === 0n ? 1 : 0);
    // They differ in bits that are certain.
    const certain = BigInt(this.certainBits({ base, plus }));
    if ((plus & ((1n << certain) - 1n)) !== 0n) return this.constant(0);
    // One is a number that the other has not the bits for.
    if ((!b.base && (b.plus & ~this.bitsOf(a)) !== 0n) || (!a.base && (a.plus & ~this.bitsOf(b)) !== 0n))
      return this.constant(0);
    // Said as `term == number` where it can be.
    return this.operation('equal', { base, plus: 0n }, this.constant(-plus));
  }

  private operation(operation: Operation, left: Term, right: Term): Term {
    const turned = symmetric.has(operation) && (!left.base || (right.base && left.base.key > right.base.key));
    const [a, b] = turned ? [right, left] : [left, right];
    const depth = Math.max(depthOf(a), depthOf(b)) + 1;
    if (depth > deepest) return this.unsaid('a number at the end of a long calculation');
    const lowZeros = operation === 'and' && !b.base ? trailingZeros(b.plus, this.bits) : 0;
    const width = this.widthOfOperation(operation, a, b);
    const key = `${operation} ${keyOf(a)} ${keyOf(b)}`;
    return this.atom(key, { kind: 'operation', operation, a, b }, { lowZeros, width, depth });
  }

  private widthOfOperation(operation: Operation, a: Term, b: Term): number {
    if (truths.has(operation)) return 1;
    const widths = [this.widthOf(a), this.widthOf(b)];
    switch (operation) {
      case 'and':
        return Math.min(...widths);
      case 'or':
      case 'xor':
        return Math.max(...widths);
      case 'shiftRight':
        return b.base ? this.widthOf(a) : this.widthOf(a) - Number(b.plus);
      default:
        return this.bits;
    }
  }
}

const depthOf = ({ base }: Term): number => Math.max(0, ...(base?.parts ?? []).map(([{ depth }]) => depth));

/** The atom that a term is, and nothing else. */
export function onlyAtom({ base, plus }: Term): Atom | undefined {
  const [part, ...more] = base?.parts ?? [];
  return part && more.length === 0 && plus === 0n && part[1] === 1n ? part[0] : undefined;
}

/** The two sides of a term that is `a == b`. */
export function equation(term: Term): { readonly a: Term; readonly b: Term } | undefined {
  const origin = onlyAtom(term)?.origin;
  return origin?.kind === 'operation' && origin.operation === 'equal' ? origin : undefined;
}

const isNumber = ({ base, plus }: Term, value: bigint): boolean => !base && plus === value;

/** A text that only the same term has. */
export const keyOf = ({ base, plus }: Term): string => `${base?.key ?? ''}+${plus}`;

const hex = (value: bigint): string => (value < 10n ? `${value}` : `0x${value.toString(16)}`);
