// The kinds of numbers that point into things. They are all numbers to the machine; to the type checker they differ,
// so that an offset into a file cannot be used as an offset into a section by mistake.

declare const unit: unique symbol;

/** Bytes from the start of a file. Checked: it lies within the file it was made for. */
export type FileOffset = number & { readonly [unit]: 'file' };

/** Bytes from the start of a section. Checked: it lies within the section. */
export type SectionOffset = number & { readonly [unit]: 'section' };

/**
 * An address as the linker gave it. For a kernel image without KASLR (all that Suture knows) it is the run-time address
 * too; for a relocatable file there are none, only section offsets.
 */
export type LinkAddress = bigint & { readonly [unit]: 'link' };

/**
 * A number that a file claims and nobody has checked yet. To the machine it is a number; to the type checker it is none,
 * so that nothing can be done with it except to give it to a function of `checks.ts`.
 */
export type Unchecked = { readonly [unit]: 'unchecked' };

export const linkAddress = (value: bigint): LinkAddress => value as LinkAddress;
export const sectionOffset = (value: number): SectionOffset => value as SectionOffset;
