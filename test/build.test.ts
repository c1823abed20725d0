// `suture build` on both stock kernels: what it makes is whole and always the same, and what it cannot make right it
// refuses with a code, the place and what would help.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { kbuild } from '../src/compile/kbuild.ts';
import { findSection, readElf } from '../src/elf/elf.ts';
import type { ElfModel, Relocation, Section } from '../src/elf/model.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { listedCallSites } from '../src/link/finish-module.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { sutureJson } from './suture.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-build-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Builds a fix given as text. */
async function build(kernel: string, name: string, source: string) {
  const fix = join(folder, `${name}.c`);
  await writeFile(fix, source);
  return sutureJson(['build', '--kernel', kernel, '-o', join(folder, `${kernel}-${name}.ko`), fix]);
}

/** Relocations of a section from a table that the model keeps apart: recordmcount’s has no flag that links it. */
const relocationsOf = (model: ElfModel, target: Section): Relocation[] =>
  model.sections.flatMap(({ relocationTable: table }) => (table?.target === target ? table.relocations : []));

describe.each(stockKernels)('suture build for $name', ({ name: kernel, architecture }) => {
  it.each(examples)('makes a patch of the example $name', async ({ fix, replaces }) => {
    const output = `${folder}/`;
    const report = await sutureJson(['build', '--kernel', kernel, '-o', output, fix]);
    expect(report).toMatchObject({ exit: 0, command: 'build', kernel, status: 'done', reasons: [] });
    expect(report.result.redirects.map((r: { oldName: string }) => r.oldName)).toEqual([replaces]);

    const bytes = new Uint8Array(await readFile(report.result.output));
    const patch = readPatchModule(bytes, report.result.output);
    expect(patch.redirects.map((r) => r.oldName)).toEqual([replaces]);
    expect(patch.vermagic).toMatch(kernel);
    // No path of this machine, of the folder that it was built in, or of the user.
    expect(new TextDecoder('latin1').decode(bytes)).not.toMatch(/\/(tmp|home|root|usr|work)\//);
  });

  it('makes the same bytes in another folder under another name of the file’s folder', async () => {
    const source = await readFile(examples[0]!.fix, 'utf8');
    const made = await Promise.all(
      ['a', 'b'].map(async (place) => {
        const own = await mkdtemp(join(folder, `${place}-`));
        await writeFile(join(own, 'same.c'), source);
        const { result } = await sutureJson([
          'build',
          '--kernel',
          kernel,
          '-o',
          join(own, 'same.ko'),
          join(own, 'same.c'),
        ]);
        return readFile(result.output);
      }),
    );
    expect(made[0]!.equals(made[1]!)).toBe(true);
  });

  it('takes a fix from any folder, with what lies beside it, and a module of any name', async () => {
    const own = join(folder, `a folder of ${kernel}, 100% #1 $(HOME) 'it'`);
    await mkdir(own);
    await writeFile(join(own, 'part.h'), 'static const char *said(void) { return __FILE__; }\n');
    const fix = join(own, 'the fix.c');
    const source = `#include <linux/seq_file.h>
      #include "part.h"
      static int cmdline_proc_show(struct seq_file *m, void *v) { seq_puts(m, said()); return 0; }`;
    await writeFile(fix, source);
    const arguments_ = ['build', '--kernel', kernel, '--name', 'fix', '-o', `${own}/`, fix];
    const report = await sutureJson(arguments_);
    expect(report).toMatchObject({ exit: 0, result: { output: join(own, 'fix.ko') } });
    const text = (await readFile(join(own, 'fix.ko'))).toString('latin1');
    expect(text).toContain('\0part.h\0');
    expect(text).not.toContain('a folder of');

    await writeFile(join(own, 'part.h'), 'not C\n');
    const { reasons } = await sutureJson(arguments_);
    expect(reasons).toMatchObject([{ code: 'compile-failed', message: expect.stringContaining(`${own}/part.h:1`) }]);
  });

  it('lists the call sites that the kernel’s own recordmcount lists', async () => {
    const kernelFiles = await openKernel(kernel);
    const arch = architectureByName(architecture);
    await withTemporaryFolder(async (own) => {
      // Some of the functions land in sections of their own.
      const source = `#include <linux/init.h>
        #include <linux/seq_file.h>
        int __init at_start(int x); int __init at_start(int x) { return x + 1; }
        int __exit at_end(int x); int __exit at_end(int x) { return x + 2; }
        int __cold seldom(int x); int __cold seldom(int x) { return x + 3; }
        notrace int never(int x); notrace int never(int x) { return x + 4; }
        int show(struct seq_file *m); int show(struct seq_file *m) { seq_printf(m, "%d", seldom(m->size)); return 0; }`;
      await writeFile(join(own, 'sites.c'), source);
      await writeFile(join(own, 'Kbuild'), 'obj-m := sites.o\n');
      await kbuild(kernelFiles, arch.platform, own, ['sites.o']);
      const model = readElf(new Uint8Array(await readFile(join(own, 'sites.o'))), 'sites.o');

      const table = findSection(model, '__mcount_loc')!;
      const entries = table.relocations.length > 0 ? table.relocations : relocationsOf(model, table);
      const view = new DataView(table.data.buffer, table.data.byteOffset);
      const theirs = entries.map(({ offset, symbol, addend }) => {
        const place = symbol!.place as Section;
        return `${place.name}+${symbol!.value + (addend ?? BigInt(view.getUint32(offset, true)))}`;
      });
      const ours = listedCallSites(arch, model).map(({ section, offset }) => `${section.name}+${offset}`);
      expect(theirs.length).toBeGreaterThanOrEqual(3);
      expect(ours.sort()).toEqual(theirs.sort());
    });
  });

  const refusals = [
    {
      what: 'a compile error, in the compiler’s words',
      code: 'compile-failed',
      message: /expected|undeclared/,
      source: 'int cmdline_proc_show(void) { return undeclared_thing; }\n',
    },
    {
      what: 'a fix that replaces nothing',
      code: 'nothing-to-patch',
      message: /name of a function of the kernel/,
      source: 'int not_a_function_of_any_kernel(void); int not_a_function_of_any_kernel(void) { return 1; }\n',
    },
    {
      what: 'a function that the kernel has several of',
      code: 'name-ambiguous',
      message: /symbols of this name/,
      source: `#include <linux/fs.h>
        #include <suture/fix.h>
        static int my_init(void) { return 0; }
        SUTURE_REPLACES(my_init, state_show, 0, "");`,
    },
    {
      what: 'a symbol that the kernel does not have',
      code: architecture === 'arm' ? 'data-address-unknown' : 'name-missing',
      message: /neither exported|no symbol of this name/,
      source: `#include <linux/seq_file.h>
        extern int no_such_variable_anywhere;
        static int cmdline_proc_show(struct seq_file *m, void *v) { return no_such_variable_anywhere; }`,
    },
    {
      what: 'new code that calls what is gone once the patch is loaded',
      code: 'init-text',
      message: /gone once the patch is loaded/,
      source: `#include <linux/init.h>
        #include <linux/seq_file.h>
        static noinline int __init helper(int x) { return x * 3 + 1; }
        static int cmdline_proc_show(struct seq_file *m, void *v) { return helper((int)m->count); }`,
    },
    {
      what: 'an exported symbol in the fix',
      code: 'fix-unsupported',
      message: /exports a symbol/,
      source: `#include <linux/module.h>
        #include <linux/seq_file.h>
        int of_my_own; EXPORT_SYMBOL_GPL(of_my_own);
        static int cmdline_proc_show(struct seq_file *m, void *v) { return of_my_own; }`,
    },
    {
      what: 'initialisation code',
      code: 'init-text',
      message: /initialisation code/,
      source: `#include <linux/init.h>
        int start_kernel_replacement(void); int start_kernel_replacement(void) { return 0; }
        #include <suture/fix.h>
        SUTURE_REPLACES(start_kernel_replacement, start_kernel, 0, "");`,
    },
    {
      what: 'a function of a module that the kernel has not',
      code: 'target-missing',
      message: /none of the kernel’s own/,
      source: `#include <suture/fix.h>
        int mine(void); int mine(void) { return 0; }
        SUTURE_REPLACES(mine, ext4_sync_fs, 0, "no_such_module");`,
    },
    {
      what: 'a function without a call site',
      code: 'no-call-site',
      message: /no call of mcount/,
      source: `#include <suture/fix.h>
        int mine(void); int mine(void) { return 0; }
        SUTURE_REPLACES(mine, ${architecture === 'arm' ? 'memset' : 'memcpy_power7'}, 0, "");`,
    },
    ...(architecture === 'ppc64le'
      ? [
          {
            what: 'a function with variable arguments',
            code: 'stack-arguments',
            message: /stack arguments/,
            source: `#include <linux/seq_file.h>
              void seq_printf(struct seq_file *m, const char *f, ...)
              { va_list args; va_start(args, f); seq_vprintf(m, f, args); va_end(args); }`,
          },
        ]
      : []),
  ];

  it.each(refusals)('refuses $what', async ({ what, code, message, source }) => {
    const report = await build(kernel, what.replace(/\W+/g, '_'), source);
    expect(report).toMatchObject({ exit: 2, status: 'refused', result: null });
    expect(report.reasons[0]).toMatchObject({ code });
    expect(report.reasons[0].message).toMatch(message);
    expect(report.reasons[0].place).not.toBe('');
  });

  it('says every reason at once', async () => {
    const report = await build(
      kernel,
      'two_reasons',
      `#include <suture/fix.h>
       int no_such_function_one(void); int no_such_function_two(void);
       int mine(void); int mine(void) { return no_such_function_one() + no_such_function_two(); }
       SUTURE_REPLACES(mine, cmdline_proc_show, 0, "");`,
    );
    expect(report.reasons.map((r: { place: string }) => r.place)).toEqual(
      expect.arrayContaining(['no_such_function_one', 'no_such_function_two']),
    );
  });
});

it('faults on a kernel and on a file that is not there, and writes nothing', async () => {
  const fix = examples[0]!.fix;
  expect(await sutureJson(['build', '--kernel', '0.0-none', fix])).toMatchObject({ exit: 1, status: 'fault' });
  expect(await sutureJson(['build', '--kernel', stockKernels[0]!.name, join(folder, 'missing.c')])).toMatchObject({
    exit: 1,
    reasons: [{ code: 'file-missing' }],
  });
  const own = join(folder, 'own.c');
  await writeFile(own, await readFile(fix));
  expect(await sutureJson(['build', '--kernel', stockKernels[0]!.name, '-o', own, own])).toMatchObject({
    exit: 1,
    reasons: [{ code: 'usage' }],
  });
  const bad = await sutureJson([
    'build',
    '--kernel',
    stockKernels[0]!.name,
    '-o',
    join(folder, 'no/such/folder.ko'),
    fix,
  ]);
  expect(bad).toMatchObject({ exit: 1, reasons: [{ code: 'output-failed' }] });
});

it('faults on a temporary folder that make cannot work in, and says which', async () => {
  const TMPDIR = join(folder, 'with blanks');
  await mkdir(TMPDIR);
  const output = join(folder, 'none.ko');
  const arguments_ = ['build', '--kernel', stockKernels[0]!.name, '-o', output, examples[0]!.fix];
  expect(await sutureJson(arguments_, { TMPDIR })).toMatchObject({
    exit: 1,
    reasons: [{ code: 'usage', place: expect.stringContaining(TMPDIR), remedy: expect.stringContaining('TMPDIR') }],
  });
});
