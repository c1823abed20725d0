// What a module for a kernel's own livepatch says it replaces is read without a kernel: the size of a structure is what its pointers
// show, and where they do not show it nothing may be said.

import { describe, expect, it } from 'vitest';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { SHF_ALLOC, SHT_PROGBITS, STT_FUNC, STT_OBJECT, STT_SECTION } from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import { ReasonError } from '../reason.ts';
import { readKlpPatch } from './klp-patch.ts';
import { shownKlpLayout } from './shown-klp-layout.ts';

/** Bytes of the structures of some kernel, and where the lists are. */
const [patchSize, objectSize, funcSize] = [72, 88, 56];
const [patchAt, objectsAt, funcsAt, othersAt] = [0, 80, 400, 800];
const firstCallback = 16;

interface Shape {
  readonly objects?: number;
  /** Beyond what its entries take. */
  readonly slack?: number;
  readonly callbacks?: boolean;
  /** Pointers where none is told of, from the data's start. */
  readonly stray?: readonly number[];
  readonly othersSize?: number;
}

/** A patch of one function of vmlinux and, in as many further objects, two functions of modules. */
function moduleOf({ objects = 2, slack = 0, callbacks = false, stray = [], othersSize = funcSize }: Shape = {}) {
  const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const section = (name: string, data: Uint8Array) => newSection(name, SHT_PROGBITS, SHF_ALLOC, data);
  const data = section('.data', new Uint8Array(1200));
  const strings = section('.rodata.str', new TextEncoder().encode('old\0target\0'));
  const text = section('.text', new Uint8Array(16));
  const own = section('.gnu.linkonce.this_module', new Uint8Array(64));
  model.sections.push(data, strings, text, own);
  const symbol = (name: string, place: typeof data, value: number, size: number, type = STT_OBJECT) => {
    const made = newSymbol(name, { place, value: BigInt(value), size: BigInt(size), type });
    model.symbols.push(made);
    return made;
  };
  const self = symbol('__this_module', own, 0, 64);
  const code = symbol('mine', text, 0, 16, STT_FUNC);
  const [inData, inStrings] = [symbol('', data, 0, 0, STT_SECTION), symbol('', strings, 0, 0, STT_SECTION)];
  const point = (offset: number, to: typeof self, addend = 0) =>
    data.relocations.push({ offset, type: ppc64le.pointerRelocation, symbol: to, addend: BigInt(addend) });
  symbol('patch', data, patchAt, patchSize);
  point(patchAt, self);
  point(patchAt + 8, inData, objectsAt);
  symbol('objs', data, objectsAt, (objects + 1) * objectSize + slack);
  symbol('funcs', data, funcsAt, 2 * funcSize);
  symbol('others', data, othersAt, 3 * othersSize);
  const func = (at: number) => {
    point(at, inStrings);
    point(at + 8, code);
  };
  func(funcsAt);
  func(othersAt);
  func(othersAt + othersSize);
  for (let i = 0; i < objects; i++) {
    const at = objectsAt + i * objectSize;
    if (i > 0) point(at, inStrings, 4);
    point(at + 8, inData, i === 0 ? funcsAt : othersAt);
    if (callbacks) for (let each = 0; each < 4; each++) point(at + firstCallback + 8 * each, code);
  }
  for (const at of stray) point(at, code);
  return model;
}

const read = (shape?: Shape) => {
  const model = moduleOf(shape);
  return readKlpPatch(model, ppc64le, shownKlpLayout(model, ppc64le, 'p.ko'), 'p.ko');
};

function codeOf(shape: Shape): string {
  try {
    shownKlpLayout(moduleOf(shape), ppc64le, 'p.ko');
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons[0].code;
    throw error;
  }
  return 'shown';
}

describe('a module shows what it replaces', () => {
  const names = (shape?: Shape) =>
    read(shape)?.objects.map(({ module, funcs }) => [module, ...funcs.map(({ oldName }) => oldName)]);

  it('of the kernel and of modules', () => {
    expect(names()).toEqual([
      [undefined, 'old'],
      ['target', 'old', 'old'],
    ]);
  });

  it('with one object, and with callbacks', () => {
    expect(names({ objects: 1 })).toEqual([[undefined, 'old']]);
    expect(names({ callbacks: true })).toHaveLength(2);
  });
});

describe('nothing is said', () => {
  it('of a list whose size is not that of its entries and one of zeroes', () => {
    expect(codeOf({ slack: 8 })).toBe('klp-patch-unknown');
  });

  it('of a list with a pointer where none may be', () => {
    expect(codeOf({ stray: [objectsAt + objectSize - 8] })).toBe('klp-patch-unknown');
    expect(codeOf({ stray: [objectsAt + 2 * objectSize] })).toBe('klp-patch-unknown');
  });

  it('where lists of functions show different sizes', () => {
    expect(codeOf({ othersSize: 64 })).toBe('klp-patch-unknown');
  });

  it('of two patches in one module', () => {
    const model = moduleOf();
    const patch = model.symbols.find(({ name }) => name === 'patch')!;
    model.symbols.push({ ...patch, name: 'another' });
    expect(() => shownKlpLayout(model, ppc64le, 'p.ko')).toThrow(ReasonError);
  });
});
