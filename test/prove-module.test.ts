// What is proven is the module in the file and the kernel in the image, not what the builder meant to make. So a right
// module is changed after it was linked, one thing at a time, and each change must be seen in the verdict.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Architecture } from '../src/arch/arch.ts';
import { R_PPC64_REL24 } from '../src/arch/ppc64le/relocations.ts';
import { SHF_ALLOC, SHT_PROGBITS, SHT_REL, SHT_RELA, STT_FUNC } from '../src/elf/constants.ts';
import { findSection, newSection, newSymbol, readElf, writeElf } from '../src/elf/elf.ts';
import type { ElfModel, Section } from '../src/elf/model.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { StubLoader } from '../src/kernel/load-module.ts';
import { patchSection, tableLayout } from '../src/kernel/patch-module.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { linkFunctions, tracedFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';

/** The functions of the module that is changed, the second of which is changed. */
const names = ['cmdline_proc_show', 'uptime_proc_show', 'version_proc_show'];

/** Why a case says nothing of ARM. */
const onlyPpc64le = 'it is of relocations and registers that ppc64le alone has';

describe.each(stockKernels)('On $name', ({ name }) => {
  let kernel: LoadedKernel;
  let arch: Architecture;
  let prover: Prover;
  let module: Uint8Array;

  beforeAll(async () => {
    kernel = await loadKernel(name);
    arch = kernel.arch;
    prover = new Prover(kernel);
    const functions = tracedFunctions(kernel).filter((each) => names.includes(each.name));
    [{ bytes: module }] = linkFunctions(kernel, functions) as unknown as [{ bytes: Uint8Array }];
  });

  const stubsOf = (model: ElfModel): Section => findSection(model, '.text.suture_stubs')!;
  const newCode = (model: ElfModel): Section => stubsOf(model).relocations[0]!.symbol!.place as Section;
  const tableOf = (model: ElfModel): Section => findSection(model, patchSection)!;

  /** Where the second redirect's stub begins and how long it is. */
  const stub = (model: ElfModel): { start: number; size: number } => {
    const symbol = model.symbols.find((each) => each.name === `suture_stub_${names[1]}`)!;
    return { start: Number(symbol.value), size: Number(symbol.size) };
  };

  /** A place in the table's second redirect. */
  function redirectMember(
    model: ElfModel,
    member: 'old_address' | 'old_size' | 'old_words' | 'masked_count' | 'site' | 'stub',
  ): number {
    const word = (arch.elf.class / 8) as 4 | 8;
    const { suture_patch_table: table, suture_object: object, suture_redirect: redirect } = tableLayout(word);
    const section = tableOf(model);
    const follow = (offset: number): number => {
      const { symbol, addend } = section.relocations.find((each) => each.offset === offset)!;
      const inPlace = new DataView(section.data.buffer, section.data.byteOffset).getInt32(offset, true);
      return Number(symbol!.value + (addend ?? BigInt(inPlace)));
    };
    const first = follow(follow(table.offset.objects) + object.offset.redirects);
    return first + redirect.size + redirect.offset[member];
  }

  /** Adds to the 32-bit number at an offset of a section. */
  function add(section: Section, offset: number, amount: number): void {
    const view = new DataView(section.data.buffer, section.data.byteOffset);
    view.setUint32(offset, view.getUint32(offset, true) + amount, true);
  }

  /** The verdicts on the module after a change: the reasons of an unknown one, the obligations of a refuted one. */
  function judge(change: (model: ElfModel) => void): string[] {
    const model = readElf(module.slice(), 'changed.ko');
    change(model);
    try {
      return prover.proveModule(writeElf(model), 'changed.ko').map(({ verdict }) => {
        if (verdict.verdict === 'proven') return 'proven';
        if (verdict.verdict === 'unknown') return verdict.reasons.join('; ');
        return [...new Set(verdict.failures.map(({ obligation }) => obligation))].join(', ');
      });
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      return [error.reasons[0].code];
    }
  }
  const judgeSecond = (change: (model: ElfModel) => void): string => {
    const [first, second, third, ...more] = judge(change);
    expect([first, third, more]).toEqual(['proven', 'proven', []]);
    return second!;
  };

  test('the module as it was linked is proven', () => {
    expect(judge(() => {})).toEqual(['proven', 'proven', 'proven']);
  });

  test('a stub is read from the module: a word that does something else is seen', () => {
    // Another word for the branch is not a branch to the new function.
    expect(judgeSecond((model) => add(stubsOf(model), stub(model).start, 4))).not.toBe('proven');
  });

  test('its relocations are too: one against another function is not guessed at', () => {
    const verdict = judgeSecond((model) => {
      const { start, size } = stub(model);
      const relocation = stubsOf(model).relocations.find(({ offset }) => offset >= start && offset < start + size)!;
      const other = stubsOf(model).relocations.find(({ symbol }) => symbol !== relocation.symbol)!;
      relocation.symbol = other.symbol;
    });
    expect(verdict).toMatch(/is against \S+, not against the new function/);
  });

  test('nor is one without the other', () => {
    const without = judgeSecond((model) => {
      const { start, size } = stub(model);
      const section = stubsOf(model);
      section.relocations = section.relocations.filter(({ offset }) => offset < start || offset >= start + size);
    });
    expect(without).not.toBe('proven');
    const twice = judgeSecond((model) => {
      const { start, size } = stub(model);
      const section = stubsOf(model);
      const relocation = section.relocations.find(({ offset }) => offset >= start && offset < start + size)!;
      section.relocations.push({ ...relocation });
    });
    expect(twice).toMatch(/two relocations/);
  });

  test('a second table of relocations for the stubs is not overlooked', () => {
    const verdict = judgeSecond((model) => {
      const target = stubsOf(model);
      const { start } = stub(model);
      const further = newSection(`.further${target.name}`, arch.elf.rela ? SHT_RELA : SHT_REL, 0n);
      const relocations = [{ ...target.relocations[0]!, offset: start }];
      model.sections.push({ ...further, relocationTable: { target, relocations } });
    });
    expect(verdict).not.toBe('proven');
  });

  test('nor is one for the patch table, which would lead the core elsewhere', () => {
    const verdicts = judge((model) => {
      const target = tableOf(model);
      const offset = redirectMember(model, 'stub');
      const further = newSection(`.further${target.name}`, arch.elf.rela ? SHT_RELA : SHT_REL, 0n);
      const pointer = target.relocations.find((each) => each.offset === offset)!;
      model.sections.push({ ...further, relocationTable: { target, relocations: [{ ...pointer }] } });
    });
    expect(verdicts).toEqual(['patch-malformed']);
  });

  test('a stub stands in text, and in no section that the loader treats in a way of its own', () => {
    for (const name of ['__ftr_fixup', '.data..percpu', '.text2'])
      for (const verdict of judge((model) => (stubsOf(model).name = name))) expect(verdict).toMatch(/is in \S+, which/);
  });

  test('a table by which the loader may change what lies between two places is seen', () => {
    const table = arch.rewriteTables.find(({ extent }) => 'end' in extent);
    // ARM has no such table; the places that it tells are single words.
    if (table === undefined) return expect(arch.elf.rela).toBe(false);
    const verdicts = judge((model) => {
      const section = newSection(table.section, SHT_PROGBITS, SHF_ALLOC, new Uint8Array(table.entrySize), { align: 8 });
      const symbol = newSymbol('', { binding: 0, type: 3, place: stubsOf(model) });
      model.symbols.push(symbol);
      const { start, size } = stub(model);
      const to = (offset: number, place: number): void =>
        void section.relocations.push({ offset, type: arch.pointerRelocation, symbol, addend: BigInt(place) });
      // Around the second stub: neither place lies in one.
      to(table.start, start - 4);
      to((table.extent as { end: number }).end, start + size);
      model.sections.push(section);
    });
    expect(verdicts[1]).not.toBe('proven');
  });

  test('a call on the word before a stub, behind which the loader may write, is seen', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    const NOP = 0x60000000;
    expect(arch.relocationReach(R_PPC64_REL24, NOP)).toBe(8);
    const verdict = judge((model) => {
      const section = stubsOf(model);
      const { start } = stub(model);
      new DataView(section.data.buffer, section.data.byteOffset).setUint32(start, NOP, true);
      const symbol = newSymbol('elsewhere', { binding: 1 });
      model.symbols.push(symbol);
      section.relocations.push({ offset: start - 4, type: R_PPC64_REL24, symbol, addend: 0n });
    })[1];
    expect(verdict).toMatch(/which no stub has/);
  });

  test('a branch of a new function leads where the loader has it lead, not where its word says', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    const verdicts = judge((model) => {
      const section = newCode(model);
      const symbol = newSymbol('elsewhere', { binding: 1 });
      model.symbols.push(symbol);
      const branch = new DataView(section.data.buffer, section.data.byteOffset);
      for (let offset = 0; offset < section.data.length; offset += 4) {
        const { distance } = arch.objectCode.branch(branch.getUint32(offset, true)) ?? { distance: 0 };
        if (distance > 0) section.relocations.push({ offset, type: R_PPC64_REL24, symbol, addend: 0n });
      }
    });
    expect(verdicts.filter((verdict) => /that the loader replaces/.test(verdict))).not.toEqual([]);
  });

  test('two sizes of one new function are one too many, however often it says the first one', () => {
    for (const again of [false, true]) {
      const verdicts = judge((model) => {
        const fresh = model.symbols.find(
          (each) => each.type === STT_FUNC && each.size > 8n && each.place === newCode(model),
        )!;
        const { binding, type, place, value, size } = fresh;
        model.symbols.push(newSymbol('also', { binding, type, place, value, size: 4n }));
        if (again) model.symbols.push(newSymbol('once more', { binding, type, place, value, size }));
      });
      expect(verdicts.filter((verdict) => /two sizes/.test(verdict))).not.toEqual([]);
    }
  });

  test('what reaches into a stub from the word before it is seen', () => {
    const verdicts = judge((model) => {
      const section = stubsOf(model);
      const { start } = stub(model);
      section.relocations.push({ ...section.relocations[0]!, type: arch.pointerRelocation, offset: start - 2 });
    });
    expect(verdicts[1]).toMatch(/which no stub has/);
  });

  test('a table by which the loader may change a stub is seen', () => {
    const verdict = judgeSecond((model) => {
      const { start } = stub(model);
      const { entrySize } = arch.rewriteTables.find(({ section }) => section === '__jump_table')!;
      const data = new Uint8Array(entrySize);
      const table = newSection('__jump_table', SHT_PROGBITS, SHF_ALLOC, data, { align: 8 });
      const symbol = newSymbol('', { binding: 0, type: 3, place: stubsOf(model) });
      model.symbols.push(symbol);
      if (!arch.elf.rela) new DataView(data.buffer).setUint32(0, start, true);
      const addend = arch.elf.rela ? BigInt(start) : undefined;
      table.relocations.push({ offset: 0, type: arch.pointerRelocation, symbol, addend });
      model.sections.push(table);
    });
    expect(verdict).toMatch(/__jump_table refers to it/);
  });

  /** All verdicts on the module with a table of one entry, by which the loader rewrites code; `fill` tells what is in it. */
  const withTable = (name: string, fill: (model: ElfModel, table: Section, data: DataView) => void): string[] =>
    judge((model) => {
      const { section, entrySize } = arch.rewriteTables.find((each) => each.section === name)!;
      const data = new Uint8Array(entrySize);
      const table = newSection(section, SHT_PROGBITS, SHF_ALLOC, data, { align: 8 });
      model.sections.push(table);
      fill(model, table, new DataView(data.buffer));
    });

  test('a table whose places are plain numbers tells nobody where the loader writes', () => {
    // The layout of a module is known: such a number can lead into a stub.
    for (const { section } of arch.rewriteTables)
      for (const verdict of withTable(section, (_, __, data) => data.setInt32(0, -0x1000, true)))
        expect(verdict).toMatch(/does not tell which words/);
  });

  test('nor does one whose places lie behind the section that their symbol is in', () => {
    for (const { section, start, extent } of arch.rewriteTables) {
      const verdicts = withTable(section, (model, table, data) => {
        const code = newCode(model);
        const symbol = newSymbol('', { binding: 0, type: 3, place: code });
        model.symbols.push(symbol);
        const behind = code.data.length + 16;
        for (const offset of [start, ...('end' in extent ? [extent.end] : [])]) {
          if (!arch.elf.rela) data.setUint32(offset, behind, true);
          const addend = arch.elf.rela ? BigInt(behind) : undefined;
          table.relocations.push({ offset, type: arch.pointerRelocation, symbol, addend });
        }
      });
      for (const verdict of verdicts) expect(verdict).toMatch(/does not tell which words/);
    }
  });

  test('a relocation that reaches behind its section’s end changes what the loader puts there', () => {
    const wide = arch.elf.rela ? arch.pointerRelocation : undefined;
    // On ARM the widest has four bytes, and the loader itself looks at the end (apply_relocate in module.c).
    if (wide === undefined) return;
    const verdicts = judge((model) => {
      const before = newSection('.text.before', SHT_PROGBITS, SHF_ALLOC | 4n, new Uint8Array(16), { align: 16 });
      model.sections.splice(model.sections.indexOf(stubsOf(model)), 0, before);
      const symbol = newSymbol('word', { binding: 0, place: 'absolute', value: 0x39e00000n << 32n });
      model.symbols.push(symbol);
      before.relocations.push({ offset: 12, type: wide, symbol, addend: 0n });
    });
    for (const verdict of verdicts) expect(verdict).toMatch(/behind the end of .text.before/);
  });

  test('so does a call at its end, where the loader restores r2 behind it', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    const verdicts = judge((model) => {
      const before = newSection('.text.before', SHT_PROGBITS, SHF_ALLOC | 4n, new Uint8Array(16), { align: 16 });
      new DataView(before.data.buffer).setUint32(12, 0x48000001, true);
      model.sections.splice(model.sections.indexOf(stubsOf(model)), 0, before);
      const symbol = newSymbol('elsewhere', { binding: 1 });
      model.symbols.push(symbol);
      before.relocations.push({ offset: 12, type: R_PPC64_REL24, symbol, addend: 0n });
    });
    for (const verdict of verdicts) expect(verdict).toMatch(/behind the end of .text.before/);
  });

  test('so many symbols of one place as a file can have are read to an end', () => {
    const verdicts = judge((model) => {
      const fresh = model.symbols.find(({ type, place }) => type === STT_FUNC && place === newCode(model))!;
      for (let n = 0; n < 200_000; n++) model.symbols.push({ ...fresh });
    });
    expect(verdicts).toEqual(['proven', 'proven', 'proven']);
  });

  test('so are the tables of a module whose functions stand in sections of their own', () => {
    const functions = tracedFunctions(kernel).slice(0, 2000);
    const [linked] = linkFunctions(kernel, functions) as unknown as [{ bytes: Uint8Array }];
    const model = readElf(linked.bytes, 'sections.ko');
    const text = findSection(model, '.text')!;
    const fresh = model.symbols.filter(({ type, place }) => type === STT_FUNC && place === text);
    for (const symbol of fresh) {
      const start = Number(symbol.value);
      const words = text.data.slice(start, start + Number(symbol.size));
      const place = newSection(`.text.${symbol.name}`, SHT_PROGBITS, SHF_ALLOC | 4n, words, { align: 4 });
      model.sections.push(place);
      Object.assign(symbol, { place, value: 0n });
    }
    const other = newSection('.text.other', SHT_PROGBITS, SHF_ALLOC | 4n, new Uint8Array(64), { align: 4 });
    const symbol = newSymbol('', { binding: 0, type: 3, place: other });
    model.sections.push(other);
    model.symbols.push(symbol);
    for (const { section, entrySize, start, extent } of arch.rewriteTables) {
      const entries = 20_000;
      const table = newSection(section, SHT_PROGBITS, SHF_ALLOC, new Uint8Array(entries * entrySize), { align: 8 });
      const addend = arch.elf.rela ? 0n : undefined;
      for (let entry = 0; entry < entries; entry++)
        for (const place of [start, ...('end' in extent ? [extent.end] : [])])
          table.relocations.push({ offset: entry * entrySize + place, type: arch.pointerRelocation, symbol, addend });
      model.sections.push(table);
      for (let n = 0; n < 1000; n++) model.sections.push(newSection(section, SHT_PROGBITS, SHF_ALLOC));
    }
    const verdicts = prover.proveModule(writeElf(model), 'sections.ko').map(({ verdict }) => verdict.verdict);
    expect(new Set(verdicts)).toEqual(new Set(['proven']));
  });

  test('a new function is read once, however many redirects lead to it', () => {
    const patch = readPatchModule(module, 'read.ko');
    const loader = new StubLoader(patch);
    const [first, again] = [patch.redirects[0]!, { ...patch.redirects[0]! }].map((each) => loader.load(each));
    expect(again!.newFunction).toBe(first!.newFunction);
  });

  test('new functions that lie over each other are not all read', () => {
    const verdicts = judge((model) => {
      const code = newCode(model);
      const words = (code.data.length >> 2) - 3;
      // One behind the other, each from its own word on to the end.
      model.symbols
        .filter(({ type, place }) => type === STT_FUNC && place === code)
        .forEach((symbol, i) => {
          symbol.value = BigInt(4 * i);
          symbol.size = BigInt(4 * words);
        });
    });
    expect(verdicts.at(-1)).toMatch(/lie over each other/);
  });

  test('an addend of which the loader keeps 32 bits is no distance', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    for (const by of [1n << 40n, 1n << 31n, 1n << 20n]) {
      const verdict = judgeSecond((model) => {
        const { start, size } = stub(model);
        for (const relocation of stubsOf(model).relocations)
          if (relocation.offset >= start && relocation.offset < start + size) relocation.addend! += by;
      });
      expect(verdict).toMatch(/addend/);
    }
  });

  test('a new function that begins at its local entry has nobody set its TOC pointer', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    const verdicts = judge((model) => {
      for (const symbol of model.symbols) {
        if (symbol.type !== STT_FUNC || symbol.place !== newCode(model)) continue;
        symbol.value += 8n;
        symbol.size -= 8n;
      }
    });
    expect(verdicts.length).toBe(3);
    for (const verdict of verdicts) expect(verdict).toMatch(/TOC pointer/);
    // Data behind a function that has none says nothing of it.
    const leaf = judge((model) => {
      const fresh = model.symbols.find(({ type, place }) => type === STT_FUNC && place === newCode(model))!;
      const words = new Uint8Array(Uint32Array.of(0x4e800020, 0, 0, 0x4e800020).buffer);
      const place = newSection('.text.leaf', SHT_PROGBITS, SHF_ALLOC | 4n, words, { align: 16 });
      model.sections.push(place);
      Object.assign(fresh, { place, value: 0n, size: 4n });
    });
    expect(leaf.join()).not.toMatch(/TOC pointer/);
  });

  test('a new function that ends in a call ends there only where the callee is known not to return', (context) => {
    if (!arch.elf.rela) return context.skip(onlyPpc64le);
    const judgeCallOf = (name: string): string =>
      judge((model) => {
        const [first, second] = model.symbols.filter(
          ({ type, place }) => type === STT_FUNC && place === newCode(model),
        );
        // mflr r0; std r0,16(r1); stdu r1,-32(r1); bl; nop; and the next function right behind: ld r3,96(r1); blr.
        const words = [0x7c0802a6, 0xf8010010, 0xf821ffe1, 0x48000001, 0x60000000, 0xe8610060, 0x4e800020];
        const code = new Uint8Array(Uint32Array.from(words).buffer);
        const place = newSection('.text.ends', SHT_PROGBITS, SHF_ALLOC | 4n, code, { align: 16 });
        const symbol = newSymbol(name, { binding: 1 });
        place.relocations.push({ offset: 12, type: R_PPC64_REL24, symbol, addend: 0n });
        model.sections.push(place);
        model.symbols.push(symbol);
        Object.assign(first!, { place, value: 0n, size: 20n, other: 0 });
        Object.assign(second!, { place, value: 20n, size: 8n, other: 0 });
      })[0]!;
    expect(judgeCallOf('panic')).toBe('proven');
    expect(judgeCallOf('schedule')).toMatch(/ends in a call of schedule/);
  });

  test('an unwind table that lets somebody unwind from a stub is seen', () => {
    if (arch.platform.name !== 'arm') return;
    const table = (model: ElfModel): Section => findSection(model, `.ARM.exidx${stubsOf(model).name}`)!;
    const words = (model: ElfModel): DataView => new DataView(table(model).data.buffer, table(model).data.byteOffset);
    const all = (reason: RegExp, change: (model: ElfModel) => void): void => {
      for (const verdict of judge(change)) expect(verdict).toMatch(reason);
    };
    all(/0 unwind tables/, (model) => model.sections.splice(model.sections.indexOf(table(model)), 1));
    all(/0 unwind tables/, (model) => (table(model).name = '.ARM.exidx.text.other'));
    all(/which code the unwind table other is for/, (model) => (table(model).name = 'other'));
    all(/2 unwind tables/, (model) =>
      model.sections.push({ ...table(model), relocations: [...table(model).relocations] }),
    );
    // The compact model, with instructions to unwind in the word itself.
    all(/not said of all its words/, (model) => words(model).setUint32(4, 0x80b0b0b0, true));
    all(/not all for/, (model) => (table(model).relocations = []));
    all(/several sections/, (model) => model.sections.push(newSection(stubsOf(model).name, SHT_PROGBITS, SHF_ALLOC)));
  });

  test('code that is not executable, or not kept, is no code', () => {
    const all = (change: (section: Section) => void) => judge((model) => change(stubsOf(model)));
    for (const verdict of all((section) => (section.flags = SHF_ALLOC))) expect(verdict).toMatch(/executable/);
    for (const verdict of all((section) => (section.name = '.init.text'))) expect(verdict).toMatch(/does not keep/);
    // ARM's loader takes those for init, too, by how they begin (module_init_section in arch/arm/kernel/module.c).
    for (const name of ['.ARM.extab.init.text', '.ARM.exidx.exit.text', '.data..percpu.text'])
      for (const verdict of all((section) => (section.name = name)))
        expect(verdict).toMatch(/may be more than code|does not keep/);
  });

  test('code that the loader may put at any byte is no code', () => {
    // Of a section without an alignment it takes the next free byte (get_offset in kernel/module/main.c).
    for (const align of [0, 1, 2])
      for (const verdict of judge((model) => (stubsOf(model).align = align))) expect(verdict).toMatch(/multiple of 4/);
  });

  test('the table that is read is the one that the core is given', () => {
    expect(judge((model) => (tableOf(model).flags &= ~SHF_ALLOC))).toEqual(['patch-malformed']);
    expect(judge((model) => model.sections.push({ ...tableOf(model), relocations: [] }))).toEqual(['patch-malformed']);
    // Another place in it, which could look like a table.
    const elsewhere = judge((model) => {
      const table = tableOf(model);
      const symbol = newSymbol('', { binding: 0, type: 3, place: table, value: 64n });
      model.symbols.push(symbol);
      const pointer = newSection('.data.pointer', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(8), { align: 8 });
      const addend = arch.elf.rela ? 0n : undefined;
      pointer.relocations.push({ offset: 0, type: arch.pointerRelocation, symbol, addend });
      model.sections.push(pointer);
    });
    expect(elsewhere).toEqual(['patch-malformed']);
  });

  test('data that refers to code by a symbol of other code, or to no place in it, may lead into a stub', () => {
    for (const offset of [-16, 0x10000]) {
      const verdicts = judge((model) => {
        const symbol = newSymbol('', { binding: 0, type: 3, place: newCode(model) });
        model.symbols.push(symbol);
        const data = new Uint8Array(8);
        if (!arch.elf.rela) new DataView(data.buffer).setInt32(0, offset, true);
        const pointer = newSection('.data.pointer', SHT_PROGBITS, SHF_ALLOC, data, { align: 8 });
        const addend = arch.elf.rela ? BigInt(offset) : undefined;
        pointer.relocations.push({ offset: 0, type: arch.pointerRelocation, symbol, addend });
        model.sections.push(pointer);
      });
      for (const verdict of verdicts) expect(verdict).toMatch(/data.pointer refers to a place outside of/);
    }
  });

  test('the old function is the image’s', () => {
    const word = judgeSecond((model) => {
      const table = tableOf(model);
      const pointer = table.relocations.find(({ offset }) => offset === redirectMember(model, 'old_words'))!;
      const inPlace = new DataView(table.data.buffer, table.data.byteOffset).getInt32(pointer.offset, true);
      add(table, Number(pointer.symbol!.value + (pointer.addend ?? BigInt(inPlace))), 1);
    });
    expect(word).toMatch(/another word for it than the image/);
    expect(judgeSecond((model) => add(tableOf(model), redirectMember(model, 'old_address'), 4))).toMatch(
      /no function of this name at the address/,
    );
  });

  test('all of it: who is inside a part that the module leaves out would be taken for outside', () => {
    const verdict = judgeSecond((model) => add(tableOf(model), redirectMember(model, 'old_size'), -4));
    expect(verdict).toMatch(/the module has \d+ bytes of it, and the image \d+/);
  });

  test('and its call site is where the image has one', () => {
    for (const amount of [-4, 4]) {
      expect(judgeSecond((model) => add(tableOf(model), redirectMember(model, 'site'), amount))).toMatch(
        /no call of mcount there/,
      );
    }
  });

  test('a module for another kernel is refused', () => {
    const id = kernel.image.buildId.bytes;
    expect(
      judge((model) => {
        const { data } = tableOf(model);
        const at = data.findIndex((_, i) => id.every((byte, n) => data[i + n] === byte));
        data[at]! ^= 1;
      }),
    ).toEqual(['wrong-kernel']);
  });

  test('functions of one prologue share a proof', () => {
    const before = prover.differentRedirects;
    judge(() => {});
    expect(prover.differentRedirects).toBe(before);
  });
});
