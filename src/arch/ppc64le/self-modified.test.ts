// A word that a kernel rewrites and that is not found makes its function look tampered with, on some machine somewhere.
// The tables here are written by hand; test/ppc64le-image.test.ts reads a kernel's.

import { describe, expect, test } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { selfModified } from './self-modified.ts';

const textStart = 0x1000n;
const tableStart = 0x8000n;
const siteStart = 0x9000n;
const NOP = 0x60000000;
const MFMSR_R9 = 0x7d2000a6;
const MFLR_R0 = 0x7c0802a6;

interface Parts {
  readonly features?: readonly bigint[];
  readonly jumps?: readonly number[];
  readonly words?: readonly number[];
  readonly symbols?: Readonly<Record<string, bigint>>;
}

const bytesOf = (size: number, fill: (view: DataView) => void) => {
  const bytes = new Uint8Array(size);
  fill(new DataView(bytes.buffer));
  return bytes;
};

/** A kernel of 64 words of text, with one table of features, one of jump labels, and one patch site for all. */
function kernel({ features = [], jumps = [], words = [], symbols = {} }: Parts): KernelText {
  const text = bytesOf(256, (view) => {
    for (let i = 0; i < 64; i++) view.setUint32(4 * i, words[i] ?? NOP, true);
  });
  const table = bytesOf(8 * features.length, (view) => {
    for (const [i, value] of features.entries()) view.setBigInt64(8 * i, value, true);
  });
  const jumpTable = bytesOf(16 * jumps.length, (view) => {
    for (const [i, distance] of jumps.entries()) view.setInt32(16 * i, distance, true);
  });
  const addresses: Readonly<Record<string, bigint>> = {
    __start___jump_table: tableStart,
    __stop___jump_table: tableStart + BigInt(jumpTable.length),
    ...symbols,
  };
  return {
    word: (address) => (address === siteStart ? Number(textStart - siteStart) >>> 0 : undefined),
    bytes: (address, size) => (address === tableStart ? jumpTable : text).subarray(0, size),
    symbol: (name) => {
      const address = name.startsWith('patch__') && !(name in addresses) ? siteStart : addresses[name];
      return address === undefined ? undefined : linkAddress(address);
    },
    enclosing: () => undefined,
    section: (name) => (name === '__ftr_fixup' ? { address: linkAddress(tableStart), bytes: table } : undefined),
    textRanges: [{ start: linkAddress(textStart), end: linkAddress(textStart + 256n) }],
  };
}

/** Word numbers, the patch site's (0) left out. */
const found = (parts: Parts) =>
  selfModified(kernel(parts))
    .words.map((address) => Number(address - textStart) / 4)
    .filter((word) => word !== 0);

describe('the words that a kernel rewrites', () => {
  test('are those from the start to the end of a feature section, not those of its alternative', () => {
    const from = (word: number) => textStart + BigInt(4 * word) - tableStart;
    expect(found({ features: [1n, 1n, from(4), from(7), from(20), from(22)] })).toEqual([4, 5, 6]);
  });

  test('are those of jump labels, measured from each entry', () => {
    const distance = (entry: number, word: number) => Number(textStart - tableStart) + 4 * word - 16 * entry;
    expect(found({ jumps: [distance(0, 9), distance(1, 3)] })).toEqual([3, 9]);
  });

  test('are the places of patch sites and of what ftrace fills', () => {
    const { words } = selfModified(kernel({ symbols: { ftrace_call: textStart + 16n } }));
    expect(words).toEqual([textStart, textStart + 16n]);
  });

  test('are the privileged instructions that a paravirtual guest replaces', () => {
    expect(found({ words: [NOP, MFLR_R0, MFMSR_R9] })).toEqual([2]);
  });

  test('leave out what lies outside the text', () => {
    expect(found({ jumps: [0x100000] })).toEqual([]);
  });

  test('are none of KVM in a kernel that was built without it, whose symbols of data tell so', () => {
    const without = (...names: string[]) => {
      const whole = kernel({});
      return selfModified({ ...whole, symbol: (name) => (names.includes(name) ? undefined : whole.symbol(name)) });
    };
    const sitesOfKvm = ['patch__call_kvm_flush_link_stack', 'patch__call_kvm_flush_link_stack_p9'];
    expect(without(...sitesOfKvm).unknown).toEqual([]);
    expect(without('patch__flush_link_stack_return').unknown).toHaveLength(1);
    expect(without('patch__flush_link_stack_return', ...sitesOfKvm).unknown).toHaveLength(3);
  });

  test('are unknown where a table contradicts itself or is missing', () => {
    const odd = selfModified(
      kernel({ features: [1n, 1n, textStart - tableStart + 2n, textStart - tableStart + 8n, 0n, 0n] }),
    );
    expect(odd.unknown).toEqual([expect.stringContaining('__ftr_fixup')]);
    const { unknown } = selfModified({ ...kernel({}), symbol: () => undefined, section: () => undefined });
    expect(unknown.length).toBeGreaterThan(2);
  });
});
