// A kernel's text made of a few words, for tests of what reads one.

import type { KernelText } from '../../src/arch/arch.ts';
import { type LinkAddress, linkAddress } from '../../src/elf/units.ts';

/** `words` by address; `symbols` by name; `text` the range that holds instructions. All else is not in the image, and zero where bytes are asked for. */
export function kernelText(
  words: ReadonlyMap<number, number>,
  symbols: Readonly<Record<string, number>>,
  text: readonly [start: number, end: number],
): KernelText {
  const address = (value: number): LinkAddress => linkAddress(BigInt(value));
  const sorted = Object.entries(symbols).sort(([, a], [, b]) => a - b);
  return {
    word: (at) => words.get(Number(at)),
    bytes: (at, size) => {
      const view = new DataView(new ArrayBuffer(size));
      for (let offset = 0; offset + 4 <= size; offset += 4)
        view.setUint32(offset, words.get(Number(at) + offset) ?? 0, true);
      return new Uint8Array(view.buffer);
    },
    symbol: (name) => (symbols[name] === undefined ? undefined : address(symbols[name])),
    enclosing: (at) => {
      const index = sorted.findLastIndex(([, start]) => start <= at);
      const [name, start] = sorted[index] ?? [];
      if (name === undefined || start === undefined) return undefined;
      return { name, start: address(start), end: address(sorted[index + 1]?.[1] ?? text[1]) };
    },
    section: () => undefined,
    textRanges: [{ start: address(text[0]), end: address(text[1]) }],
  };
}

/** Words in a row, from an address on. */
export const wordsFrom = (start: number, words: readonly number[]): [number, number][] =>
  words.map((word, i) => [start + 4 * i, word >>> 0]);
