// How many arguments a stub must copy is told from the new function's words. What runs may be other words: those that the loader
// and the kernel make of them by the module's tables, and code that the symbols do not tell of. None may go unseen.

import { beforeAll, describe, expect, test } from 'vitest';
import { encode } from '../src/arch/ppc64le/instructions.ts';
import { R_PPC64_ADDR64, R_PPC64_REL16_LO, R_PPC64_REL24 } from '../src/arch/ppc64le/relocations.ts';
import { SHF_ALLOC, SHT_PROGBITS, STT_FUNC } from '../src/elf/constants.ts';
import { findSection, newSection, newSymbol, readElf, writeElf } from '../src/elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../src/elf/model.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { linkFunctions, tracedFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { stockKernels } from './stock-kernels.ts';

const REL32 = 26;
const REL64 = 44;
const TOC16_LO = 48;

const [r1, r11, r12] = [1, 11, 12];
const LR = 8;
const CTR = 9;
const nop = 0x60000000;
const trap = encode('tw', { TO: 31, RA: 0, RB: 0 });
const blr = encode('bclr', { BO: 20, BI: 0, BH: 0 });
const bctr = encode('bcctr', { BO: 20, BI: 0, BH: 0 });
const bctrl = encode('bcctrl', { BO: 20, BI: 0, BH: 0 });
const bl = (words = 0) => encode('bl', { LI: 4 * words });
const b = (words = 0) => encode('b', { LI: 4 * words });
const readPc = encode('bcl', { BO: 20, BI: 31, BD: 4 });
const mflr = (RT: number) => encode('mfspr', { RT, spr: LR });
const mtlr = (RS: number) => encode('mtspr', { RS, spr: LR });
const mtctr = (RS: number) => encode('mtspr', { RS, spr: CTR });
const mr = (RA: number, RS: number) => encode('or', { RS, RA, RB: RS });
const addi = (RT: number, RA: number, SI: number) => encode('addi', { RT, 'RA|0': RA, SI });
const add = (RT: number, RA: number, RB: number) => encode('add', { RT, RA, RB });
const ld = (RT: number, DS: number, base = r1) => encode('ld', { RT, 'RA|0': base, DS });
const std = (RS: number, DS: number, base = r1) => encode('std', { RS, 'RA|0': base, DS });
/** The first argument on the stack, from where the function was entered. */
const readsArgument = ld(3, 96);

/** The module, and the function in it whose code is another one. */
interface Changed {
  readonly model: ElfModel;
  readonly section: Section;
  /** Section offset of the new function. */
  readonly start: number;
  readonly symbol: ElfSymbol;
  /** Relocates a place of a section against another one, or against a name. */
  relocate(section: Section, offset: number, type: number, to: Section | string, addend?: number): void;
  /** A section of the module's data. */
  add(name: string, data: Uint8Array): Section;
}

describe('What a new function reads of the stack', () => {
  const name = 'uptime_proc_show';
  let module: Uint8Array;
  let prover: Prover;

  beforeAll(async () => {
    const kernel = await loadKernel(stockKernels[1].name);
    prover = new Prover(kernel);
    const functions = tracedFunctions(kernel).filter((each) => each.name === name);
    module = [...linkFunctions(kernel, functions)][0]!.bytes;
  });

  /** The verdict where the function has these words, so many of them by its symbol, and the rest stands behind them. */
  function judge(
    words: readonly number[],
    change: (changed: Changed) => void = () => {},
    own: number = words.length,
  ): string {
    const model = readElf(module.slice(), 'changed.ko');
    const stubs = findSection(model, '.text.suture_stubs')!;
    const symbol = stubs.relocations[0]!.symbol!;
    const section = symbol.place as Section;
    const start = Number(symbol.value);
    section.data = new Uint8Array(start + 4 * words.length + 8);
    const view = new DataView(section.data.buffer);
    words.forEach((word, i) => void view.setUint32(start + 4 * i, word, true));
    for (const each of model.symbols) if (each.place === section && each.type === STT_FUNC) each.size = BigInt(4 * own);
    const relocate: Changed['relocate'] = (from, offset, type, to, addend = 0) => {
      const against =
        typeof to === 'string' ? newSymbol(to, { binding: 1 }) : newSymbol('', { binding: 0, type: 3, place: to });
      model.symbols.push(against);
      from.relocations.push({ offset, type, symbol: against, addend: BigInt(addend) });
    };
    const add = (called: string, data: Uint8Array): Section => {
      const added = newSection(called, SHT_PROGBITS, SHF_ALLOC, data, { align: 8 });
      model.sections.push(added);
      return added;
    };
    change({ model, section, start, symbol, relocate, add });
    const [proof] = prover.proveModule(writeElf(model), 'changed.ko');
    const { verdict } = proof!;
    if (verdict.verdict === 'proven') return 'proven';
    if (verdict.verdict === 'unknown') return verdict.reasons.join('; ');
    return [...new Set(verdict.failures.map(({ obligation }) => obligation))].join(', ');
  }

  /** Makes code of it that was compiled, and not linked before: what nothing refers to is dead. A call stands behind it. */
  const compiled =
    (change: (changed: Changed) => void = () => {}) =>
    (changed: Changed): void => {
      const { section, relocate } = changed;
      relocate(section, section.data.length - 8, R_PPC64_REL24, 'elsewhere');
      new DataView(section.data.buffer).setUint32(section.data.length - 8, bl(), true);
      const { length } = section.data;
      changed.model.symbols.push(
        newSymbol('next', { type: STT_FUNC, place: section, value: BigInt(length - 8), size: 8n }),
      );
      change(changed);
    };

  test('is what it plainly reads', () => {
    expect(judge([readsArgument, blr])).toMatch(/stack-arguments/);
    expect(judge([nop, blr])).toBe('proven');
    expect(judge([readsArgument, blr], compiled())).toMatch(/stack-arguments/);
    // The stub's own relocations seem to refer to the first words.
    expect(judge([nop, blr, nop, readsArgument, blr], compiled())).toBe('proven');
  });

  describe('is what code behind its end reads, where nothing else begins', () => {
    test('as behind a call, whichever and with padding or without', () => {
      for (const call of [[bl()], [bctrl], [bl(), nop], [trap]]) {
        const words = [...call, readsArgument, blr];
        const change = compiled(({ section, start, relocate }) => {
          if (call[0] === bl()) relocate(section, start, R_PPC64_REL24, 'elsewhere');
          if (call[0] === trap) relocate(section, start + 8, R_PPC64_REL24, 'elsewhere');
        });
        expect(judge(words, change, call.length)).not.toBe('proven');
        expect(judge(words, undefined, call.length)).not.toBe('proven');
      }
    });
    test('but a call that does not return may be the last of all', () => {
      const open = encode('stdu', { RS: r1, RA: r1, DS: -32 });
      const change = compiled(({ section, start, relocate }) => relocate(section, start + 4, R_PPC64_REL24, 'panic'));
      expect(judge([open, bl()], change)).toBe('proven');
      expect(judge([open, bl(), nop, 0, 0], compiled(), 3)).toBe('proven');
    });
  });

  test('is what a part of it reads that it calls', () => {
    expect(judge([bl(3), nop, blr, readsArgument, blr], compiled())).toMatch(/stack-arguments/);
  });

  test('is what it reads where a computed address leads, in LR as in CTR', () => {
    const hidden = [readPc, mflr(r12), addi(r12, r12, 16)];
    expect(judge([mflr(r11), ...hidden, mtlr(r12), blr, mtlr(r11), readsArgument, blr], compiled())).not.toBe('proven');
    expect(judge([mflr(r11), ...hidden, mtctr(r12), bctr, mtlr(r11), readsArgument, blr], compiled())).not.toBe(
      'proven',
    );
    // With what looks like the table of a switch.
    const away = [addi(0, 0, 0), addi(r12, r12, 40), add(r12, r12, 0), mtctr(r12), mtlr(r11), bctr, 8, nop, blr];
    expect(judge([mflr(r11), readPc, mflr(r12), ...away, readsArgument, blr], compiled())).not.toBe('proven');
    // Such a table is no code, so it is doubted for another reason: that its words may use a TOC pointer, which nobody set up.
    expect(judge([mflr(r11), readPc, mflr(r12), ...away, nop, blr], compiled())).toMatch(/TOC pointer/);
    // The same by way of the place where the return address is kept.
    const stored = [mflr(r11), ...hidden, std(r12, 16), ld(0, 16), mtlr(0), blr, mtlr(r11), readsArgument, blr];
    expect(judge(stored, compiled())).not.toBe('proven');
    const [open, close] = [encode('stdu', { RS: r1, RA: r1, DS: -32 }), addi(r1, r1, 32)];
    expect(judge([mflr(0), std(0, 16), open, bl(), close, ld(0, 16), mtlr(0), blr], compiled())).toBe('proven');
    // Without a frame what it calls keeps LR in the same place.
    expect(judge([mflr(0), std(0, 16), bl(), ld(0, 16), mtlr(0), blr], compiled())).not.toBe('proven');
  });

  describe('is what it reads once the loader has applied relocations', () => {
    const one = (type: number, at: number, addend: number) =>
      compiled(({ section, start, relocate }) => relocate(section, start + 4 * at, type, section, start + addend));

    test('to more than one word', () => {
      const across = compiled(({ section, start, relocate }) => {
        relocate(section, start + 4, R_PPC64_ADDR64, section);
        section.relocations.at(-1)!.addend = (BigInt(readsArgument) - 0xc0080000n) << 32n;
      });
      expect(judge([b(2), 0, nop, blr], across)).toMatch(/more than one field/);
    });
    test('to a word that is no call', () => {
      expect(judge([0xe8000000, blr], one(R_PPC64_REL24, 0, readsArgument & 0x3fffffc))).toMatch(/fills no field/);
    });
    test('to a displacement from r1', () => {
      expect(judge([encode('lwz', { RT: 3, 'RA|0': r1, D: 0 }), blr], one(R_PPC64_REL16_LO, 0, 96))).toMatch(
        /stack-arguments/,
      );
    });
    test('to what is put on top of r1', () => {
      const code = [encode('ori', { RS: r1, RA: r11, UI: 0 }), ld(3, 80, r11), blr];
      expect(judge(code, compiled())).toBe('proven');
      expect(judge(code, one(TOC16_LO, 0, 0))).not.toBe('proven');
    });
    test('to half a word that is an instruction’s other half: cmpw r11,r0 becomes ldx r3,r11,r1', () => {
      const indexed = encode('ldx', { RT: 3, 'RA|0': r11, RB: r1 });
      expect(judge([addi(r11, 0, 96), indexed, blr])).toMatch(/stack-arguments/);
      const change = one(TOC16_LO, 1, 0);
      expect(judge([addi(r11, 0, 96), (indexed & 0xffff0000) >>> 0, blr], change)).toMatch(/fills no field/);
    });
  });

  describe('is what it reads once the kernel has rewritten it', () => {
    /** An entry of `__ftr_fixup` and the like: words [from, to) of the function, and what may take their place. */
    const feature = (table: string, from: number, to: number, words: readonly number[]) =>
      compiled(({ start, section, relocate, add }) => {
        const alternative = add('__ftr_alt_97', new Uint8Array(4 * words.length));
        const view = new DataView(alternative.data.buffer);
        words.forEach((word, i) => void view.setUint32(4 * i, word, true));
        const entry = add(table, new Uint8Array(48));
        relocate(entry, 16, REL64, section, start + 4 * from + 16);
        relocate(entry, 24, REL64, section, start + 4 * to + 24);
        relocate(entry, 32, REL64, alternative, 32);
        relocate(entry, 40, REL64, alternative, 4 * words.length + 40);
      });

    test('for a processor’s features, its MMU’s or the firmware’s', () => {
      for (const table of ['__ftr_fixup', '__mmu_ftr_fixup', '__fw_ftr_fixup']) {
        expect(judge([nop, blr], feature(table, 0, 1, [readsArgument]))).toMatch(/stack-arguments/);
        expect(judge([nop, blr], feature(table, 0, 1, [nop]))).toBe('proven');
      }
    });
    test('also where a branch leads into the middle, and where nothing takes the place of a branch', () => {
      expect(judge([b(2), nop, nop, blr], feature('__ftr_fixup', 1, 3, [nop, readsArgument]))).toMatch(
        /stack-arguments/,
      );
      expect(judge([b(2), readsArgument, blr], feature('__ftr_fixup', 0, 1, []))).toMatch(/stack-arguments/);
      expect(judge([nop, nop, blr], feature('__ftr_fixup', 0, 2, [b(1), nop]))).toBe('proven');
      expect(judge([nop, nop, blr], feature('__ftr_fixup', 0, 2, [b(7), nop]))).not.toBe('proven');
    });
    test('and an alternative that cannot be told is not guessed at', () => {
      const two =
        (...ends: readonly (readonly [number, number])[]) =>
        (changed: Changed) => {
          for (const [from, to] of ends) feature('__ftr_fixup', from, to, [nop])(changed);
        };
      expect(judge([nop, nop, nop, blr], two([0, 1], [1, 2]))).toBe('proven');
      expect(judge([nop, nop, nop, blr], two([0, 2], [1, 3]))).not.toBe('proven');
      expect(judge([nop, blr], feature('__ftr_fixup', 0, 1, [nop, nop]))).not.toBe('proven');
      expect(judge([nop, blr], feature('__ftr_fixup', -1, 1, [nop]))).not.toBe('proven');
      const relocated = compiled((changed) => {
        feature('__ftr_fixup', 0, 1, [nop])(changed);
        changed.relocate(findSection(changed.model, '__ftr_alt_97')!, 0, TOC16_LO, changed.section, 0);
      });
      expect(judge([nop, blr], relocated)).not.toBe('proven');
    });
    test('where a barrier or a jump label may take a word away', () => {
      for (const table of ['__lwsync_fixup', '__spec_barrier_fixup', '__jump_table']) {
        const one = compiled(({ start, section, relocate, add }) => {
          const entry = add(table, new Uint8Array(table === '__jump_table' ? 16 : 8));
          relocate(entry, 0, table === '__jump_table' ? REL32 : REL64, section, start);
          if (table === '__jump_table') relocate(entry, 4, REL32, section, start + 8);
        });
        expect(judge([b(2), readsArgument, blr], one)).toMatch(/stack-arguments/);
      }
    });
    test('where a table has control leave it', () => {
      for (const table of ['__ex_table', '__jump_table']) {
        const outside = compiled(({ model, start, section, relocate, add }) => {
          model.symbols.push(
            newSymbol('other', { type: STT_FUNC, place: section, value: BigInt(start + 12), size: 12n }),
          );
          const entry = add(table, new Uint8Array(table === '__jump_table' ? 16 : 8));
          relocate(entry, 0, REL32, section, start);
          relocate(entry, 4, REL32, section, start + 16);
        });
        expect(judge([nop, blr, nop, blr, readsArgument, blr], outside, 3)).not.toBe('proven');
      }
    });
    test('and what its call of mcount would change, of which ftrace makes a nop', () => {
      const site = compiled(({ section, start, relocate }) => relocate(section, start + 8, R_PPC64_REL24, '_mcount'));
      expect(judge([mr(r11, r1), mflr(0), bl(), ld(3, 96, r11), blr], site)).toMatch(/stack-arguments/);
      expect(judge([mr(r11, r1), mflr(0), bl(), ld(3, 80, r11), blr], site)).toBe('proven');
    });
  });
});
