// What of a function makes its first word one that cannot become a branch; and the words that are written there.

import { describe, expect, it } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { entryWay } from './entry-redirect.ts';
import { encode } from './instructions.ts';
import { disassemble } from './syntax.ts';

const start = linkAddress(0xc0300000n);
const mov = encode('MOV (immediate)', { S: 0, Rd: 0, imm12: 0 });
const ret = encode('BX', { Rm: 14 });
const jumpTo = (from: number, to: number) => encode('B', { imm24: ((to - from - 8) >> 2) & 0xffffff });
const loadFrom = (distance: number) => encode('LDR (immediate)', { Rn: 15, Rt: 0, U: 0, imm12: distance });

const text = (...words: number[]) => ({ name: 'f', address: start, words: Uint32Array.from(words) });
const hindrance = (...words: number[]) => entryWay.hindrance(text(...words), undefined);

/** A kernel of which only the word before the function is known. */
const behind = (word: number | undefined, symbols: Record<string, bigint> = {}): KernelText =>
  ({
    word: () => word,
    symbol: (name: string) => (name in symbols ? linkAddress(symbols[name]!) : undefined),
  }) as unknown as KernelText;

describe('a function of which nothing but its entry leads to its first word', () => {
  it('can be redirected there', () => {
    expect(hindrance(mov, jumpTo(4, 8), ret)).toBeUndefined();
  });

  it('may call itself: that is an entry like any other', () => {
    expect(hindrance(mov, encode('BL', { imm24: ((0 - 4 - 8) >> 2) & 0xffffff }), ret)).toBeUndefined();
  });
});

describe('a function is not redirected at its first word', () => {
  it('if it goes back there in a loop', () => {
    expect(hindrance(mov, mov, jumpTo(8, 0), ret)).toMatch(/\+0x8 leads back to/);
  });

  it('if it reads that word, or takes its address', () => {
    expect(hindrance(mov, loadFrom(12), ret)).toMatch(/\+0x4 reads/);
    expect(hindrance(mov, encode('SUB (immediate)', { S: 0, Rn: 15, Rd: 1, imm12: 12 }), ret)).toMatch(
      /takes the address/,
    );
    expect(hindrance(mov, loadFrom(8), ret)).toBeUndefined();
  });

  it('if it is assembly with a convention of its own, by name or by place', () => {
    const named = { ...text(mov, ret), name: '__get_user_4' };
    expect(entryWay.hindrance(named, behind(ret))).toMatch(/not called as the procedure call standard/);
    const bounds = { __entry_text_start: start, __entry_text_end: start + 8n };
    expect(entryWay.hindrance(text(mov, ret), behind(ret, bounds))).toMatch(/__entry_text_start/);
  });

  it('if processors that are switched off wait in it', () => {
    expect(entryWay.hindrance({ ...text(mov, ret), name: 'imx_cpu_die' }, undefined)).toMatch(/switched off/);
  });

  it('if the code before runs into it: then it is a label', () => {
    expect(entryWay.hindrance(text(mov, ret), behind(mov))).toMatch(/runs into it/);
    for (const end of [ret, jumpTo(0, 64), encode('POP', { register_list: 0x8010 }), 0x00000000, undefined])
      expect(entryWay.hindrance(text(mov, ret), behind(end))).toBeUndefined();
  });
});

it('the words are those that stand beside them', () => {
  expect(disassemble(entryWay.branch.word)).toMatch(/^b\t/);
  expect(disassemble(entryWay.island.words[0]!.word)?.replace('\t', ' ')).toBe(entryWay.island.words[0]!.text);
});
