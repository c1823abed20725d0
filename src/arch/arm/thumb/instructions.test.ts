// What Thumb-2 code says of lengths, branches and literals; the words are those that GNU as makes of the text beside them, and
// test/thumb-objdump.test.ts compares many more with objdump.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entryWay } from './entry-redirect.ts';
import { isLeaving, isWide, readBranch, readConstant, readLiteral, readNumber } from './instructions.ts';

const halves = (text: string): [number, number] => {
  const [first, second = '0'] = text.split(' ');
  return [Number.parseInt(first!, 16), Number.parseInt(second, 16)];
};

it.each([
  ['b510', false], // push {r4, lr}
  ['e7fe', false], // b.n
  ['e92d', true], // push.w
  ['f7ff', true], // bl
  ['f8df', true], // ldr.w
])('the first halfword tells whether there is another one: %s', (text, wide) => {
  expect(isWide(halves(text)[0])).toBe(wide);
});

describe('a branch leads', () => {
  it.each([
    ['e7fe', 0, 'b.n'],
    ['e3ff', 2050, 'b.n'],
    ['d0fd', -2, 'beq.n'],
    ['b108', 6, 'cbz r0'],
    ['bbf9', 4 + 126, 'cbnz r1'],
    ['f000 b800', 4, 'b.w'],
    ['f7ff bffe', 0, 'b.w'],
    ['f3ff 97ff', 4 + 0xfffffe, 'b.w'],
    ['f400 9000', 4 - 0x1000000, 'b.w'],
    ['f43f afff', 2, 'beq.w'],
    ['f7ff fffe', 0, 'bl'],
  ])('%s: %i bytes on (%s)', (text, distance, name) => {
    expect(readBranch(...halves(text), 0)).toMatchObject({ distance, links: name === 'bl', toA32: false });
  });

  it('to A32 code from where the PC is rounded down', () => {
    expect(readBranch(...halves('f000 e800'), 0)).toMatchObject({ distance: 4, links: true, toA32: true });
    expect(readBranch(...halves('f000 e800'), 2)).toMatchObject({ distance: 2, links: true, toA32: true });
  });

  it.each(['e7fe', 'd0fd', 'bbf9', 'f7ff bffe', 'f43f afff', 'f7ff fffe', 'f000 e800'])(
    '%s: by the bits of its mask alone',
    (text) => {
      const [first, second] = halves(text);
      const { mask, ...kind } = readBranch(first, second, 0)!;
      const size = isWide(first) ? 32 : 16;
      for (let bit = 0; bit < size; bit++) {
        const changed = ((second << 16) | first) ^ (1 << bit);
        const other = readBranch(changed & 0xffff, changed >>> 16, 0);
        const isSameKind = other?.links === kind.links && other.toA32 === kind.toA32 && other.mask === mask;
        if (((mask >>> bit) & 1) === 1 && other) expect(isSameKind && other.distance !== kind.distance).toBe(true);
        // What else may change and leave a branch of the kind is its condition or register.
        else if (isSameKind) expect(other.distance).toBe(kind.distance);
      }
    },
  );

  it('nowhere if it is none', () => {
    for (const text of ['b510', 'df00', 'de00', 'bf00', 'f3af 8000', 'f24a 0310', 'f8df f000', 'e92d 4ff0'])
      expect(readBranch(...halves(text), 0)).toBeUndefined();
  });
});

it('literals are counted from the PC, rounded down', () => {
  expect(readLiteral(...halves('4e14'), 0xe0)).toEqual({ address: 0x134, size: 4 }); // ldr r6, [pc, #80]
  expect(readLiteral(...halves('4e14'), 0xe2)).toEqual({ address: 0x134, size: 4 });
  expect(readLiteral(...halves('f85f 2008'), 0x102)).toEqual({ address: 0xfc, size: 4 }); // ldr.w r2, [pc, #-8]
  expect(readLiteral(...halves('e95f 0102'), 0x100)).toEqual({ address: 0xfc, size: 8 }); // ldrd r0, r1, [pc, #-8]
  expect(readLiteral(...halves('f2af 0008'), 0x100)).toEqual({ address: 0xfc, size: 4 }); // subw r0, pc, #8
  expect(readLiteral(...halves('6835'), 0x100)).toBeUndefined(); // ldr r5, [r6]
});

it('constants are built by halves, loaded, and made relative', () => {
  expect(readConstant(...halves('f643 4685'), 0)).toEqual({ kind: 'low', register: 6, value: 0x3c85 });
  expect(readConstant(...halves('f2cc 0650'), 0)).toEqual({ kind: 'high', register: 6, value: 0xc050 });
  expect(readConstant(...halves('447c'), 0)).toEqual({ kind: 'add-pc', register: 4 });
  expect(readConstant(...halves('44fc'), 0)).toEqual({ kind: 'add-pc', register: 12 });
  expect(readConstant(...halves('4e14'), 0xe0)).toEqual({ kind: 'literal', register: 6, value: 0x134 });
  expect(readConstant(...halves('f8df f004'), 0x100)).toEqual({ kind: 'literal', register: 15, value: 0x108 });
});

it('numbers are loaded', () => {
  const loaded = (text: string) => readNumber(...halves(text));
  expect(loaded('2107')).toEqual({ register: 1, value: 7 }); // movs r1, #7
  expect(loaded('f04f 0207')).toEqual({ register: 2, value: 7 }); // mov.w r2, #7
  expect(loaded('f44f 73a6')).toEqual({ register: 3, value: 332 }); // mov.w r3, #332
  expect(loaded('f04f 33ff')).toEqual({ register: 3, value: 0xffffffff });
  expect(loaded('f240 1357')).toEqual({ register: 3, value: 0x157 }); // movw r3, #343
  for (const text of ['4601', 'f05f 0207', 'f2cc 0650', 'f06f 0207', 'f8df f004']) expect(loaded(text)).toBeUndefined();
});

it('behind a jump, a return, a call or a trap nothing of the same code need come', () => {
  for (const text of [
    '4770',
    'bd10',
    'e7fe',
    'de00',
    '4687',
    'f7ff bffe',
    'f7ff fffe',
    'e8bd 87f0',
    'f8df f000',
    'e8df f001',
  ])
    expect(isLeaving(...halves(text))).toBe(true);
  for (const text of ['b510', 'd0fd', 'b108', 'bc10', '4600', 'f43f afff', 'e8bd 47f0', 'f8df 0000', 'f3af 8000'])
    expect(isLeaving(...halves(text))).toBe(false);
});

it('the core’s arithmetic makes a branch of any distance that leads there, as far as it reaches', () => {
  const { word, addend, range, shift, fields, flip } = entryWay.branch;
  const make = (target: number): number => {
    const distance = target + addend;
    let made = word;
    for (const { from, width, to } of fields) {
      const mask = 2 ** width - 1;
      made = (made & ~(mask << to)) | ((((distance >> shift) >> from) & mask) << to);
    }
    return (distance < 0 ? made : made ^ flip) >>> 0;
  };
  const reach = 2 ** (range - 1);
  fc.assert(
    fc.property(fc.integer({ min: -reach - addend, max: reach - 1 - addend }), (target) => {
      const made = make(target);
      // A pointer to Thumb code has bit 0 set, which no branch holds.
      const branch = { distance: target & ~1, links: false, toA32: false };
      expect(readBranch(made & 0xffff, made >>> 16, 0)).toMatchObject(branch);
    }),
  );
});
