// From a source patch to pairs of objects, with the real source and the real Kbuild. What must never happen: that the tree
// is written to, that a file is compiled without its patch, or that a part of the patch is left out in silence.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { compilePairs, type ObjectPair, type PairOptions } from '../src/compile/pairs.ts';
import { makePatchedTree } from '../src/compile/patched-tree.ts';
import { findSection } from '../src/elf/elf.ts';
import { buildingFolder } from '../src/host/cache.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import type { StoredKernel } from '../src/host/kernel-store.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';
import { linePatch } from './support/source-patch.ts';

const cmdline = ['fs/proc/cmdline.c', 'seq_puts(m, saved_command_line);', '\tseq_puts(m, "patched");'] as const;

describe.each(stockKernels)('$name', ({ package: wanted, architecture }) => {
  const arch = architectureByName(architecture)!;
  let kernel: StoredKernel;
  let source: string;
  let scratch: string;

  const compile = (patch: string, options?: PairOptions) => compilePairs(kernel, arch, patch, 'fix.patch', options);
  const reasonsOf = async (patch: string, options?: PairOptions) => {
    const error = await compile(patch, options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ReasonError)) throw error ?? new Error('nothing was refused');
    return error.reasons;
  };
  const patchOf = (path: string, from: string, to: string) => linePatch(source, path, from, to);

  beforeAll(async () => {
    kernel = await fetchKernel(wanted, { source: true });
    source = kernel.source!;
    scratch = mkdtempSync(join(tmpdir(), 'suture-pairs-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** Names of the sections of code and data that differ between the objects of a pair. */
  const differing = ({ original, patched }: ObjectPair): string[] => {
    const bytes = (section: { data: Uint8Array; flags: bigint }) => Buffer.from(section.data).toString('hex');
    return patched.sections
      .filter((section) => (section.flags & 2n) !== 0n)
      .filter((section) => {
        const before = findSection(original, section.name);
        return before === undefined || bytes(before) !== bytes(section);
      })
      .map(({ name }) => name);
  };

  it('gives a pair that differs in the function that the patch changes', async () => {
    const { pairs, remarks } = await compile(patchOf(...cmdline));
    expect(pairs.map(({ path, module }) => ({ path, module }))).toEqual([{ path: 'fs/proc/cmdline.c', module: '' }]);
    expect(remarks).toEqual([]);
    expect(differing(pairs[0]!)).toContain('.text.cmdline_proc_show');
    expect(differing(pairs[0]!).filter((name) => name.startsWith('.text'))).toEqual(['.text.cmdline_proc_show']);
  });

  it('may be asked for two at once, and writes nothing into the source tree', async () => {
    const folders = ['.', 'fs', 'fs/proc', 'include', 'scripts', 'scripts/basic', `arch/${arch.platform.kbuild}`];
    const state = () =>
      folders.map((folder) => [readdirSync(join(source, folder)), statSync(join(source, folder)).mtimeMs]);
    const before = state();
    const other = patchOf('fs/proc/cmdline.c', "seq_putc(m, '\\n');", "\tseq_putc(m, '!');");
    const [first, second, again] = await Promise.all([compile(patchOf(...cmdline)), compile(other), compile(other)]);
    const codeOf = ({ pairs }: { pairs: readonly ObjectPair[] }) =>
      findSection(pairs[0]!.patched, '.text.cmdline_proc_show')!.data;
    expect(codeOf(second!)).toEqual(codeOf(again!));
    expect(codeOf(first!)).not.toEqual(codeOf(second!));
    expect(state()).toEqual(before);
  });

  it('knows the module that a file is part of', async () => {
    const { pairs } = await compile(
      patchOf('drivers/net/dummy.c', 'eth_hw_addr_random(dev);', '\teth_zero_addr(dev->broadcast);'),
    );
    expect(pairs).toMatchObject([{ path: 'drivers/net/dummy.c', module: 'dummy' }]);
  });

  it('says of a file why it is not compiled', async () => {
    const patch = patchOf('arch/x86/kernel/cpu/bugs.c', 'spectre_v1_select_mitigation(void);', 'int x;');
    expect(await reasonsOf(patch)).toMatchObject([
      {
        code: 'not-compiled',
        place: 'arch/x86/kernel/cpu/bugs.c',
        message: expect.stringMatching(/another architecture/),
      },
    ]);
  });

  it('says of a file that the patch takes away, or calls otherwise, that this cannot be patched', async () => {
    const renamed =
      'diff --git a/fs/proc/cmdline.c b/fs/proc/line.c\nrename from fs/proc/cmdline.c\nrename to fs/proc/line.c\n';
    const text = readFileSync(join(source, 'fs/proc/cmdline.c'), 'latin1').trimEnd().split('\n');
    const removed = `--- a/fs/proc/cmdline.c\n+++ /dev/null\n@@ -1,${text.length} +0,0 @@\n${text.map((line) => `-${line}\n`).join('')}`;
    for (const patch of [renamed, removed]) {
      expect(await reasonsOf(patch)).toMatchObject([{ code: 'file-removed', place: 'fs/proc/cmdline.c' }]);
    }
  });

  it('finds what has a variable of the top Makefile in its name, and what two makes would make at once', async () => {
    const [path, from, to] =
      architecture === 'arm'
        ? [
            'arch/arm/lib/delay.c',
            'pr_info("Switching to timer-based delay loop',
            '\tpr_info("patched, %llu\\n", res);',
          ]
        : ['arch/powerpc/kernel/signal_64.c', '"rt_sigreturn", uc);', '\tsignal_fault(current, regs, "patched", uc);'];
    const { pairs } = await compile(patchOf(path!, from!, to!));
    expect(pairs).toMatchObject([{ path, module: '' }]);
  });

  it('shows a mistake as the compiler says it', async () => {
    const [reason] = await reasonsOf(patchOf('fs/proc/cmdline.c', cmdline[1], '\tseq_puts(m, no_such_thing);'));
    expect(reason).toMatchObject({
      code: 'compile-failed',
      place: 'fs/proc/cmdline.c',
      message: expect.stringMatching(
        /^fs\/proc\/cmdline\.c: .*\n(.*\n)*fs\/proc\/cmdline\.c:\d+:\d+: error: .no_such_thing. undeclared/,
      ),
    });
  });

  it('makes the programs that a file needs and the headers lack, or says which those are', async () => {
    const needing = ['crypto/ecrdsa.c', '#include <linux/module.h>', '#include <linux/module.h>\n'] as const;
    expect((await compile(linePatch(source, ...needing))).pairs).toMatchObject([{ module: 'ecrdsa_generic' }]);

    const tree = join(scratch, 'without-compiler');
    mkdirSync(tree);
    await makePatchedTree(source, tree, new Map([['scripts/asn1_compiler.c', undefined]]), []);
    expect(await reasonsOf(linePatch(tree, ...needing), { source: tree })).toMatchObject([
      { code: 'tool-failed', message: expect.stringMatching(/cannot make what this file needs: .*ecrdsa_params.asn1/) },
    ]);
  });

  it('leaves nothing behind when it ends early', async () => {
    await reasonsOf(patchOf('fs/proc/cmdline.c', cmdline[1], '\tthis is no C'));
    const ours = (folder: string) => readdirSync(folder).filter((name) => name.startsWith(`suture-${process.pid}-`));
    expect([...ours(tmpdir()), ...ours(buildingFolder())]).toEqual([]);
  });

  it('refuses what changes the build, and a tree of another version', async () => {
    expect(await reasonsOf(patchOf('fs/proc/Makefile', 'proc-y	+= cmdline.o', 'proc-y += other.o'))).toMatchObject([
      { code: 'build-files', place: 'fs/proc/Makefile' },
    ]);
    const other = join(scratch, 'linux');
    mkdirSync(other);
    writeFileSync(join(other, 'Makefile'), 'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\n');
    expect(await reasonsOf(patchOf(...cmdline), { source: other })).toMatchObject([
      { code: 'wrong-kernel', place: other, message: expect.stringMatching(/Linux 6\.1\.7, and .* is 6\.1\.\d+/) },
    ]);
  });

  // Reading every #include of the tree takes seconds, and is the same for every kernel.
  if (architecture === 'arm') {
    it('compiles what includes a changed header', async () => {
      const { pairs } = await compile(
        patchOf('lib/kstrtox.h', '#define KSTRTOX_OVERFLOW', '#define KSTRTOX_OVERFLOW (1U << 30)'),
      );
      expect(pairs.map(({ path }) => path)).toEqual([
        ...['fs/proc/base.c', 'kernel/bpf/helpers.c', 'kernel/sysctl.c'],
        ...['lib/bitmap.c', 'lib/kstrtox.c', 'lib/vsprintf.c'],
      ]);
      expect(differing(pairs[4]!)).toContain('.text._parse_integer_limit');
    });

    it('takes another tree, and sees it when that is edited', async () => {
      const tree = join(scratch, 'edited');
      mkdirSync(tree);
      const file = 'fs/proc/cmdline.c';
      const original = readFileSync(join(source, file), 'latin1');
      await makePatchedTree(source, tree, new Map([[file, Buffer.from(original)]]), []);
      const own = async () => {
        const { pairs } = await compile(linePatch(tree, ...cmdline), { source: tree });
        return findSection(pairs[0]!.original, '.text.cmdline_proc_show')!.data;
      };
      const before = await own();
      writeFileSync(join(tree, file), original.replace("seq_putc(m, '\\n');", ''));
      expect((await own()).length).toBeLessThan(before.length);
      writeFileSync(join(tree, file), original);
      expect(await own()).toEqual(before);
    });

    it('asks before it compiles too much', async () => {
      const header = patchOf('mm/slab.h', 'int slab_unmergeable(struct kmem_cache *s);', '');
      expect(await reasonsOf(header, { mostIncluders: 3 })).toMatchObject([
        {
          code: 'too-many-files',
          place: 'mm/slab.h',
          message: expect.stringMatching(/up to \d+ files .*: mm\/[\w, /.-]+/),
          remedy: expect.stringMatching(/--most-files \d+/),
        },
      ]);
    });

    it('counts the files that include a header, and no other of its name', async () => {
      const header = patchOf('fs/proc/internal.h', 'return PROC_I(inode)->pid;', '\treturn PROC_I(inode)->pid + 0;');
      expect(await reasonsOf(header, { mostIncluders: 3 })).toMatchObject([
        { code: 'too-many-files', message: expect.stringMatching(/^up to 2\d files .*: fs\/proc\/[\w, /.-]+, …$/) },
      ]);
    });

    it('compiles nothing else for the sake of names that a header gets and no other file uses', async () => {
      const text = 'asmlinkage void schedule(void);';
      const macro = patchOf('include/linux/sched.h', text, `${text}\n#define PATCHED_PUTS(m) seq_puts(m, "patched")`);
      // Given as lines that are added, as diff writes it.
      const added = macro.replace(`-${text}\n+${text}\n`, ` ${text}\n`);
      expect(await reasonsOf(added)).toMatchObject([
        { code: 'nothing-to-patch', message: expect.stringMatching(/only adds PATCHED_PUTS to it/) },
      ]);
      const { pairs } = await compile(`${added}${patchOf(cmdline[0], cmdline[1], '\tPATCHED_PUTS(m);')}`);
      expect(pairs.map(({ path }) => path)).toEqual(['fs/proc/cmdline.c']);
      expect(differing(pairs[0]!)).toContain('.text.cmdline_proc_show');
    });

    it('soon stops counting what includes a header, where such a name is used', async () => {
      const text = 'asmlinkage void schedule(void);';
      const macro = patchOf('include/linux/sched.h', text, `${text}\n#define saved_command_line "patched"`);
      expect(await reasonsOf(macro.replace(`-${text}\n+${text}\n`, ` ${text}\n`))).toMatchObject([
        {
          code: 'too-many-files',
          message: expect.stringMatching(/^more than 100 files .* up to \d{5} in all, include it: /),
          remedy: expect.stringMatching(/--most-files \d{5}/),
        },
      ]);
    });

    it('says on which option a file hangs that is not compiled', async () => {
      const patch = patchOf(
        'mm/kasan/common.c',
        'void kasan_enable_current(void)',
        'void kasan_enable_current_too(void)',
      );
      expect(await reasonsOf(patch)).toMatchObject([
        { code: 'not-compiled', message: expect.stringMatching(/depends on CONFIG_KASAN, .*mm\/Makefile/) },
      ]);
    });
  }
});
