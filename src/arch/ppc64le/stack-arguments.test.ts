// How many arguments a stub copies is decided here. (test/ppc64le-stack-arguments.test.ts reads compiled C; these are the
// shapes that no compiler can be made to give on demand.)

import { describe, expect, test } from 'vitest';
import type { Alternative } from '../machine.ts';
import { encode } from './instructions.ts';
import { findStackArguments, readsStackArguments, stackArguments } from './stack-arguments.ts';

const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });
const nop = 0x60000000;
const trap = encode('tw', { TO: 31, RA: 0, RB: 0 });
const ld = (DS: number, base = 1, RT = 9) => encode('ld', { RT, 'RA|0': base, DS });
const std = (DS: number, RS = 9) => encode('std', { RS, 'RA|0': 1, DS });
const open = encode('stdu', { RS: 1, RA: 1, DS: -112 });
const close = encode('addi', { RT: 1, 'RA|0': 1, SI: 112 });
const b = (words: number) => encode('b', { LI: 4 * words });
const bctr = encode('bcctr', { BO: 20, BI: 0, BH: 0 });
const bl = encode('bl', { LI: 0 });
const addi = (RT: number, RA: number, SI: number) => encode('addi', { RT, 'RA|0': RA, SI });

const find = (...words: number[]) => findStackArguments(Uint32Array.from(words));
const sure = (...words: number[]) => {
  const { doublewords, uncertain } = find(...words);
  return uncertain ?? doublewords;
};

describe('arguments on the stack', () => {
  test('are counted from the caller’s frame, whatever the function’s own is', () => {
    expect(sure(ld(96), blr)).toBe(9);
    expect(sure(open, ld(112 + 96), close, blr)).toBe(9);
    expect(sure(open, close, ld(104), blr)).toBe(10);
    expect(sure(open, ld(96), close, blr)).toBe(0);
  });

  test('are counted through a frame pointer and through the back chain', () => {
    const r31IsSp = encode('or', { RS: 1, RA: 31, RB: 1 });
    expect(sure(open, r31IsSp, ld(112 + 96, 31), close, blr)).toBe(9);
    expect(sure(open, ld(0, 1, 11), ld(96, 11), close, blr)).toBe(9);
  });

  test('cannot be told where sp goes by ways that are not followed', () => {
    const read = ld(112 + 96);
    const load = (name: string, RT: number, base: number) => encode(name, { RT, 'RA|0': base, D: 0 });
    const copy = encode('or', { RS: 1, RA: 10, RB: 1 });
    // Put away, and fetched again.
    expect(sure(open, std(40, 1), ld(40), ld(112 + 96, 9), close, blr)).toMatch(/stored/);
    expect(sure(open, copy, std(48, 10), ld(48), ld(112 + 96, 9), close, blr)).toMatch(/stored/);
    // In the processor's area the kernel keeps it for those who debug, and on another stack as that one's back chain.
    expect(sure(open, encode('stdu', { RS: 1, RA: 9, DS: -32 }), close, blr)).toBe(0);
    expect(sure(open, encode('std', { RS: 1, 'RA|0': 13, DS: 40 }), close, blr)).toBe(0);
    // The back chain by parts, with an update, or into a register that nobody follows.
    expect(sure(open, load('lwz', 9, 1), ld(96, 9), close, blr)).toMatch(/back chain/);
    expect(sure(open, copy, encode('ldu', { RT: 9, RA: 10, DS: 0 }), ld(96, 9), close, blr)).toMatch(/back chain/);
    expect(sure(open, encode('lfd', { FRT: 1, 'RA|0': 1, D: 0 }), close, blr)).toMatch(/back chain/);
    // Through the condition register.
    expect(sure(open, encode('mtcrf', { FXM: 1, RS: 1 }), encode('mfcr', { RT: 9 }), close, blr)).toMatch(/mtcrf/);
    // As what is left of it in a part of a stack, to whose address it can be added again.
    const rest = (mb: number, RS: number) => encode('rldicl', { RA: 9, RS, sh: 0, mb });
    expect(sure(open, rest(50, 1), ld(112 + 96, 9), close, blr)).toMatch(/may go to an argument/);
    expect(sure(open, rest(48, 1), encode('add', { RT: 9, RA: 9, RB: 10 }), ld(96, 9), close, blr)).toMatch(/argument/);
    expect(sure(open, encode('andi.', { RA: 9, RS: 1, UI: 0x3fff }), ld(96, 9), close, blr)).toMatch(/argument/);
    // For a comparison, and of a variable's address, it may be taken.
    expect(sure(open, rest(50, 1), encode('cmpli', { BF: 7, L: 1, RA: 9, UI: 2048 }), close, blr)).toBe(0);
    expect(sure(open, std(40), addi(10, 1, 40), rest(48, 10), ld(0, 9), close, blr)).toBe(0);
    expect(sure(open, read, close, blr)).toBe(9);
  });

  test('cannot be told where a function is called that finds them where this one does', () => {
    expect(sure(bl, nop, blr)).toMatch(/without a frame/);
    // In a register that no C function has an argument in, but code made for it may.
    for (const register of [0, 11, 14])
      expect(sure(open, addi(register, 1, 112 + 96), bl, nop, close, blr)).toMatch(/hands on the address/);
  });

  test('are not what li makes of r0', () => {
    const r0IsSp = encode('or', { RS: 1, RA: 0, RB: 1 });
    const li = encode('addi', { RT: 9, 'RA|0': 0, SI: 200 });
    expect(sure(r0IsSp, li, std(-8), blr)).toBe(0);
  });

  test('include the area of the register arguments only as a place', () => {
    expect(sure(std(32), blr)).toBe(1);
    expect(find(std(96), blr)).toMatchObject({ doublewords: 9, certain: 0 });
    expect(readsStackArguments(Uint32Array.of(std(96), blr))).toBe(false);
    expect(readsStackArguments(Uint32Array.of(ld(96), blr))).toBe(true);
  });
});

test('An answer is for its words alone, even if they are changed behind it', () => {
  const words = Uint32Array.of(open, ld(112 + 96), close, blr);
  expect(findStackArguments(words)).toMatchObject({ doublewords: 9 });
  words[1] = ld(112 + 104);
  expect(findStackArguments(words)).toMatchObject({ doublewords: 10 });
  expect(sure(open, ld(112 + 96), close, blr)).toBe(9);
  // The same sum: 31 more in one word, one less in the word before.
  expect(sure(open - 1, ld(112 + 96) + 31, close, blr)).not.toBe(9);
});

describe('what stands behind the words', () => {
  test('is not known, so control must not get there', () => {
    expect(sure(ld(96), nop)).toMatch(/runs out at its end/);
    expect(sure(nop, encode('bc', { BO: 12, BI: 0, BD: -4 }))).toMatch(/runs out at its end/);
  });

  test('is not reached by a call that never returns, nor from a trap that nobody comes back from', () => {
    expect(sure(open, ld(112 + 96), bl, nop, nop)).toBe(9);
    expect(sure(open, trap, std(64, 31), nop)).toBe(0);
  });
});

test('a jump that a table tells of brings what is known where it starts, and nobody comes where nothing leads', () => {
  const addressOfVariable = encode('addi', { RT: 3, 'RA|0': 1, SI: 32 });
  const far = encode('addi', { RT: 3, 'RA|0': 3, SI: 404 });
  const words = Uint32Array.of(open, nop, addressOfVariable, bl, nop, close, b(-6), far, bl, b(-4));
  expect(findStackArguments(words).uncertain).toMatch(/hands on the address of an argument/);
  const known = (jumps: [number, number[]][], ...referred: number[]) =>
    findStackArguments(words, {
      jumps: new Map(jumps),
      referred: new Set(referred),
      filled: new Set(),
      alternatives: [],
      mcountCalls: new Set(),
    }).uncertain;
  expect(known([[1, [7]]], 7)).toBeUndefined();
  expect(known([[3, [7]]], 7)).toMatch(/hands on the address of an argument/);
  expect(known([], 7)).toMatch(/hands on the address of an argument/);
  expect(known([])).toBeUndefined();
});

describe('code that no branch leads to', () => {
  test('has the frame that does not contradict what it runs into', () => {
    // The way out of line ends where the frame is open, so it is open there too.
    expect(sure(open, nop, close, blr, ld(112 + 96), b(-4))).toBe(9);
  });

  test('behind a trap has the frame that was there', () => {
    expect(sure(open, trap, ld(112 + 104), close, blr)).toBe(10);
  });

  test('does not get a frame that only a wrong guess has made', () => {
    const grow = (by: number) => encode('stdu', { RS: 0, RA: 1, DS: -by });
    const shrink = (by: number) => addi(1, 1, by);
    const function32 = [grow(32), shrink(32), blr];
    // With a frame of 32 bytes this would have one of 48, and return with the first still there; so it is entered without any.
    const fits0 = [grow(16), shrink(16), blr];
    expect(sure(...function32, ...fits0)).toBe(0);
    expect(sure(...function32, ...fits0, shrink(48), blr)).toMatch(/r1 is computed/);
  });

  test('counts with every frame that fits, for the copy but not for sure', () => {
    const endless = [ld(112 + 96), trap];
    expect(find(open, close, blr, ...endless)).toEqual({ doublewords: 23, certain: 9, uncertain: undefined });
  });

  test('may be a jump table, behind bctr, and then its cases are reached', () => {
    const mtctr = encode('mtspr', { spr: 9, RS: 9 });
    const add = encode('add', { RT: 9, RA: 9, RB: 10 });
    // Two cases, 8 and 12 bytes behind the table.
    expect(sure(add, mtctr, bctr, 8, 12, blr, ld(96), blr)).toBe(9);
    expect(sure(mtctr, bctr, 8, 12, blr, ld(96), blr)).toMatch(/leaves the function/);
  });

  test('is not walked without end', () => {
    expect(sure(...Array.from({ length: 3000 }, () => blr))).toMatch(/no branch/);
  });

  test('may be many jump tables, for each of which the others are not copied', { timeout: 20_000 }, () => {
    const jump = [encode('add', { RT: 9, RA: 9, RB: 10 }), encode('mtspr', { spr: 9, RS: 9 }), bctr];
    const many = Array.from({ length: 60_000 }, () => [...jump, 4]).flat();
    expect(findStackArguments(Uint32Array.from([...many, blr])).uncertain).toBeUndefined();
  });
});

const add = (RT: number, RA: number, RB: number) => encode('add', { RT, RA, RB });
const ldx = (RA: number, RB: number) => encode('ldx', { RT: 9, 'RA|0': RA, RB });

describe('what an index chooses in the stack', () => {
  test('is a variable when the constants say so, wherever the compiler has put them', () => {
    const filled = [open, std(40, 3)];
    const rest = [close, blr];
    expect(sure(...filled, add(9, 1, 9), ld(40, 9), ...rest)).toBe(0);
    expect(sure(...filled, addi(9, 9, 40), ldx(1, 9), ...rest)).toBe(0);
    expect(sure(...filled, addi(9, 9, 112), add(9, 9, 1), ld(-72, 9), ...rest)).toBe(0);
    expect(sure(...filled, addi(9, 1, 40), encode('subf', { RT: 9, RA: 10, RB: 9 }), ld(0, 9), ...rest)).toBe(0);
  });

  test('is told of an index that a loop has made', () => {
    // r9 is 0, 8, 16, … and then either meets the variable at 40(r1), or the caller's area less what was added before.
    const loop = [addi(9, 9, 8), encode('bc', { BO: 12, BI: 2, BD: -4 })];
    expect(sure(open, std(40, 3), addi(9, 0, 0), ...loop, addi(9, 9, 40), ldx(9, 1), close, blr)).toBe(0);
    expect(sure(open, std(40, 3), addi(9, 0, 0), ...loop, addi(9, 9, 208), ldx(9, 1), close, blr)).toMatch(/index/);
  });

  test('is not told when they lead elsewhere', () => {
    const filled = [open, std(40, 3)];
    const chooses = /an index chooses/;
    expect(sure(add(9, 1, 9), ld(96, 9), blr)).toMatch(chooses);
    expect(sure(ldx(1, 9), blr)).toMatch(chooses);
    expect(sure(...filled, add(9, 1, 9), ld(208, 9), close, blr)).toMatch(chooses);
    expect(sure(...filled, addi(9, 9, 208), ldx(1, 9), close, blr)).toMatch(chooses);
    expect(sure(...filled, ld(0, 1, 11), add(9, 9, 11), ld(96, 9), close, blr)).toMatch(chooses);
    expect(sure(...filled, encode('addis', { RT: 9, 'RA|0': 1, SI: 1 }), ldx(9, 10), close, blr)).toMatch(chooses);
    expect(sure(...filled, encode('rldicr', { RA: 9, RS: 1, sh: 0, me: 49 }), ld(96, 9), close, blr)).toMatch(/may go/);
    expect(sure(...filled, encode('subf', { RT: 9, RA: 1, RB: 9 }), ldx(9, 10), close, blr)).toMatch(/may go/);
    expect(sure(...filled, encode('or', { RA: 9, RS: 1, RB: 10 }), ld(96, 9), close, blr)).toMatch(/may go/);
    expect(sure(...filled, add(9, 1, 1), ld(0, 9), close, blr)).toMatch(/may go/);
  });

  test('is not told when two ways bring different addresses', () => {
    const either = (one: number, two: number) => [encode('bc', { BO: 12, BI: 2, BD: 12 }), one, b(2), two];
    const load = (...words: number[]) => sure(open, std(40, 3), ...words, close, blr);
    expect(load(...either(addi(9, 10, 0), add(9, 1, 9)), ld(208, 9))).toMatch(/may go|an index chooses/);
    expect(load(...either(addi(9, 1, 0), addi(9, 1, 16)), ld(208, 9))).toMatch(/may go/);
    expect(load(...either(addi(9, 1, 40), addi(9, 10, 0)), ld(208, 9))).toMatch(/an index chooses/);
    expect(load(...either(addi(9, 1, 40), addi(9, 1, 48)), ld(8, 9))).toBe(0);
  });

  test('may be a part of an argument while nothing else has been put into the frame', () => {
    const saved = encode('std', { RS: 30, 'RA|0': 1, DS: -16 });
    expect(sure(saved, open, add(9, 1, 9), ld(40, 9), close, blr)).toMatch(/may be a part of an argument/);
    const register = encode('std', { RS: 10, 'RA|0': 1, DS: 112 + 88 });
    expect(sure(open, std(40, 3), register, add(9, 1, 9), ld(40, 9), close, blr)).toMatch(/may be a part/);
  });

  test('does not come back from where it has been stored', () => {
    expect(sure(open, add(9, 1, 9), std(40, 9), close, blr)).toMatch(/stored/);
    expect(sure(open, add(9, 1, 9), encode('mtspr', { spr: 9, RS: 9 }), close, blr)).toMatch(/mtspr/);
  });

  test('does not matter to what only compares or prefetches', () => {
    const dcbt = encode('dcbt', { TH: 0, 'RA|0': 1, RB: 9 });
    expect(sure(add(9, 1, 9), dcbt, encode('cmp', { BF: 0, L: 1, RA: 9, RB: 1 }), blr)).toBe(0);
  });
});

describe('what cannot be told', () => {
  const address = encode('addi', { RT: 3, 'RA|0': 1, SI: 96 });
  test.each([
    [
      'a call with an argument’s address',
      [open, encode('addi', { RT: 3, 'RA|0': 1, SI: 208 }), bl, close, blr],
      /call at \+0x8/,
    ],
    ['an argument’s address stored', [address, std(-8, 3), blr], /stored at \+0x4/],
    ['an argument’s address returned', [address, blr], /return at \+0x4/],
    ['an argument’s address added to', [address, encode('add', { RT: 3, RA: 3, RB: 4 }), blr], /return at/],
    [
      'an access that may go to an argument',
      [address, encode('bc', { BO: 12, BI: 2, BD: 8 }), encode('addi', { RT: 3, 'RA|0': 0, SI: 0 }), ld(0, 3), blr],
      /may go to/,
    ],
    ['a frame of a computed size', [encode('stdux', { RS: 1, RA: 1, RB: 9 }), blr], /r1 is computed/],
    ['a second frame in the first', [open, open, blr], /second frame/],
    ['a string or vector access', [0x7d2104aa, blr], /not in the tables/], // lswi r9,r1,0
    ['two frames at one place', [encode('bc', { BO: 12, BI: 2, BD: 8 }), open, nop, blr], /different size/],
    ['a return with the frame still there', [open, blr], /leaves a frame behind/],
    ['a branch out', [b(100), blr], /leaves the function/],
    ['a branch whose relocation is not applied', [b(0), blr], /leaves the function/],
    ['a word that is no instruction we know', [0, blr], /not in the tables/],
  ] as const)('is said for %s', (_, words, reason) => {
    expect(sure(...words)).toMatch(reason);
  });
});

describe('what the kernel may put in the place of words', () => {
  const told = { jumps: new Map(), referred: undefined, filled: new Set<number>(), mcountCalls: new Set<number>() };
  const withAlternatives = (words: number[], ...alternatives: Alternative[]) => {
    const { doublewords, uncertain } = findStackArguments(Uint32Array.from(words), { ...told, alternatives });
    return uncertain ?? doublewords;
  };
  const other = (from: number, to: number, ...words: number[]): Alternative => ({
    from,
    to,
    words: Uint32Array.from(words),
  });

  test('is walked beside them, and control is back behind them', () => {
    expect(withAlternatives([nop, blr], other(0, 1, ld(96)))).toBe(9);
    expect(withAlternatives([nop, nop, ld(104), blr], other(0, 2, nop))).toBe(10);
    expect(withAlternatives([b(2), ld(96), blr], other(0, 1))).toBe(9);
    // Into the middle, and several.
    expect(withAlternatives([b(2), nop, nop, blr], other(1, 3, nop, ld(96)))).toBe(9);
    expect(withAlternatives([nop, nop, blr], other(0, 1, ld(96)), other(1, 2, ld(112)))).toBe(11);
  });

  test('may branch within itself and to its end, and nowhere else', () => {
    expect(withAlternatives([nop, nop, nop, blr], other(0, 3, b(2), ld(96), nop))).toBe(9);
    expect(withAlternatives([nop, nop, nop, blr], other(0, 2, b(2), nop))).toBe(0);
    for (const away of [b(3), b(-1), b(-5)])
      expect(withAlternatives([nop, nop, nop, blr], other(0, 2, away, nop))).toMatch(/leaves the function/);
  });

  test('is nothing to be told where it is not known', () => {
    expect(withAlternatives([nop, nop, blr], { from: 1, to: 2, words: undefined })).toMatch(/not known/);
  });
});

test('A return goes where the function was called from, and LR must still hold that', () => {
  const [mflr, mtlr] = [encode('mfspr', { RT: 0, spr: 8 }), encode('mtspr', { RS: 0, spr: 8 })];
  const save = [mflr, encode('std', { RS: 0, 'RA|0': 1, DS: 16 }), open];
  const restore = [close, encode('ld', { RT: 0, 'RA|0': 1, DS: 16 }), mtlr, blr];
  expect(sure(...save, bl, ...restore)).toBe(0);
  expect(sure(open, bl, close, blr)).toMatch(/may be no return/);
  expect(sure(mtlr, blr)).toMatch(/may be no return/);
  expect(sure(...save, bl, encode('std', { RS: 0, 'RA|0': 1, DS: 128 }), ...restore)).toMatch(/may be no return/);
  // The call of mcount gives it back.
  expect(sure(mflr, bl, blr)).toBe(0);
  // So does a hypervisor.
  expect(sure(encode('sc', { LEV: 1 }), blr)).toBe(0);
  // One that does not come back, before code that others go to with LR as it was.
  const beq = (words: number) => encode('bc', { BO: 12, BI: 2, BD: 4 * words });
  expect(sure(open, beq(2), bl, close, blr)).toBe(0);
});

test('what was found ahead is the answer for these words, and for no others', () => {
  const words = Uint32Array.of(ld(96), nop, nop, blr);
  const found = { doublewords: 77, certain: 77, uncertain: undefined };
  stackArguments.learn(words, found);
  expect(findStackArguments(words.slice())).toBe(found);
  expect(find(ld(96), nop, blr)).toEqual({ doublewords: 9, certain: 9, uncertain: undefined });
});
