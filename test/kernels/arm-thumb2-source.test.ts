// Patches of source on a kernel in Thumb-2 code: objects compiled here are what was shipped, halfword by halfword, and what a
// patch changes goes to a guest and back, whatever kind of reference its code and tables have.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildSourcePatch } from '../../src/cli/build-source-patch.ts';
import { originalObjects } from '../../src/compile/original-objects.ts';
import { diffObjects } from '../../src/diff/diff.ts';
import { findSymbol, isSection, readElf } from '../../src/elf/elf.ts';
import type { ElfModel } from '../../src/elf/model.ts';
import { type LoadedKernel, loadKernel, moduleFiles } from '../../src/host/read-kernel.ts';
import { namedPlaces } from '../../src/kernel/image.ts';
import { checkFidelity, countFunctions } from '../../src/match/fidelity.ts';
import { matchObject } from '../../src/match/match.ts';
import { matchModule } from '../../src/match/match-module.ts';
import { editsAsPatch } from '../support/source-patch.ts';
import {
  describeInGuest,
  type Edit,
  keptJumpLabel,
  newStaticLocal,
  otherFilesShow,
  reasonsAgainst,
  type SourcePatchCase,
  staticLocalGoesOn,
} from '../support/source-patch-cases.ts';
import { describeKernel } from './wanted-kernels.ts';

const kobject = 'samples/kobject/kobject-example.c';
const cases: readonly SourcePatchCase[] = [
  {
    name: 'a plain change, and data that no table tells of',
    edits: [['fs/proc/cmdline.c', "seq_putc(m, '\\n');", '\tseq_puts(m, " patched\\n");']],
    replaced: ['fs/proc/cmdline.c: cmdline_proc_show'],
    show: 'cat /proc/cmdline',
    applied: 'grep -q " patched$" /proc/cmdline',
  },
  {
    name: 'a static function that is inlined',
    edits: [['fs/proc/array.c', 'seq_puts(m, "State:\\t");', '\tseq_puts(m, "state:\\t");']],
    replaced: ['fs/proc/array.c: proc_pid_status'],
    show: 'grep -c "^State:.R" /proc/self/status',
    applied: '[ "$(grep -c "^state:.R" /proc/self/status)" = "$before" ] && ! grep -q ^State /proc/self/status',
  },
  {
    name: 'a header',
    edits: [['fs/proc/fd.h', 'return PROC_I(inode)->fd;', '\treturn PROC_I(inode)->fd ^ 1;']],
    replaced: ['proc_fd_link', 'seq_show', 'tid_fd_revalidate'].map((each) => `fs/proc/fd.c: ${each}`),
    show: 'readlink /proc/self/fd/0 < /dev/zero 2> /dev/null 1> /tmp/fd; cat /tmp/fd',
    applied: 'readlink /proc/self/fd/1 < /dev/zero > /tmp/fd && grep -q "^/dev/zero$" /tmp/fd',
  },
  newStaticLocal,
  staticLocalGoesOn,
  otherFilesShow,
  {
    // Nothing else in the guest may say what the kernel does not say without a patch.
    name: 'a function that ends within a word, before one at no multiple of 4',
    edits: [['drivers/base/core.c', '"%s %s: %pV"', '\t\tdev_printk_emit(level[1] - \'0\', dev, "%s: %s: %pV",']],
    replaced: ['drivers/base/core.c: __dev_printk'],
    show: 'cat /proc/version',
    applied: 'grep -q 1 /sys/kernel/livepatch/lp_*/enabled',
  },
  {
    name: 'a table of branches within the code',
    edits: [
      [
        'lib/vsprintf.c',
        'return uuid_string(buf, end, ptr, spec, fmt);',
        '\t\treturn uuid_string(buf, end, ptr, spec, "UB");',
      ],
    ],
    replaced: ['lib/vsprintf.c: pointer'],
    // With a constant for its argument gcc makes a copy.
    alongside: ['uuid_string.constprop.0'],
    show: 'cat /proc/sys/kernel/random/boot_id',
    applied: '[ $(cat /proc/sys/kernel/random/boot_id) = $(echo $before | tr a-f A-F) ]',
  },
  {
    name: 'an instruction that may fault, and code that mends that',
    edits: [
      [
        'fs/namei.c',
        'hash_len = hash_name(nd->path.dentry, name);',
        "\t\tif (name[0] == '~')\n\t\t\treturn -ENOENT;\n\t\thash_len = hash_name(nd->path.dentry, name);",
      ],
    ],
    replaced: ['fs/namei.c: link_path_walk.part.0.constprop.0'],
    show: 'mkdir -p /tmp/~x; cat /proc/cmdline > /tmp/~x/f; cat /tmp/~x/f',
    applied: '! cat /tmp/~x/f 2> /dev/null && cat /proc/self/cmdline > /dev/null',
  },
  keptJumpLabel,
  {
    name: 'a function of a module, and data of it',
    edits: [
      [
        'crypto/proc.c',
        '#include <linux/seq_file.h>',
        '#include <linux/seq_file.h>\nstatic const struct seq_operations crypto_seq_ops;',
      ],
      [
        'crypto/proc.c',
        '"name         : %s\\n"',
        '\tseq_printf(m, "patched %d    : %s\\n", m->op == &crypto_seq_ops, alg->cra_name);',
      ],
    ],
    replaced: ['crypto/proc.c: c_show'],
    show: 'grep -c "^name  " /proc/crypto',
    applied: '[ "$before" -gt 0 ] && [ $(grep -c "^patched 1 " /proc/crypto) = "$before" ]',
  },
];

await describeKernel('arm-thumb2', () => {
  let kernel: LoadedKernel;
  let source: string;
  const build = (edits: readonly Edit[], module = 'lp') =>
    buildSourcePatch(kernel, editsAsPatch(source, edits), 'fix.patch', module, {});
  const reasonsOf = (edits: readonly Edit[]) => reasonsAgainst(build(edits));
  const compiled = async (paths: readonly string[]) =>
    originalObjects(kernel.stored, kernel.arch.platform, source, paths, () => {});

  beforeAll(async () => {
    kernel = await loadKernel('arm-thumb2');
    source = kernel.stored.source!;
  });

  describe('compiled here', () => {
    const files = ['fs/proc/cmdline.c', 'fs/seq_file.c', 'mm/util.c', 'kernel/sys.c', 'fs/readdir.c', 'lib/vsprintf.c'];
    let objects: { path: string; model: ElfModel; sectioned: ElfModel }[];
    beforeAll(async () => {
      objects = (await compiled(files)).map(({ path, plain, sectioned }) => {
        return { path, model: readElf(plain, path), sectioned: readElf(sectioned, path) };
      });
    });

    it('has every function just as it was shipped, and shows addresses that its vmlinux confirms', async () => {
      const { arch, image, stored } = kernel;
      const vmlinux = stored.image.replace('vmlinuz', 'vmlinux');
      const truth = new Map<string, bigint[]>();
      for (const { name, value } of namedPlaces(
        readElf(new Uint8Array(await readFile(vmlinux)), vmlinux).symbols,
        arch,
      ))
        truth.set(name, [...(truth.get(name) ?? []), value]);
      const seen = { same: 0, confirmed: 0 };
      const contradicted: string[] = [];
      for (const { path, model } of objects) {
        const match = matchObject(model, image, arch);
        expect(match.regions.filter(({ verdict, isFunction }) => isFunction && verdict !== 'same')).toEqual([]);
        expect(match.data).toEqual([]);
        checkFidelity(match, path, image.banner);
        seen.same += countFunctions(match).same;
        for (const symbol of model.symbols) {
          const [address, there] = [match.addressOf(symbol), truth.get(symbol.name)];
          if (address === undefined || !there || symbol.name === '' || arch.objectCode.isMarker(symbol.name)) continue;
          if (there.includes(address)) seen.confirmed++;
          else contradicted.push(`${path}: ${symbol.name} ${address.toString(16)}`);
        }
      }
      console.log(`arm-thumb2: ${JSON.stringify(seen)}`);
      expect(contradicted).toEqual([]);
      expect(seen.same).toBeGreaterThan(200);
      expect(seen.confirmed).toBeGreaterThan(500);
    });

    it('is not what any changed halfword of code is in, and the place is named', () => {
      const { model } = objects[1]!;
      const symbol = findSymbol(model, 'seq_open')!;
      if (!isSection(symbol.place)) throw new Error('seq_open is not defined');
      const { place } = symbol;
      const shipped = place.data;
      const start = Number(symbol.value & ~1n);
      const unseen: number[] = [];
      for (let offset = 0; offset < Number(symbol.size); offset += 2) {
        place.data = Uint8Array.from(shipped);
        place.data[start + offset]! ^= 1;
        const different = matchObject(model, kernel.image, kernel.arch).regions.filter(
          (each) => each.verdict !== 'same',
        );
        if (!different.some(({ name, difference }) => name === 'seq_open' && difference!.offset <= offset))
          unseen.push(offset);
      }
      place.data = shipped;
      // An addend of REL is in the place itself: with another one something else is meant, which shows elsewhere or is refused.
      const relocated = new Set(place.relocations.flatMap((each) => [each.offset - start, each.offset + 2 - start]));
      expect(unseen.filter((offset) => !relocated.has(offset))).toEqual([]);
    });

    it('differs in nothing from itself', () => {
      for (const { path, sectioned } of objects) {
        const twice = diffObjects({ name: path, model: sectioned }, { name: path, model: sectioned });
        expect([twice.changed, twice.reasons]).toEqual([[], []]);
      }
    });

    it('has a module that is what is compiled here, and a changed one is told', async () => {
      const [object] = await compiled([kobject]);
      const file = (await moduleFiles(kernel.stored)).find((each) => each.endsWith('/kobject-example.ko'))!;
      const [own, shipped] = [
        readElf(object!.plain, object!.path),
        readElf(new Uint8Array(await readFile(join(kernel.stored.modules, file))), file),
      ];
      expect(matchModule(own, shipped, kernel.arch).regions.filter(({ verdict }) => verdict !== 'same')).toEqual([]);
      const show = findSymbol(shipped, 'b_show')!;
      if (!isSection(show.place)) throw new Error('b_show is not defined');
      show.place.data = Uint8Array.from(show.place.data);
      const last = Number(show.value & ~1n) + Number(show.size) - 2;
      show.place.data[last]! ^= 0x20;
      expect(matchModule(own, shipped, kernel.arch).regions.filter(({ verdict }) => verdict !== 'same')).toMatchObject([
        { name: 'b_show', verdict: 'different', difference: { offset: Number(show.size) - 2 } },
      ]);
    });
  });

  describeInGuest(cases, () => kernel, ['md5']);

  describe('refuses', () => {
    it('a function whose first four bytes have a part of its call of mcount', async () => {
      const leaf: Edit = [
        'fs/seq_file.c',
        'return *pos ? NULL : SEQ_START_TOKEN;',
        '\treturn *pos > 1 ? NULL : SEQ_START_TOKEN;',
      ];
      expect(await reasonsOf([leaf])).toMatchObject([
        { code: 'entry-rewritten', place: expect.stringMatching('single_start') },
      ]);
    });

    it('changed data', async () => {
      const grown: Edit = ['fs/eventfd.c', '	unsigned int flags;', '	unsigned int flags;\n\tunsigned int more;'];
      expect(await reasonsOf([grown])).toMatchObject([
        { code: 'type-changed', place: 'fs/eventfd.c: struct eventfd_ctx' },
      ]);
    });
  });
});
