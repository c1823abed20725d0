// Why: how many stack arguments a function reads is told from compiled code, so it is checked on compiled code, at the
// optimisation levels that kernels use (not -Os, which ends functions with a branch to the compiler's own helpers), with the flags of the kernel that matter and those that `build` gives to fixes.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { platform } from '../src/arch/ppc64le/platform.ts';
import { findStackArguments } from '../src/arch/ppc64le/stack-arguments.ts';
import { readElf } from '../src/elf/elf.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { wordsOf } from '../src/kernel/old-function.ts';

interface Case {
  readonly title: string;
  /** Defines `f`; the lines of `prelude` stand before it. */
  readonly source: string;
  /** The doublewords of stack arguments, or the words of the reason why they cannot be told. */
  readonly expected: number | RegExp;
  readonly flags?: readonly string[];
}

const prelude = `
typedef unsigned long u64;
extern u64 g(u64); extern void use(void *); extern int many(u64,u64,u64,u64,u64,u64,u64,u64,u64,u64);
struct big { u64 a[6]; };
#define EIGHT u64 a, u64 b, u64 c, u64 d, u64 e, u64 p, u64 q, u64 r
`;

const cases: readonly Case[] = [
  { title: 'eight arguments and no frame', source: 'u64 f(EIGHT) { return a + r; }', expected: 0 },
  { title: 'a ninth, read without a frame', source: 'u64 f(EIGHT, u64 s) { return s; }', expected: 1 },
  { title: 'a ninth of one byte', source: 'u64 f(EIGHT, unsigned char s) { return s; }', expected: 1 },
  { title: 'a ninth that is not read', source: 'u64 f(EIGHT, u64 s) { return g(a); }', expected: 0 },
  {
    title: 'the twelfth, read with a frame',
    source: 'u64 f(EIGHT, u64 s, u64 t, u64 u, u64 v) { return g(a) + v; }',
    expected: 4,
  },
  {
    title: 'read before the frame is made and after it is gone',
    source: 'u64 f(EIGHT, u64 s, u64 t) { if (!t) return s; return g(g(s)) + b; }',
    expected: 2,
  },
  {
    title: 'passed on as stack arguments of a call',
    source: 'u64 f(EIGHT, u64 s, u64 t) { return many(a,b,c,d,e,p,q,r,t,s) + 1; }',
    expected: 2,
  },
  {
    title: 'read in a case of a switch',
    source:
      'u64 f(EIGHT, u64 s) { switch (a) { case 0: return g(b); case 1: return g(c) + 1; case 2: return g(d) * 3; case 3: return g(s); case 4: return g(e) - 7; case 5: return g(p) ^ 5; } return 0; }',
    expected: 1,
  },
  {
    title: 'read where only a jump label leads',
    source:
      'u64 f(EIGHT, u64 s) { asm goto("nop\\n\\t.pushsection .jumps,\\"a\\"\\n\\t.quad %l[on]\\n\\t.popsection" :::: on); return g(a) + 1; on: return g(s); }',
    expected: 1,
  },
  {
    title: 'read behind a WARN',
    source: 'u64 f(EIGHT, u64 s) { g(a); asm volatile("twi 31,0,0"); return g(s) + g(b); }',
    expected: 1,
  },
  {
    title: 'locals whose address is taken',
    source: 'u64 f(u64 n) { u64 x[64]; use(x); return x[n & 63]; }',
    expected: 0,
  },
  {
    title: 'a struct whose address is taken, of which the end is on the stack',
    source: 'void f(u64 a, u64 b, u64 c, u64 d, u64 e, struct big s) { use(&s); }',
    expected: /address of an argument/,
  },
  {
    title: 'variable arguments',
    source: 'u64 f(u64 n, ...) { __builtin_va_list v; __builtin_va_start(v, n); use(v); return n; }',
    expected: /address/,
  },
  {
    title: 'a frame of a computed size',
    source: 'u64 f(u64 n) { char x[n]; use(x); return x[0]; }',
    expected: /r1 is computed/,
  },
  {
    title: 'a tail call',
    source: 'static __attribute__((noinline)) u64 t(u64 n) { return g(n) + 1; } u64 f(u64 n) { return t(n + 1); }',
    flags: ['-foptimize-sibling-calls'],
    expected: /leaves the function/,
  },
  {
    title: 'a call through a pointer, which could be a tail call',
    source: 'u64 f(u64 (*h)(u64), u64 n) { return h(n + 1); }',
    expected: 0,
  },
  {
    title: 'an instruction that nobody knows',
    source: 'void f(void) { asm volatile(".long 0x00000001"); }',
    expected: /not in the tables/,
  },
];

test.each(cases)('$title', async ({ source, expected, flags = [] }) => {
  await withTemporaryFolder(async (folder) => {
    const [file, object] = [join(folder, 'f.c'), join(folder, 'f.o')];
    await writeFile(file, prelude + source);
    for (const level of ['-O2', '-O3']) {
      await run(`${platform.cross.prefix}gcc`, [
        ...[
          '-c',
          level,
          '-mcmodel=large',
          '-msoft-float',
          '-mtraceback=no',
          '-fno-asynchronous-unwind-tables',
          '-ffunction-sections',
        ],
        ...['-pg', '-mprofile-kernel', ...platform.fixFlags, ...flags, '-o', object, file],
      ]);
      const f = readElf(await readFile(object), 'f.o').symbols.find(({ name }) => name === 'f')!;
      if (typeof f.place === 'string' || !('data' in f.place)) throw new Error('f is not in a section');
      const [start, size] = [Number(f.value), Number(f.size)];
      const { doublewords, uncertain } = findStackArguments(wordsOf(f.place.data.slice(start, start + size)));
      if (typeof expected === 'number') {
        expect({ level, uncertain, onStack: Math.max(0, doublewords - 8) }).toEqual({
          level,
          uncertain: undefined,
          onStack: expected,
        });
      } else {
        expect(uncertain).toMatch(expected);
      }
    }
  });
});
