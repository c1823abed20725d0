// What modules do not have: the objects of the cross compilers have groups, debug information, thread-local and common
// symbols; an image has segments. Binutils says again what they mean.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import { readInput } from '../src/host/files.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { stockKernels } from './stock-kernels.ts';
import { changedMeanings } from './support/readelf.ts';

const source = `
static const char *names[] = { "one", "two" };
extern int other(const char *);
__attribute__((weak)) int weakling(int x) { return x + 1; }
static int twice(int x) { return other(names[x & 1]) * 2; }
int (*pointer)(int) = twice;
int common_numbers[100];
_Thread_local int local;
__attribute__((constructor)) void start(void) { local = weakling(3); }
asm(".pushsection .text.shared,\\"axG\\",%progbits,shared,comdat\\n.weak shared\\nshared: .long other - .\\n.popsection");
`;

describe.each(stockKernels)('an object of the compiler for $architecture', ({ name }) => {
  it('means the same after it was read and written', async () => {
    const { crossPrefix } = await openKernel(name);
    await withTemporaryFolder(async (folder) => {
      const object = join(folder, 'object.o');
      await writeFile(join(folder, 'source.c'), source);
      const options = ['-g', '-O1', '-fcommon', '-ffunction-sections', '-c', 'source.c', '-o', object];
      await run(`${crossPrefix}gcc`, options, { cwd: folder });

      const model = readElf(await readInput(object), 'object.o');
      expect(findSection(model, '.group')?.group?.members).toEqual([findSection(model, '.text.shared')]);
      expect(findSection(model, '.text.shared')?.relocations.length).toBe(1);
      expect(findSection(model, '.debug_info')?.relocations.length).toBeGreaterThan(10);
      expect(await changedMeanings(crossPrefix, [object], (bytes) => writeElf(readElf(bytes, object)))).toEqual([]);
    });
  });
});

describe('an image that is ELF', () => {
  it('has the sections and the symbols that readelf lists', async () => {
    const kernel = await openKernel('6.1.0-50-powerpc64le');
    const model = readElf(await readInput(kernel.image), 'vmlinux');
    const { stdout } = await run(`${kernel.crossPrefix}readelf`, ['-sSW', kernel.image], { env: { LC_ALL: 'C' } });

    // `   12: c000000000008000  24 FUNC  LOCAL  DEFAULT [<localentry>: 8]  2 name` of .symtab, which comes last.
    const listed = stdout
      .slice(stdout.indexOf("Symbol table '.symtab'"))
      .matchAll(/^ *[1-9]\d*: ([0-9a-f]{16}) .* (\S*)$/gm);
    const expected = [...listed].map(([, value, symbol]) => `${value} ${symbol}`);
    const found = model.symbols.map(({ name, value, type, place }) => {
      // A section symbol is shown by its section's name.
      const shown = name === '' && type === 3 && typeof place === 'object' && 'name' in place ? place.name : name;
      return `${value.toString(16).padStart(16, '0')} ${shown}`;
    });
    expect(found.length).toBeGreaterThan(100_000);
    expect(found.length).toBe(expected.length);
    // The first that differs only: all of them would fill the screen for minutes.
    const wrong = found.findIndex((line, i) => line !== expected[i]);
    expect(found[wrong]).toBe(expected[wrong]);

    const sections = [...stdout.matchAll(/^ {2}\[ *[1-9]\d*\] (\S+) +\S+ +([0-9a-f]{16}) /gm)];
    const tables = new Set(['.symtab', '.strtab', '.shstrtab']);
    expect(model.sections.map(({ name, address }) => [name, address])).toEqual(
      sections.filter(([, name]) => !tables.has(name!)).map(([, name, address]) => [name, BigInt(`0x${address}`)]),
    );
    expect(model.segments.map(({ type, data }) => [type, data.length])).toEqual([
      [1, expect.any(Number)],
      [4, findSection(model, '.notes')!.size],
    ]);
  });
});
