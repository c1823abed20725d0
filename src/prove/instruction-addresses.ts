// Some of a kernel's instructions, by their addresses: its call sites, or what it rewrites itself. Every prologue is asked for, word by
// word, and a set of addresses would be looked up far away in memory each time.

import type { LinkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';

/** Instructions begin at multiples of it, also where they have two lengths. */
const shortestInstruction = 2;

/** A bit for each address of an image at which an instruction can begin. */
export class InstructionAddresses {
  readonly #base: bigint;
  readonly #bits: Uint32Array;

  constructor({ base, size }: Pick<KernelImage, 'base' | 'size'>, addresses: readonly LinkAddress[]) {
    this.#base = base;
    this.#bits = new Uint32Array(Math.ceil(size / shortestInstruction / 32));
    for (const address of addresses) {
      const index = this.#indexOf(address);
      this.#bits[index >>> 5]! |= 1 << (index & 31);
    }
  }

  has(address: bigint): boolean {
    const index = this.#indexOf(address);
    return ((this.#bits[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0;
  }

  delete(address: bigint): void {
    const index = this.#indexOf(address);
    this.#bits[index >>> 5]! &= ~(1 << (index & 31));
  }

  /** For what lies before the image a number behind all bits. */
  #indexOf(address: bigint): number {
    const distance = Number(address - this.#base);
    return distance < 0 ? 32 * this.#bits.length : Math.floor(distance / shortestInstruction);
  }
}
