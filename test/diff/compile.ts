// Compiles a C file twice, as it is and with -DFIXED, in the way in which the kernel compiles modules.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture } from '../../src/arch/arch.ts';
import { architectureByName } from '../../src/arch/architectures.ts';
import type { NamedObject } from '../../src/diff/diff.ts';
import { readElf } from '../../src/elf/elf.ts';
import { readInput } from '../../src/host/files.ts';
import { run } from '../../src/host/run.ts';
import { withTemporaryFolder } from '../../src/host/temporary.ts';

/** `thumb` is ARM in Thumb-2 code. */
export type Machine = 'arm' | 'thumb' | 'ppc64le';

export const machines: readonly Machine[] = ['arm', 'thumb', 'ppc64le'];

export const archOf = (machine: Machine): Architecture =>
  machine === 'thumb' ? architectureByName('arm').otherSet! : architectureByName(machine);

/** What matters of the kernel's flags (arch/arm/Makefile, arch/powerpc/Makefile and Makefile of Linux 6.1). */
const common =
  '-std=gnu11 -O2 -w -ffreestanding -fno-strict-aliasing -fno-common -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -pg -c';
const ofArm = '-mabi=aapcs-linux -mfpu=vfp -march=armv7-a -msoft-float -funwind-tables -fno-ipa-sra';
const flags: Readonly<Record<Machine, string>> = {
  arm: `${ofArm} -marm`,
  // Of assembly that is in no function the assembler must be told too.
  thumb: `${ofArm} -mthumb -Wa,-mthumb`,
  ppc64le:
    '-mabi=elfv2 -mcmodel=large -mcpu=power8 -mno-altivec -mno-vsx -msoft-float -mprofile-kernel -mno-save-toc-indirect -mtraceback=no',
};
/** What Suture adds so that changes stay where they are. */
export const apart = ['-ffunction-sections', '-fdata-sections', '-fno-section-anchors'];
const noJumps = '-fno-optimize-sibling-calls';

/** Words of the kernel's tables, which differ between the architectures. */
const wordsOfArm = {
  BUG_WORDS: '".long 1b, 0"',
  REWRITTEN: '"1: nop\\n.pushsection .alt.smp.init,\\"a\\"\\n.long 1b - .\\nnop\\n.popsection"',
  EX_WORDS: '".long 1b, 3b"',
  JUMP_LABEL: '"1: nop\\n.pushsection __jump_table,\\"aw\\"\\n.long 1b, %l[yes], %c0\\n.popsection"',
};
const words: Readonly<Record<Machine, Readonly<Record<string, string>>>> = {
  arm: wordsOfArm,
  // An instruction that the kernel rewrites has four bytes (W() in arch/arm/include/asm/unified.h, Linux 6.1).
  thumb: Object.fromEntries(Object.entries(wordsOfArm).map(([name, text]) => [name, text.replaceAll('nop', 'nop.w')])),
  ppc64le: {
    BUG_WORDS: '".long 1b - 2b, 0"',
    REWRITTEN:
      '"1: nop\\n2:\\n.pushsection __ftr_alt,\\"ax\\"\\n3: isync\\n4:\\n.popsection\\n.pushsection __ftr_fixup,\\"a\\"\\n5: .8byte 1, 1, 1b - 5b, 2b - 5b, 3b - 5b, 4b - 5b\\n.popsection"',
    EX_WORDS: '".long 1b - ., 3b - ."',
    JUMP_LABEL:
      '"1: nop\\n.pushsection __jump_table,\\"aw\\"\\n.long 1b - ., %l[yes] - .\\n.8byte %c0 - .\\n.popsection"',
  },
};

const prelude = `
#define noinline __attribute__((noinline))
#define notrace __attribute__((no_instrument_function))
#ifdef FIXED
#define FIX(...) __VA_ARGS__
#define FIXELSE(yes, ...) yes
#define UNLESS_FIXED(...)
#else
#define FIX(...)
#define FIXELSE(yes, ...) __VA_ARGS__
#define UNLESS_FIXED(...) __VA_ARGS__
#endif
extern int other(), another();
#define DEBUG_DEFINITIONS struct debug { const char *module, *function, *file, *format; unsigned line : 18, class : 6, flags : 8; long key[2]; }; extern void __dynamic_pr_debug();
#define pr_debug(l, f) __pr_debug(__COUNTER__, l, f)
#define __pr_debug(n, l, f) ___pr_debug(n, l, f)
#define ___pr_debug(n, l, f) ({ static struct debug __attribute__((section("__dyndbg"), aligned(8))) __UNIQUE_ID_ddebug##n = { "m", __func__, "file.c", f, l, 63, 0 }; __dynamic_pr_debug(&__UNIQUE_ID_ddebug##n, f); })
`;

/** The two objects of a C file. `options` are further ones of the compiler's. */
export async function compilePair(
  machine: Machine,
  source: string,
  options: readonly string[] = apart,
): Promise<[original: NamedObject, patched: NamedObject]> {
  const { prefix } = archOf(machine).platform.cross;
  const definitions = Object.entries(words[machine]).map(([name, text]) => `#define ${name} ${text}`);
  return withTemporaryFolder(async (folder) => {
    await writeFile(join(folder, 'file.c'), [...definitions, prelude, source].join('\n'));
    const compile = async (name: string, more: readonly string[]): Promise<NamedObject> => {
      const all = [...common.split(' '), ...flags[machine].split(' '), noJumps, ...options, ...more];
      await run(`${prefix}gcc`, [...all, 'file.c', '-o', name], { cwd: folder });
      return { name, model: readElf(await readInput(join(folder, name)), name) };
    };
    return [await compile('before.o', []), await compile('after.o', ['-DFIXED'])];
  });
}
