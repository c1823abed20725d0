// The proof on the stock ppc64le kernel: for every function with a call site, its own prologue, the shipped hook and the stub
// that build would make. Then the ways in which such redirects are known to be wrong, each refuted by what it breaks.
// (test/mutants.test.ts has wrong ones by the thousand.)

import { beforeAll, describe, expect, test } from 'vitest';
import type { CallSite } from '../src/arch/arch.ts';
import { makeStub } from '../src/arch/ppc64le/ftrace-redirect.ts';
import { encode } from '../src/arch/ppc64le/instructions.ts';
import { ppc64le } from '../src/arch/ppc64le/ppc64le.ts';
import { proofFacts } from '../src/arch/ppc64le/proof-facts.ts';
import { linkAddress } from '../src/elf/units.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { type Hook, proofKey, proveRedirect, type Redirect, type Verdict } from '../src/prove/redirect.ts';
import { ReasonError } from '../src/reason.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
let sites: CallSite[];
let hook: Hook;

beforeAll(async () => {
  image = await stockImage('6.1.0-50-powerpc64le');
  const all = ppc64le.findCallSites(image);
  sites = all.filter((site, i) => site.function !== all[i - 1]?.function);
  hook = {
    entry: image.symbol(proofFacts.hook.entry)!,
    handlerCall: image.symbol(proofFacts.hook.handlerCall)!,
    ops: image.symbol('function_trace_op')!,
    enabled: proofFacts.hook.findEnabled!(
      (address) => image.word(linkAddress(address)),
      image.symbol(proofFacts.hook.entry)!,
      image.symbol(proofFacts.hook.handlerCall)!,
    ),
    word: (address) => image.word(linkAddress(address)),
    isThere: (address, size) => image.bytes(linkAddress(address), size) !== undefined,
    symbol: (name) => image.symbol(name),
  };
});

const stubOf = (stackArguments: number): Redirect['stub'] => {
  const { words, relocations } = makeStub(stackArguments);
  return { words: Uint32Array.from(words, ({ word }) => word), relocations };
};

/** The redirect of a function by one that is the same, or undefined where none can be made. */
function redirectOf(site: CallSite): Redirect | undefined {
  const { end } = image.enclosing(site.function)!;
  const words = wordsOf(image.bytes(site.function, Number(end - site.function) & ~3)!);
  try {
    const stub = ppc64le.ftraceStub({ name: site.name, address: site.function, words }, site.address, words);
    return {
      prologue: words.slice(0, Number(site.address - site.function) / 4 + 1),
      stub: { words: Uint32Array.from(stub.words, ({ word }) => word), relocations: stub.relocations },
      ...proofFacts.readCallee(words),
    };
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return undefined;
  }
}

const prove = (redirect: Redirect, through = hook): Verdict => proveRedirect(proofFacts, through, redirect);

test('Every call site of the stock kernel that can have a stub is proven with it', () => {
  const verdicts = new Map<string, Verdict>();
  const counts: Record<string, number> = {};
  const reasons: string[] = [];
  for (const site of sites) {
    const redirect = redirectOf(site);
    const key = redirect && proofKey(proofFacts, redirect);
    const verdict = key === undefined ? undefined : (verdicts.get(key) ?? prove(redirect!));
    if (key !== undefined) verdicts.set(key, verdict!);
    const name = verdict?.verdict ?? 'without a stub';
    counts[name] = (counts[name] ?? 0) + 1;
    if (verdict?.verdict === 'unknown') reasons.push(`${site.name}: ${verdict.reasons.join(', ')}`);
  }
  console.log(counts, `with ${verdicts.size} proofs`);
  expect(reasons).toEqual([]);
  expect(counts).toEqual({ proven: 30_244, 'without a stub': 3_203 });
});

/** Arguments in registers, nothing in the caller's frame. */
const registersOnly = { stackArguments: 0, usesParameterArea: false, siblingCalls: false };

const prologues = {
  'with a TOC': [encode('addis', { RT: 2, 'RA|0': 12, SI: 1 }), encode('addi', { RT: 2, 'RA|0': 2, SI: 256 })],
  'without one': [],
} as const;
const mflr = encode('mfspr', { RT: 0, spr: 8 });
const bl = encode('bl', { LI: 0 });
const prologueOf = (kind: keyof typeof prologues): Uint32Array => Uint32Array.of(...prologues[kind], mflr, bl);

describe.each(Object.keys(prologues) as (keyof typeof prologues)[])('A function %s', (kind) => {
  test.each([0, 1, 2, 7, 13, 64])('is proven with a stub that copies %i stack arguments, for as many', (count) => {
    const redirect = { prologue: prologueOf(kind), stub: stubOf(count) };
    const verdictFor = (stackArguments: number | undefined): string => prove({ ...redirect, stackArguments }).verdict;
    expect([count, count + 1, undefined].map(verdictFor)).toEqual(['proven', 'refuted', 'refuted']);
    // Where there are fewer there may be no memory to copy.
    expect(verdictFor(0)).toBe(count === 0 ? 'proven' : 'unknown');
  });
});

/** What a verdict says is broken, or why it is not known. */
function broken(verdict: Verdict): unknown {
  if (verdict.verdict === 'refuted') return [...new Set(verdict.failures.map(({ obligation }) => obligation))];
  return verdict.verdict === 'unknown' ? verdict.reasons : verdict.verdict;
}

const SP = 1;
const r = (RT: number, DS: number): Record<string, number> => ({ RT, 'RA|0': SP, DS });
const s = (RS: number, DS: number): Record<string, number> => ({ RS, 'RA|0': SP, DS });
const li = (RT: number, SI: number): number => encode('addi', { RT, 'RA|0': 0, SI });
const addSp = (SI: number): number => encode('addi', { RT: SP, 'RA|0': SP, SI });
const move = (RA: number, from: number): number => encode('or', { RA, RS: from, RB: from });
const mtlr = (RS: number): number => encode('mtspr', { spr: 8, RS });
const mtctr = (RS: number): number => encode('mtspr', { spr: 9, RS });
const readPc = encode('bcl', { BO: 20, BI: 31, BD: 4 });
const bctr = encode('bcctr', { BO: 20, BI: 0, BH: 0 });
const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });

describe('Of stubs with one thing wrong', () => {
  /** The shipped stub, changed. */
  const verdictOf = (stackArguments: number, change: (words: number[]) => void): unknown => {
    const stub = stubOf(stackArguments);
    const words = [...stub.words];
    change(words);
    const changed = { words: Uint32Array.from(words), relocations: stub.relocations };
    return broken(prove({ prologue: prologueOf('with a TOC'), stub: changed, stackArguments }));
  };
  const replace =
    (from: number, to: number) =>
    (words: number[]): void => {
      expect(words).toContain(from);
      for (const [i, word] of words.entries()) if (word === from) words[i] = to;
    };

  test('each is refuted by what it breaks', () => {
    expect(verdictOf(2, () => {})).toBe('proven');
    // A callee-saved register is used.
    expect(verdictOf(0, replace(encode('std', s(2, 96)), li(15, 0)))).toEqual(['callee-saved', 'toc']);
    // An argument register.
    expect(verdictOf(0, replace(encode('std', s(2, 96)), li(10, 0)))).toEqual(['arguments', 'toc']);
    // One of two stack arguments is not copied.
    expect(verdictOf(2, replace(encode('std', s(0, 104)), li(0, 0)))).toEqual(['stack-arguments']);
    // The frame is no multiple of 16.
    const unaligned = (words: number[]): void => {
      replace(encode('stdu', { RS: SP, RA: SP, DS: -112 }), encode('stdu', { RS: SP, RA: SP, DS: -120 }))(words);
      replace(addSp(112), addSp(120))(words);
    };
    expect(verdictOf(0, unaligned)).toEqual(['alignment']);
    // The frame leads nowhere.
    expect(verdictOf(0, replace(encode('stdu', { RS: SP, RA: SP, DS: -112 }), addSp(-112)))).toEqual(['back-chain']);
    // The frame is not dropped.
    expect(verdictOf(0, replace(addSp(112), li(0, 0)))).toEqual(['return-address']);
    // r12 is not the new function's address; the call is made through another register.
    expect(verdictOf(0, replace(mtctr(12), mtctr(12) ^ (7 << 21)))).toEqual(['way']);
    // r2 is kept where the new function may put its own.
    const inTocSave = (words: number[]): void => {
      replace(encode('std', s(2, 96)), encode('std', s(2, 24)))(words);
      replace(encode('ld', r(2, 96)), encode('ld', r(2, 24)))(words);
    };
    expect(verdictOf(0, inTocSave)).toEqual(['toc']);
    // A result is lost on the way back, the other one, or the stack pointer.
    expect(verdictOf(0, replace(encode('ld', r(2, 96)), li(4, 0)))).toEqual(['results', 'toc']);
    // The return address is read where the frame still stands in the way: there the new function keeps its own.
    const early = (words: number[]): void => {
      const [drop, read] = [words.indexOf(addSp(112)), words.lastIndexOf(encode('ld', r(0, 16)))];
      [words[drop], words[read]] = [words[read]!, words[drop]!];
    };
    expect(verdictOf(0, early)).toEqual(['return-address']);
    // The kernel's hook has stored the return address, but not that of a tracer who came after.
    expect(verdictOf(0, replace(encode('std', s(0, 16)), li(0, 0)))).toEqual(['return-address']);
    // CR3 is the caller's.
    const compare = encode('cmpi', { BF: 3, L: 1, RA: 3, SI: 0 });
    expect(verdictOf(0, replace(encode('std', s(2, 96)), compare))).toEqual(['callee-saved', 'toc']);
    // The caller's frame is written to.
    expect(verdictOf(0, replace(encode('std', s(2, 96)), encode('std', s(2, 112))))).toEqual(['callers-stack', 'toc']);
  });

  test('r13 is the processor’s, and not to be kept: the new function may return on another one', () => {
    const { words, relocations } = stubOf(0);
    const [keep, give] = [encode('std', s(13, 104)), encode('ld', r(13, 104))];
    const [before, behind] = [words.indexOf(encode('std', s(2, 96))), words.indexOf(encode('ld', r(2, 96)))];
    const verdictWith = (...added: [at: number, word: number][]): unknown => {
      const changed = [...words];
      for (const [at, word] of added.reverse()) changed.splice(at, 0, word);
      const moved = added.filter(([at]) => at <= before).length;
      const stub = {
        words: Uint32Array.from(changed),
        relocations: relocations.map((each) => ({ ...each, offset: each.offset + 4 * moved })),
      };
      return broken(prove({ prologue: prologueOf('with a TOC'), stub, stackArguments: 0 }));
    };
    // What is only kept harms nobody.
    expect(verdictWith([before, keep])).toBe('proven');
    expect(verdictWith([before, keep], [behind, give])).toEqual(['callee-saved']);
  });

  test('none is judged that is not understood', () => {
    expect(verdictOf(0, replace(encode('std', s(2, 96)), encode('std', { RS: 2, 'RA|0': 3, DS: 0 })))).toEqual([
      'at stub + 0xc: it stores to r3, which may be anything’s',
    ]);
    expect(verdictOf(0, replace(mtctr(12), encode('mtspr', { spr: 256, RS: 12 })))).toEqual([
      'at stub + 0x20: what writing the special register 256 does is not known',
    ]);
  });
});

test('A frame without room for a callee’s parameters does for functions that need none', () => {
  // The smallest frame, r2 at 40(r1): a function may store r4 there.
  const change = new Map([
    [encode('stdu', { RS: SP, RA: SP, DS: -112 }), encode('stdu', { RS: SP, RA: SP, DS: -48 })],
    [encode('std', s(2, 96)), encode('std', s(2, 40))],
    [encode('ld', r(2, 96)), encode('ld', r(2, 40))],
    [addSp(112), addSp(48)],
  ]);
  const { words, relocations } = stubOf(0);
  const stub = { words: words.map((word) => change.get(word) ?? word), relocations };
  const verdictFor = (...newFunction: number[]): unknown =>
    broken(
      prove({ prologue: prologueOf('with a TOC'), stub, ...proofFacts.readCallee(Uint32Array.from(newFunction)) }),
    );
  expect(verdictFor(li(3, 0), blr)).toBe('proven');
  expect(verdictFor(encode('std', s(4, 40)), li(3, 0), encode('ld', r(3, 40)), blr)).toEqual(
    expect.arrayContaining(['toc', 'callers-stack']),
  );
});

describe('The way of the posting of 2015, as a stub', () => {
  // It looks at the word behind the caller's call. Where that loads the caller's TOC pointer, the new function may leave
  // its own and is entered straight. Else a frame of 32 bytes is put in between, and the new function returns to a helper
  // that loads the TOC pointer from where it was kept, and goes on to the caller.
  interface Way {
    /** The lower half of the word that is looked for, and how it is compared. */
    readonly lower: number;
    readonly compare: number;
    readonly helper: readonly number[];
  }
  const asMeant: Way = {
    lower: encode('ori', { RA: 0, RS: 0, UI: 24 }),
    compare: encode('cmpl', { BF: 0, L: 0, RA: 12, RB: 0 }),
    helper: [addSp(32), encode('ld', r(0, 16)), encode('ld', r(2, 24)), mtlr(0), blr],
  };
  const stubFor = ({ lower, compare, helper }: Way): Redirect['stub'] => {
    const before = [
      readPc,
      encode('mfspr', { RT: 11, spr: 8 }),
      mtlr(0),
      move(12, 0),
      encode('lwz', { RT: 12, 'RA|0': 12, D: 0 }),
      encode('addis', { RT: 0, 'RA|0': 0, SI: 0xe841 - 0x10000 }),
      lower,
      compare,
      encode('addis', { RT: 12, 'RA|0': 11, SI: 0 }),
      encode('addi', { RT: 12, 'RA|0': 12, SI: 0 }),
      mtctr(12),
      encode('bc', { BO: 12, BI: 2, BD: 24 }),
    ];
    const frame = [
      encode('std', s(2, 24)),
      encode('stdu', { RS: SP, RA: SP, DS: -32 }),
      encode('addi', { RT: 11, 'RA|0': 11, SI: 4 * (before.length + 6 - 1) }),
      mtlr(11),
      bctr,
    ];
    return {
      words: Uint32Array.of(...before, ...frame, bctr, ...helper),
      relocations: [
        { offset: 32, type: 252, symbol: 'new-function', addend: 28n },
        { offset: 36, type: 250, symbol: 'new-function', addend: 32n },
      ],
    };
  };
  const verdictOf = (way: Way, known: Partial<Redirect> = {}, through = hook): unknown =>
    verdictsOf(way, known, { ...through, tracesReturns: false });
  const verdictsOf = (way: Way, known: Partial<Redirect>, through: Hook): unknown =>
    (['with a TOC', 'without one'] as const).map((kind) => {
      const redirect = { prologue: prologueOf(kind), stub: stubFor(way), ...registersOnly };
      return broken(prove({ ...redirect, ...known }, through));
    });

  test('is right as it was meant, for functions that have all their arguments in registers', () => {
    expect(verdictOf(asMeant)).toEqual(['proven', 'proven']);
  });

  test('looks at the wrong word while somebody traces returns', () => {
    // And its helper returns past whoever waits for the return.
    const both = expect.arrayContaining(['toc', 'return-address']);
    expect(verdictsOf(asMeant, {}, hook)).toEqual([both, both]);
  });

  test('moves stack arguments', () => {
    expect(verdictOf(asMeant, { stackArguments: 1, usesParameterArea: true })).toEqual([
      expect.arrayContaining(['stack-arguments']),
      expect.arrayContaining(['stack-arguments']),
    ]);
  });

  test('leaves the caller’s frame to a function that stores its arguments', () => {
    const broken = expect.arrayContaining(['return-address', 'callers-stack']);
    expect(verdictOf(asMeant, { usesParameterArea: true })).toEqual([broken, broken]);
  });

  test('leaves the caller’s TOC pointer to a sibling call', () => {
    expect(verdictOf(asMeant, { siblingCalls: true })).toEqual([['toc'], ['toc']]);
  });

  test('is wrong with a comparison that never holds: li after lis, or a word beside a doubleword', () => {
    // The upper half is gone.
    expect(verdictOf({ ...asMeant, lower: li(0, 24) })).toEqual([['toc'], ['toc']]);
    // lis extends the sign, lwz does not; a function without a TOC of its own has its caller's all along.
    const signed = { ...asMeant, compare: encode('cmp', { BF: 0, L: 1, RA: 12, RB: 0 }) };
    expect(verdictOf(signed)).toEqual([['toc'], 'proven']);
  });

  test('is wrong with a helper that looks for the return address in its own frame', () => {
    const [drop, read, ...rest] = asMeant.helper as [number, number, ...number[]];
    expect(verdictOf({ ...asMeant, helper: [read, drop, ...rest] })).toEqual([['return-address'], ['return-address']]);
  });

  test('is wrong where nobody has stored the return address', () => {
    const stored = encode('std', s(0, 544));
    const word = (address: bigint): number | undefined =>
      hook.word(address) === stored ? encode('ori', { RS: 0, RA: 0, UI: 0 }) : hook.word(address);
    expect(verdictOf(asMeant, {}, { ...hook, word })).toEqual([
      ['handler-call', 'back-chain', 'return-address'],
      ['handler-call', 'back-chain', 'return-address'],
    ]);
  });

  test('loses a result with a helper that uses its register', () => {
    const helper = [...asMeant.helper.slice(0, 3), encode('ld', r(4, 16)), mtlr(4), blr];
    expect(verdictOf({ ...asMeant, helper })).toEqual([['results'], ['results']]);
  });
});

describe('The handler’s call in the kernel’s hook', () => {
  const nop = encode('ori', { RS: 0, RA: 0, UI: 0 });
  /** The hook with words of it, each there once, replaced by others. */
  const without = (...changes: [word: number, instead: number][]): unknown => {
    const words = new Map(changes);
    for (const word of words.keys()) {
      const all = Array.from({ length: 98 }, (_, i) => hook.word(hook.entry + BigInt(4 * i)));
      expect(all.filter((each) => each === word)).toHaveLength(1);
    }
    const word = (address: bigint): number | undefined => {
      const found = hook.word(address);
      return (found !== undefined && words.get(found)) || found;
    };
    const verdict = prove({ prologue: prologueOf('with a TOC'), stub: stubOf(0), ...registersOnly }, { ...hook, word });
    if (verdict.verdict !== 'refuted') return verdict.verdict;
    return [...new Set(verdict.failures.map(({ obligation, what }) => `${obligation}: ${what}`))];
  };
  const stdu = (DS: number): number => encode('stdu', { RS: SP, RA: SP, DS });

  test('is as the ABI and ftrace’s contract have it', () => {
    expect(without()).toBe('proven');
    const loadToc = encode('ld', { RT: 2, 'RA|0': 13, DS: 16 });
    expect(without([loadToc, encode('ld', { RT: 12, 'RA|0': 13, DS: 16 })])).toContain('handler-call: r2');
    expect(without([encode('ld', { RT: 5, 'RA|0': 3, DS: 0 }), nop])).toEqual([
      'handler-call: what handlers are called with',
    ]);
    expect(without([move(4, 0), nop])).toEqual(['handler-call: where the function returns to']);
    expect(
      without([encode('addi', { RT: 6, 'RA|0': SP, SI: 112 }), encode('addi', { RT: 6, 'RA|0': SP, SI: 96 })]),
    ).toContain('handler-call: pc among the saved registers');
    // The registers that only a handler looks at: nothing else is lost.
    expect(without([encode('std', s(8, 120)), nop])).toEqual(['handler-call: r1 among the saved registers']);
  });

  test('stands on a stack that is aligned and leads on', () => {
    const eightLess: [number, number][] = [
      // In place of what nobody looks at: mfmsr, and the word that stores it.
      [encode('std', s(8, 376)), addSp(-8)],
      [encode('addi', { RT: 6, 'RA|0': SP, SI: 112 }), encode('addi', { RT: 6, 'RA|0': SP, SI: 120 })],
      [encode('std', s(9, 392)), nop],
      [encode('std', s(10, 408)), nop],
      [encode('std', s(11, 416)), nop],
      [encode('ld', r(3, 368)), addSp(8)],
      [mtctr(3), encode('ld', r(12, 368))],
      [encode('ld', r(12, 208)), mtctr(12)],
    ];
    expect(without(...eightLess)).toContain('handler-call: r1');
    // Its frame is not linked to the next one.
    expect(without([stdu(-496), addSp(-496)])).toContain('handler-call: the chain of frames');
    expect(without([stdu(-32), addSp(-32)])).toContain('handler-call: the chain of frames');
    expect(without([encode('std', s(0, 544)), nop])).toContain(
      'handler-call: the return address in the caller’s frame',
    );
  });

  test('is left out where the processor’s own area says so, and for nothing else', () => {
    const flag = encode('lbz', { RT: 3, 'RA|0': 13, D: 2580 });
    const way = 'way: that a handler is asked';
    // f(NULL) would run the old code; so would f() for some callers' frames, or of a processor in some memory.
    expect(without([flag, nop])).toEqual([way]);
    expect(without([flag, encode('lbz', { RT: 3, 'RA|0': SP, D: 520 })])).toEqual([way]);
    expect(without([flag, move(3, 13)])).toEqual([way]);
    // Nor is it for the task that runs, or for what else is in that area; and not the other way round.
    expect(without([flag, encode('lbz', { RT: 3, 'RA|0': 13, D: 2581 })])).toEqual([way]);
    expect(without([flag, encode('ld', { RT: 3, 'RA|0': 13, DS: 2576 })])).toEqual([way]);
    const isOff = encode('bc', { BO: 12, BI: 2, BD: 532 });
    expect(without([isOff, encode('bc', { BO: 4, BI: 2, BD: 532 })])).toContain(way);
    expect(without([isOff, encode('bc', { BO: 12, BI: 1, BD: 532 })])).toContain(way);
  });

  test('has room for what a callee keeps in its caller’s frame', () => {
    // One frame of 32 bytes more: the handler would write over its end.
    const small: [number, number][] = [
      [encode('std', s(8, 376)), stdu(-32)],
      [encode('addi', { RT: 6, 'RA|0': SP, SI: 112 }), encode('addi', { RT: 6, 'RA|0': SP, SI: 144 })],
      [encode('std', s(9, 392)), nop],
      [encode('std', s(10, 408)), nop],
      [encode('std', s(11, 416)), nop],
      [encode('ld', r(3, 368)), addSp(32)],
      [mtctr(3), encode('ld', r(12, 368))],
      [encode('ld', r(12, 208)), mtctr(12)],
    ];
    expect(without(...small)).toContain('handler-call: the end of the frame');
  });
});

describe('A hook that puts its frame in before it asks the handler', () => {
  // In front of the kernel's own hook: the old code, too, then runs in a frame that returns to a helper.
  const start = 0xc000000000f00000n;
  const back = (to: bigint, from: bigint): number => encode('b', { LI: Number(to - from) });
  const words = (): number[] => {
    const front = [
      encode('std', s(0, 16)),
      encode('std', s(2, 24)),
      encode('stdu', { RS: SP, RA: SP, DS: -32 }),
      encode('mfspr', { RT: 11, spr: 8 }),
      readPc,
      encode('mfspr', { RT: 12, spr: 8 }),
      encode('addi', { RT: 0, 'RA|0': 12, SI: 16 }),
      mtlr(11),
    ];
    const helper = [addSp(32), encode('ld', r(0, 16)), encode('ld', r(2, 24)), mtlr(0), blr];
    return [...front, back(hook.entry, start + BigInt(4 * front.length)), ...helper];
  };
  const through = (change: (words: number[]) => void = () => {}): Hook => {
    const own = words();
    change(own);
    const word = (address: bigint): number | undefined => own[Number(address - start) / 4] ?? hook.word(address);
    return { ...hook, entry: start, word };
  };
  const redirect = (): Redirect => ({
    prologue: prologueOf('without one'),
    stub: stubOf(0),
    ...registersOnly,
    oldFunction: registersOnly,
  });

  test('is right if neither function has stack arguments', () => {
    expect(broken(prove(redirect(), through()))).toBe('proven');
  });

  test('is refuted for an old function that may have some', () => {
    expect(broken(prove({ ...redirect(), oldFunction: { siblingCalls: false } }, through()))).toEqual(
      expect.arrayContaining(['stack-arguments']),
    );
  });

  test('is refuted if it takes the tracer of returns for nobody: r11 is not kept where it has been', () => {
    // The stub leaves the TOC pointer in r11 for the helper, which loads it itself where no stub has run.
    const [flag, kept] = [32, 40];
    const front = [
      encode('std', s(0, 16)),
      encode('stdu', { RS: SP, RA: SP, DS: -48 }),
      encode('std', s(2, kept)),
      li(11, 0),
      encode('std', s(11, flag)),
      encode('mfspr', { RT: 11, spr: 8 }),
      readPc,
      encode('mfspr', { RT: 12, spr: 8 }),
      encode('addi', { RT: 0, 'RA|0': 12, SI: 16 }),
      mtlr(11),
    ];
    const helper = [
      encode('ld', r(12, flag)),
      encode('cmpi', { BF: 0, L: 1, RA: 12, SI: 0 }),
      encode('bc', { BO: 4, BI: 2, BD: 8 }),
      encode('ld', r(11, kept)),
      move(2, 11),
      ...[addSp(48), encode('ld', r(0, 16)), mtlr(0), blr],
    ];
    const words = [...front, back(hook.entry, start + BigInt(4 * front.length)), ...helper];
    const enter = [
      encode('mfspr', { RT: 0, spr: 8 }),
      encode('std', s(0, 16)),
      encode('stdu', { RS: SP, RA: SP, DS: -32 }),
      readPc,
      encode('mfspr', { RT: 12, spr: 8 }),
      encode('addis', { RT: 12, 'RA|0': 12, SI: 0 }),
      encode('addi', { RT: 12, 'RA|0': 12, SI: 0 }),
      mtctr(12),
      encode('bcctrl', { BO: 20, BI: 0, BH: 0 }),
    ];
    const leave = [
      addSp(32),
      ...[li(12, 1), encode('std', s(12, flag))],
      ...[encode('ld', r(11, kept)), encode('ld', r(0, 16)), mtlr(0), blr],
    ];
    const stub: Redirect['stub'] = {
      words: Uint32Array.of(...enter, ...leave),
      relocations: [
        { offset: 20, type: 252, symbol: 'new-function', addend: 4n },
        { offset: 24, type: 250, symbol: 'new-function', addend: 8n },
      ],
    };
    const own: Hook = {
      ...hook,
      entry: start,
      word: (address) => words[Number(address - start) / 4] ?? hook.word(address),
    };
    expect(broken(prove({ ...redirect(), stub }, { ...own, tracesReturns: false }))).toBe('proven');
    expect(broken(prove({ ...redirect(), stub }, own))).toEqual(['toc']);
  });

  test('is refuted if the old code would not return to the helper', () => {
    const withoutHelper = through((own) => {
      own[6] = encode('ori', { RS: 0, RA: 0, UI: 0 });
    });
    expect(broken(prove(redirect(), withoutHelper))).toEqual(expect.arrayContaining(['stack-pointer']));
  });
});
