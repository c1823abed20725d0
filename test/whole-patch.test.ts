// A patch is carried out whole or not at all: no file of it may drop out because Kbuild names it from another folder, because a
// header is included on a way of its own, or because something else than an object is made of it.

import { beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { compilePairs } from '../src/compile/pairs.ts';
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
  beforeAll(async () => {
    kernel = await fetchKernel(wanted, { source: true });
    source = kernel.source!;
  });

  const compile = (patch: string) => compilePairs(kernel, arch, patch, 'fix.patch');
  const pathsOf = async (patch: string) => (await compile(patch)).pairs.map(({ path }) => path);
  const reasonsOf = async (patch: string) => {
    const error = await compile(patch).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ReasonError)) throw error ?? new Error('nothing was refused');
    return error.reasons;
  };
  const patchOf = (path: string, from: string, to: string) => linePatch(source, path, from, to);

  it('compiles a file that the Makefile of a folder above names', async () => {
    const { pairs } = await compile(
      patchOf('fs/xfs/libxfs/xfs_da_btree.c', 'hash = (name[0] << 21)', '\t\thash = (name[0] << 20) ^'),
    );
    expect(pairs).toMatchObject([{ path: 'fs/xfs/libxfs/xfs_da_btree.c', module: 'xfs' }]);
  });

  it('compiles a file anew that is also part of another one', async () => {
    const patch = patchOf('lib/lzo/lzo1x_compress.c', 'ip += 1 + ((ip - ii) >> 5);', '\t\tip += 1 + ((ip - ii) >> 6);');
    expect(await pathsOf(patch)).toEqual(['lib/lzo/lzo1x_compress.c', 'lib/lzo/lzo1x_compress_safe.c']);
  });

  it.each([
    ['a part of the vDSO', 'lib/vdso/gettimeofday.c', '#include <vdso/helpers.h>'],
    ['a grammar that code is generated from', 'crypto/asymmetric_keys/x509.asn1', 'x509_note_serial'],
    ['a program that generates code', 'lib/gen_crc32table.c', '#define ENTRIES_PER_LINE 4'],
    ['a file from beside the kernel', 'tools/lib/bpf/relo_core.c', 'if (strcmp(spec_str, "0"))'],
  ])('refuses %s beside another change', async (_, path, line) => {
    expect(await reasonsOf(patchOf(path, line, '') + patchOf(...cmdline))).toMatchObject([
      { code: 'made-otherwise', place: path },
    ]);
  });

  // Reading every #include of the tree takes seconds, and is the same for every kernel.
  if (architecture === 'arm') {
    it('compiles what includes a changed header as one of a folder above', async () => {
      const line = '#include <net/netns/generic.h>';
      const patch = patchOf('net/sunrpc/netns.h', line, `${line}\n#define PATCHED`);
      expect(await pathsOf(patch)).toContain('net/sunrpc/auth_gss/auth_gss.c');
    });

    it('compiles what will find a new header in the place of another', async () => {
      const header = '+#include <asm-generic/serial.h>\n';
      const patch = `--- /dev/null\n+++ b/arch/arm/include/asm/serial.h\n@@ -0,0 +1 @@\n${header}`;
      expect(await pathsOf(patch + patchOf(...cmdline))).toContain('drivers/tty/serial/earlycon.c');
    });

    it('compiles what a header from beside the kernel changes', async () => {
      const patch = patchOf(
        'tools/lib/bpf/relo_core.h',
        '#define BPF_CORE_SPEC_MAX_LEN 64',
        '#define BPF_CORE_SPEC_MAX_LEN 32',
      );
      expect(await pathsOf(patch)).toContain('kernel/bpf/btf.c');
    });
  }
});
