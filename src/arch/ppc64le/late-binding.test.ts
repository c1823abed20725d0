// What the core does for a module that comes late is decided here, bit by bit; a call that comes back with the wrong TOC crashes far
// from where it was made.

import { describe, expect, it } from 'vitest';
import { SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS } from '../../elf/constants.ts';
import { newSection } from '../../elf/elf.ts';
import { linkAddress } from '../../elf/units.ts';
import { lateRelocation, readyLateCall, relocationReach, veneer } from './late-binding.ts';
import { ppc64le } from './ppc64le.ts';

const [BL, B, NOP, RESTORE, BLR] = [0x48000001, 0x48000000, 0x60000000, 0xe8410018, 0x4e800020];
const [REL24, TOC16_HA, ENTRY, ADDR64, REL32] = [10, 50, 118, 38, 26];

function textOf(...words: number[]) {
  return newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, new Uint8Array(Uint32Array.from(words).buffer));
}
const wordsOf = ({ data }: ReturnType<typeof textOf>) => [...new Uint32Array(data.slice().buffer)];

describe('a call that waits for its module', () => {
  it('gets r2 back from the caller’s frame, where the compiler has left a place for that', () => {
    const text = textOf(BLR, BL, NOP);
    expect(readyLateCall(text, 4)).toBeUndefined();
    expect(wordsOf(text)).toEqual([BLR, BL, RESTORE]);
    expect(readyLateCall(text, 4)).toBeUndefined();
  });

  it.each([
    ['a tail call', [B, NOP], /tail call/],
    ['a call that the compiler took for one inside the module', [BL, BLR], /no nop/],
    ['a call at the very end', [BL], /nothing stands behind/],
  ])('is not made of %s', (_what, words, why) => {
    const text = textOf(...words);
    expect(readyLateCall(text, 0)).toMatch(why);
    expect(wordsOf(text)).toEqual(words);
  });

  it('goes through a veneer that is what it says it is', () => {
    const shown = veneer.words.map(({ word }, i) => ppc64le.disassemble(word, linkAddress(BigInt(4 * i))));
    expect(shown.map((line) => line?.replace(/\s+/, ' '))).toEqual([
      'std r2,24(r1)',
      'addis r12,r2,0',
      'ld r12,0(r12)',
      'mtctr r12',
      'bcctr 20,lt,0',
    ]);
    expect(veneer.relocations.map(({ type }) => ppc64le.relocationKind(type)!.name)).toEqual([
      'R_PPC64_TOC16_HA',
      'R_PPC64_TOC16_LO_DS',
    ]);
  });
});

it('a doubleword or a distance can wait, what depends on the TOC pointer cannot', () => {
  expect(lateRelocation(ADDR64)).toMatchObject({ size: 8, pcRelative: false, range: 0 });
  expect(lateRelocation(REL32)).toMatchObject({ size: 4, pcRelative: true, range: 32 });
  expect(lateRelocation(TOC16_HA)).toBeUndefined();
});

it('the loader rewrites the nop behind a call, and both words of a TOC set-up', () => {
  expect(relocationReach(REL24, NOP)).toBe(8);
  expect(relocationReach(REL24, BLR)).toBe(4);
  expect(relocationReach(ENTRY, undefined)).toBe(8);
  expect(relocationReach(TOC16_HA, undefined)).toBe(2);
});
