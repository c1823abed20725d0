// Why: how many stack arguments a function reads is told from compiled code, so it is checked on compiled code, at the
// optimisation levels that kernels use (not -Os, which ends functions with a branch to the compiler's own helpers), with the flags of the kernel that matter and those that `build` gives to fixes.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { platform } from '../src/arch/ppc64le/platform.ts';
import { findStackArguments } from '../src/arch/ppc64le/stack-arguments.ts';
import { STT_FUNC } from '../src/elf/constants.ts';
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
extern void *memcpy(void *, const void *, u64); extern u64 indices(u64 *);
struct big { u64 a[6]; }; struct hundred { char c[100]; }; struct table { unsigned char t[32]; };
struct rows { struct { u64 x[16]; } row[4]; };
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
    title: 'twelve arguments, all read',
    source: 'u64 f(EIGHT, u64 s, u64 t, u64 u, u64 v) { return a + b * c - d + e * p - q + r + s * t - u + v; }',
    expected: 4,
  },
  {
    title: 'arguments of type int and char, each in a doubleword',
    source: 'u64 f(EIGHT, int s, char t, short u) { return g(s) + t + g(u); }',
    expected: 3,
  },
  {
    title: 'a struct by value, read at constant places',
    source: 'u64 f(EIGHT, struct big s) { return s.a[1] + g(s.a[4]); }',
    expected: 5,
  },
  {
    title: 'a struct by value, read at an index',
    source: 'u64 f(EIGHT, struct big s) { return s.a[a % 6]; }',
    expected: /an index chooses/,
  },
  {
    title: 'a struct by value, read at an index with a frame',
    source: 'u64 f(EIGHT, struct big s) { u64 i = g(a); return g(b) + s.a[i % 6] + g(c); }',
    expected: /an index chooses/,
  },
  {
    title: 'a struct by value, read at an index less a constant, which lands in the function’s own frame',
    source: "u64 f(EIGHT, struct table s, int n) { u64 i = g(n); return g(b) + s.t[i - 'a']; }",
    expected: /may be a part of an argument|an index chooses/,
  },
  {
    title: 'a struct by value of which a part is in registers, read at an index',
    source: 'u64 f(u64 n, u64 b, u64 c, u64 d, u64 e, struct big s) { return s.a[n % 6] + g(b); }',
    expected: /an index chooses/,
  },
  {
    title: 'a struct by value, written at an index and read at another',
    source: 'u64 f(EIGHT, struct big s) { s.a[a % 6] = b; return s.a[c % 6] + g(s.a[d % 6]); }',
    expected: /an index chooses/,
  },
  {
    title: 'a struct by value, read in a loop with a long stride',
    source:
      'u64 f(EIGHT, struct rows s) { u64 n = 0; for (u64 i = 0; i < a; i++) n += g(s.row[i].x[3]) ^ s.row[i].x[c]; return n; }',
    expected: /index|may go to an argument|address of an argument|argument’s address/,
  },
  {
    title: 'a struct by value or another one, read by the same words',
    source:
      'u64 f(struct big *t, u64 b, u64 c, u64 d, u64 e, u64 p, u64 q, u64 r, struct big s) { u64 i = g(b) % 6; return c ? s.a[i] + g(d) : t->a[i] + g(e); }',
    expected: /an index chooses|may go to an argument/,
  },
  {
    title: 'a struct of 100 bytes by value, copied whole by a call',
    source: 'void f(EIGHT, struct hundred s, struct hundred *to) { memcpy(to, &s, sizeof(s)); }',
    flags: ['-fno-builtin'],
    expected: /address of an argument/,
  },
  {
    title: 'a struct of 100 bytes by value, copied word by word',
    source: 'void f(EIGHT, struct hundred s, struct hundred *to) { *to = s; }',
    flags: ['-mblock-move-inline-limit=256'],
    expected: 14,
  },
  {
    title: 'a ninth, and a local array read at an index',
    source: 'u64 f(EIGHT, u64 s) { u64 x[8]; use(x); return x[a & 7] + s; }',
    expected: 1,
  },
  {
    title: 'a local array filled and read at indexes',
    source:
      'u64 f(u64 n, u64 m) { u64 x[8] = { 0 }; for (u64 i = 0; i < n; i++) x[g(i) & 7]++; return x[m & 7] + g(x[n & 7]); }',
    expected: 0,
  },
  {
    title: 'local arrays walked up and down',
    source:
      'u64 f(u64 n) { u64 x[9], y[9], m = 0; indices(x); indices(y); for (int i = 0; i < 9; i++) m ^= g(x[i]); for (int i = 8; i >= 0; i--) m ^= g(y[i]); return m; }',
    expected: 0,
  },
  {
    title: 'a local array of bytes, ended at an index',
    source: 'u64 f(u64 n) { char x[32]; u64 length = indices((u64 *)x); x[length] = 0; use(x); return x[n & 31]; }',
    expected: 0,
  },
  {
    title: 'a local list, walked through its own pointers',
    source:
      'struct list { struct list *next; u64 pad[40]; }; u64 f(u64 n) { struct list x = { &x }; use(&x); for (struct list *at = x.next; at != &x; at = at->next) n += g(at->pad[n & 31]); return n; }',
    expected: 0,
  },
  {
    title: 'a local variable that is aligned more than the stack',
    source: 'u64 f(u64 n) { u64 x[8] __attribute__((aligned(128))); use(x); return x[n & 7]; }',
    expected: 0,
  },
  {
    title: 'vector loads, which the kernel’s flags exclude',
    source: 'void f(EIGHT, struct hundred s, struct hundred *to) { *to = s; }',
    flags: ['-mhard-float', '-mcpu=power9', '-maltivec', '-mvsx', '-mblock-move-inline-limit=256'],
    expected: /not in the tables/,
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

const levels = ['-O2', '-O3'];

/** Compiles C as `build` does and gives the words of each function. */
async function compiled(
  source: string,
  level: string,
  flags: readonly string[] = [],
): Promise<Map<string, Uint32Array>> {
  return withTemporaryFolder(async (folder) => {
    const [file, object] = [join(folder, 'f.c'), join(folder, 'f.o')];
    await writeFile(file, prelude + source);
    const kernelFlags = [
      '-mcmodel=large',
      '-msoft-float',
      '-mno-altivec',
      '-mno-vsx',
      '-mtraceback=no',
      '-fno-asynchronous-unwind-tables',
    ];
    const hookFlags = ['-ffunction-sections', '-pg', '-mprofile-kernel'];
    await run(`${platform.cross.prefix}gcc`, [
      ...['-c', level, ...kernelFlags, ...hookFlags],
      ...[...platform.fixFlags, ...flags, '-o', object, file],
    ]);
    const { symbols } = readElf(await readFile(object), 'f.o');
    return new Map(
      symbols.flatMap(({ name, type, place, value, size }) => {
        if (type !== STT_FUNC || typeof place === 'string' || !('data' in place)) return [];
        return [[name, wordsOf(place.data.slice(Number(value), Number(value + size)))] as const];
      }),
    );
  });
}

const onStack = (words: Uint32Array) => {
  const { doublewords, uncertain } = findStackArguments(words);
  return uncertain ?? Math.max(0, doublewords - 8);
};

test.each(cases)('$title', async ({ source, expected, flags }) => {
  for (const level of levels) {
    const found = onStack((await compiled(source, level, flags)).get('f')!);
    if (typeof expected === 'number') expect({ level, found }).toEqual({ level, found: expected });
    else expect(found).toMatch(expected);
  }
});

test('Functions with 9 to 14 arguments, of which some are read: the last one read counts', async () => {
  const types = ['u64', 'int', 'char', 'unsigned short', 'void *'];
  // Numbers as they come, the same ones each time (the generator of C11, 7.22.2.2).
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % below;
  };
  const expected = new Map<string, number>();
  const functions = Array.from({ length: 120 }, (_, n) => {
    const parameters = Array.from({ length: 9 + random(6) }, (_, i) => ({ name: `a${i}`, type: types[random(5)]! }));
    const read = parameters.filter(() => random(4) === 0);
    const uses = read.map(({ name }) => (random(2) === 0 ? `m = g(m ^ (u64)${name});` : `m += 3 * (u64)${name};`));
    const last = read.at(-1);
    expected.set(`f${n}`, last ? Math.max(0, parameters.indexOf(last) + 1 - 8) : 0);
    const list = parameters.map(({ name, type }) => `${type} ${name}`).join(', ');
    return `u64 f${n}(${list}) { u64 m = ${n}; ${uses.join(' ')} return m; }`;
  });
  expect(new Set(expected.values()).size).toBe(7);
  for (const level of levels) {
    const found = await compiled(functions.join('\n'), level);
    expect(new Map([...found].map(([name, words]) => [name, onStack(words)]))).toEqual(expected);
  }
});
