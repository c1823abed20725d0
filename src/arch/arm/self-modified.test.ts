// A word that the kernel rewrites and that is not in the list makes the core refuse a patch on a running machine; a
// table that is misread hides real differences. (On the stock kernel: test/arm-image.test.ts.)

import { describe, expect, test } from 'vitest';
import { kernelText, wordsFrom } from '../../../test/support/kernel-text.ts';
import type { LinkAddress } from '../../elf/units.ts';
import { selfModified } from './self-modified.ts';

const nop = 0xe320f000;
const movw = (rd: number, value: number): number =>
  0xe3000000 | (((value >>> 12) & 0xf) << 16) | (rd << 12) | (value & 0xfff);
const movt = (rd: number, value: number): number => movw(rd, value >>> 16) | 0x00400000;
const addPc = (rd: number): number => 0xe080000f | (rd << 16) | (rd << 12);
const b = (from: number, to: number): number => 0xea000000 | (((to - from - 8) >> 2) & 0xffffff);

/** `adr_l rX, to`, three instructions, as the kernel's head has it. */
const adrL = (rd: number, from: number, to: number): number[] => {
  const distance = (to - (from + 16)) >>> 0;
  return [movw(rd, distance), movt(rd, distance), addPc(rd)];
};
const text = [0xc0100000, 0xc0200000] as const;

describe('Jump labels', () => {
  const table = 0xc0300000;
  const init = 0xc0100100;
  const code = [0xc0100010, 0xc0100020];
  const words = (end: number): Map<number, number> =>
    new Map([
      ...wordsFrom(init, [movw(6, 0x1234), movw(7, table), movw(4, end), movt(7, table), movt(4, end)]),
      ...wordsFrom(table, [code[0]!, 0xc0100080, 0xc0400001, code[1]!, 0xc0100090, 0xc0400008]),
      [code[0]!, nop],
      [code[1]!, b(code[1]!, 0xc0100090)],
    ]);
  const found = (end: number, from = words(end)) =>
    selfModified(kernelText(from, { jump_label_init: init, next: init + 20 }, text));

  test('are read between the constants of jump_label_init', () => {
    expect(found(table + 24)).toEqual({ words: code.map(BigInt), unknown: [] });
  });

  test('are read from literals as well', () => {
    const literals = new Map([
      ...words(table + 24),
      ...wordsFrom(init, [0xe59f7004, 0xe51f4004, table + 24, table, 0]), // ldr r7, [pc, #4]; ldr r4, [pc, #-4]
    ]);
    expect(found(0, literals)).toEqual({ words: code.map(BigInt), unknown: [] });
  });

  test('are unknown when the table does not end at an entry', () => {
    expect(found(table + 20)).toEqual({
      words: [],
      unknown: ['the table of jump labels cannot be found in jump_label_init'],
    });
  });

  test('are not looked for in a function longer than any real one', () => {
    const longer = { jump_label_init: init, next: init + 4100 };
    const { words: found, unknown } = selfModified(kernelText(words(table + 24), longer, text));
    expect(found).toEqual([]);
    expect(unknown).toEqual([expect.stringMatching(/^jump_label_init takes 4100 bytes, more than 4096/)]);
  });

  test('are not looked for among more constants than any real function has', () => {
    const constants = Array.from({ length: 129 }, (_, i) => movw(0, 4 * i));
    const many = new Map([...words(table + 24), ...wordsFrom(init + 20, constants)]);
    const symbols = { jump_label_init: init, next: init + 20 + 4 * constants.length };
    const { unknown } = selfModified(kernelText(many, symbols, text));
    expect(unknown).toEqual([expect.stringMatching(/^jump_label_init builds 13\d constants, more than 128/)]);
  });

  test('are read once, however many constants could be their end', () => {
    const entries = Array.from({ length: 300 }, () => [code[0]!, 0xc0100080, 0xc0400001]).flat();
    const bounds = [table, ...Array.from({ length: 50 }, (_, i) => table + 4 * entries.length + 12 * (i + 1))];
    const constants = bounds.flatMap((bound) => [movw(6, bound), movt(6, bound)]);
    const crafted = new Map([...wordsFrom(init, constants), ...wordsFrom(table, entries), [code[0]!, nop]]);
    const image = kernelText(crafted, { jump_label_init: init, next: init + 4 * constants.length }, text);
    let reads = 0;
    const word = (address: LinkAddress) => {
      if (address >= table && address < table + 4 * entries.length) reads++;
      return image.word(address);
    };
    expect(selfModified({ ...image, word }).unknown).toHaveLength(1);
    expect(reads).toBe(2 * 300);
  });

  test('are unknown when an entry’s place is no nop and no branch', () => {
    const broken = words(table + 24).set(code[1]!, 0xe1a00001);
    expect(found(table + 24, broken).unknown).toHaveLength(1);
  });
});

describe('Tables that the head walks', () => {
  const head = 0xc0100000 - 64;
  const table = 0xc0300000;
  const walker = 0xc0100400;
  const place = 0xc0100030;
  const entryFor = (target: number, entry: number): number => (target - entry) >>> 0;
  const image = (name: string, end: number, entries: readonly number[]) => {
    const words = new Map([
      ...wordsFrom(head, [...adrL(4, head, table), ...adrL(5, head + 12, end), b(head + 24, walker)]),
      ...wordsFrom(head + 28, [0, 0, 0, 0, 0, 0, 0, 0, 0]),
      ...wordsFrom(table, entries),
      [place, 0xe2800481], // add r0, r0, #0x81000000
      [place + 4, nop],
    ]);
    return kernelText(words, { [name]: walker, first: 0xc0100000 }, text);
  };

  test('name the instructions that convert addresses', () => {
    const entries = [entryFor(place, table)];
    expect(selfModified(image('__fixup_a_pv_table', table + 4, entries))).toEqual({
      words: [BigInt(place)],
      unknown: [],
    });
  });

  test('are looked for at the eight branches next to the text, and no further', () => {
    const found = (others: number) => {
      const start = head - 28 - 4 * others;
      const words = new Map([
        ...wordsFrom(start, [...adrL(4, start, table), ...adrL(5, start + 12, table + 4), b(start + 24, walker)]),
        ...wordsFrom(start + 28, Array<number>((0xc0100000 - start - 28) / 4).fill(nop)),
        ...wordsFrom(
          head,
          Array.from({ length: others }, (_, i) => b(head + 4 * i, walker)),
        ),
        ...wordsFrom(table, [entryFor(place, table)]),
        [place, 0xe2800481],
      ]);
      return selfModified(kernelText(words, { __fixup_a_pv_table: walker, first: 0xc0100000 }, text)).words;
    };
    expect(found(7)).toEqual([BigInt(place)]);
    expect(found(8)).toEqual([]);
  });

  test('do not pass when they name any other instruction', () => {
    const entries = [entryFor(place + 4, table)];
    const { words, unknown } = selfModified(image('__fixup_a_pv_table', table + 4, entries));
    expect(words).toEqual([]);
    expect(unknown).toEqual([
      'the table of physical-to-virtual patching cannot be found where __fixup_a_pv_table is entered',
    ]);
  });

  test('name what an SMP kernel replaces on one CPU, data left out', () => {
    const entries = [entryFor(place + 4, table), nop, entryFor(table, table + 8), 0];
    expect(selfModified(image('__do_fixup_smp_on_up', table + 16, entries))).toEqual({
      words: [BigInt(place + 4)],
      unknown: [],
    });
  });

  test('are none for SMP where the head does not go there: a kernel for one CPU has the walker all the same', () => {
    const headless = new Map(wordsFrom(head, Array<number>(16).fill(nop)));
    const found = (name: string) => selfModified(kernelText(headless, { [name]: walker, first: 0xc0100000 }, text));
    expect(found('__do_fixup_smp_on_up')).toEqual({ words: [], unknown: [] });
    expect(found('__fixup_a_pv_table').unknown).toHaveLength(1);
  });
});

test('The hooks of ftrace and the division are rewritten at known places', () => {
  const symbols = { ftrace_call: 0xc0100010, ftrace_regs_call: 0xc0100020, __aeabi_idiv: 0xc0100040 };
  expect(selfModified(kernelText(new Map(), symbols, text)).words).toEqual([
    0xc0100010n,
    0xc0100020n,
    0xc0100040n,
    0xc0100044n,
  ]);
});
