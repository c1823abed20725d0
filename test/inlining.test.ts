// The object for a patch is compiled with other options than the kernel was. What it calls and the kernel has inlined would keep its old
// code, unseen: so the two are held against each other, call by call.

import { describe, expect, it } from 'vitest';
import { inlinedOtherwise, inlinedReason } from '../src/diff/inlining.ts';
import { archOf, compilePair, machines } from './diff/compile.ts';

/** In the kernel's object, which is compiled first, and in the patch's. */
const head = `
#ifdef FIXED
#define KERNEL(what)
#define PATCH(what) what
#else
#define KERNEL(what) what
#define PATCH(what)
#endif
#define ALWAYS static inline __attribute__((always_inline))
#define NEVER noinline static
`;

describe.each(machines)('for %s', (machine) => {
  const { objectCode } = archOf(machine);
  const found = async (source: string, ...changed: string[]) => {
    const [kernel, patch] = await compilePair(machine, head + source);
    const calls = inlinedOtherwise(kernel.model, patch.model, objectCode, changed, 'test');
    return calls.map(({ caller, callee }) => `${caller} ${callee}`);
  };

  it('a function that both call, or that both have inlined, is no matter', async () => {
    const source = `
      NEVER int g(int x) { return other(x) + 1; }
      ALWAYS int h(int x) { return other(x) + 2; }
      int f(int x) { return g(x) + h(x) + g(x + 1); }`;
    expect(await found(source, 'f', 'g', 'h')).toEqual([]);
  });

  const inlined = `
      ALWAYS int body(int x) { return other(x) + 1; }
      NEVER int g(int x) { return body(x); }
      int k(int x) { return g(x) * 2; }
      int f(int x) { return KERNEL(body(x)) PATCH(g(x)); }`;

  it('a changed function that only the kernel has inlined is told, with where that is', async () => {
    expect(await found(inlined, 'g')).toEqual(['f g']);
    expect(inlinedReason({ caller: 'f', callee: 'g' }, 'fs/x.c')).toMatchObject({
      code: 'inlined-otherwise',
      place: 'fs/x.c: f',
    });
  });

  it('a function that has not changed may be inlined as it likes', async () => {
    expect(await found(inlined, 'k')).toEqual([]);
  });

  it('it is told too where only one of several calls is inlined', async () => {
    const source = `
      ALWAYS int body(int x) { return other(x) + 1; }
      NEVER int g(int x) { return body(x); }
      int f(int x) { return g(x + 3) + KERNEL(body(x)) PATCH(g(x)); }`;
    expect(await found(source, 'g')).toEqual(['f g']);
  });

  it('it is told of what leads to a changed function, which is inlined along with it', async () => {
    const source = `
      ALWAYS int body(int x) { return other(x) + 1; }
      NEVER int g(int x) { return body(x); }
      NEVER int middle(int x) { return g(x) * 5; }
      int k(int x) { return middle(x) + g(x); }
      int f(int x) { return KERNEL(body(x) * 5) PATCH(middle(x)); }`;
    expect(await found(source, 'g')).toEqual(['f middle']);
  });

  it('what only the patch’s object has inlined is replaced with its caller, and is no matter', async () => {
    const source = `
      ALWAYS int body(int x) { return other(x) + 1; }
      NEVER int g(int x) { return body(x); }
      int k(int x) { return g(x) * 2; }
      int f(int x) { return PATCH(body(x)) KERNEL(g(x)); }`;
    expect(await found(source, 'g')).toEqual([]);
  });
});
