// What is proven comes from files, and files may be anything. Whatever is changed in an image, a module or an assembled redirect
// ends in a verdict or in a refusal that says what is wrong; it never crashes, hangs, or calls proven what it did not read.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { assembleRedirect } from '../src/compile/assemble-redirect.ts';
import { findSection, readElf } from '../src/elf/elf.ts';
import { linkAddress } from '../src/elf/units.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { type KernelImage, readKernelImage } from '../src/kernel/image.ts';
import { linkFunctions, tracedFunctions } from '../src/link/link-whole-kernel.ts';
import { readOwnRedirect } from '../src/prove/own-redirect.ts';
import { type ProofKernel, symbolsOfHook } from '../src/prove/prove-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { proveOwnRedirect } from '../src/prove/prove-own.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';

/** Some bytes of a file become others; it may be cut. */
const damage = fc.record({
  changes: fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) }), {
    minLength: 1,
    maxLength: 8,
  }),
  length: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
});
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(bytes: Uint8Array, { changes, length }: Damage, from = 0, to = bytes.length): Uint8Array {
  const copy = bytes.slice(0, Math.floor(bytes.length * length));
  for (const { at, value } of changes) copy[Math.min(to - 1, from + Math.floor(at * (to - from)))] = value;
  return copy;
}

/** Where some bytes are in a file. */
function placeOf(part: Uint8Array, file: Uint8Array): number {
  const at = Buffer.from(file).indexOf(part);
  expect(at).toBeGreaterThan(0);
  return at;
}

/** What comes of it: verdicts, or the codes of a refusal. Any other error fails the test. */
function outcome(work: () => readonly { readonly verdict: { readonly verdict: string } }[]): string[] {
  try {
    return work().map(({ verdict }) => verdict.verdict);
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    return error.reasons.map(({ code }) => code);
  }
}

const examples = { arm: 'arm-call-first.S', ppc64le: 'ppc64le-2015-meant.S' } as const;

describe.each(stockKernels)('On $name', ({ name, architecture }) => {
  let kernel: LoadedKernel;
  let prover: Prover;
  let module: Uint8Array;

  beforeAll(async () => {
    kernel = await loadKernel(name);
    prover = new Prover(kernel);
    const functions = tracedFunctions(kernel).filter((_, i) => i % 8000 === 0);
    [module] = [...linkFunctions(kernel, functions)].map(({ bytes }) => bytes) as [Uint8Array];
  });

  test('a damaged module has a verdict or is refused', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(damage, (how) => {
        for (const each of outcome(() => prover.proveModule(damaged(module, how), 'damaged.ko'))) seen.add(each);
      }),
      { numRuns: 300, seed: 1 },
    );
    expect(seen).toContain('elf-malformed');
  });

  test('so has one that is damaged where it matters, and most of what is wrong is seen', () => {
    const { data } = findSection(readElf(module, 'module'), '.text.suture_stubs')!;
    const from = placeOf(data, module);
    const seen: string[] = [];
    fc.assert(
      fc.property(damage, (how) => {
        const bytes = damaged(module, { ...how, length: 1 }, from, from + data.length);
        seen.push(...outcome(() => prover.proveModule(bytes, 'damaged.ko')));
      }),
      { numRuns: 200, seed: 2 },
    );
    expect(new Set(seen)).toEqual(new Set(['proven', 'refuted', 'unknown']));
  });

  test('a hook that is damaged in the image is judged as it is there', () => {
    const { hook } = kernel.arch.proofFacts!;
    const entry = kernel.image.symbol(hook.entry)!;
    const seen: string[] = [];
    fc.assert(
      fc.property(fc.nat(60), fc.nat(0xffffffff), (index, word) => {
        const at = linkAddress(entry + BigInt(4 * index));
        const whole = kernel.image;
        const image: KernelImage = {
          ...whole,
          word: (address) => (address === at ? word : whole.word(address)),
          bytes: (address, size) => whole.bytes(address, size),
          symbol: (wanted) => whole.symbol(wanted),
          section: (wanted) => whole.section(wanted),
          enclosing: (address) => whole.enclosing(address),
        };
        const changed: ProofKernel = { ...kernel, image };
        seen.push(...outcome(() => new Prover(changed).proveModule(module, 'module.ko')));
      }),
      { numRuns: 60, seed: 3 },
    );
    expect(seen).toContain('unknown');
  });

  test('what a damaged hook says of itself is not believed alone', () => {
    const { hook } = kernel.arch.proofFacts!;
    const [entry, call] = [kernel.image.symbol(hook.entry)!, kernel.image.symbol(hook.handlerCall)!];
    const found = new Set<string>();
    for (let at: bigint = entry; at < call; at += 4n) {
      const whole = kernel.image;
      // Another number in what its immediate operand is, if it has one: an address, or a place in the processor's area.
      const image: KernelImage = {
        ...whole,
        word: (address) => (address === at ? whole.word(address)! ^ 4 : whole.word(address)),
        bytes: (address, size) => whole.bytes(address, size),
        symbol: (wanted) => whole.symbol(wanted),
        section: (wanted) => whole.section(wanted),
        enclosing: (address) => whole.enclosing(address),
      };
      for (const { verdict } of new Prover({ ...kernel, image }).proveModule(module, 'module.ko'))
        if (verdict.verdict === 'unknown') for (const reason of verdict.reasons) found.add(reason);
    }
    expect([...found].join()).toMatch(/looks elsewhere than ftrace_caller does/);
  });

  test('a damaged image is read to an end, or refused', async () => {
    const whole = new Uint8Array(await readFile(kernel.stored.image));
    const { arch } = kernel;
    await fc.assert(
      fc.asyncProperty(damage, async (how) => {
        const read = async () => {
          const image = await readKernelImage(damaged(whole, how), basename(kernel.stored.image), arch);
          const changed = { arch, image, callSites: arch.findCallSites(image), selfModified: arch.selfModified(image) };
          return new Prover(changed).proveModule(module, 'module.ko');
        };
        await read().catch((error: unknown) => {
          if (!(error instanceof ReasonError)) throw error;
        });
      }),
      { numRuns: 6, seed: 4 },
    );
  });

  test('a damaged redirect of one’s own has a verdict or is refused', async () => {
    const file = fileURLToPath(new URL(`../examples/redirects/${examples[architecture]}`, import.meta.url));
    const { object, linked } = await assembleRedirect(file, kernel.stored, kernel.image, symbolsOfHook(kernel));
    const seen = new Set<string>();
    const judge = (ofObject: Uint8Array, ofLinked: Uint8Array): void => {
      const own = () => readOwnRedirect(ofObject, ofLinked, kernel.arch, 'damaged.S');
      for (const each of outcome(() => proveOwnRedirect(kernel, own(), []))) seen.add(each);
    };
    fc.assert(
      fc.property(damage, fc.boolean(), (how, which) => {
        judge(which ? damaged(object, how) : object, which ? linked : damaged(linked, how));
      }),
      { numRuns: 300, seed: 5 },
    );
    const { data } = readElf(linked, 'linked').sections.find(({ name: section }) => section === '.text')!;
    const from = placeOf(data, linked);
    fc.assert(
      fc.property(damage, (how) => judge(object, damaged(linked, { ...how, length: 1 }, from, from + data.length))),
      { numRuns: 100, seed: 6 },
    );
    expect(seen).toContain('elf-malformed');
    expect(seen).toContain('unknown');
  });
});
