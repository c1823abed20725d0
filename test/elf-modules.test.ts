// Every module of both stock kernels is read and written. Their meaning must not change, and who could say what a
// module means? Binutils: `readelf -aW` of both files is compared line by line, and every section byte by byte at the
// places that readelf gives.

import { describe, expect, it } from 'vitest';
import { findSection, readElf, setData, writeElf } from '../src/elf/elf.ts';
import type { ElfModel } from '../src/elf/model.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { stockKernels } from './stock-kernels.ts';
import { moduleFiles } from './support/modules.ts';
import { changedMeanings } from './support/readelf.ts';

/** Modules that one readelf lists; some ten megabytes of text. */
const batchSize = 100;

const sectionOf = (model: ElfModel, name: string) => findSection(model, name)!;
const relocationOf = (model: ElfModel) => sectionOf(model, '.text').relocations[0]!;
const symbolOf = (model: ElfModel) => model.symbols.at(-1)!;

/** Small changes of a module, and how the comparison must report them: it could not be trusted if it missed one. */
const changes: readonly [string, (model: ElfModel) => void, RegExp][] = [
  ['a byte', (m) => setData(sectionOf(m, '.text'), sectionOf(m, '.text').data.with(0, 0xa5)), /the bytes of \.text$/],
  ['the name of a symbol', (m) => Object.assign(symbolOf(m), { name: 'x' }), /: line/],
  ['the value of a symbol', (m) => Object.assign(symbolOf(m), { value: 0x1234n }), /: line/],
  ['the type of a relocation', (m) => Object.assign(relocationOf(m), { type: 0 }), /: line/],
  ['the place of a relocation', (m) => Object.assign(relocationOf(m), { offset: 1 }), /: line/],
  ['a relocation too few', (m) => sectionOf(m, '.data').relocations.pop(), /: line/],
  ['the flags of a section', (m) => Object.assign(sectionOf(m, '.text'), { flags: 7n }), /: line/],
  ['memory without bytes', (m) => Object.assign(sectionOf(m, '.bss'), { size: 4096 }), /: line/],
];

describe.each(stockKernels)('the modules of $name', ({ name }) => {
  it('mean the same after they were read and written, and are then written as the same bytes', async () => {
    const kernel = await openKernel(name);
    const files = moduleFiles(kernel);
    expect(files.length).toBeGreaterThan(3000);
    const changed: string[] = [];
    const notStable: string[] = [];
    for (let i = 0; i < files.length; i += batchSize) {
      const batch = files.slice(i, i + batchSize);
      const found = await changedMeanings(kernel.crossPrefix, batch, (bytes, file) => {
        const written = writeElf(readElf(bytes, file));
        if (Buffer.compare(writeElf(readElf(written, file)), written) !== 0) notStable.push(file);
        return written;
      });
      changed.push(...found);
    }
    expect({ changed, notStable }).toEqual({ changed: [], notStable: [] });
  });

  it.each(changes)('would be seen to differ in %s', async (_, change, expected) => {
    const kernel = await openKernel(name);
    const file = moduleFiles(kernel).find((path) => path.endsWith('/af_key.ko'))!;
    const differences = await changedMeanings(kernel.crossPrefix, [file], (bytes) => {
      const model = readElf(bytes, file);
      change(model);
      return writeElf(model);
    });
    expect(differences).toEqual([expect.stringMatching(expected)]);
  });
});
