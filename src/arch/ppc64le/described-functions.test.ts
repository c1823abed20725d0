// Which functions the kernel's symbols show to be compiled: what is taken for one and is assembly, or is what assembly calls while an
// exception comes in, would be led to code that cannot be reached there.

import { describe, expect, it } from 'vitest';
import { STT_FUNC, STT_NOTYPE } from '../../elf/constants.ts';
import { newSymbol } from '../../elf/elf.ts';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { isDescribed } from './described-functions.ts';
import { encode } from './instructions.ts';

const base = 0xc000000000010000n;
const at = (word: number) => linkAddress(base + BigInt(4 * word));
const setUp = [0x3c4c0113, 0x38420000];
const mflr = encode('mfspr', { RT: 0, spr: 8 });
const blr = 0x4e800020;
/** `bl` from one word to another. */
const call = (from: number, to: number) => encode('bl', { LI: 4 * (to - from) });
/** st_other of a function whose local entry is two words behind its global one. */
const behindSetUp = 3 << 5;

interface Piece {
  readonly name: string;
  readonly words: readonly number[];
  readonly size?: number;
  readonly other?: number;
  readonly type?: number;
}

/** Pieces one behind another, each with a symbol; a size is that of its words unless it is told. */
function kernelOf(pieces: readonly Piece[], hasTable = true): KernelText & { starts: ReadonlyMap<string, number> } {
  const words = pieces.flatMap((each) => each.words);
  const starts = new Map<string, number>();
  let next = 0;
  const ranges = pieces.map(({ name, words: own }) => {
    const start = next;
    next += own.length;
    starts.set(name, start);
    return { name, start: at(start), end: at(next) };
  });
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  return {
    starts,
    word: (address) => words[Number(address - base) / 4],
    bytes: (address, size) => bytes.subarray(Number(address - base), Number(address - base) + size),
    symbol: () => undefined,
    section: () => undefined,
    enclosing: (address) => ranges.find(({ start, end }) => address >= start && address < end),
    textRanges: [{ start: at(0), end: at(words.length) }],
    symbolTable: hasTable
      ? pieces.map(({ name, words: own, size = 4 * own.length, other = 0, type = STT_FUNC }) =>
          newSymbol(name, { value: at(starts.get(name)!), size: BigInt(size), other, type, place: 'absolute' }),
        )
      : [],
  };
}

const compiled: Piece = { name: 'compiled', words: [...setUp, blr], other: behindSetUp };

function shown(pieces: readonly Piece[], name = 'compiled', hasTable = true): boolean {
  const kernel = kernelOf(pieces, hasTable);
  const words = Uint32Array.from(pieces.find((each) => each.name === name)!.words);
  return isDescribed({ name, address: at(kernel.starts.get(name)!), words }, kernel);
}

describe('a function is shown to be compiled', () => {
  it('by a symbol with a size and the place of its local entry', () => {
    expect(shown([compiled])).toBe(true);
    expect(shown([{ name: 'leaf', words: [blr] }], 'leaf')).toBe(true);
  });

  it('not if the symbol has no size, as assembly has it, or is none of a function, or there is no table', () => {
    expect(shown([{ ...compiled, size: 0 }])).toBe(false);
    expect(shown([{ ...compiled, type: STT_NOTYPE }])).toBe(false);
    expect(shown([compiled], 'compiled', false)).toBe(false);
  });

  it('not if the local entry is elsewhere than the words say', () => {
    expect(shown([{ ...compiled, other: 0 }])).toBe(false);
    expect(shown([{ ...compiled, words: [blr, blr, blr] }])).toBe(false);
  });
});

describe('a compiled function that assembly branches to', () => {
  const assembly = (to: number): Piece => ({ name: 'vector', words: [call(0, to), blr], size: 0 });

  it('is left out, by whichever entry', () => {
    expect(shown([assembly(2), compiled])).toBe(false);
    expect(shown([assembly(4), compiled])).toBe(false);
    expect(shown([assembly(3), compiled])).toBe(true);
  });

  it('is left out with what it calls, up to a function that ftrace traces', () => {
    const handler = { name: 'handler', words: [call(2, 4), blr] };
    expect(shown([assembly(2), handler, compiled])).toBe(false);
    const traced = { name: 'handler', words: [mflr, call(3, 0), call(4, 6), blr] };
    expect(shown([assembly(2), traced, compiled])).toBe(true);
  });

  it('is no other one: calls of compiled functions do not count', () => {
    expect(shown([{ name: 'caller', words: [call(0, 2), blr] }, compiled])).toBe(true);
  });
});
