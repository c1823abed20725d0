// The linker's own work, told by relocations: every reference of what goes along must lead where it is to lead, in one file or
// from one to another, and what nobody would bind must be refused. Real files are in test/build-source-patch.test.ts.

import { describe, expect, it } from 'vitest';
import { textObject } from '../../test/support/text-object.ts';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import { diffObjects, type Piece } from '../diff/diff.ts';
import { SHF_ALLOC, SHF_MERGE, SHT_PROGBITS, STT_FUNC } from '../elf/constants.ts';
import { isSection, newModel, newSection, newSymbol, readElf, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import { ReasonError } from '../reason.ts';
import { type ChangedFile, diffTogether, joinFiles, newFunctionName, resolveFiles } from './join-files.ts';
import type { KernelPlaces } from './kernel-places.ts';

/** A kernel that has everything, each thing under a name that says who was asked for it. */
const places: KernelPlaces = {
  replaced: ({ name }: Piece) => ({ oldName: name, sympos: 0, module: '' }),
  original: ({ name }: Piece) => newSymbol(`kernel's ${name}`, { place: 'absolute', value: 0x1000n }),
  external: ({ name }: ElfSymbol) => newSymbol(name === '_mcount' ? name : `elsewhere's ${name}`),
  isExported: () => false,
};

/** Files of a patch, each as `before --- after`. */
function filesOf(
  texts: readonly string[],
  asked: Partial<KernelPlaces> = {},
  modules: readonly string[] = [],
): ChangedFile[] {
  const pairs = texts.map((text) => text.split(/^---$/m).map(textObject) as [ElfModel, ElfModel]);
  const diffs = diffTogether(pairs, ([before, after], wanted) =>
    diffObjects({ name: 'before', model: before }, { name: 'after', model: after }, { wanted }),
  );
  return diffs.map((diff, i) => ({
    path: `file-${i}.c`,
    module: modules[i] ?? '',
    diff,
    places: { ...places, ...asked },
  }));
}

/** The lines of a livepatch module: a list of pointers to new functions, and a string. */
function frameOf(functions: number): ElfModel {
  const frame = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const list = newSection('.data', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(8 * functions), { align: 8 });
  const text = newSection('.rodata.str1.1', SHT_PROGBITS, SHF_ALLOC | SHF_MERGE, Uint8Array.of(0x78, 0));
  frame.sections.push(list, text);
  for (let i = 0; i < functions; i++) {
    const symbol = newSymbol(newFunctionName(i));
    frame.symbols.push(symbol);
    list.relocations.push({ offset: 8 * i, type: 38, symbol, addend: 0n });
  }
  return frame;
}

/** The functions that replace others, and where the relocations of the module lead: `.text.f+0x4 -> g`. */
function joined(...texts: readonly string[]) {
  const resolved = resolveFiles(ppc64le, filesOf(texts));
  const { object, replacements } = joinFiles(ppc64le, frameOf(resolved.replaced.length), resolved);
  const written = readElf(writeElf(object), 'joined.o');
  const lead = written.sections.flatMap((section) =>
    section.relocations.map(({ offset, symbol, addend }) => {
      const place = symbol && isSection(symbol.place) ? `${symbol.place.name}+${symbol.value}` : '';
      const to = symbol!.name || place;
      return `${section.name}+${offset} -> ${to}${addend ? ` + ${addend}` : ''}`;
    }),
  );
  return { lead: lead.filter((line) => !line.endsWith('_mcount')), replacements, written };
}

const codesOf = (work: () => unknown): string[] => {
  try {
    work();
  } catch (error) {
    if (error instanceof ReasonError) return error.reasons.map(({ code, place }) => `${code} ${place}`);
    throw error;
  }
  return [];
};

describe('the pieces of a patch', () => {
  it('lead to each other, to the kernel’s, and to what others define', () => {
    const { lead, replacements } = joined(`
code f
  use count.1
code g
data count.1 4
---
code f
  use count.1
  call g
  call helper
  call far
code g
code helper
  use "text"
data count.1 4`);
    expect(replacements).toEqual([{ newName: 'f', oldName: 'f', sympos: 0, module: '', isSameCopy: true }]);
    expect(lead).toEqual([
      '.data+0 -> f',
      ".text.f+4 -> kernel's count.1",
      ".text.f+8 -> kernel's g",
      '.text.f+12 -> helper',
      ".text.f+16 -> elsewhere's far",
      '.text.helper+4 -> .rodata.str1.1+2',
    ]);
  });

  it('go behind what the module has already in sections of their name', () => {
    const { written } = joined('code f\n---\ncode f\n  use "text"');
    const strings = written.sections.filter(({ name }) => name === '.rodata.str1.1');
    expect(strings.map(({ data, flags }) => [new TextDecoder().decode(data), flags & SHF_MERGE])).toEqual([
      ['x\0text\0', 0n],
    ]);
  });

  it('have names of their own where two files have one name', () => {
    const changed = 'code show\n---\ncode show\n  word 60000000';
    const { replacements, written, lead } = joined(changed, changed);
    expect(replacements.map(({ newName, oldName }) => [newName, oldName])).toEqual([
      ['show', 'show'],
      ['show.2', 'show'],
    ]);
    expect(lead.slice(0, 2)).toEqual(['.data+0 -> show', '.data+8 -> show.2']);
    const [one, other] = written.symbols.filter(({ type }) => type === STT_FUNC);
    expect(other!.value - one!.value).toBe(8n);
  });
});

describe('several files', () => {
  const caller = 'code f\n---\ncode f\n  call added';
  const provider = 'code old\n---\ncode old\ncode added\n  call deeper\ncode deeper';

  it('find each other’s new functions', () => {
    const { lead } = joined(caller, provider);
    expect(lead).toContain('.text.f+4 -> added');
    expect(lead).toContain('.text.added+4 -> deeper');
  });

  it('take a new function along only if somebody needs it', () => {
    expect(joined(caller).lead).toContain(".text.f+4 -> elsewhere's added");
    const { written } = joined('code f\n---\ncode f\n  word 60000000', provider);
    expect(written.sections.map(({ name }) => name)).not.toContain('.text.added');
  });

  it('call the kernel’s where one changes a function of another: that is redirected', () => {
    const { lead } = joined('code f\n---\ncode f\n  call g', 'code g\n---\ncode g\n  word 60000000');
    expect(lead).toContain(".text.f+4 -> elsewhere's g");
  });
});

describe('files of modules', () => {
  const caller = 'code f\n---\ncode f\n  call added';
  const provider = 'code old\n---\ncode old\ncode added';
  const leadsTo = (...modules: readonly string[]) => {
    const { links, pieces } = resolveFiles(ppc64le, filesOf([caller, provider], {}, modules));
    const call = pieces.find(({ name }) => name === 'f')!.references.at(-1)!;
    return links.get(call)!.symbol?.name ?? 'what goes along';
  };

  it.each([
    ['one', 'one', 'what goes along'],
    ['one', '', 'what goes along'],
    ['one', 'other', "elsewhere's added"],
    ['', 'other', "elsewhere's added"],
  ])('a call in %j of what is new in %j leads to %s', (from, to, expected) => {
    expect(leadsTo(from, to)).toBe(expected);
  });
});

describe('a jump label whose key the kernel keeps to itself', () => {
  /** R_PPC64_REL32, R_PPC64_REL64; an entry is code, target and key (struct jump_entry in linux/jump_label.h, Linux 6.1). */
  const withLabel = (key: string): ChangedFile => {
    const [before, after] = ['code f', 'code f\n  word 60000000'].map(textObject) as [ElfModel, ElfModel];
    for (const model of [before, after]) {
      const f = model.symbols.find(({ name }) => name === 'f')!;
      const keySymbol = newSymbol(key);
      const table = newSection('__jump_table', SHT_PROGBITS, SHF_ALLOC, new Uint8Array(16), { align: 8 });
      table.relocations.push(
        { offset: 0, type: 26, symbol: f, addend: 0n },
        { offset: 4, type: 26, symbol: f, addend: 4n },
        { offset: 8, type: 44, symbol: keySymbol, addend: 8n },
      );
      model.sections.push(table);
      model.symbols.push(keySymbol);
    }
    const diff = diffObjects({ name: 'before', model: before }, { name: 'after', model: after });
    return { path: 'file.c', module: '', diff, places };
  };

  it('is refused, since the kernel’s loader would follow it', () => {
    expect(codesOf(() => resolveFiles(ppc64le, [withLabel('some_key')]))).toEqual(['jump-label file.c: f']);
  });

  it('gets one that is never on if it is a tracepoint’s, and that is said', () => {
    const resolved = resolveFiles(ppc64le, [withLabel('__tracepoint_x')]);
    expect(resolved.remarks).toEqual([
      'file.c: f no longer reaches the tracepoint x, whose key is not exported: while the patch is applied such events are lost',
    ]);
    const { object } = joinFiles(ppc64le, frameOf(1), resolved);
    const [, , key] = object.sections.find(({ name }) => name === '__jump_table')!.relocations;
    expect(key).toMatchObject({ offset: 8, addend: 0n, symbol: { name: 'suture_no_key' } });
    expect(object.sections.find(({ name }) => name === '.data.suture_no_key')?.data).toEqual(new Uint8Array(16));
  });
});

describe('what cannot be found', () => {
  it('is told of all files at once', () => {
    const missing = (name: string): never => {
      throw new ReasonError({ code: 'data-address-unknown', place: name, message: 'nowhere', remedy: '' });
    };
    const asked = { external: ({ name }: ElfSymbol) => (name === '_mcount' ? newSymbol(name) : missing(name)) };
    const texts = ['one', 'two'].map((name) => `code f\n---\ncode f\n  call ${name}\n  call ${name}`);
    expect(codesOf(() => resolveFiles(ppc64le, filesOf(texts, asked)))).toEqual([
      'data-address-unknown one',
      'data-address-unknown two',
    ]);
  });
});
