// What a kernel in Thumb-2 code takes of modules, and what it is refused: relocations, addends in their places, ways.

import { expect, it } from 'vitest';
import { linkAddress } from '../../../elf/units.ts';
import { arm } from '../arm.ts';

const thumb = arm.otherSet!;
/** R_ARM_THM_CALL, R_ARM_THM_JUMP24, R_ARM_THM_MOVW_ABS_NC, R_ARM_THM_JUMP19. */
const [call, jump24, movw, jump19] = [10, 30, 47, 51];

it('its loader takes relocations of Thumb code that one of A32 code does not, and of short branches none', () => {
  for (const type of [call, jump24, movw])
    expect([thumb, arm].map((arch) => arch.relocationKind(type)?.loadable)).toEqual([true, false]);
  expect(thumb.relocationKind(jump19)?.loadable).toBe(false);
});

it('addends stand in the fields of either halfword', () => {
  // f7ff fffe is a `bl` to itself as an assembler leaves it; movw r3, #0x3c85; movw r3, #0xfff0
  expect(thumb.addendInPlace(call, 0xfffef7ff)).toBe(-4n);
  expect(thumb.addendInPlace(movw, 0x4385f643)).toBe(0x3c85n);
  expect(thumb.addendInPlace(movw, 0x73f0f64f)).toBe(-16n);
  expect(thumb.addendInPlace(2, 0xfffffff0)).toBe(-16n);
  expect(thumb.putAddend(call, 0xfffef7ff, 0n)).toBeUndefined();
});

it('a function is redirected at its entry and not at its call site', () => {
  const old = { name: 'f', address: linkAddress(0xc0300000n), words: Uint32Array.of(0xb500b510) };
  expect(() => thumb.ftraceStub(old, linkAddress(0xc0300004n), new Uint32Array())).toThrow(
    /way-missing|prologue in Thumb-2/,
  );
  expect(thumb.withoutFtraceWay).toBeDefined();
  expect(thumb.entryWay!.site(old.words)).toBe(0);
});
