// What of a function in Thumb-2 code keeps its first four bytes from becoming a branch. Those may be two instructions, or one and
// half of another, so whatever leads to any of them counts.

import { describe, expect, it } from 'vitest';
import { linkAddress } from '../../../elf/units.ts';
import type { KernelText } from '../../arch.ts';
import { entryWay } from './entry-redirect.ts';
import { disassemble } from './semantics.ts';

const start = 0xc0300000n;
const push = 0xb510;
const pushLr = 0xb500;
const mov = 0x4604;
const ret = 0xbd10;
const nop = 0xbf00;

const words = (halves: readonly number[]) =>
  Uint32Array.from({ length: Math.ceil(halves.length / 2) }, (_, i) => {
    return ((halves[2 * i]! | ((halves[2 * i + 1] ?? nop) << 16)) >>> 0) as number;
  });
const text = (...halves: number[]) => ({ name: 'f', address: linkAddress(start), words: words(halves) });
const hindrance = (...halves: number[]) => entryWay.hindrance(text(...halves), undefined);

/** A kernel of which only the halfwords before the function are known; they are one function. */
const behind = (...halves: number[]): KernelText => {
  const first = start - BigInt(2 * halves.length);
  const half = (at: bigint): number | undefined => halves[Number(at - first) / 2];
  return {
    word: (at: bigint) => {
      const [low, high] = [half(at), half(at + 2n)];
      return low === undefined && high === undefined ? undefined : ((low ?? 0) | ((high ?? 0) << 16)) >>> 0;
    },
    symbol: () => undefined,
    enclosing: () => ({ name: 'before', start: linkAddress(first), end: linkAddress(start) }),
  } as unknown as KernelText;
};
const runInto = (...halves: number[]) => entryWay.hindrance(text(push, mov, ret), behind(...halves));

it('a function of which nothing leads to its first four bytes can be redirected', () => {
  expect(hindrance(push, pushLr, 0xf6e1, 0xffcc, mov, 0xe7fe, ret)).toBeUndefined();
});

it('a function may call itself: that is an entry like any other', () => {
  expect(hindrance(push, mov, 0xf7ff, 0xfffc, ret)).toBeUndefined();
});

describe('a function cannot be redirected', () => {
  it.each([
    ['back to its first instruction', [push, mov, mov, 0xe7fb]],
    ['back to its second one, behind the first halfword', [push, mov, mov, 0xe7fc]],
    ['back by a condition', [push, mov, mov, 0xd1fb]],
    ['back by a wide branch', [push, mov, 0xf7ff, 0xbffd]],
    ['to the second halfword by a call, as no caller does', [push, mov, 0xf7ff, 0xfffd]],
  ])('if something leads %s', (_, halves) => {
    expect(hindrance(...halves)).toMatch(/\+0x[46] may lead back to its first four bytes/);
  });

  it('if something reads them', () => {
    expect(hindrance(push, mov, 0xf85f, 0x0008)).toMatch(/\+0x4 may read/); // ldr.w r0, [pc, #-8]
    expect(hindrance(push, mov, 0xf85f, 0x0004)).toBeUndefined();
    expect(hindrance(push, mov, mov, mov, mov, mov, 0xe95f, 0x0104)).toMatch(/may read/); // ldrd of the 8 bytes at 0
  });

  it('at no multiple of 4, and where the kernel would write it back by halves', () => {
    const odd = { ...text(push, mov, ret), address: linkAddress(start + 2n) };
    expect(entryWay.hindrance(odd, undefined)).toMatch(/no multiple of 4/);
    expect(hindrance(0, mov, ret)).toMatch(/by halves/);
  });

  it('if the code before may run into it: then it is a label', () => {
    expect(runInto(push, mov)).toMatch(/may run into it/);
    expect(runInto(push, mov, nop)).toMatch(/may run into it/);
    expect(runInto(push, 0xd0fd)).toMatch(/may run into it/); // beq.n
    expect(runInto(mov, 0xbf08, 0x4770)).toMatch(/may run into it/); // it eq; bxeq lr
    expect(runInto(mov, 0xbf04, mov, 0x4770, nop)).toMatch(/may run into it/); // itt eq; moveq; bxeq lr
  });
});

it('code that leaves does not run into what is behind, nor does a literal that it loads', () => {
  for (const halves of [[ret], [ret, nop], [0xe7fe], [0xf7ff, 0xbffe], [0xf7ff, 0xfffe], [0xe8bd, 0x87f0]])
    expect(runInto(mov, mov, ...halves)).toBeUndefined();
  expect(runInto(mov, 0xbf08, mov, ret)).toBeUndefined(); // it eq; moveq; pop {r4, pc}
  expect(runInto(0x4801, ret, mov, mov, 0x3c88, 0xc050)).toBeUndefined(); // ldr r0, [pc, #4]
  expect(runInto(0x4800, ret, mov, mov, 0x3c88, 0xc050)).toMatch(/may run into it/);
});

it('the words are those that stand beside them', () => {
  expect(disassemble(entryWay.branch.word)).toMatch(/^b\.w\t/);
  expect(disassemble(entryWay.island.words[0]!.word)).toBe('ldr.w\tpc, [pc, #0]');
});
