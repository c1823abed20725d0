// Most kernels leave most of the source out. Somebody whose fix is for such a part wants to know which option it hangs on.

import { describe, expect, it } from 'vitest';
import { whyNotCompiled } from './why-not-compiled.ts';

const tree: Record<string, string> = {
  'fs/Makefile': 'obj-y += open.o\nobj-$(CONFIG_EXT4_FS)\t+= ext4/\nobj-$(CONFIG_ROMFS_FS) += romfs/\n',
  'fs/ext4/Makefile':
    'obj-$(CONFIG_EXT4_FS) += ext4.o\next4-y := super.o \\\n\t\tinode.o\next4-$(CONFIG_EXT4_ACL) += acl.o\n',
  'fs/romfs/Makefile': 'obj-y += romfs.o\nromfs-y := storage.o\n',
  'arch/arm/Kbuild': 'obj-y += kernel/ vdso/\n',
  'arch/arm/vdso/Makefile': 'obj-vdso := vgettimeofday.o\nobj-y += vdso.o\n',
  'lib/Makefile': 'ifdef CONFIG_OTHER\nobj-y += other.o\nendif\nhostprogs := gen_table\n',
};
const set = new Set(['CONFIG_EXT4_FS']);
const why = (path: string) =>
  whyNotCompiled(
    path,
    (file) => tree[file],
    (symbol) => set.has(symbol),
    'arm',
  );

describe('a file that is not compiled', () => {
  it.each([
    ['fs/ext4/acl.c', /CONFIG_EXT4_ACL.*fs\/ext4\/Makefile/],
    ['fs/romfs/storage.c', /CONFIG_ROMFS_FS.*fs\/Makefile/],
    ['arch/x86/kernel/cpu.c', /another architecture \(x86\)/],
    ['lib/other.c', /lib\/Makefile leaves it out/],
    ['arch/arm/boot/dts/zynq.dts', /loads the kernel/],
  ])('%s', (path, message) => expect(why(path)).toMatch(message));
});

describe('a file of which no Makefile says that it is left out', () => {
  // A program for the build's own machine, a part of the vDSO, a grammar that C is generated from.
  it.each(['lib/gen_table.c', 'arch/arm/vdso/vgettimeofday.c', 'fs/ext4/grammar.asn1', 'fs/ext4/nothing.c'])(
    '%s is not explained',
    (path) => expect(why(path)).toBeUndefined(),
  );
});
