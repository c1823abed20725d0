// A stub is right when a machine says so. Every function of the stock ARM kernel that has a call site is called,
// with its own prologue and the kernel's own hook, and the new function has to find what the caller left; then words
// are taken out of stubs, and the same checks have to notice.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CallSite, Stub } from '../src/arch/arch.ts';
import { arm } from '../src/arch/arm/arm.ts';
import { registerNames } from '../src/arch/arm/syntax.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { type Landing, marks, playAll } from './support/arm-stage.ts';
import { stockImage } from './support/stock-image.ts';

let folder: string;
let image: KernelImage;
/** The first call site of each function. */
let sites: CallSite[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-redirect-'));
  image = await stockImage('6.1.0-50-armmp');
  const all = arm.findCallSites(image);
  sites = all.filter((site, i) => site.function !== all[i - 1]?.function);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function stubOf(site: CallSite): Stub {
  const { end } = image.enclosing(site.function)!;
  const words = wordsOf(image.bytes(site.function, Number(end - site.function) & ~3)!);
  return arm.ftraceStub({ name: site.name, address: site.function, words }, site.address, new Uint32Array());
}

/** What is not as the caller left it, all that AAPCS lets it rely on (r12 it may not). */
function broken({ registers, stackArguments, callersSp, returnAddress }: Landing): string[] {
  const expected = [...Array.from({ length: 12 }, (_, n) => marks.register(n)), callersSp, returnAddress];
  const names = [...registerNames.slice(0, 12), 'sp', 'lr'];
  return [
    ...names.filter((_, i) => registers[i] !== expected[i]),
    ...stackArguments.flatMap((word, n) => (word === marks.stackArgument(n) ? [] : [`stack argument ${n + 1}`])),
  ];
}

test('In place of each function, the new one finds registers, stack and return address as the caller left them', async () => {
  const landings = await playAll(
    folder,
    image,
    sites.map((site) => ({ site, stub: stubOf(site) })),
  );
  const faults = landings.flatMap((landing, i) => {
    const what = broken(landing);
    return what.length > 0 ? [`${sites[i]!.name}: ${what.join(', ')}`] : [];
  });
  expect(faults.slice(0, 20)).toEqual([]);
  expect(landings).toHaveLength(39_698);
});

test('A stub that lacks any of its words is noticed', async () => {
  // One function for each way that a stub is made of words: what their numbers are does not matter here.
  const shapes = new Map<string, { site: CallSite; stub: Stub }>();
  for (const site of sites) {
    const stub = stubOf(site);
    shapes.set(stub.words.map(({ text }) => text.replace(/#\d+/, '#')).join('; '), { site, stub });
  }
  const mutants = [...shapes.values()].flatMap(({ site, stub }) =>
    stub.words.slice(0, -1).map((lacks, i) => ({
      site,
      lacks: lacks.text,
      stub: {
        words: stub.words.filter((_, at) => at !== i),
        relocations: stub.relocations.map((relocation) => ({ ...relocation, offset: relocation.offset - 4 })),
      },
    })),
  );
  expect(mutants.length).toBeGreaterThan(4);
  const landings = await playAll(folder, image, mutants);
  expect(landings).toHaveLength(mutants.length);
  const unnoticed = mutants.filter((_, i) => broken(landings[i]!).length === 0);
  expect(unnoticed.map(({ site, lacks }) => `${site.name} without ${lacks}`)).toEqual([]);
});
