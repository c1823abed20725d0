// A call site that is missed leaves a function unpatchable, one too many makes ftrace refuse the module.

import { expect, test } from 'vitest';
import { kernelText, wordsFrom } from '../../../test/support/kernel-text.ts';
import type { ElfSymbol, Section } from '../../elf/model.ts';
import { findCallSites, moduleCallSites } from './call-sites.ts';

const pushLr = 0xe52de004;
const mcount = 0xc0000100;
const bl = (from: number, to: number): number => 0xeb000000 | (((to - from - 8) >> 2) & 0xffffff);

test('A call site is a call of mcount behind push {lr}', () => {
  const words = new Map([
    ...wordsFrom(0xc0000000, [pushLr, bl(0xc0000004, mcount), 0xe12fff1e]),
    ...wordsFrom(0xc000000c, [0xe92d4010, bl(0xc0000010, mcount), pushLr, bl(0xc0000018, 0xc0000104)]),
    ...wordsFrom(0xc000001c, [pushLr, bl(0xc0000020, mcount)]),
    ...wordsFrom(mcount, [0xe52de004, 0xe59de004]),
  ]);
  const text = kernelText(
    words,
    { first: 0xc0000000, second: 0xc000000c, __gnu_mcount_nc: mcount },
    [0xc0000000, 0xc0000200],
  );
  expect(findCallSites(text)).toEqual([
    { address: 0xc0000004n, function: 0xc0000000n, name: 'first' },
    { address: 0xc0000020n, function: 0xc000000cn, name: 'second' },
  ]);
});

test('A call that goes through a veneer of the linker counts', () => {
  const words = new Map([
    ...wordsFrom(0xc0000000, [pushLr, bl(0xc0000004, 0xc0000010)]),
    ...wordsFrom(0xc0000010, [0xe51ff004, mcount]), // ldr pc, [pc, #-4]
  ]);
  const text = kernelText(words, { far: 0xc0000000, __gnu_mcount_nc: mcount }, [0xc0000000, 0xc0000018]);
  expect(findCallSites(text).map(({ name }) => name)).toEqual(['far']);
});

test('A kernel without mcount has no call sites', () => {
  const words = new Map(wordsFrom(0xc0000000, [pushLr, bl(0xc0000004, mcount)]));
  expect(findCallSites(kernelText(words, { only: 0xc0000000 }, [0xc0000000, 0xc0000008]))).toEqual([]);
});

test('A module’s call sites are the calls that its relocations send to mcount, by offset', () => {
  const symbol = (name: string): ElfSymbol => ({
    ...{ name, value: 0n, size: 0n, binding: 1, type: 0, other: 0, place: 'undefined' },
  });
  const to = (offset: number, type: number, name: string) => ({
    ...{ offset, type, symbol: symbol(name), addend: undefined },
  });
  const section: Section = {
    ...{ name: '.text', type: 1, flags: 6n, address: 0n, align: 4, entrySize: 0, data: new Uint8Array(64) },
    ...{ size: 64, link: undefined, info: 0 },
    relocations: [
      to(40, 28, '__gnu_mcount_nc'),
      to(8, 28, '__gnu_mcount_nc'),
      to(12, 28, 'printk'),
      to(16, 2, '__gnu_mcount_nc'),
      to(24, 1, '__gnu_mcount_nc'),
    ],
  };
  expect(moduleCallSites(section)).toEqual([8, 24, 40]);
});
