// The proof on the stock ARM kernel: for every function with a call site, its own prologue, the shipped hook and the stub
// that build would make. Then stubs and hooks that are wrong, by hand and by the thousand: each by hand is refuted by what
// it breaks, and none that a run with numbers shows to be wrong is called proven.

import { beforeAll, describe, expect, test } from 'vitest';
import type { CallSite } from '../src/arch/arch.ts';
import { arm } from '../src/arch/arm/arm.ts';
import { encode } from '../src/arch/arm/instructions.ts';
import { proofFacts } from '../src/arch/arm/proof-facts.ts';
import { linkAddress } from '../src/elf/units.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { type Hook, proveRedirect, type Redirect, type Verdict } from '../src/prove/redirect.ts';
import { ConcreteMachine } from '../src/symbolic/concrete.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
let sites: CallSite[];
let hook: Hook;
/** One function for each prologue that there is. */
let prologues: { name: string; redirect: Redirect; functions: number }[];

beforeAll(async () => {
  image = await stockImage('6.1.0-50-armmp');
  const all = arm.findCallSites(image);
  sites = all.filter((site, i) => site.function !== all[i - 1]?.function);
  hook = {
    entry: image.symbol(proofFacts.hook.entry)!,
    handlerCall: image.symbol(proofFacts.hook.handlerCall)!,
    word: (address) => image.word(linkAddress(address)),
  };
  const byWords = new Map<string, (typeof prologues)[number]>();
  for (const site of sites) {
    const redirect = redirectOf(site);
    const key = `${redirect.prologue.slice(0, -1)};${redirect.stub.words}`;
    const known = byWords.get(key) ?? { name: site.name, redirect, functions: 0 };
    byWords.set(key, { ...known, functions: known.functions + 1 });
  }
  prologues = [...byWords.values()];
});

function redirectOf(site: CallSite): Redirect {
  const { end } = image.enclosing(site.function)!;
  const words = wordsOf(image.bytes(site.function, Number(end - site.function) & ~3)!);
  const stub = arm.ftraceStub({ name: site.name, address: site.function, words }, site.address, new Uint32Array());
  return {
    prologue: words.slice(0, Number(site.address - site.function) / 4 + 1),
    stub: { words: Uint32Array.from(stub.words, ({ word }) => word), relocations: stub.relocations },
  };
}

const prove = (redirect: Redirect, through = hook): Verdict => proveRedirect(proofFacts, through, redirect);

test('Every call site of the stock kernel is proven, functions of one prologue together', () => {
  const counts: Record<string, number> = {};
  const reasons: string[] = [];
  for (const { name, redirect, functions } of prologues) {
    const verdict = prove(redirect);
    counts[verdict.verdict] = (counts[verdict.verdict] ?? 0) + functions;
    if (verdict.verdict === 'unknown') reasons.push(`${name}: ${verdict.reasons.join(', ')}`);
  }
  console.log(`${sites.length} functions with ${prologues.length} prologues`);
  expect(reasons).toEqual([]);
  expect(counts).toEqual({ proven: 39_698 });
});

const SP = 13;
const LR = 14;

describe('Of wrong stubs and hooks', () => {
  /** A function that saves registers, makes room and has a frame pointer of its own. */
  const example = (): Redirect => {
    const push = encode('PUSH', { register_list: (1 << 4) | (1 << 11) | (1 << LR) });
    const framePointer = encode('ADD (immediate)', { S: 0, Rn: SP, Rd: 11, imm12: 8 });
    const room = encode('SUB (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 16 });
    const pushLr = encode('PUSH, one register', { Rt: LR });
    const prologue = Uint32Array.of(push, framePointer, room, pushLr, 0);
    return { prologue, stub: stubOf(loadFp, raiseSp) };
  };
  const loadFp = encode('LDR (immediate)', { Rn: SP, Rt: 11, U: 1, imm12: 20 });
  const raiseSp = encode('ADD (immediate)', { S: 0, Rn: SP, Rd: SP, imm12: 28 });
  const branch = encode('B', { imm24: 0xfffffe });
  const stubOf = (...words: number[]): Redirect['stub'] => ({
    words: Uint32Array.of(...words, branch),
    relocations: [{ offset: 4 * words.length, type: 29, symbol: 'new-function', addend: -8n }],
  });
  const verdictOf = (...words: number[]): unknown => {
    const verdict = prove({ ...example(), stub: stubOf(...words) });
    if (verdict.verdict === 'refuted') return [...new Set(verdict.failures.map(({ obligation }) => obligation))];
    return verdict.verdict === 'unknown' ? verdict.reasons : verdict.verdict;
  };
  const move = (Rd: number): number => encode('MOV (immediate)', { S: 0, Rd, imm12: 0 });

  test('each is refuted by what it breaks', () => {
    expect(verdictOf(loadFp, raiseSp)).toBe('proven');
    expect(verdictOf(loadFp, raiseSp, move(12))).toBe('proven');
    expect(verdictOf(loadFp, raiseSp, move(0))).toEqual(['arguments']);
    expect(verdictOf(loadFp, raiseSp, move(5))).toEqual(['callee-saved']);
    expect(verdictOf(raiseSp)).toEqual(['callee-saved']);
    expect(verdictOf(loadFp, raiseSp, move(LR))).toEqual(['return-address']);
    expect(verdictOf(loadFp)).toEqual(['alignment', 'stack-arguments', 'stack-pointer']);
    // Below the stack pointer an interrupt has been.
    const loadBelow = encode('LDR (immediate)', { Rn: SP, Rt: 11, U: 0, imm12: 8 });
    expect(verdictOf(raiseSp, loadBelow)).toEqual(['callee-saved']);
    const storeAbove = encode('STR (immediate)', { Rn: SP, Rt: 0, U: 1, imm12: 0 });
    expect(verdictOf(loadFp, raiseSp, storeAbove)).toEqual(['stack-arguments', 'callers-stack']);
    // Straight back to the caller.
    expect(verdictOf(loadFp, raiseSp, encode('BX', { Rm: LR }))).toEqual(['way']);
    // A condition that holds for some callers only.
    const compare = encode('CMP (immediate)', { Rn: 0, imm12: 7 });
    const sometimes = encode('MOV (immediate)', { cond: 8, S: 0, Rd: 1, imm12: 0 });
    expect(verdictOf(loadFp, raiseSp, compare, sometimes)).toEqual(['arguments']);
  });

  test('none is judged that is not understood', () => {
    expect(verdictOf(loadFp, raiseSp, 0xe8bd2010)).toEqual(['at stub + 8: UNPREDICTABLE']);
    expect(verdictOf(loadFp, raiseSp, encode('STR (immediate)', { Rn: 0, Rt: 0, U: 1, imm12: 0 }))).toEqual([
      'at stub + 8: it stores to r0, which may be anything’s',
    ]);
  });

  /** The verdict on the right stub through a hook of which one word is another. */
  const through = (word: number, instead: number): string[] => {
    const changed = (address: bigint): number | undefined => {
      const found = hook.word(address);
      return found === word ? instead : found;
    };
    const verdict = prove(example(), { ...hook, word: changed });
    return verdict.verdict === 'refuted'
      ? verdict.failures.map(({ obligation, what }) => `${obligation}: ${what}`)
      : [];
  };

  test('a hook that is wrong is refuted on both of its ways', () => {
    // ldr pc, [sp], #12, the hook's last word, drops a word too many.
    const failures = through(0xe49df00c, 0xe49df010);
    expect(failures).toContain('stack-pointer: sp on return');
    expect(failures).toContain('old-code: sp');
  });

  test('a hook that never asks the handler is refuted', () => {
    // In place of `mov r3, sp` it goes on behind the call of the handler: ten words ahead.
    expect(through(0xe1a0300d, encode('B', { imm24: 8 }))).toEqual(['way: that any path reaches the new function']);
  });
});

describe('Of mutants', () => {
  /** Numbers that are the same in each run (xorshift32). */
  let state = 0x5075e;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };

  const hookWords = (): Map<bigint, number> => {
    const words = new Map<bigint, number>();
    for (let address = hook.entry; address < hook.entry + 96n; address += 4n) words.set(address, hook.word(address)!);
    return words;
  };

  /** Bits flipped, words dropped, doubled, swapped; the number of words stays. */
  function mutate(words: number[]): number[] {
    const at = random(words.length);
    const other = random(words.length);
    const mutant = [...words];
    switch (random(5)) {
      case 0:
        mutant[at] = 0xe1a00000; // mov r0, r0
        break;
      case 1:
        [mutant[at], mutant[other]] = [words[other]!, words[at]!];
        break;
      case 2:
        mutant[at] = words[other]!;
        break;
      default:
        mutant[at] = (words[at]! ^ (1 << random(28))) >>> 0;
    }
    return mutant;
  }

  /** Runs a redirect with numbers. What is wrong then, or undefined; also where it ended in the middle of nowhere. */
  function fault(redirect: Redirect, through: Hook, redirects: boolean): string | undefined {
    const word = (): number => (random(0x10000) * 0x10000 + random(0x10000)) >>> 0;
    const [old, stub, fresh, sp] = [0xc0800000n, 0xbf000000n, 0xbf100000n, 0xc5001f00n];
    const memory = new Map<bigint, number>();
    const wordAt = (address: bigint): number | undefined => {
      const index = (base: bigint): number => Number(address - base) / 4;
      const site = redirect.prologue.length - 1;
      if (address === old + BigInt(4 * site)) return undefined;
      return redirect.prologue[index(old)] ?? redirect.stub.words[index(stub)] ?? through.word(address);
    };
    const initialByte = (address: bigint): number => Number((address * 2654435761n) % 251n);
    const begin = [
      ...Array.from({ length: 13 }, () => BigInt(word())),
      sp,
      0xc0123454n,
      0n,
      1n,
      0n,
      1n,
      0x13n,
      BigInt(word()),
    ];
    const byte = (address: bigint): number => {
      const text = memory.has(address) ? undefined : through.word(address & ~3n);
      return text === undefined
        ? (memory.get(address) ?? initialByte(address))
        : (text >>> (8 * Number(address & 3n))) & 0xff;
    };
    const m = new ConcreteMachine(proofFacts.instructionSet, { byte, setByte: (a, v) => memory.set(a, v) }, begin, old);
    const load = m.load.bind(m);
    let fetched = 0;
    m.load = (address, size) => (address === m.pc && size === 4 ? BigInt(fetched) : load(address, size));
    const interrupt = (): void => {
      for (let below = 1n; below <= 160n; below++) memory.set(m.constant(m.registers[SP]! - below), random(256));
    };
    let atSite: bigint[] = [];
    const site = old + BigInt(4 * (redirect.prologue.length - 1));
    for (let steps = 0; m.pc !== fresh && m.pc !== site + 4n; steps++) {
      if (steps > 300) return 'it never ends';
      interrupt();
      if (m.pc === site) {
        atSite = [...m.registers];
        m.registers[LR] = site + 4n;
        m.pc = hook.entry;
      } else if (m.pc === hook.handlerCall) {
        if (m.registers[0] !== site) return 'site-address';
        if (redirects) m.store(m.constant(m.registers[3]! + 60n), 4, stub);
        for (const register of [0, 1, 2, 3, 12, 14]) m.registers[register] = BigInt(word());
        m.pc += 4n;
      } else {
        const found = wordAt(m.pc);
        if (found === undefined) return 'it jumps to no code';
        const relocated = redirect.stub.relocations.some(({ offset }) => stub + BigInt(offset) === m.pc);
        fetched = found;
        const from = m.pc;
        try {
          m.step();
        } catch {
          return 'it traps';
        }
        if (relocated && m.pc !== from + 4n) m.pc = m.constant(m.pc - from + fresh);
      }
    }
    // Where nobody redirects, all is as at the site, and the lr that was pushed there is dropped.
    const expected = redirects ? begin : atSite.map((value, n) => (n === SP ? value + 4n : value));
    if (m.pc !== (redirects ? fresh : site + 4n)) return 'it goes the wrong way';
    for (const n of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, SP, LR]) if (m.registers[n] !== expected[n]) return `r${n}`;
    for (const [address, value] of memory)
      if (address >= sp && address < sp + 8192n && value !== initialByte(address)) return 'the caller’s stack';
    return undefined;
  }

  test('none that a run shows to be wrong is called proven', () => {
    const counts = { proven: 0, refuted: 0, unknown: 0, right: 0, 'right and proven': 0, 'right and refuted': 0 };
    const wrong: string[] = [];
    const original = hookWords();
    for (let n = 0; n < 2000; n++) {
      const { name, redirect } = prologues[random(prologues.length)]!;
      let mutant = redirect;
      let through = hook;
      // The last word of a stub carries the relocation, and stays where it is.
      if (n % 2 === 0 && redirect.stub.words.length > 1) {
        const words = [...redirect.stub.words];
        mutant = { ...redirect, stub: { ...redirect.stub, words: Uint32Array.of(...mutate(words)) } };
      } else {
        const words = mutate([...original.values()]);
        const at = new Map([...original.keys()].map((address, i) => [address, words[i]!]));
        through = { ...hook, word: (address) => at.get(address) ?? hook.word(address) };
      }
      const { verdict } = prove(mutant, through);
      counts[verdict]++;
      let seen: string | undefined;
      for (let run = 0; run < 8 && seen === undefined; run++) seen = fault(mutant, through, run % 2 === 0);
      if (seen === undefined) {
        counts.right++;
        if (verdict === 'proven') counts['right and proven']++;
        if (verdict === 'refuted') counts['right and refuted']++;
      } else if (verdict === 'proven') wrong.push(`${name}, mutant ${n}: ${seen}`);
    }
    console.log(counts);
    expect(wrong).toEqual([]);
    // Of what keeps everything, most can be seen to.
    expect(counts['right and proven'] / counts.right).toBeGreaterThan(0.95);
  });
});
