// A function without a call site is refused with the reason that the user's own file shows; a wrong one sends people to Makefiles that
// say nothing of it.

import { expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import type { Pairs } from '../compile/pairs.ts';
import { newModel, newSymbol } from '../elf/elf.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { type ReasonError, reasonError } from '../reason.ts';
import { explainRefusal } from './explain-refusal.ts';

const refusal = reasonError('no-call-site', 'f', 'it has no call of mcount (it is notrace, assembly, or …)', 'patch g');

async function explained(path: string, ...also: string[]): Promise<string> {
  const plain = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  plain.symbols.push(...['f', ...also].map((name) => newSymbol(name, {})));
  const pairs = { pairs: [{ path, plain }] } as unknown as Pairs;
  const error = (await explainRefusal(refusal, { arch: arm } as unknown as LoadedKernel, pairs)) as ReasonError;
  expect(error.reasons).toMatchObject([{ code: 'no-call-site', place: 'f', remedy: 'patch g' }]);
  return error.reasons[0].message;
}

it('of a file of C without a call of mcount its Makefile is named', async () => {
  expect(await explained('lib/glob.c')).toMatch(/^it has no call of mcount: all of lib\/glob\.c .* Makefile/);
  expect(await explained('lib/glob.c', '__gnu_mcount_nc')).toBe(refusal.reasons[0].message);
});

it('of assembly it is said that it is', async () => {
  expect(await explained('arch/arm/lib/memset.S')).toBe(
    'it has no call of mcount: arch/arm/lib/memset.S is assembly, which the compiler adds none to',
  );
});
