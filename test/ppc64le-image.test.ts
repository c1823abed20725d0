// What is read from the stock ppc64le kernel's image: its call sites against its own list of them, a stub for every
// function, who reads stack arguments, and the words that it rewrites.

import { beforeAll, expect, test } from 'vitest';
import type { CallSite } from '../src/arch/arch.ts';
import { encode } from '../src/arch/ppc64le/instructions.ts';
import { ppc64le } from '../src/arch/ppc64le/ppc64le.ts';
import { findStackArguments, findWithConstants, readsStackArguments } from '../src/arch/ppc64le/stack-arguments.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { ReasonError } from '../src/reason.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
let sites: CallSite[];
beforeAll(async () => {
  image = await stockImage('6.1.0-50-powerpc64le');
  sites = ppc64le.findCallSites(image);
});

const functionText = ({ name, function: address }: CallSite) => {
  const { end } = image.enclosing(address)!;
  return { name, address, words: wordsOf(image.bytes(address, Number(end - address) & ~3)!) };
};

test('Call sites are those between __start_mcount_loc and __stop_mcount_loc, no more and no less', () => {
  const [start, stop] = [image.symbol('__start_mcount_loc')!, image.symbol('__stop_mcount_loc')!];
  const bytes = image.bytes(start, Number(stop - start))!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const listed = Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(8 * i, true));
  expect(sites.map(({ address }) => address)).toEqual(listed.sort((a, b) => (a < b ? -1 : 1)));
});

test('Of 33,690 sites, 32,181 outlive the start', () => {
  const [, init] = image.textRanges;
  expect(sites).toHaveLength(33_690);
  // available_filter_functions of the booted kernel has this many lines.
  expect(sites.filter(({ address }) => address < init!.start)).toHaveLength(32_181);
});

test('33,447 functions get a stub, in two shapes; the nameless bodies behind some are refused', () => {
  const shapes = { withToc: 0, without: 0 };
  const refused: string[] = [];
  const replacement = Uint32Array.of(encode('bclr', { BO: 20, BI: 0, BH: 0 }));
  for (const site of sites) {
    try {
      ppc64le.ftraceStub(functionText(site), site.address, replacement);
      if (site.address - site.function === 12n) shapes.withToc++;
      else shapes.without++;
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      expect(error.reasons[0].code).toBe('prologue-unknown');
      refused.push(site.name);
    }
  }
  expect(shapes).toEqual({ withToc: 30_090, without: 3_357 });
  // Bodies of overridden weak functions, most of them system calls that this kernel lacks (kernel/sys_ni.c).
  expect(refused).toHaveLength(243);
  expect(refused).toContain('memory_add_physaddr_to_nid');
});

test('Some ninety functions read stack arguments, and those that everybody knows are among them', () => {
  const readers = sites.filter((site) => readsStackArguments(functionText(site).words)).map(({ name }) => name);
  expect(readers.length).toBeGreaterThan(80);
  expect(readers.length).toBeLessThan(100);
  expect(readers).toEqual(expect.arrayContaining(['ip_append_data', '__ip_append_data', 'ip_make_skb', 'vma_merge']));
  expect(readers).not.toContain('cmdline_proc_show');
});

test('Of 33,690 functions one in a hundred could not say how many, those apart that end with a branch to another', () => {
  const reasons = sites.map((site) => findStackArguments(functionText(site).words).uncertain);
  const refused = reasons.filter((reason) => reason !== undefined && !reason.includes('leaves the function'));
  expect(refused).toHaveLength(338);
});

test('The words that the kernel rewrites are all found', () => {
  const { words, unknown } = ppc64le.selfModified(image);
  expect(unknown).toEqual([]);
  expect(words.length).toBeGreaterThan(40_000);
  const own = new Set<bigint>(words);
  expect(own.has(image.symbol('ftrace_regs_call')!)).toBe(true);
  // Call sites are the caller's to leave out.
  expect(own.has(sites[0]!.address)).toBe(false);
  // Most functions have none.
  expect(new Set(words.map((address) => image.enclosing(address)?.start)).size).toBeLessThan(6_000);
});

test('the walk that leaves out what it can says of every function what one that looks at every value says', () => {
  // Where both cannot tell, each may have come upon another reason first.
  const told = ({ uncertain, ...rest }: ReturnType<typeof findStackArguments>) => ({ ...rest, isSure: !uncertain });
  for (const site of sites) {
    const { name, words } = functionText(site);
    expect({ name, ...told(findStackArguments(words)) }).toEqual({ name, ...told(findWithConstants(words)) });
  }
});
