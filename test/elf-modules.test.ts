// Every module of both stock kernels is read and written. Their meaning must not change, and who could say what a
// module means? Binutils: `readelf -aW` of both files is compared line by line, and every section byte by byte at the
// places that readelf gives.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readElf, writeElf } from '../src/elf/elf.ts';
import type { ElfModel } from '../src/elf/model.ts';
import { readInput } from '../src/host/files.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { stockKernels } from './stock-kernels.ts';
import { moduleFiles } from './support/modules.ts';
import { type ReadelfView, readelf } from './support/readelf.ts';

/** Modules that one readelf lists; some ten megabytes of text. */
const batchSize = 100;

/** Sections whose bytes are offsets and indexes into others. What they mean, readelf tells. */
const madeAnew = new Set(['NULL', 'NOBITS', 'SYMTAB', 'STRTAB', 'REL', 'RELA', 'GROUP']);

interface File {
  readonly bytes: Uint8Array;
  readonly view: ReadelfView;
}

/** The first thing in which two files differ, or undefined. */
function difference(before: File, after: File): string | undefined {
  if (before.view.text !== after.view.text) {
    const lines = after.view.text.split('\n');
    const line = before.view.text.split('\n').findIndex((text, i) => text !== lines[i]);
    return `line ${line}: ${before.view.text.split('\n')[line]} -> ${lines[line]}`;
  }
  const contents = ({ bytes, view }: File, i: number) => {
    const { offset, size } = view.sections[i]!;
    return bytes.subarray(offset, offset + size);
  };
  const changed = before.view.sections.find(
    ({ type }, i) => !madeAnew.has(type) && Buffer.compare(contents(before, i), contents(after, i)) !== 0,
  );
  return changed && `the bytes of ${changed.name}`;
}

/** Writes each module as `rewrite` makes it and compares it with the original. Gives `path: difference`. */
async function compare(
  crossPrefix: string,
  files: readonly string[],
  rewrite: (bytes: Uint8Array, file: string) => Uint8Array,
) {
  const differences: string[] = [];
  await withTemporaryFolder(async (folder) => {
    const before = await Promise.all(files.map(readInput));
    const after = before.map((bytes, i) => rewrite(bytes, files[i]!));
    const written = after.map((bytes, i) => {
      const path = join(folder, `${i}.ko`);
      writeFileSync(path, bytes);
      return path;
    });
    const [viewsBefore, viewsAfter] = await Promise.all([readelf(crossPrefix, files), readelf(crossPrefix, written)]);
    for (const [i, file] of files.entries()) {
      const found = difference(
        { bytes: before[i]!, view: viewsBefore[i]! },
        { bytes: after[i]!, view: viewsAfter[i]! },
      );
      if (found) differences.push(`${file}: ${found}`);
    }
  });
  return differences;
}

describe.each(stockKernels)('the modules of $name', ({ name }) => {
  it('mean the same after they were read and written, and are then written as the same bytes', async () => {
    const kernel = await openKernel(name);
    const files = moduleFiles(kernel);
    expect(files.length).toBeGreaterThan(3000);
    const differences: string[] = [];
    for (let i = 0; i < files.length; i += batchSize)
      differences.push(
        ...(await compare(kernel.crossPrefix, files.slice(i, i + batchSize), (bytes, file) => {
          const written = writeElf(readElf(bytes, file));
          if (Buffer.compare(writeElf(readElf(written, file)), written) !== 0)
            differences.push(`${file}: second writing`);
          return written;
        })),
      );
    expect(differences).toEqual([]);
  });

  it.each<[string, (model: ElfModel) => void, RegExp]>([
    [
      'a byte',
      ({ sections }) => {
        const text = sections.find((section) => section.name === '.text')!;
        text.data = text.data.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
      },
      /the bytes of \.text/,
    ],
    [
      'the name of a symbol',
      ({ symbols }) => {
        symbols.at(-1)!.name += 'x';
      },
      /line/,
    ],
    [
      'the value of a symbol',
      ({ symbols }) => {
        symbols.at(-1)!.value ^= 4n;
      },
      /line/,
    ],
    [
      'the type of a relocation',
      ({ sections }) => {
        sections.find((s) => s.relocations.length > 0)!.relocations[0]!.type ^= 1;
      },
      /line/,
    ],
    [
      'the place of a relocation',
      ({ sections }) => {
        sections.find((s) => s.relocations.length > 0)!.relocations[0]!.offset += 4;
      },
      /line/,
    ],
    [
      'the flags of a section',
      ({ sections }) => {
        sections.at(-1)!.flags ^= 1n;
      },
      /line/,
    ],
    [
      'the size of memory without bytes',
      ({ sections }) => {
        sections.find((s) => s.name === '.bss')!.size += 4;
      },
      /line/,
    ],
  ])('would be seen to differ if %s did', async (_, change, expected) => {
    const kernel = await openKernel(name);
    const file = moduleFiles(kernel).find((path) => path.endsWith('/af_key.ko'))!;
    const differences = await compare(kernel.crossPrefix, [file], (bytes) => {
      const model = readElf(bytes, file);
      change(model);
      return writeElf(model);
    });
    expect(differences).toEqual([expect.stringMatching(expected)]);
  });
});
