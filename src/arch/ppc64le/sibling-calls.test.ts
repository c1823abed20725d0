// A sibling call may hand on stack arguments. It is taken for a return only where that makes no difference to what is read.

import { expect, test } from 'vitest';
import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { FunctionText } from '../arch.ts';
import { encode } from './instructions.ts';
import { siblingCallsRemover } from './sibling-calls.ts';
import { findStackArguments } from './stack-arguments.ts';

const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });
const readsStack = encode('ld', { RT: 3, 'RA|0': 1, DS: 96 });
const nothing = encode('addi', { RT: 3, 'RA|0': 0, SI: 0 });

/** Functions 256 bytes apart, by number; `to(n)` is a branch from an instruction to the function of that number. */
const at = (n: number): LinkAddress => linkAddress(BigInt(0x1000 + 256 * n));
type Words = (to: (n: number, from: number) => number) => number[];

function judge(functions: readonly Words[]): number[] {
  const texts = functions.map((words, n): FunctionText => {
    const to = (target: number, index: number): number => encode('b', { LI: 256 * (target - n) - 4 * index });
    return { name: `f${n}`, address: at(n), words: Uint32Array.from(words(to)) };
  });
  const without = siblingCallsRemover((address) => texts.find((text) => text.address === address));
  return [...without(texts[0]!)];
}

test('a call of a function that reads nothing from the stack is a return', () => {
  expect(judge([(to) => [nothing, to(1, 1)], () => [nothing, blr]])).toEqual([nothing, blr]);
});

test('so is one that leads there by another sibling call', () => {
  expect(judge([(to) => [nothing, to(1, 1)], (to) => [to(2, 0)], () => [blr]])).toEqual([nothing, blr]);
});

test('a call of one that reads the stack stays, and makes the caller one of which nothing is known', () => {
  const words = judge([(to) => [nothing, to(1, 1)], () => [readsStack, blr]]);
  expect(words).not.toContain(blr);
  expect(findStackArguments(Uint32Array.from(words)).uncertain).toMatch(/leaves the function/);
});

test('so does a call of what is not known, and one that comes back to itself', () => {
  expect(judge([(to) => [to(7, 0)]])).not.toContain(blr);
  expect(judge([(to) => [to(1, 0)], (to) => [to(0, 0)]])).not.toContain(blr);
});

test('branches within the function are none of its business', () => {
  const back = encode('b', { LI: -4 });
  expect(judge([() => [nothing, back]])).toEqual([nothing, back]);
});
