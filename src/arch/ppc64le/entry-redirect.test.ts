// What of a function makes its local entry one that cannot become a branch; and that island and stub are the words that stand
// beside them, in no more instructions than they may take.

import { describe, expect, it } from 'vitest';
import { linkAddress } from '../../elf/units.ts';
import type { KernelText } from '../arch.ts';
import { entryWay } from './entry-redirect.ts';
import { encode } from './instructions.ts';
import { ppc64le } from './ppc64le.ts';

const start = linkAddress(0xc000000000010000n);
const setUp = [0x3c4c0113, 0x38420000];
const mflr = encode('mfspr', { RT: 0, spr: 8 });
const blr = 0x4e800020;
const nop = 0x60000000;
const text = (...words: number[]) => ({ name: 'f', address: start, words: Uint32Array.from(words) });
const hindrance = (...words: number[]) => entryWay.hindrance(text(...words), undefined);

/** A kernel of which only the words before the function are known, the last one first. */
const behind = (words: readonly (number | undefined)[], head?: bigint): KernelText =>
  ({
    word: (address: bigint) => words[Number(start - address) / 4 - 1],
    symbol: (name: string) => (name === 'enter_prom' && head !== undefined ? linkAddress(head) : undefined),
  }) as unknown as KernelText;

it('the branch is where all callers come: behind the words that make the TOC pointer', () => {
  expect(entryWay.site(Uint32Array.of(...setUp, mflr, blr))).toBe(2);
  expect(entryWay.site(Uint32Array.of(mflr, blr))).toBe(0);
});

describe('a function is not redirected at its entry', () => {
  it('if it goes back to either entry in a loop', () => {
    expect(hindrance(...setUp, mflr, encode('b', { LI: -4 }))).toMatch(/\+0xc leads back/);
    expect(hindrance(...setUp, mflr, encode('b', { LI: -12 }))).toMatch(/\+0xc leads back/);
    expect(hindrance(...setUp, mflr, encode('b', { LI: 8 }), encode('bl', { LI: -8 }), blr)).toBeUndefined();
  });

  it('if it is assembly with a convention of its own, by name or by place', () => {
    const named = { ...text(mflr, blr), name: '_restgpr0_14' };
    expect(entryWay.hindrance(named, behind([blr]))).toMatch(/not called as the ABI has it/);
    expect(entryWay.hindrance(text(mflr, blr), behind([blr], start))).toMatch(/head of the kernel/);
  });

  it('if processors that are switched off wait in it', () => {
    expect(entryWay.hindrance({ ...text(mflr, blr), name: 'pnv_cpu_offline' }, undefined)).toMatch(/switched off/);
  });

  it('if it runs in real mode, traced or not', () => {
    for (const name of ['__machine_check_early_realmode_p9', 'kvmppc_h_enter', 'xics_rm_h_eoi', 'native_hpte_clear'])
      expect(entryWay.hindrance({ ...text(mflr, blr), name }, undefined)).toMatch(/real mode/);
    for (const name of ['sys_inotify_rm_watch', 'cgroup_rm_cftypes'])
      expect(entryWay.hindrance({ ...text(mflr, blr), name }, undefined)).toBeUndefined();
  });

  it('if the code before runs into it, also by way of padding', () => {
    expect(entryWay.hindrance(text(mflr, blr), behind([nop, mflr]))).toMatch(/runs into it/);
    for (const end of [blr, encode('bl', { LI: 64 }), 0, undefined])
      expect(entryWay.hindrance(text(mflr, blr), behind([nop, end]))).toBeUndefined();
  });
});

describe('the words', () => {
  it('of the island are those that stand beside them', () => {
    const { branch, island } = entryWay;
    const first = (line: string | undefined) => line?.split(/\s/)[0];
    expect(first(ppc64le.disassemble(branch.word, start))).toBe('b');
    const names = island.words.map(({ word }) => first(ppc64le.disassemble(word, start)));
    expect(names).toEqual(['addis', 'rldicr', 'oris', 'ori', 'mtctr', 'bcctr']);
    expect(island.words.map(({ text }) => first(text))).toEqual(['lis', 'sldi', 'oris', 'ori', 'mtctr', 'bctr']);
  });

  it('are at most 20 more than the call of the new function, on the way there and back', () => {
    const { words } = entryWay.stub(text(mflr, blr), Uint32Array.of(blr));
    expect(1 + entryWay.island.words.length + words.length).toBeLessThanOrEqual(20);
  });
});
