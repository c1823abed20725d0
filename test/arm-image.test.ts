// What is read from the stock ARM kernel's image: its call sites against its own list of them, a stub for every
// function, and the tables of the words that it rewrites.

import { beforeAll, expect, test } from 'vitest';
import type { CallSite } from '../src/arch/arch.ts';
import { arm } from '../src/arch/arm/arm.ts';
import { decode } from '../src/arch/arm/instructions.ts';
import { linkAddress } from '../src/elf/units.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { ReasonError } from '../src/reason.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
let sites: CallSite[];
beforeAll(async () => {
  image = await stockImage('6.1.0-50-armmp');
  sites = arm.findCallSites(image);
});

const functionText = ({ name, function: address }: CallSite) => {
  const { end } = image.enclosing(address)!;
  return { name, address, words: wordsOf(image.bytes(address, Number(end - address) & ~3)!) };
};

test('Its vermagic, which tells the processors that it is for, is in the image', () => {
  expect(image.vermagic).toBe('6.1.0-50-armmp SMP mod_unload modversions ARMv7 p2v8 ');
});

test('Call sites are those between __start_mcount_loc and __stop_mcount_loc, no more and no less', () => {
  // The table is sorted when the kernel is linked, so it is our list, word by word, somewhere in the image.
  const words = wordsOf(image.bytes(image.base, image.size & ~3)!);
  const isSite = new Set(sites.map(({ address }) => Number(address)));
  const first = Number(sites[0]!.address);
  const tables: number[] = [];
  for (let at = words.indexOf(first); at !== -1; at = words.indexOf(first, at + 1))
    if (sites.every(({ address }, i) => words[at + i] === Number(address))) tables.push(at);
  expect(tables).toHaveLength(1);

  // What stands before and behind it is no call site that we missed.
  const [start] = tables as [number];
  const inText = (word: number): boolean =>
    image.textRanges.some((range) => word >= range.start && word < range.end) && !isSite.has(word);
  expect(inText(words[start - 1]!)).toBe(false);
  expect(inText(words[start + sites.length]!)).toBe(false);
});

test('Of 39,757 sites, 37,253 outlive the start, and 39,698 are their function’s first', () => {
  const [, init] = image.textRanges;
  expect(sites).toHaveLength(39_757);
  // available_filter_functions of the booted kernel has this many lines: init text is gone by then.
  expect(sites.filter(({ address }) => address < init!.start)).toHaveLength(37_253);
  // Overridden weak functions leave bodies without a name behind the function before them: 59, behind 44 functions.
  const entries = new Set(sites.map((site) => site.function));
  expect(entries.size).toBe(39_698);
});

test('Every function gets a stub; the nameless bodies behind some are refused', () => {
  const seen = new Set<bigint>();
  const stubs = new Map<string, number>();
  const refused: string[] = [];
  const wrong: string[] = [];
  for (const site of sites) {
    const isFirst = !seen.has(site.function);
    seen.add(site.function);
    try {
      const { words } = arm.ftraceStub(functionText(site), site.address, new Uint32Array());
      const text = words.map((each) => each.text.replace(/\d{2,}/, 'N')).join('; ');
      stubs.set(text, (stubs.get(text) ?? 0) + 1);
      if (!isFirst) wrong.push(`${site.name}: a body that is not its own`);
      for (const { word } of words.slice(0, -1)) {
        const { encoding, fields } = decode(word)!;
        // Loads from at or above sp, and sp going up: nothing else occurs, and nothing reads below sp.
        const load = encoding.name === 'LDR (immediate)' && fields.Rn === 13 && fields.U === 1;
        const up = encoding.name === 'ADD (immediate)' && fields.Rn === 13 && fields.Rd === 13;
        if (!load && !up) wrong.push(`${site.name}: ${encoding.name}`);
      }
    } catch (error) {
      if (!(error instanceof ReasonError) || error.reasons[0].code !== 'prologue-unknown') throw error;
      refused.push(site.name);
      if (isFirst) wrong.push(error.message);
    }
  }
  console.log('stubs by shape:', Object.fromEntries([...stubs].sort(([, a], [, b]) => b - a)));
  expect(wrong).toEqual([]);
  expect(refused).toHaveLength(39_757 - 39_698);
});

test('The words that the kernel rewrites are read from its tables', () => {
  const { words, unknown } = arm.selfModified(image);
  expect(unknown).toEqual([]);
  const own = new Set(words);
  expect(sites.filter(({ address }) => own.has(address))).toEqual([]);

  // A jump label, an address, a hook of ftrace, the division: one known example of each.
  const at = (name: string, offset: number) => linkAddress(image.symbol(name)! + BigInt(offset));
  expect(own.has(at('sched_clock_cpu', 0))).toBe(true);
  expect(own.has(at('__soft_restart', 0x38))).toBe(true);
  expect(own.has(at('ftrace_regs_call', 0))).toBe(true);
  expect(own.has(at('__aeabi_idiv', 4))).toBe(true);
  expect(own.has(at('cmdline_proc_show', 0))).toBe(false);
  expect(words).toHaveLength(15_121);
});
