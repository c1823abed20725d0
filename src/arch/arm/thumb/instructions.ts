// Thumb-2 code (T32), as far as a kernel's own text has to be read: how long an instruction is, where branches lead, what is
// reached relative to the PC, and how a constant is built.
//
// An instruction is one halfword or two. The first halfword tells: with 0b11101, 0b11110 or 0b11111 in its five highest bits it
// has a second one (ARM DDI 0406C, section A6.1). The halfword at the lower address comes first, so a little-endian word of
// memory has it in its lower half. Both stand at multiples of 2; nothing but habit puts a function's first at one of 4.
//
// In code there may be literals and tables of branches, which nobody tells from instructions without running it. So nothing here
// disassembles a function from its start: a halfword is asked what it would be if it were the first one of an instruction, and
// whoever asks has to take each answer for possible.
//
// The PC reads 4 bytes ahead of the instruction, and where it is the base of an address or of a load, rounded down to a multiple
// of 4: Align(PC, 4) (section A6.1.2, A2.3.1). The diagrams are the manual's, the two halfwords behind each other.

/** How far the PC, as a branch's origin or as an operand, is ahead of the instruction. */
export const pcAhead = 4;

/** Whether an instruction that begins with a halfword has another one. */
export const isWide = (first: number): boolean => first >>> 11 >= 0b11101;

const signed = (value: number, bits: number): number => (value << (32 - bits)) >> (32 - bits);
const bitOf = (half: number, position: number): number => (half >>> position) & 1;

/** A branch relative to its own address. */
export interface Branch {
  /** From the instruction's own address, in bytes. */
  readonly distance: number;
  /** It leaves a return address in lr. */
  readonly links: boolean;
  /** It goes on in A32 code. */
  readonly toA32: boolean;
  /** The bits that hold the distance, of a word that has the first halfword in its lower half. */
  readonly mask: number;
}

/** S:imm10 of B.W, BL and BLX in the first halfword, J1:J2:imm11 in the second one. */
export const farMask = 0x2fff07ff;
/** S:imm6 and J1:J2:imm11 of a B.W with a condition. */
const conditionalMask = 0x2fff043f;

/** S:I1:I2:imm10:imm11:'0' of B.W, BL and BLX; I1 = NOT(J1 EOR S), I2 = NOT(J2 EOR S) (sections A8.8.18, A8.8.25). */
function farDistance(first: number, second: number): number {
  const S = bitOf(first, 10);
  const [I1, I2] = [bitOf(second, 13) ^ S ^ 1, bitOf(second, 11) ^ S ^ 1];
  return signed((S << 24) | (I1 << 23) | (I2 << 22) | ((first & 0x3ff) << 12) | ((second & 0x7ff) << 1), 25);
}

/** The branch that two halfwords begin with; undefined where they begin with another instruction. */
export function readBranch(first: number, second: number, address: number): Branch | undefined {
  const jump = (offset: number, mask: number): Branch => ({
    distance: pcAhead + offset,
    links: false,
    toA32: false,
    mask,
  });
  // B T1: 1101 cond imm8; 14 is UDF, 15 SVC (A6.2.6)
  if (first >>> 12 === 0b1101 && ((first >>> 8) & 0xf) < 14) return jump(signed(first & 0xff, 8) * 2, 0xff);
  // B T2: 11100 imm11
  if (first >>> 11 === 0b11100) return jump(signed(first & 0x7ff, 11) * 2, 0x7ff);
  // CBZ, CBNZ T1: 1011 op 0 i 1 imm5 Rn (A8.8.29)
  if ((first & 0xf500) === 0xb100) return jump((bitOf(first, 9) << 6) | (((first >>> 3) & 0x1f) << 1), 0x2f8);
  if (first >>> 11 !== 0b11110 || second >>> 15 === 0) return undefined;
  // BL T1: 11110 S imm10, 11 J1 1 J2 imm11; BLX T2 has 0 in the place of that 1 and at the end, and begins at Align(PC, 4)
  if (bitOf(second, 14) === 1) {
    const toA32 = bitOf(second, 12) === 0;
    if (toA32 && bitOf(second, 0) === 1) return undefined;
    const distance = pcAhead + farDistance(first, second) - (toA32 ? address & 2 : 0);
    return { distance, links: true, toA32, mask: farMask };
  }
  // B T4: 11110 S imm10, 10 J1 1 J2 imm11
  if (bitOf(second, 12) === 1) return jump(farDistance(first, second), farMask);
  // B T3: 11110 S cond imm6, 10 J1 0 J2 imm11; cond 111x is other instructions (A6.3.4)
  if (((first >>> 7) & 7) === 7) return undefined;
  const high = (bitOf(first, 10) << 20) | (bitOf(second, 11) << 19) | (bitOf(second, 13) << 18);
  return jump(signed(high | ((first & 0x3f) << 12) | ((second & 0x7ff) << 1), 21), conditionalMask);
}

/**
 * A word of B.W or BL that leads `offset` bytes from the PC, which reads 4 ahead; undefined for one that its 25 bits, the lowest
 * of which is not there, cannot hold.
 */
export function putFarOffset(word: number, offset: number): number | undefined {
  if (offset % 2 !== 0 || signed(offset, 25) !== offset) return undefined;
  const S = (offset >>> 24) & 1;
  const [J1, J2] = [bitOf(offset >>> 23, 0) ^ S ^ 1, bitOf(offset >>> 22, 0) ^ S ^ 1];
  const first = (S << 10) | ((offset >>> 12) & 0x3ff);
  const second = (J1 << 13) | (J2 << 11) | ((offset >>> 1) & 0x7ff);
  return ((word & ~farMask) | (second << 16) | first) >>> 0;
}

/** i:imm4 of MOVW and MOVT in the first halfword, imm3:imm8 in the second one. */
export const wideMask = 0x70ff040f;

/** A word of MOVW or MOVT with other 16 bits. */
export function putWideImmediate(word: number, value: number): number {
  const first = (((value >>> 11) & 1) << 10) | ((value >>> 12) & 0xf);
  const second = (((value >>> 8) & 7) << 12) | (value & 0xff);
  return ((word & ~wideMask) | (second << 16) | first) >>> 0;
}

/** imm4:i:imm3:imm8 of MOVW and MOVT, of which the first halfword has imm4 and i (sections A8.8.102, A8.8.106). */
export const wideImmediate = (first: number, second: number): number =>
  ((first & 0xf) << 12) | (bitOf(first, 10) << 11) | (((second >>> 12) & 7) << 8) | (second & 0xff);

/** The 32 bits that i:imm3:imm8 stand for (ThumbExpandImm, section A6.3.2). */
export function expandImmediate(imm12: number): number {
  const byte = imm12 & 0xff;
  if (imm12 >>> 10 !== 0) {
    const [value, turn] = [0x80 | (imm12 & 0x7f), imm12 >>> 7];
    return ((value >>> turn) | (value << (32 - turn))) >>> 0;
  }
  return (byte * [1, 0x00010001, 0x01000100, 0x01010101][imm12 >>> 8]!) >>> 0;
}

/** The number that an instruction puts into a register without asking anything: MOV (immediate) T1 to T3 (section A8.8.102). */
export function readNumber(first: number, second: number): { register: number; value: number } | undefined {
  // T1: 00100 Rd imm8
  if (first >>> 11 === 0b00100) return { register: (first >>> 8) & 7, value: first & 0xff };
  if (second >>> 15 !== 0) return undefined;
  const register = (second >>> 8) & 0xf;
  // T2, without S: 11110 i 00010 0 1111, 0 imm3 Rd imm8
  const imm12 = (bitOf(first, 10) << 11) | (((second >>> 12) & 7) << 8) | (second & 0xff);
  if ((first & 0xfbff) === 0xf04f) return { register, value: expandImmediate(imm12) };
  // T3: 11110 i 10 0100 imm4, 0 imm3 Rd imm8
  return (first & 0xfbf0) === 0xf240 ? { register, value: wideImmediate(first, second) } : undefined;
}

/** What an instruction puts into a register that it builds a constant in. */
export type Constant =
  | { readonly kind: 'low' | 'high' | 'literal'; readonly register: number; readonly value: number }
  | { readonly kind: 'add-pc'; readonly register: number };

/**
 * `low`: MOVW, `high`: MOVT, with the 16 bits; `literal`: a load whose `value` is the address of what it loads; `add-pc`: `add
 * Rd, pc`. Undefined for anything else.
 */
export function readConstant(first: number, second: number, address: number): Constant | undefined {
  const register = (second >>> 8) & 0xf;
  if (second >>> 15 === 0) {
    // MOV (immediate) T3: 11110 i 10 0100 imm4, 0 imm3 Rd imm8
    if ((first & 0xfbf0) === 0xf240) return { kind: 'low', register, value: wideImmediate(first, second) };
    // MOVT T1: 11110 i 10 1100 imm4, 0 imm3 Rd imm8
    if ((first & 0xfbf0) === 0xf2c0) return { kind: 'high', register, value: wideImmediate(first, second) };
  }
  // ADD (register) T2: 0100 0100 DN Rm Rdn, with Rm = 15 (A8.8.6)
  if ((first & 0xff78) === 0x4478) return { kind: 'add-pc', register: (bitOf(first, 7) << 3) | (first & 7) };
  const read = readLiteral(first, second, address);
  // LDR (literal) T1: 01001 Rt imm8 (A8.8.64)
  if (read && first >>> 11 === 0b01001) return { kind: 'literal', register: (first >>> 8) & 7, value: read.address };
  // LDR (literal) T2: 1111 1000 U101 1111, Rt imm12
  if (read && (first & 0xff7f) === 0xf85f) return { kind: 'literal', register: second >>> 12, value: read.address };
  return undefined;
}

/** A place that is read, or whose address is taken, relative to the PC. */
export interface Literal {
  readonly address: number;
  /** In bytes, of what is read there at most. */
  readonly size: number;
}

/**
 * What two halfwords would reach relative to the PC, if they begin such an instruction. Encodings that differ in what they do
 * with it are one here, and some that reach nothing are taken for it.
 */
export function readLiteral(first: number, second: number, address: number): Literal | undefined {
  const base = (address + pcAhead) & ~3;
  const at = (offset: number, size: number): Literal => ({ address: (base + offset) >>> 0, size });
  const either = (offset: number, size: number): Literal => at(bitOf(first, 7) === 1 ? offset : -offset, size);
  // LDR (literal) T1: 01001 Rt imm8; ADR T1: 10100 Rd imm8
  if (first >>> 11 === 0b01001 || first >>> 11 === 0b10100) return at((first & 0xff) * 4, 4);
  // LDR, LDRB, LDRH, LDRSB, LDRSH, PLD, PLI (literal): 1111 100 S U size 1 1111, Rt imm12
  if ((first & 0xfe1f) === 0xf81f) return either(second & 0xfff, 4);
  // LDRD (literal): 1110 100 P U 1 W 1 1111, Rt Rt2 imm8; with neither P nor W it is another one (TBB)
  if ((first & 0xfe5f) === 0xe85f) return either((second & 0xff) * 4, 8);
  // VLDR, and other loads of coprocessors: 111 T 110 P U D W 1 1111, Vd coproc imm8
  if ((first & 0xee1f) === 0xec1f) return either((second & 0xff) * 4, 8);
  // ADR T2: 11110 i 10 1010 1111, 0 imm3 Rd imm8, subtracted; T3: 11110 i 10 0000 1111, added
  const imm12 = (bitOf(first, 10) << 11) | (((second >>> 12) & 7) << 8) | (second & 0xff);
  if ((first & 0xfbff) === 0xf2af && second >>> 15 === 0) return at(-imm12, 4);
  if ((first & 0xfbff) === 0xf20f && second >>> 15 === 0) return at(imm12, 4);
  return undefined;
}

/** NOP T2, which a jump label is (sections A8.8.119 and A6.3.4), and the one of a halfword that functions are padded with. */
export const wideNop = { first: 0xf3af, second: 0x8000 };
export const nop = 0xbf00;
/** MOV r8, r8, which assemblers filled with before there was a NOP. */
export const oldNop = 0x46c0;

/** Whether nothing of the same code need come behind an instruction: a jump, a return, a call, a trap. */
export function isLeaving(first: number, second: number): boolean {
  if (!isWide(first)) {
    return (
      first >>> 11 === 0b11100 || // B T2
      (first & 0xff00) === 0x4700 || // BX, BLX Rm
      (first & 0xff87) === 0x4687 || // MOV pc, Rm
      (first & 0xff87) === 0x4487 || // ADD pc, Rm
      (first & 0xff00) === 0xbd00 || // POP {…, pc}
      (first & 0xff00) === 0xde00 // UDF
    );
  }
  const branch = readBranch(first, second, 0);
  if (branch) return branch.links || bitOf(second, 12) === 1;
  return (
    ((first & 0xfe50) === 0xe810 && bitOf(second, 15) === 1) || // LDM with pc
    ((first & 0xff70) === 0xf850 && second >>> 12 === 15) || // LDR pc
    ((first & 0xfff0) === 0xe8d0 && (second & 0xffe0) === 0xf000) || // TBB, TBH
    (first & 0xfff0) === 0xf7f0 || // UDF, and hypervisor calls
    (first & 0xfff0) === 0xf3d0 // SUBS pc, lr; ERET
  );
}
