// Which function a name means, where it ends and which of its words may differ: a mistake here patches the wrong function,
// or compares the wrong words.

import { describe, expect, it } from 'vitest';
import type { CallSite, EntryWay, SelfModified } from '../arch/arch.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { ReasonError } from '../reason.ts';
import { findOldFunction, type KernelFunctions, type OtherWay } from './old-function.ts';

const base = 0xc0000000n;
const at = (words: number): LinkAddress => linkAddress(base + BigInt(4 * words));

/** A kernel of 32 words, each of which is its own index. */
const symbols: readonly (readonly [name: string, type: string, word: number])[] = [
  ['first', 'T', 0],
  ['twin', 't', 8],
  ['data', 'd', 12],
  ['mixed', 'd', 13],
  ['halved', 't', 13],
  ['behind', 't', 14.5],
  ['half', 't', 15],
  ['last', 't', 15.5],
  ['twin', 't', 16],
  ['notrace', 't', 20],
  ['mixed', 't', 22],
  ['_sinittext', 't', 24],
  ['starter', 't', 24],
  ['_einittext', 't', 28],
  ['clone.isra.0', 't', 28],
  ['outside', 't', 100],
];

const kernel: KernelFunctions = {
  kallsyms: symbols.map(([name, type, word]) => ({ name, type, address: at(word) })),
  textRanges: [{ start: at(0), end: at(32) }],
  symbol: (name) => {
    const found = symbols.filter((symbol) => symbol[0] === name);
    return found.length === 1 ? at(found[0]![2]) : undefined;
  },
  enclosing: (address) => {
    const starts = [...symbols.filter(([, type]) => type !== 'd').map((symbol) => at(symbol[2])), at(32), at(104)];
    const start = starts.filter((s) => s <= address).sort((a, b) => Number(b - a))[0]!;
    return { name: '', start, end: starts.filter((s) => s > start).sort((a, b) => Number(a - b))[0]! };
  },
  word: () => undefined,
  section: () => undefined,
  bytes: (address, size) => {
    const word = Number(address - base) / 4;
    if (word + size / 4 > 32) return undefined;
    return new Uint8Array(Uint32Array.from({ length: size / 4 }, (_, i) => word + i).buffer);
  },
};

const site = (word: number): CallSite => ({ address: at(word), function: at(word), name: '' });
const sites = [site(2), site(5), site(9), site(13), site(15), site(18), site(23), site(25)];
const selfModified: SelfModified = { words: [at(1), at(9), at(10), at(31)], unknown: [] };
const find = (name: string, sympos = 0) => findOldFunction(kernel, sites, selfModified, name, sympos);

/** The code and the message of the refusal. */
function refusal(task: () => unknown): [code: string, message: string] {
  try {
    task();
  } catch (error) {
    const [{ code, message }] = (error as ReasonError).reasons;
    return [code, message];
  }
  throw new Error('nothing was refused');
}

describe('a function of the kernel', () => {
  it('goes from its symbol to the next one, with its first call site', () => {
    const found = find('first');
    expect(found).toMatchObject({ name: 'first', address: at(0), site: at(2) });
    expect([...found.words]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('has all of its last word, where Thumb-2 code ends in the middle of it', () => {
    expect([...find('halved').words]).toEqual([13, 14]);
  });

  it('is not compared at its call sites and where the kernel rewrites itself', () => {
    expect([...find('first').masked]).toEqual([1, 2, 5]);
    expect([...find('twin', 1).masked]).toEqual([1, 2]);
  });

  it('is the one at its sympos', () => {
    expect(find('twin', 2).address).toBe(at(16));
    expect([...find('twin', 2).masked]).toEqual([2]);
  });

  it('is counted with the data of its name, as the kernel counts', () => {
    expect(refusal(() => find('mixed', 1))).toEqual(['name-missing', expect.stringMatching(/not one of a function/)]);
    expect(find('mixed', 2).address).toBe(at(22));
    expect(refusal(() => find('mixed'))).toEqual(['name-ambiguous', expect.stringMatching(/1 at \S+ \(data\), 2 at/)]);
  });
});

describe('refused is', () => {
  it('a name that several symbols have, with where they are', () => {
    expect(refusal(() => find('twin'))).toEqual([
      'name-ambiguous',
      expect.stringMatching(/1 at 0xc0000020, 2 at 0xc0000040/),
    ]);
  });

  it('a sympos that there is not', () => {
    expect(refusal(() => find('twin', 3))).toEqual(['name-missing', expect.stringMatching(/sympos 3.*2 of this name/)]);
  });

  it('a name that the kernel has not, or only as a copy that the compiler made', () => {
    expect(refusal(() => find('nothing'))[0]).toBe('name-missing');
    expect(refusal(() => find('clone'))).toEqual(['name-missing', expect.stringMatching(/clone\.isra\.0/)]);
  });

  it('a name of data', () => {
    expect(refusal(() => find('data'))[0]).toBe('name-missing');
  });

  it('a function without a call site, though the next one has one', () => {
    expect(refusal(() => find('notrace'))[0]).toBe('no-call-site');
  });

  it('with a remedy that is true of the function: the other way, only where that would take it', () => {
    const entry = (hindrance?: string): EntryWay =>
      ({ site: () => 0, hindrance: () => hindrance, doubt: () => undefined }) as unknown as EntryWay;
    const remedy = (name: string, way?: EntryWay, other?: OtherWay) => {
      try {
        return findOldFunction(kernel, sites, selfModified, name, 0, way, other);
      } catch (error) {
        return (error as ReasonError).reasons[0].remedy;
      }
    };
    expect(remedy('notrace')).toBe('patch its callers instead');
    expect(remedy('notrace', undefined, entry())).toMatch(/^redirect it at its entry \(--way entry\), or/);
    expect(remedy('notrace', undefined, entry('it loops'))).toMatch(/^patch its callers instead; .*either: it loops$/);
    expect(remedy('notrace', entry('it loops'), 'ftrace')).toBe('patch its callers instead');
    expect(remedy('first', entry('it loops'), 'ftrace')).toMatch(/--way ftrace/);
    expect(remedy('first', entry('it loops'))).toBe('patch its callers instead');
  });

  it('a label that the next one follows before there is room for a branch', () => {
    const tooShort = expect.stringMatching(/^it has 2 bytes up to the next symbol/);
    expect(refusal(() => find('half'))).toEqual(['no-call-site', tooShort]);
    const entry = { site: () => 0, hindrance: () => undefined, doubt: () => undefined } as unknown as EntryWay;
    const atEntry = () => findOldFunction(kernel, sites, selfModified, 'half', 0, entry);
    expect(refusal(atEntry)).toEqual(['entry-in-use', tooShort]);
  });

  it('initialisation code, whose memory is gone', () => {
    expect(refusal(() => find('starter'))[0]).toBe('init-text');
  });

  it('a symbol outside the image', () => {
    expect(refusal(() => find('outside'))[0]).toBe('image-unreadable');
  });

  it('every function of a kernel whose rewritten words are not all known', () => {
    const unknown: SelfModified = { words: [], unknown: ['the table of jump labels cannot be found'] };
    expect(refusal(() => findOldFunction(kernel, sites, unknown, 'first', 0))).toEqual([
      'self-modified-unknown',
      'the table of jump labels cannot be found',
    ]);
  });
});
