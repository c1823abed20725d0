// A livepatch module as compilers leave it, and what comes out: the table that the core reads, the recipes for what comes
// late, and a reason for whatever cannot be adapted. Real modules in real kernels are test/adapt.test.ts.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHN_LIVEPATCH,
  SHT_NOTE,
  SHT_PROGBITS,
  SHT_REL,
  SHT_RELA,
  STB_LOCAL,
  STT_FUNC,
  STT_OBJECT,
} from '../elf/constants.ts';
import { findSection, newModel, newSection, newSymbol, readElf, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import type { KlpLayout } from '../kernel/klp-layout.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { readPatchModule } from '../kernel/read-patch-module.ts';
import { readTargetModule } from '../kernel/target-module.ts';
import { ReasonError } from '../reason.ts';
import { adaptModule, checkAdaptable, neededModules } from './adapt-module.ts';
import { readKlpPatch } from './klp-patch.ts';

// "ELF for the Arm Architecture", section 4.6.1.
const [ABS32, CALL, MOVW, MOVT] = [2, 28, 43, 44];

/** `push {lr}; bl __gnu_mcount_nc; movw r0, #0; movt r0, #0; bl …; bx lr` */
const code = Uint32Array.of(0xe52de004, 0xebfffffe, 0xe3000000, 0xe3400000, 0xebfffffe, 0xe12fff1e);
const [mcountAt, movwAt, movtAt, callAt] = [4, 8, 12, 16];
const bytesOf = (words: Uint32Array) => new Uint8Array(words.slice().buffer);
const text = new TextEncoder();

const vermagic = '6.1.0 SMP mod_unload ';
const abi = { vermagic, structModuleSize: 64, nameOffset: 4, modversions: true } as ModuleAbi;
/** Not that of any kernel: what counts is what the core tells. */
const layout: KlpLayout = {
  patch: { size: 20, offset: { mod: 4, objs: 8 } },
  object: { size: 12, offset: { name: 0, funcs: 8 } },
  func: { size: 16, offset: { old_name: 4, new_func: 8, old_sympos: 12 } },
};

const base = linkAddress(0xc0000000n);
const image = {
  buildId: { bytes: new Uint8Array(20).fill(7), address: linkAddress(0xc0100000n) },
  kallsyms: [
    { name: 'old', type: 't', address: base },
    { name: 'hidden', type: 't', address: linkAddress(base + 24n) },
    { name: 'hidden', type: 't', address: linkAddress(base + 32n) },
  ],
  exports: new Map([
    ['_printk', { name: '_printk', crc: 5, gplOnly: false, namespace: 'NS', address: base }],
    ['__gnu_mcount_nc', { name: '__gnu_mcount_nc', crc: 6, gplOnly: false, namespace: '', address: base }],
  ]),
  symbol: () => undefined,
  enclosing: () => ({ name: 'old', start: base, end: linkAddress(base + 24n) }),
  bytes: () => bytesOf(code),
} as unknown as KernelImage;
const core = new Map([['suture_enable_patch', 9]]);

class Maker {
  readonly model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x5000000 });

  section(name: string, data: Uint8Array, flags = SHF_ALLOC, type = SHT_PROGBITS): Section {
    const section = newSection(name, type, flags, data, { align: 4 });
    this.model.sections.push(section);
    return section;
  }

  symbol(name: string, rest: Partial<ElfSymbol> = {}): ElfSymbol {
    const symbol = newSymbol(name, rest);
    this.model.symbols.push(symbol);
    return symbol;
  }

  relocate(section: Section, offset: number, type: number, symbol: ElfSymbol): Relocation {
    const relocation = { offset, type, symbol, addend: undefined };
    section.relocations.push(relocation);
    return relocation;
  }

  /** What every module has. */
  frame(name: string, info: string, versions: Record<string, number> = {}): ElfSymbol {
    const struct = new Uint8Array(64);
    struct.set(text.encode(name), 4);
    const place = this.section('.gnu.linkonce.this_module', struct, SHF_ALLOC | SHF_WRITE);
    this.section('.modinfo', text.encode(`license=GPL\0${info}name=${name}\0vermagic=${vermagic}\0`));
    const table = new Uint8Array(64 * Object.keys(versions).length);
    Object.entries(versions).forEach(([symbol, crc], i) => {
      new DataView(table.buffer).setUint32(64 * i, crc, true);
      table.set(text.encode(symbol), 64 * i + 4);
    });
    this.section('__versions', table);
    return this.symbol('__this_module', { place, type: STT_OBJECT, size: 64n });
  }

  /** A function of the code above: its calls are of mcount and of `callee`. */
  code(name: string, callee: ElfSymbol, data: ElfSymbol): { section: Section; symbol: ElfSymbol } {
    const section = this.section('.text', bytesOf(code), SHF_ALLOC | SHF_EXECINSTR);
    const symbol = this.symbol(name, { place: section, type: STT_FUNC, size: 24n, binding: STB_LOCAL });
    this.relocate(section, mcountAt, CALL, this.symbol('__gnu_mcount_nc'));
    this.relocate(section, movwAt, MOVW, data);
    this.relocate(section, movtAt, MOVT, data);
    this.relocate(section, callAt, CALL, callee);
    return { section, symbol };
  }
}

/** The target: `theirs` and `table`, which nobody exports. */
function target() {
  const maker = new Maker();
  maker.frame('target', 'depends=\0');
  const data = maker.section('.data', new Uint8Array(32), SHF_ALLOC | SHF_WRITE);
  const table = maker.symbol('table', { place: data, value: 12n, type: STT_OBJECT, size: 4n, binding: STB_LOCAL });
  maker.code('theirs', maker.symbol('_printk'), table);
  const note = Uint8Array.of(4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 1, 2, 3, 4);
  maker.section('.note.gnu.build-id', note, SHF_ALLOC, SHT_NOTE);
  return readTargetModule(writeElf(maker.model), 'target.ko', arm, abi);
}

interface Made {
  readonly maker: Maker;
  readonly data: Section;
  readonly mine: Section;
  readonly patch: ElfSymbol;
}

/** As a damaged file has it. */
const anyByte = () => fc.tuple(fc.nat(), fc.nat(255));

/** A patch: `mine` in place of `old` of the kernel and of `theirs` of the target. */
function klpModule(change: (made: Made) => void = () => {}): ElfModel {
  const maker = new Maker();
  const self = maker.frame('p', 'livepatch=Y\0depends=\0', { suture_enable_patch: 9, _printk: 5 });
  const strings = maker.section('.rodata.str1.4', text.encode('old\0target\0theirs\0'));
  const inStrings = maker.symbol('', { place: strings, binding: STB_LOCAL, type: 3 });
  const data = maker.section('.data', new Uint8Array(160), SHF_ALLOC | SHF_WRITE);
  const inData = maker.symbol('', { place: data, binding: STB_LOCAL, type: 3 });
  const { section: mine } = maker.code('mine', maker.symbol('_printk'), inStrings);
  const inCode = maker.symbol('', { place: mine, binding: STB_LOCAL, type: 3 });
  const view = new DataView(data.data.buffer);
  const point = (offset: number, symbol: ElfSymbol, addend: number) => {
    view.setUint32(offset, addend, true);
    maker.relocate(data, offset, ABS32, symbol);
  };
  // struct klp_patch at 0, objs at 24, funcs of vmlinux at 64 and of the target at 96.
  const patch = maker.symbol('patch', { place: data, type: STT_OBJECT, size: 20n, binding: STB_LOCAL });
  point(4, self, 0);
  point(8, inData, 24);
  point(24 + 8, inData, 64);
  point(36, inStrings, 4);
  point(36 + 8, inData, 96);
  point(64 + 4, inStrings, 0);
  point(64 + 8, inCode, 0);
  point(96 + 4, inStrings, 11);
  point(96 + 8, inCode, 0);
  maker.symbol('suture_patch_table');
  maker.relocate(data, 140, ABS32, maker.symbol('suture_enable_patch'));
  maker.relocate(data, 144, ABS32, maker.model.symbols.find(({ name }) => name === 'suture_patch_table')!);
  change({ maker, data, mine, patch });
  return readElf(writeElf(maker.model), 'p.ko');
}

function adapt(module: ElfModel, targets = new Map([['target', target()]])): Uint8Array {
  checkAdaptable(module, arm, abi, 'p.ko');
  const patch = readKlpPatch(module, arm, layout, 'p.ko');
  return adaptModule({
    arch: arm,
    sources: { image, core, furtherSymbols: new Map() },
    abi,
    callSites: [{ address: linkAddress(base + 4n), function: base, name: 'old' }],
    selfModified: { words: [], unknown: [] },
    module,
    file: 'p.ko',
    patch,
    targets,
  }).bytes;
}

const reasonsOf = (task: () => unknown) => {
  try {
    task();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons;
    throw error;
  }
  return [];
};

/** A symbol as module-elf-format.rst has it. */
const late = (maker: Maker, name: string) => maker.symbol(name, { place: { index: SHN_LIVEPATCH } });

/** Moves the relocations of some places of a section into a table of their own, as kpatch-build does. */
function setApart(maker: Maker, section: Section, object: string, entries: readonly Relocation[]): void {
  const table = newSection(`.klp.rela.${object}.${section.name}`, SHT_RELA, SHF_ALLOC | 0x00100000n);
  table.relocationTable = { target: section, relocations: [...entries] };
  table.info = section;
  maker.model.sections.push(table);
  const moved = new Set(entries.map(({ offset }) => offset));
  section.relocations = section.relocations.filter(({ offset }) => !moved.has(offset));
}

describe('a livepatch module', () => {
  it('gets a table with its objects in order, and their functions', () => {
    const { objects, redirects } = readPatchModule(adapt(klpModule()), 'p.ko');
    expect(objects.map(({ module }) => module)).toEqual([
      undefined,
      { name: 'target', buildId: Uint8Array.of(1, 2, 3, 4) },
    ]);
    expect(redirects).toMatchObject([
      { module: undefined, oldName: 'old', oldAddress: base, site: 4, newFunction: { name: 'mine' } },
      { module: 'target', oldName: 'theirs', oldAddress: 0n, site: 4, newFunction: { name: 'mine' } },
    ]);
    // In the kernel the call site may differ, in a module whatever its loader relocates.
    expect(redirects.map(({ masked }) => [...masked])).toEqual([[1], [1, 2, 3, 4]]);
  });

  it('is loadable where livepatch=Y is not, needs the core, and has the versions that it needs', () => {
    const module = readElf(adapt(klpModule()), 'p.ko');
    const info = readModinfo(findSection(module, '.modinfo')!.data);
    expect(info).toEqual([
      ['import_ns', 'NS'],
      ['license', 'GPL'],
      ['livepatch:', 'Y'],
      ['name', 'p'],
      ['vermagic', vermagic],
      ['depends', 'suture'],
    ]);
    const versions = new TextDecoder().decode(findSection(module, '__versions')!.data);
    expect(versions.match(/[a-z_]{3,}/g)).toEqual(['__gnu_mcount_nc', '_printk', 'suture_enable_patch']);
  });

  it('comes out the same each time', () => {
    expect(adapt(klpModule())).toEqual(adapt(klpModule()));
  });

  it('may have been compiled with debug information, which is left out', () => {
    const module = klpModule(({ maker }) => {
      const debug = newSection('.debug_info', SHT_PROGBITS, 0n, new Uint8Array(8));
      const info = findSection(maker.model, '.modinfo')!;
      const inDebug = newSymbol('', { binding: 0, type: 3, place: debug });
      maker.model.symbols.push(inDebug);
      debug.relocations.push(
        { offset: 0, type: ABS32, symbol: maker.symbol('__UNIQUE_ID_license1', { place: info }), addend: undefined },
        { offset: 4, type: ABS32, symbol: inDebug, addend: undefined },
      );
      maker.model.sections.push(debug);
    });
    const adapted = readElf(adapt(module), 'p.ko');
    expect(adapted.sections.map(({ name }) => name)).not.toContain('.debug_info');
    expect(readPatchModule(adapt(klpModule()), 'p.ko').redirects).toHaveLength(2);
  });

  it('needs the modules that it patches and those whose symbols it has', () => {
    const module = klpModule(({ maker, data }) => {
      maker.relocate(data, 148, ABS32, late(maker, '.klp.sym.other.thing,0'));
      maker.relocate(data, 152, ABS32, late(maker, '.klp.sym.vmlinux.hidden,1'));
    });
    expect(neededModules(module, readKlpPatch(module, arm, layout, 'p.ko'))).toEqual(['target', 'other']);
  });

  it('that is no patch is bound, and left as it is', () => {
    const maker = new Maker();
    maker.frame('busy', 'depends=\0', { _printk: 5 });
    maker.code('work', maker.symbol('_printk'), maker.symbol('local', { place: 'absolute', value: 3n }));
    const module = readElf(writeElf(maker.model), 'busy.ko');
    const bytes = adapt(module, new Map());
    expect(reasonsOf(() => readPatchModule(bytes, 'busy.ko'))).toMatchObject([{ code: 'not-a-patch-module' }]);
    expect(findSection(readElf(bytes, 'busy.ko'), '.text')!.data).toEqual(bytesOf(code));
  });
});

describe('a symbol that nobody exports', () => {
  it('of vmlinux is bound at once, by its sympos', () => {
    const bytes = adapt(
      klpModule(({ maker, mine }) => {
        const call = { offset: callAt, type: CALL, symbol: late(maker, '.klp.sym.vmlinux.hidden,2'), addend: -8n };
        setApart(maker, mine, 'vmlinux', [call]);
      }),
    );
    const module = readElf(bytes, 'p.ko');
    const call = findSection(module, '.text')!.relocations.find(({ offset }) => offset === callAt)!;
    expect(call).toMatchObject({ type: CALL, symbol: { name: 'hidden', value: base + 32n, place: 'absolute' } });
    // The addend went where modules have it: -8 bytes are -2 words.
    expect(new DataView(bytesOf(code).buffer).getUint32(callAt, true)).toBe(0xebfffffe);
    expect(module.sections.filter(({ name }) => name.startsWith('.klp'))).toEqual([]);
  });

  it('of a module is bound by recipes: data where it lies in its section, fields as movw and movt have them', () => {
    const bytes = adapt(
      klpModule(({ maker, mine }) => {
        const symbol = late(maker, '.klp.sym.target.table,0');
        const entry = (offset: number, type: number) => ({ offset, type, symbol, addend: 4n });
        setApart(maker, mine, 'target', [entry(movwAt, MOVW), entry(movtAt, MOVT)]);
      }),
    );
    const { recipes } = readPatchModule(bytes, 'p.ko');
    const table = { module: 'target', symbol: 'table', within: { section: '.data', offset: 12 }, addend: 4n, size: 4 };
    expect(recipes).toMatchObject([
      {
        ...table,
        place: { section: { name: '.text' }, offset: movwAt },
        fields: [
          { from: 0, width: 12, to: 0 },
          { from: 12, width: 4, to: 16 },
        ],
      },
      {
        ...table,
        place: { section: { name: '.text' }, offset: movtAt },
        fields: [
          { from: 16, width: 12, to: 0 },
          { from: 28, width: 4, to: 16 },
        ],
      },
    ]);
    const left = findSection(readElf(bytes, 'p.ko'), '.text')!.relocations.map(({ offset }) => offset);
    expect(left).toEqual([mcountAt, callAt]);
  });

  it('of a module is called through one veneer, whose word waits for it', () => {
    const bytes = adapt(
      klpModule(({ maker, mine }) => {
        const symbol = late(maker, '.klp.sym.target.theirs,1');
        setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol, addend: -8n }]);
      }),
    );
    const { recipes, model } = readPatchModule(bytes, 'p.ko');
    expect(recipes).toMatchObject([
      {
        module: 'target',
        symbol: 'theirs',
        within: undefined,
        sympos: 1,
        place: { section: { name: '.data.suture_late' }, offset: 0 },
        fields: [{ from: 0, width: 32, to: 0 }],
      },
    ]);
    const call = findSection(model, '.text')!.relocations.find(({ offset }) => offset === callAt)!;
    expect(call.symbol).toMatchObject({ name: 'suture_late_target_theirs', place: { name: '.text.suture_late' } });
    const veneer = findSection(model, '.text.suture_late')!;
    expect(veneer.relocations.map(({ type, symbol }) => [type, symbol!.name])).toEqual([
      [MOVW, 'suture_late_target_theirs_address'],
      [MOVT, 'suture_late_target_theirs_address'],
    ]);
  });

  it('of a module makes the constants that it is part of writable', () => {
    const bytes = adapt(
      klpModule(({ maker }) => {
        const constants = maker.section('.rodata', new Uint8Array(8));
        maker.relocate(constants, 4, ABS32, late(maker, '.klp.sym.target.theirs,0'));
      }),
    );
    const { recipes } = readPatchModule(bytes, 'p.ko');
    expect(recipes).toMatchObject([{ symbol: 'theirs', place: { offset: 4, section: { name: '.rodata' } } }]);
    expect(recipes[0]!.place.section.flags & SHF_WRITE).not.toBe(0n);
  });
});

describe('refused is', () => {
  it.each<[string, string, RegExp, (made: Made) => void]>([
    [
      'a patch without a klp_patch',
      'klp-patch-unknown',
      /no variable of type struct klp_patch/,
      ({ patch }) => {
        patch.size = 16n;
      },
    ],
    [
      'a module with two',
      'klp-patch-unknown',
      /more than one klp_patch: patch, again/,
      ({ maker, patch }) => maker.symbol('again', { ...patch, name: 'again' }),
    ],
    [
      'a list of functions without an end',
      'klp-patch-unknown',
      /objs\[1\]\.funcs\[\d+\]: the list has no end/,
      ({ data }) => {
        data.relocations = data.relocations.filter(({ offset }) => offset < 112);
        data.data = data.data.slice(0, 116);
      },
    ],
    [
      'a new function that is none',
      'klp-patch-unknown',
      /new_func \(for old\) is no function/,
      ({ data }) => new DataView(data.data.buffer).setUint32(64 + 8, 4, true),
    ],
    [
      'a module that was compiled for another core',
      'wrong-kernel',
      /version 0x1 of it, the core has 0x9/,
      ({ maker }) => {
        const versions = findSection(maker.model, '__versions')!;
        versions.data[0] = 1;
      },
    ],
    [
      'a module for another kernel',
      'wrong-kernel',
      /vermagic/,
      ({ maker }) => {
        const info = findSection(maker.model, '.modinfo')!;
        info.data = text.encode('name=p\0vermagic=6.2.0 SMP \0');
      },
    ],
    [
      'what Suture made',
      'already-adapted',
      /\.suture\.patch/,
      ({ maker }) => maker.section('.suture.patch', new Uint8Array(4)),
    ],
    [
      'a symbol of a module that the patch has no object for',
      'target-missing',
      /was not given.*other/,
      ({ maker, data }) => maker.relocate(data, 148, ABS32, late(maker, '.klp.sym.other.thing,0')),
    ],
    [
      'a symbol that its module has not',
      'name-missing',
      /no symbol of this name/,
      ({ maker, data }) => maker.relocate(data, 148, ABS32, late(maker, '.klp.sym.target.thing,0')),
    ],
    [
      'a relocation of an object against what is not the object’s',
      'relocation-unsupported',
      /not of target/,
      ({ maker, mine }) => {
        const symbol = maker.model.symbols.find(({ name }) => name === '_printk')!;
        setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol, addend: -8n }]);
      },
    ],
    [
      'a call of data',
      'relocation-unsupported',
      /calls what is no function/,
      ({ maker, mine }) => {
        const symbol = late(maker, '.klp.sym.target.table,0');
        setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol, addend: -8n }]);
      },
    ],
    [
      'relocations set apart for no object',
      'relocation-unsupported',
      /not named \.klp\.rela\.OBJECT\.SECTION/,
      ({ maker, mine }) => {
        const symbol = late(maker, '.klp.sym.target.theirs,1');
        setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol, addend: -8n }]);
        maker.model.sections.at(-1)!.name = '.klp.rela.';
      },
    ],
  ])('%s', (_what, reason, message, change) => {
    const reasons = reasonsOf(() => adapt(klpModule(change)));
    expect(reasons.map(({ code }) => code)).toEqual([reason]);
    expect(reasons[0]!.message + reasons[0]!.place).toMatch(message);
    expect(reasons[0]!.remedy).not.toBe('');
  });

  it('a patch of a module that is not to be had, with every other reason', () => {
    const module = klpModule(({ maker, data }) => {
      maker.relocate(data, 148, ABS32, late(maker, '.klp.sym.vmlinux.hidden,3'));
    });
    expect(reasonsOf(() => adapt(module, new Map())).map(({ code, place }) => [code, place])).toEqual([
      ['name-missing', 'hidden'],
      ['target-missing', 'target'],
    ]);
  });

  it('or adapted whatever bytes of it are changed, and never a reason to crash', () => {
    const whole = writeElf(
      klpModule(({ maker, mine, data }) => {
        const symbol = late(maker, '.klp.sym.target.table,0');
        const call = late(maker, '.klp.sym.target.theirs,0');
        setApart(maker, mine, 'target', [
          { offset: movwAt, type: MOVW, symbol, addend: 0n },
          { offset: callAt, type: CALL, symbol: call, addend: -8n },
        ]);
        maker.relocate(data, 148, ABS32, late(maker, '.klp.sym.vmlinux.hidden,2'));
      }),
    );
    const targets = new Map([['target', target()]]);
    fc.assert(
      fc.property(fc.array(anyByte(), { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = whole.slice();
        for (const [at, value] of changes) damaged[at % damaged.length] = value;
        const reasons = reasonsOf(() => adapt(readElf(damaged, 'p.ko'), targets));
        expect(reasons.map(({ code }) => code)).not.toContain('bug');
      }),
      { numRuns: 2000 },
    );
  }, 60_000);

  it('never a crash over a section that says it belongs to one which is made anew', () => {
    const module = klpModule(({ maker }) => {
      findSection(maker.model, '.modinfo')!.link = findSection(maker.model, '__versions')!;
    });
    expect(findSection(readElf(adapt(module), 'p.ko'), '.modinfo')!.link).toBe(undefined);
  });

  it('nor over one that says it belongs to a table of relocations which are applied', () => {
    const module = klpModule(({ maker, mine, data }) => {
      const call = late(maker, '.klp.sym.target.theirs,0');
      setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol: call, addend: -8n }]);
      data.link = findSection(maker.model, '.klp.rela.target..text')!;
    });
    const targets = new Map([['target', target()]]);
    expect(findSection(readElf(adapt(module, targets), 'p.ko'), '.data')!.link).toBe(undefined);
  });

  it('one in which a symbol is in a table of relocations which are applied', () => {
    const module = klpModule(({ maker, mine }) => {
      const call = late(maker, '.klp.sym.target.theirs,0');
      setApart(maker, mine, 'target', [{ offset: callAt, type: CALL, symbol: call, addend: -8n }]);
      const place = findSection(maker.model, '.klp.rela.target..text')!;
      maker.model.symbols.push(newSymbol('astray', { place }));
    });
    const targets = new Map([['target', target()]]);
    expect(reasonsOf(() => adapt(module, targets))).toMatchObject([
      { code: 'elf-malformed', place: 'p.ko: astray', message: expect.stringContaining('.klp.rela.target..text') },
    ]);
  });

  it('one in which a table of relocations is for a section that is made anew', () => {
    const module = klpModule(({ maker, mine }) => {
      const versions = findSection(maker.model, '__versions')!;
      const table = newSection('.rel.text', SHT_REL, 0n, undefined, { info: versions });
      table.relocationTable = { target: versions, relocations: mine.relocations };
      maker.model.sections.push(table);
    });
    expect(reasonsOf(() => adapt(module))).toMatchObject([
      { code: 'elf-malformed', place: 'p.ko: .rel.text', message: expect.stringContaining('__versions') },
    ]);
  });

  it('an object that is named twice', () => {
    const module = klpModule(({ data }) => {
      // The target's entry becomes a second one of the kernel's, with the same functions.
      data.relocations = data.relocations.filter(({ offset }) => offset !== 36);
      const view = new DataView(data.data.buffer);
      view.setUint32(36, 0, true);
      view.setUint32(36 + 8, 64, true);
    });
    expect(reasonsOf(() => adapt(module))).toMatchObject([{ code: 'replaced-twice', place: 'vmlinux' }]);
  });
});
