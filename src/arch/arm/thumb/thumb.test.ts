// What a kernel in Thumb-2 code takes of modules, and what it is refused: relocations, addends in their places, ways.

import fc from 'fast-check';
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
  expect(thumb.putAddend(call, 0xfffef7ff, 0n)).toBe(0xf800f000);
  expect(thumb.putAddend(call, 0xfffef7ff, -4n)).toBe(0xfffef7ff);
  expect(thumb.putAddend(movw, 0x4385f643, -16n)).toBe(0x73f0f64f);
  expect(thumb.putAddend(2, 0, -16n)).toBe(0xfffffff0);
});

it('an addend that a field cannot hold is not put into it', () => {
  for (const addend of [3n, 2n ** 24n, -(2n ** 24n) - 2n])
    expect(thumb.putAddend(call, 0xfffef7ff, addend)).toBeUndefined();
  expect(thumb.putAddend(movw, 0x4385f643, 0x8000n)).toBeUndefined();
  expect(thumb.putAddend(jump19, 0xafffe43f, 0n)).toBeUndefined();
});

it('any addend that a field can hold is read as it was put, and nothing else of the word changes', () => {
  const word = fc.nat({ max: 0xffffffff });
  const far = fc.integer({ min: -(2 ** 23), max: 2 ** 23 - 1 }).map((each) => BigInt(2 * each));
  const cases = [
    { type: call, opcode: 0xd000f000, mask: 0x2fff07ff, addends: far },
    { type: jump24, opcode: 0x9000f000, mask: 0x2fff07ff, addends: far },
    {
      type: movw,
      opcode: 0x0000f240,
      mask: 0x70ff040f,
      addends: fc.integer({ min: -0x8000, max: 0x7fff }).map(BigInt),
    },
  ];
  for (const { type, opcode, mask, addends } of cases) {
    expect(thumb.objectCode.relocatedPlace(type)?.mask).toBe(mask);
    fc.assert(
      fc.property(word, addends, (bits, addend) => {
        const made = thumb.putAddend(type, (opcode | (bits & mask)) >>> 0, addend)!;
        expect(thumb.addendInPlace(type, made)).toBe(addend);
        expect((made & ~mask) >>> 0).toBe(opcode);
      }),
    );
  }
});

it('a function is redirected at its entry and not at its call site', () => {
  const old = { name: 'f', address: linkAddress(0xc0300000n), words: Uint32Array.of(0xb500b510) };
  expect(() => thumb.ftraceStub(old, linkAddress(0xc0300004n), new Uint32Array())).toThrow(
    /way-missing|prologue in Thumb-2/,
  );
  expect(thumb.withoutFtraceWay).toBeDefined();
  expect(thumb.entryWay!.site(old.words)).toBe(0);
});
