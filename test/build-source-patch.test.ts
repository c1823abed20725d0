// From a patch of the kernel's source to a running kernel that does what it says, and no more: the functions whose source has
// changed are replaced, and nothing else. With real files, for both kernels, and what cannot be done is refused with its code.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSourcePatch } from '../src/cli/build-source-patch.ts';
import { makePatchedTree } from '../src/compile/patched-tree.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import type { WantedWay } from '../src/link/choose-way.ts';
import { stockKernels } from './stock-kernels.ts';
import { editsAsPatch } from './support/source-patch.ts';
import {
  describeInGuest,
  type Edit,
  keptJumpLabel,
  newStaticLocal,
  otherFilesShow,
  reasonsAgainst,
  type SourcePatchCase,
  staticLocalGoesOn,
} from './support/source-patch-cases.ts';
import { suture, sutureJson } from './suture.ts';

const cmdline: Edit = ['fs/proc/cmdline.c', "seq_putc(m, '\\n');", '\tseq_puts(m, " patched\\n");'];

/** Each shows one thing more that a linker must get right. */
const cases: readonly SourcePatchCase[] = [
  {
    name: 'data that no table tells of',
    edits: [cmdline],
    replaced: ['fs/proc/cmdline.c: cmdline_proc_show'],
    show: 'cat /proc/cmdline',
    applied: 'grep -q " patched$" /proc/cmdline',
  },
  {
    name: 'a function whose name several have',
    edits: [['crypto/proc.c', '"name         : %s\\n"', '\tseq_printf(m, "patched      : %s\\n", alg->cra_name);']],
    replaced: ['crypto/proc.c: c_show'],
    show: 'grep -c "^name  " /proc/crypto',
    applied: '[ $(grep -c "^patched  " /proc/crypto) = "$before" ] && cat /proc/cpuinfo > /dev/null',
  },
  staticLocalGoesOn,
  otherFilesShow,
  newStaticLocal,
  keptJumpLabel,
  {
    name: 'two files of a module, and its data',
    edits: [
      ['drivers/block/zram/zcomp.c', '"%s ", backends[i]);', '\t\t\t\t\t"+%s ", backends[i]);'],
      [
        'drivers/block/zram/zram_drv.c',
        'sz = zcomp_available_show(zram->compressor, buf);',
        "\tbuf[0] = '-';\n\tsz = 1 + zcomp_available_show(zram->compressor, buf + 1);",
      ],
    ],
    replaced: [
      'drivers/block/zram/zcomp.c: zcomp_available_show',
      'drivers/block/zram/zram_drv.c: comp_algorithm_show',
    ],
    show: 'cat /sys/block/zram0/comp_algorithm',
    applied:
      '[ "$(tr -d + < /sys/block/zram0/comp_algorithm)" = "-$before" ] && grep -q " +" /sys/block/zram0/comp_algorithm',
  },
];

describe.each(stockKernels)('$name', ({ name, package: wanted, architecture: arch }) => {
  let kernel: LoadedKernel;
  let source: string;
  let scratch: string;

  const patchOf = (edits: readonly Edit[]) => editsAsPatch(source, edits);
  const build = (edits: readonly Edit[], module = 'lp', way: WantedWay = 'auto') =>
    buildSourcePatch(kernel, patchOf(edits), 'fix.patch', module, { way });
  const reasonsOf = (edits: readonly Edit[]) => reasonsAgainst(build(edits));

  beforeAll(async () => {
    await fetchKernel(wanted, { source: true });
    kernel = await loadKernel(name);
    source = kernel.stored.source!;
    scratch = mkdtempSync(join(tmpdir(), 'suture-source-patch-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  describeInGuest(cases, () => kernel, ['zram']);

  it('makes the same of the same, wherever it works', async () => {
    const patch = join(scratch, 'fix.patch');
    writeFileSync(patch, patchOf(cases[0]!.edits), 'latin1');
    const bytes = [];
    for (const folder of ['one', 'another/below']) {
      const [temporary, output] = ['tmp', 'out'].map((each) => join(scratch, folder, each));
      for (const each of [temporary!, output!]) mkdirSync(each, { recursive: true });
      const { status } = await suture(['build', '--kernel', name, '-n', 'lp', '-o', output!, patch], {
        TMPDIR: temporary!,
      });
      expect(status).toBe(0);
      bytes.push(readFileSync(join(output!, 'lp.ko')));
      expect(readdirSync(temporary!)).toEqual([]);
    }
    expect(bytes[0]!.equals(bytes[1]!)).toBe(true);
  });

  it('does nothing about lines that only moved', async () => {
    const moved: Edit = [
      'fs/seq_file.c',
      'static struct kmem_cache *seq_file_cache',
      '\nstatic struct kmem_cache *seq_file_cache __ro_after_init;',
    ];
    expect(await reasonsOf([moved])).toMatchObject([{ code: 'nothing-to-patch', place: 'fix.patch' }]);
  });

  it('refuses changed data, and leaves no output', async () => {
    const patch = join(scratch, 'data.patch');
    const output = join(scratch, 'data.ko');
    writeFileSync(patch, patchOf([['drivers/block/zram/zcomp.c', '"lzo-rle",', '\t"lzo-rly",']]), 'latin1');
    const { exit, status, reasons } = await sutureJson(['build', '--kernel', name, '-o', output, patch]);
    expect({ exit, status, code: reasons[0].code }).toEqual({ exit: 2, status: 'refused', code: 'data-changed' });
    // What a source patch cannot do, and how it can be done.
    expect(reasons[0].remedy).toMatch(/shadow variable.*callback.*`suture adapt`/);
    expect(readdirSync(scratch)).not.toContain('data.ko');
  });

  it('refuses what is exported to others than before', async () => {
    const gpl: Edit = ['fs/seq_file.c', 'EXPORT_SYMBOL(seq_puts);', 'EXPORT_SYMBOL_GPL(seq_puts);'];
    expect(await reasonsOf([gpl])).toMatchObject([
      { code: 'export-changed', message: expect.stringMatching(/moved from ___ksymtab\+seq_puts to ___ksymtab_gpl/) },
    ]);
  });

  it('says once which events are lost while the patch is applied', async () => {
    const rseq: Edit = [
      'kernel/rseq.c',
      'u32 cpu_id = raw_smp_processor_id();',
      '\tu32 cpu_id = raw_smp_processor_id() + 1;',
    ];
    const { remarks } = await build([rseq]);
    const events = remarks.map(
      (remark) =>
        /no longer reaches the tracepoint (\w+), whose key is not exported: .* such events are lost$/.exec(remark)?.[1],
    );
    expect(events.sort()).toEqual(['rseq_ip_fixup', 'rseq_update']);
  });

  it('says which new function it leaves out, because nothing that changed uses it', async () => {
    const unused: Edit = [
      'fs/proc/cmdline.c',
      '#include <linux/init.h>',
      '#include <linux/init.h>\nint nobody_calls(int x);\nint nobody_calls(int x)\n{\n\treturn x * 3;\n}',
    ];
    const { remarks } = await build([unused, cmdline]);
    const left = 'nobody_calls is new, and nothing that has changed uses it: the patch does not bring it';
    expect(remarks).toEqual([`fs/proc/cmdline.c: ${left}`]);
    expect(await reasonsOf([unused])).toMatchObject([
      { code: 'nothing-to-patch', message: expect.stringContaining(left) },
    ]);
  });

  it('says of a function without a call site that its whole file is built so, and what takes it all the same', async () => {
    const glob: Edit = ['lib/glob.c', "case '?':", "\t\tcase '!':"];
    expect(await reasonsOf([glob])).toMatchObject([
      {
        code: 'no-call-site',
        place: 'glob_match',
        message: expect.stringMatching(/: all of lib\/glob\.c is compiled without -pg.*Makefile/),
        remedy: expect.stringContaining('--way entry'),
      },
    ]);
    const { files, remarks } = await build([glob], 'lp', 'entry');
    expect({ files, remarks }).toMatchObject({ files: [{ replaced: ['glob_match'] }], remarks: [] });
  });

  it('says which files are not the kernel\u2019s own, where that may be why the build differs', async () => {
    const tree = join(scratch, 'edited');
    mkdirSync(tree);
    const file = 'fs/proc/cmdline.c';
    const edited = readFileSync(join(source, file), 'latin1').replace("seq_putc(m, '\\n');", "seq_putc(m, ' ');");
    await makePatchedTree(source, tree, new Map([[file, Buffer.from(edited)]]), []);
    const patch = editsAsPatch(tree, [[file, 'seq_puts(m, saved_command_line);', '\tseq_puts(m, "patched");']]);
    await expect(buildSourcePatch(kernel, patch, 'fix.patch', 'lp', { source: tree })).rejects.toMatchObject({
      reasons: [
        {
          code: 'build-differs',
          message: expect.stringMatching(/as it came with the kernel: fs\/proc\/cmdline\.c$/),
          remedy: expect.stringMatching(/^undo what has been changed/),
        },
      ],
    });
  });

  it('says that a source folder is not there', async () => {
    const gone = join(scratch, 'gone');
    await expect(
      buildSourcePatch(kernel, patchOf([cmdline]), 'fix.patch', 'lp', { source: gone }),
    ).rejects.toMatchObject({
      reasons: [{ code: 'file-missing', place: gone }],
    });
  });

  it('replaces what the kernel may have a changed function inlined in, too', async () => {
    const busn: Edit = ['drivers/pci/probe.c', 'if (res->start > bus_max)', '\tif (res->start >= bus_max)'];
    const { files, remarks } = await build([busn]);
    // gcc for ppc64le makes fewer calls of it there than where each function has a section of its own.
    const inlined = arch === 'ppc64le' ? ['pci_scan_bridge_extend'] : [];
    expect([...files[0]!.replaced].sort()).toEqual(['pci_bus_update_busn_res_end', ...inlined]);
    expect(remarks).toEqual(inlined.map((each) => expect.stringMatching(`${each} is replaced too`)));
  });

  it('says of a function that there is none, and calls it no data', async () => {
    const call: Edit = [
      'fs/proc/cmdline.c',
      'seq_puts(m, saved_command_line);',
      '\t{ extern int no_such_thing(int); m->count += no_such_thing(1); }',
    ];
    expect(await reasonsOf([call])).toMatchObject([
      { code: 'name-missing', place: 'no_such_thing', message: expect.stringMatching(/no function of this name/) },
    ]);
  });

  it('refuses a structure that lies otherwise than what the kernel has allocated', async () => {
    const grown: Edit = ['fs/eventfd.c', '	unsigned int flags;', '	unsigned int flags;\n\tunsigned int more;'];
    expect(await reasonsOf([grown])).toMatchObject([
      { code: 'type-changed', place: 'fs/eventfd.c: struct eventfd_ctx', remedy: expect.stringMatching(/shadow/) },
    ]);
  });

  it('tells once of a structure that many files use', async () => {
    const member: Edit = [
      'drivers/block/zram/zcomp.h',
      'struct hlist_node node;',
      '\tstruct hlist_node node;\n\tint more;',
    ];
    expect(await reasonsOf([member])).toMatchObject([
      {
        code: 'type-changed',
        place: 'drivers/block/zram/zcomp.c: struct zcomp',
        message: expect.stringMatching(/; it is used in drivers\/block\/zram\/zram_drv\.c too$/),
      },
    ]);
  });

  it('names files, functions and what is bound where, with --json', async () => {
    const patch = join(scratch, 'json.patch');
    writeFileSync(patch, patchOf([cmdline]), 'latin1');
    const { result } = await sutureJson(['build', '--kernel', name, '-o', join(scratch, 'json.ko'), patch]);
    expect(result).toMatchObject({
      name: 'livepatch_json',
      proven: true,
      files: [{ path: 'fs/proc/cmdline.c', module: '', replaced: ['cmdline_proc_show'], alongside: [] }],
      bound: [{ name: 'saved_command_line', kind: 'data' }],
      redirects: [{ oldName: 'cmdline_proc_show', newName: 'cmdline_proc_show' }],
    });
  });

  it('replaces what a changed header is in', async () => {
    const { files } = await build([['fs/proc/fd.h', 'return PROC_I(inode)->fd;', '\treturn PROC_I(inode)->fd ^ 1;']]);
    const changed = files.filter(({ replaced }) => replaced.length > 0);
    expect(changed.map(({ path, replaced }) => [path, [...replaced].sort()])).toEqual([
      ['fs/proc/fd.c', ['proc_fd_link', 'seq_show', 'tid_fd_revalidate']],
    ]);
  });
});
