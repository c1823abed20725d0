// Who counts on a register that a function leaves alone is found in made-up kernels of a few words: one caller that is missed is
// a caller that a patch breaks without a sign of it.

import { expect, it } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { encode } from './instructions.ts';
import { whoCountsOnRegisters } from './kept-registers.ts';

const base = 0xc0100000;
const set = (Rd: number, cond = 14) => encode('MOV (immediate)', { S: 0, Rd, imm12: 0, cond });
/** mov r4, Rm */
const use = (Rm: number) => 0xe1a04000 + Rm;
const push = encode('PUSH', { register_list: 0x4010 });
const pop = encode('POP', { register_list: 0x8010 });
const back = encode('BX', { Rm: 14 });
const callPointer = encode('BLX (register)', { Rm: 4 });
const literal = (distance: number) => encode('LDR (immediate)', { Rn: 15, Rt: 0, U: 1, imm12: distance });

type Word = number | { readonly to: string; readonly links: boolean };
const call = (to: string): Word => ({ to, links: true });
const jump = (to: string): Word => ({ to, links: false });

/** Functions one behind another; what the first one's callers count on, in words. */
function asked(functions: Readonly<Record<string, readonly Word[]>>): string | undefined {
  const starts = new Map<string, number>();
  let next = base;
  for (const [name, words] of Object.entries(functions)) {
    starts.set(name, next);
    next += 4 * words.length;
  }
  const names = [...starts];
  const words = Object.values(functions)
    .flat()
    .map((word, i) => {
      if (typeof word === 'number') return word;
      const imm24 = ((starts.get(word.to)! - (base + 4 * i) - 8) >> 2) & 0xffffff;
      return encode(word.links ? 'BL' : 'B', { imm24 });
    });
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  const address = (at: number) => linkAddress(BigInt(at));
  const kernel: KernelText = {
    word: (at) => words[(Number(at) - base) / 4],
    bytes: (at, size) => bytes.subarray(Number(at) - base, Number(at) - base + size),
    symbol: (name) => (starts.has(name) ? address(starts.get(name)!) : undefined),
    section: () => undefined,
    enclosing: (at) => {
      const index = names.findLastIndex(([, start]) => start <= Number(at));
      const [name, start] = names[index]!;
      return { name, start: address(start), end: address(names[index + 1]?.[1] ?? next) };
    },
    textRanges: [{ start: address(base), end: address(next) }],
  };
  const [[name, first]] = Object.entries(functions) as [[string, readonly Word[]]];
  return whoCountsOnRegisters(
    { name, address: address(base), words: Uint32Array.from(words.slice(0, first.length)) },
    kernel,
  );
}

/** Writes all but r1. */
const f = [set(0), set(2), set(3), set(12), back];
const all = [set(0), set(1), set(2), set(3), set(12), back];

it.each<[what: string, functions: Record<string, readonly Word[]>]>([
  ['reads it behind the call', { f, g: [push, call('f'), use(1), pop] }],
  ['writes it only now and then before it reads it', { f, g: [push, call('f'), set(1, 0), use(1), pop] }],
  ['reads it on one of two ways', { f, g: [push, call('f'), 0x0a000001, set(1), pop, use(1), pop] }],
  ['hands it on to what it calls next', { f, g: [push, call('f'), call('h'), pop], h: [use(1), back] }],
  ['hands it on by a pointer', { f, g: [push, call('f'), callPointer, pop] }],
  [
    'is the second one up, which gets control back with it',
    { f, h: [push, call('f'), pop], g: [push, call('h'), use(1), pop] },
  ],
  ['calls what jumps to it', { f, h: [set(0), jump('f')], g: [push, call('h'), use(1), pop] }],
])('a caller counts on r1 that %s', (_what, functions) => {
  expect(asked(functions)).toMatch(/^its caller g may count on r1 behind the call at \+0x4,/);
});

it.each<[what: string, functions: Record<string, readonly Word[]>]>([
  ['it writes it first', { f, g: [push, call('f'), set(1), use(1), pop] }],
  ['the function writes all that it may', { f: all, g: [push, call('f'), use(1), pop] }],
  ['the function calls one that does', { f: [push, call('h'), pop], g: [push, call('f'), use(1), pop], h: all }],
  ['the function calls by a pointer', { f: [push, callPointer, pop], g: [push, call('f'), use(1), pop] }],
  [
    'it is compiled with -pg',
    { f, g: [push, call('__gnu_mcount_nc'), call('f'), use(1), pop], __gnu_mcount_nc: [back] },
  ],
  ['what it calls next writes it first', { f, g: [push, call('f'), call('h'), pop], h: [set(1), use(1), back] }],
  ['nobody calls it by name', { f, g: [use(1), back] }],
])('nobody counts on it where %s', (_what, functions) => {
  expect(asked(functions)).toBeUndefined();
});

it('a word that the function loads as data writes nothing', () => {
  // What is loaded would be `mov r1, #0`.
  const loads = [literal(12), set(2), set(3), set(12), back, set(1)];
  expect(asked({ f: loads, g: [push, call('f'), use(1), pop] })).toMatch(/count on r1/);
});
