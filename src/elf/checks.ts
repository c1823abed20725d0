// From what a file claims to what may be used. Each check gives the checked number, or undefined where the claim is
// false; the caller then says which field of which structure lied: `checkIndex(raw, count) ?? malformed(place, why)`.

import { reasonError } from '../reason.ts';
import type { FileOffset, SectionOffset, Unchecked } from './units.ts';

/** Throws `elf-malformed`. `place` names the file, the table, the entry and the field. */
export function malformed(place: string, message: string): never {
  throw reasonError('elf-malformed', place, message, 'Get the file anew: it is damaged, or it was made to mislead.');
}

/** Throws `elf-unsupported`: well-formed, but not of a kind that Suture knows. */
export function unsupported(place: string, message: string, remedy = ''): never {
  throw reasonError('elf-unsupported', place, message, remedy);
}

/** The bare claim. The one place where an unchecked number becomes an ordinary one. */
const bare = (claim: Unchecked) => claim as unknown as number;

/** For messages only. */
export const shown = (claim: Unchecked): string => {
  const value = bare(claim);
  return value < 10 ? `${value}` : `0x${value.toString(16)}`;
};

/** `size` bytes at `offset` lie in a file of `length` bytes. */
export function checkFileRange(offset: Unchecked, size: number, length: number): FileOffset | undefined {
  return size <= length && bare(offset) <= length - size ? (bare(offset) as FileOffset) : undefined;
}

/** An offset into a section of `size` bytes, its end included: markers may stand there. */
export function checkSectionOffset(offset: Unchecked, size: number): SectionOffset | undefined {
  return bare(offset) <= size ? (bare(offset) as SectionOffset) : undefined;
}

/** A size, count or plain number of at most `limit`. */
export function checkNumber(claim: Unchecked, limit: number = Number.MAX_SAFE_INTEGER): number | undefined {
  return bare(claim) <= limit ? bare(claim) : undefined;
}

/** An index into a table of `count` entries. */
export function checkIndex(index: Unchecked, count: number): number | undefined {
  return bare(index) < count ? bare(index) : undefined;
}

/** 0 or a power of two below 2^53, as sh_addralign must be. */
export function checkAlign(claim: Unchecked): number | undefined {
  const align = bare(claim);
  return align === 0 || (align <= Number.MAX_SAFE_INTEGER && Number.isInteger(Math.log2(align))) ? align : undefined;
}

/**
 * How much a file may ask for. Parts of a file may overlap, so each within the file is not yet all of them within
 * reason: a thousand tables over the same megabyte are a gigabyte of objects. So everything that is made from parts of
 * the file is paid for, by its bytes.
 */
export class Allowance {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** False when there is not so much left. */
  spend(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }
}
