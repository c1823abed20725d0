// The proof on the stock ppc64le kernel: for every function with a call site, its own prologue, the shipped hook and the stub
// that build would make. Then the ways in which such redirects are known to be wrong, and wrong ones by the thousand: each
// of the known ones is refuted by what it breaks, and none that a run with numbers shows to be wrong is called proven.

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
import { judgeMutants, mutants, type Originals, wordsBetween } from './support/mutants.ts';
import { randomNumbers } from './support/random.ts';
import { faultOf } from './support/redirect-run.ts';
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
    word: (address) => image.word(linkAddress(address)),
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
    expect([0, count, count + 1, undefined].map(verdictFor)).toEqual(['proven', 'proven', 'refuted', 'refuted']);
  });
});

test('Of mutants none that a run shows to be wrong is called proven, and most that keep everything are', () => {
  const random = randomNumbers(0x5075e);
  const redirects = (['with a TOC', 'without one'] as const).flatMap((kind) =>
    [0, 1, 4].map((stackArguments) => ({
      name: `${kind}, ${stackArguments} stack arguments`,
      redirect: { prologue: prologueOf(kind), stub: stubOf(stackArguments), stackArguments, siblingCalls: true },
    })),
  );
  for (const { name, redirect } of redirects)
    expect(faultOf(proofFacts, hook, redirect, random, 40), name).toBeUndefined();
  const originals: Originals = {
    facts: proofFacts,
    hook,
    hookWords: [
      ...wordsBetween(hook.entry, image.symbol('ftrace_caller')!),
      ...wordsBetween(image.symbol('ftrace_stub')!, image.symbol('ppc32_classify_syscall')!),
    ],
    redirects,
    nop: encode('ori', { RS: 0, RA: 0, UI: 0 }),
    bits: 32,
    stubEnd: 0,
  };
  const tally = judgeMutants(originals, mutants(originals, 2000, random), random);
  console.log(tally);
  expect(tally.wrong).toEqual([]);
  const { proven, refuted, unknown } = tally.right;
  expect(proven / (proven + refuted + unknown)).toBeGreaterThan(0.95);
});
