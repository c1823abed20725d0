// Hooks and stubs that people have posted or might write, each with the verdict that docs/proof.md explains: what is right is
// proven, and what is wrong is refuted by what it breaks.

import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assembleRedirect } from '../src/compile/assemble-redirect.ts';
import { STT_FUNC } from '../src/elf/constants.ts';
import { isSection, readElf } from '../src/elf/elf.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { wordsOf } from '../src/kernel/old-function.ts';
import { tracedFunctions } from '../src/link/link-whole-kernel.ts';
import { type OwnRedirect, readOwnRedirect } from '../src/prove/own-redirect.ts';
import { symbolsOfHook } from '../src/prove/prove-kernel.ts';
import { proveOwnRedirect } from '../src/prove/prove-own.ts';
import type { Verdict } from '../src/prove/redirect.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';
import { sutureJson } from './suture.ts';

const example = (name: string): string => fileURLToPath(new URL(`../examples/redirects/${name}`, import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-redirects-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `proven`, the obligations that are broken, or the reasons why it is not known. */
function told(verdict: Verdict): string[] {
  if (verdict.verdict === 'proven') return ['proven'];
  if (verdict.verdict === 'unknown') return [...verdict.reasons];
  return [...new Set(verdict.failures.map(({ obligation }) => obligation))].sort();
}

/** What can be asked of a kernel. */
class Bench {
  readonly kernel: LoadedKernel;

  constructor(kernel: LoadedKernel) {
    this.kernel = kernel;
  }

  async read(file: string): Promise<OwnRedirect> {
    const { object, linked } = await assembleRedirect(
      file,
      this.kernel.stored,
      this.kernel.image,
      symbolsOfHook(this.kernel),
    );
    return readOwnRedirect(object, linked, this.kernel.arch, basename(file));
  }

  /** An example with some of its lines changed; what is to be changed must be there. */
  async changed(name: string, changes: readonly (readonly [from: string, to: string])[]): Promise<OwnRedirect> {
    let text = await readFile(example(name), 'utf8');
    for (const [from, to] of changes) {
      expect(text).toContain(from);
      text = text.replace(from, to);
    }
    const file = join(folder, `changed-${name}`);
    await writeFile(file, text);
    return this.read(file);
  }

  /** The verdict on a file's own call site, or on another one. */
  judge(own: OwnRedirect, callSite = own.callSite): string[] {
    const [proof, ...more] = proveOwnRedirect(this.kernel, { ...own, callSite }, []);
    expect(more).toEqual([]);
    return told(proof!.verdict);
  }

  /** How many functions of the kernel have each verdict. */
  count(own: OwnRedirect): Record<string, number> {
    const counts = { proven: 0, refuted: 0, unknown: 0 };
    for (const { functions, verdict } of proveOwnRedirect(this.kernel, own, tracedFunctions(this.kernel)))
      counts[verdict.verdict] += functions.length;
    return counts;
  }
}

describe('On ARM', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = new Bench(await loadKernel(stockKernels[0].name));
  });

  describe('the hook of 2016', () => {
    /** The prologues of functions with frame pointers, by the functions' names. */
    let prologues: Map<string, Uint32Array>;

    beforeAll(async () => {
      const source = join(folder, 'frame-pointers.c');
      const object = join(folder, 'frame-pointers.o');
      await writeFile(
        source,
        `extern int use(void *, ...);
         int leaf(void) { return 1; }
         int locals(int a, int b) { return use(&a, b); }
         int saves(int *a, int *b, int n) { int r = 0; while (n--) r += use(a, b, n, r) * a[n] + b[n]; return r; }
         int stack_arguments(int a, int b, int c, int d, int e, int f) { int x[20]; return use(x, b, c, d, e, f) + x[3] + a; }
         int large(void) { char x[4000]; return use(x); }
         int varargs(const char *f, ...) { __builtin_va_list l; __builtin_va_start(l, f); return use(&l) + *f; }`,
      );
      const flags = ['-O2', '-marm', '-mapcs-frame', '-pg', '-mfloat-abi=soft', '-fno-pic'];
      const gcc = `${bench.kernel.stored.crossPrefix}gcc`;
      await promisify(execFile)(gcc, ['-c', ...flags, '-o', object, source]);
      const { symbols } = readElf(new Uint8Array(await readFile(object)), object);
      prologues = new Map(
        symbols.flatMap(({ name, type, value, place }): [string, Uint32Array][] => {
          if (type !== STT_FUNC || !isSection(place)) return [];
          const start = Number(value);
          const site = place.relocations.find(
            ({ offset, symbol }) => offset > start && symbol?.name.includes('mcount'),
          )!;
          return [[name, wordsOf(place.data.subarray(start, site.offset + 4))]];
        }),
      );
    });

    test('is proven on the prologues that it is for', async () => {
      const own = await bench.read(example('arm-2016.S'));
      const verdicts = [...prologues].map(([name, prologue]) => [name, bench.judge(own, prologue)]);
      expect(Object.fromEntries(verdicts)).toMatchObject({
        leaf: ['proven'],
        locals: ['proven'],
        saves: ['proven'],
        stack_arguments: ['proven'],
        large: ['proven'],
      });
    });

    test('is refuted on one that it overlooks: a function with variable arguments pushes r0 to r3 first', async () => {
      const own = await bench.read(example('arm-2016.S'));
      expect(bench.judge(own, prologues.get('varargs'))).toEqual(
        expect.arrayContaining(['callee-saved', 'return-address']),
      );
    });

    test('cannot be proven on a kernel without frame pointers: nobody knows what ip holds', async () => {
      const own = await bench.read(example('arm-2016.S'));
      expect(bench.count(own)).toEqual({ proven: 0, refuted: 0, unknown: 39_698 });
    });

    test('does not survive the loss of one of its steps', async () => {
      const judge = async (...change: [from: string, to: string]): Promise<string[]> =>
        bench.judge(await bench.changed('arm-2016.S', [change]), prologues.get('saves'));
      expect(await judge('sub	sp, r12, #16', 'sub	sp, r12, #12')).not.toEqual(['proven']);
      // It jumps into the old function's prologue, and so comes by once more.
      expect(await judge('str	r11, [sp, #12]', 'nop')).toEqual(['handler-call', 'way']);
      expect(await judge('ldmia	sp!, {r0-r12}', 'ldmia	sp!, {r1-r12}\n	add sp, sp, #4')).not.toEqual(['proven']);
      expect(await judge('sub	r0, r10, #4', 'mov	r0, r10')).toContain('site-address');
      expect(await judge('beq	1f', 'nop')).toContain('old-code');
    });
  });

  describe('a hook whose call stands first', () => {
    test('is proven, without a stub', async () => {
      expect(bench.judge(await bench.read(example('arm-call-first.S')))).toEqual(['proven']);
    });

    test('is refuted when it forgets a register, on the way that redirects and on the other', async () => {
      const own = await bench.changed('arm-call-first.S', [['ldm	sp, {r0-r12}', 'ldm	sp, {r0-r2}']]);
      expect(bench.judge(own)).toEqual(['arguments', 'old-code']);
    });

    test('calls its handler by a plain call, since the handler is run in its place', async () => {
      for (const other of ['bleq	ftrace_handler', 'b	ftrace_handler', 'bl	ftrace_handler+8'])
        await expect(bench.changed('arm-call-first.S', [['bl	ftrace_handler', other]])).rejects.toThrow(
          /by another word than a plain call/,
        );
    });

    test('is called by a plain call, which the proof takes to reach it', async () => {
      const call = 'push	{lr}\n	bl	ftrace_regs_caller\n';
      for (const other of [
        'nop',
        'b	ftrace_regs_caller',
        'blne	ftrace_regs_caller',
        'bl	ftrace_regs_caller+4',
        'bl	_printk',
      ])
        await expect(bench.changed('arm-call-first.S', [[call, `push	{lr}\n	${other}\n`]])).rejects.toThrow(
          /call_site does not end in a plain call/,
        );
      const local = await bench.changed('arm-call-first.S', [
        ['	.globl	ftrace_regs_caller\n', ''],
        [call, 'push	{lr}\n	bl	ftrace_regs_caller\n'],
      ]);
      expect(bench.judge(local)).toEqual(['proven']);
    });

    test('is called from code that refers to nothing: what the linker makes of that is not read', async () => {
      // As it stands in the file it adds nothing to r4.
      const lines = 'movw	ip, #:lower16:_printk\n	add	r4, r4, ip\n';
      await expect(bench.changed('arm-call-first.S', [['call_site:\n', `call_site:\n	${lines}`]])).rejects.toThrow(
        /call_site refers to _printk/,
      );
    });

    test('is refuted when it tells the handler of a return to itself, and returns to the caller', async () => {
      const own = await bench.changed('arm-call-first.S', [
        ['ldr	r1, [sp, #S_LAST]', 'ldr	r4, [sp, #S_LAST]\n	adr	r1, ftrace_regs_caller'],
        ['ldr	lr, [sp, #S_LR]', 'mov	lr, r4'],
      ]);
      expect(bench.judge(own)).toEqual(['handler-call']);
    });

    test('is not proven when it takes more of the stack than the kernel lets one function have', async () => {
      const own = await bench.changed('arm-call-first.S', [
        ['ldr	r1, [sp, #S_LAST]', 'sub	sp, sp, #1024\n	add	sp, sp, #1024\n	ldr	r1, [sp, #S_LAST]'],
      ]);
      expect(bench.judge(own)).toEqual([expect.stringMatching(/of the stack/)]);
    });

    test('is refuted when it frees what it still reads: an interrupt may come in between', async () => {
      const own = await bench.changed('arm-call-first.S', [
        ['ldm	sp, {r0-r12}\n	add	sp, sp, #S_LAST', 'add	sp, sp, #S_LAST\n	ldmdb	sp, {r0-r12}'],
      ]);
      expect(bench.judge(own)).not.toEqual(['proven']);
    });
  });

  test('a stub of one’s own is proven for the functions that it fits, and refuted for the others', async () => {
    const file = join(folder, 'stub.S');
    await writeFile(file, '.syntax unified\n.arm\n.globl redirect\nredirect:\n	add sp, sp, #16\n	b new_function\n');
    const counts = bench.count(await bench.read(file));
    expect(counts.unknown).toBe(0);
    expect(counts.proven).toBeGreaterThan(1000);
    expect(counts.refuted).toBeGreaterThan(1000);
  });

  test('an instruction that the manual calls UNPREDICTABLE is not judged', async () => {
    const own = await bench.changed('arm-call-first.S', [['ldr	pc, [sp], #4', '.inst 0xe8bd2001']]);
    expect(bench.judge(own).join()).toContain('UNPREDICTABLE');
  });

  describe('a file that defines no redirect is refused:', () => {
    const files: [what: string, code: string, text: string][] = [
      ['nothing at all', 'redirect-unusable', '.globl other\nother: bx lr\n'],
      ['a hook that calls no handler', 'redirect-unusable', '.globl ftrace_regs_caller\nftrace_regs_caller: bx lr\n'],
      [
        'a new function of its own',
        'redirect-unusable',
        '.globl redirect\nredirect: b new_function\nnew_function: bx lr\n',
      ],
      [
        'a stub that calls elsewhere',
        'redirect-unusable',
        '.globl redirect\nredirect: bl schedule\n	b new_function\n',
      ],
      ['a stub among data', 'redirect-unusable', '.data\n.globl redirect\nredirect: b new_function\n'],
      [
        'one that has arguments on the stack, but not the area that they are in',
        'redirect-unusable',
        '.set parameter_area, 0\n.set stack_arguments, 1\n.globl redirect\nredirect: b new_function\n',
      ],
      [
        'one that says nothing of them, and that this area is not used',
        'redirect-unusable',
        '.set parameter_area, 0\n.globl redirect\nredirect: b new_function\n',
      ],
      ['a name that nobody has', 'compile-failed', '.globl redirect\nredirect: b no_such_function\n'],
      ['what is no assembly', 'compile-failed', 'int main(void) { return 0; }\n'],
      ['more than any hook needs', 'compile-failed', '.globl redirect\nredirect: .fill 0x7ffffff, 4, 0\n'],
      ['what never ends', 'compile-failed', '.macro again\nagain\n.endm\nagain\n'],
    ];
    test.each(files)('%s', async (_what, code, text) => {
      const file = join(folder, 'unusable.S');
      await writeFile(file, `.syntax unified\n.arm\n${text}`);
      const refusal = await bench.read(file).then(
        () => undefined,
        (error: unknown) => error as ReasonError,
      );
      expect(refusal).toBeInstanceOf(ReasonError);
      expect(refusal!.reasons[0]).toMatchObject({ code, place: expect.stringContaining('unusable.S') });
    });
  });

  test('the command says what the proof says', async () => {
    const { name } = stockKernels[0];
    const own = ['prove', '--kernel', name, '--redirect', example('arm-call-first.S')];
    expect(await sutureJson(own)).toMatchObject({ exit: 0, result: { groups: [{ verdict: 'proven', functions: 1 }] } });
    const of2016 = ['prove', '--kernel', name, '--redirect', example('arm-2016.S'), '--function', 'cmdline_proc_show'];
    expect(await sutureJson(of2016)).toMatchObject({
      exit: 2,
      result: { groups: [{ verdict: 'unknown', examples: ['cmdline_proc_show'] }] },
      reasons: [{ code: 'proof-unknown', place: 'cmdline_proc_show' }],
    });
  });
});

describe('On ppc64le', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = new Bench(await loadKernel(stockKernels[1].name));
  });

  /** A function without a TOC pointer: `mflr r0` and the call. */
  const prologue = Uint32Array.of(0x7c0802a6, 0x48000001);
  const vfsRead = () => tracedFunctions(bench.kernel).filter(({ name }) => name === 'vfs_read');

  /** The verdict on a file's own call site, or on one function of the kernel that has no stack arguments. */
  async function judge(file: string): Promise<string[]> {
    const own = await bench.read(file);
    const functions = tracedFunctions(bench.kernel).filter(({ name }) => name === 'cmdline_proc_show');
    const [proof, ...more] = proveOwnRedirect(bench.kernel, own, functions);
    expect(more).toEqual([]);
    return told(proof!.verdict);
  }

  test('the hook of 2015 is refuted as it was posted', async () => {
    expect(await judge(example('ppc64le-2015-posted.S'))).toEqual(
      expect.arrayContaining(['stack-arguments', 'stack-pointer', 'toc']),
    );
  });

  test('it is proven as it was meant, where all arguments are in registers', async () => {
    expect(await judge(example('ppc64le-2015-meant.S'))).toEqual(['proven']);
  });

  test('as it was meant it still breaks what it was never for', async () => {
    const without = async (line: string): Promise<string[]> => {
      const text = await readFile(example('ppc64le-2015-meant.S'), 'utf8');
      expect(text).toContain(line);
      const file = join(folder, 'meant.S');
      await writeFile(file, text.replace(line, '').replace('"ppc64le', `"${example('')}ppc64le`));
      return judge(file);
    };
    expect(await without('.set	stack_arguments, 0\n	.set	parameter_area, 0')).toContain('stack-arguments');
    expect(await without('.set	parameter_area, 0')).toContain('return-address');
    expect(await without('.set	sibling_calls, 0')).toEqual(['toc']);
    expect(await without('.set	traces_returns, 0')).toEqual(['return-address']);
  });

  test('a stub that relies on what the new function may change, or may fault, is not proven', async () => {
    const frame = '	std	2, TOC(1)\n';
    const judge = async (...changes: [from: string, to: string][]): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', changes);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await judge([frame, `	nop\n${frame}`])).toEqual(['proven']);
    for (const inCache of ['dcbf', 'dcbst', 'icbi'])
      expect(await judge([frame, `	${inCache}	0, 3\n${frame}`])).toEqual([expect.stringMatching(/may be no memory/)]);
    // A variable of the caller's, of which the new function may have the address.
    const readsTwice = await judge(
      [frame, `${frame}	ld	0, FRAME + 512(1)\n	std	0, 32(1)\n`],
      ['	ld	2, TOC(1)', '	ld	0, FRAME + 512(1)\n	ld	12, 32(1)\n	cmpd	0, 12\n	bne	2f\n	ld	2, TOC(1)\n2:'],
    );
    expect(readsTwice).toEqual(['toc']);
  });

  test('a stub whose registers are for a moment what no interrupt can bear is refuted', async () => {
    const before = '	bcl	20, 31, 1f\n';
    const judge = async (...lines: string[]): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', [
        [before, `${lines.map((line) => `	${line}\n`).join('')}${before}`],
      ]);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await judge('stdu 1, -32(1)', 'addi 1, 1, 32')).toEqual(['proven']);
    expect(await judge('addi 1, 1, -8', 'addi 1, 1, 8')).toEqual(['alignment']);
    // The processor's area is found by r13, which no interrupt of the kernel gives back.
    expect(await judge('neg 13, 13', 'neg 13, 13')).toEqual(['callee-saved']);
    expect(await judge('addi 1, 1, 4096', 'addi 1, 1, -4096')).toContain('stack-pointer');
  });

  test('stack arguments that a file tells of are looked at, also for a function that has none', async () => {
    const judge = async (said: string): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', [
        ['.set	stack_arguments, STACK_ARGUMENTS\n	.set	parameter_area, STACK_ARGUMENTS', said],
      ]);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await judge('')).toEqual(['proven']);
    expect(await judge('.set stack_arguments, 8')).toContain('stack-arguments');
  });

  test('a stub that copies as many stack arguments as are looked at is not proven for any number', async () => {
    const copies = Array.from(
      { length: 72 },
      (_, n) => `	ld 0, FRAME + ${96 + 8 * n}(1)\n	std 0, ${96 + 8 * n}(1)\n`,
    );
    const judge = async (said: string): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', [
        ['#define FRAME	48', '#define FRAME	704'],
        ['#define TOC	40', '#define TOC	680'],
        ['.set	stack_arguments, STACK_ARGUMENTS\n	.set	parameter_area, STACK_ARGUMENTS', said],
        ['	std	2, TOC(1)\n', `	std	2, TOC(1)\n${copies.join('')}`],
      ]);
      return bench.judge(own, prologue);
    };
    expect(await judge('.set stack_arguments, 72')).toEqual(['proven']);
    // The 73rd is left behind.
    for (const said of ['.set stack_arguments, 73', '.set stack_arguments, 80', ''])
      expect((await judge(said)).join()).toMatch(/72/);
  });

  test('a stub that reads above what its caller has for certain is not proven: the stack may end there', async () => {
    const judge = async (line: string): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', [['	mflr	0\n', `	${line}\n	mflr	0\n`]]);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await judge('ld 0, 24(1)')).toEqual(['proven']);
    expect(await judge('ld 0, 8176(1)')).toEqual([expect.stringMatching(/where there may be no memory/)]);
    expect(await judge('ld 0, -4096(1)')).toEqual([expect.stringMatching(/where there may be no memory/)]);
  });

  test('an instruction that processors of this kernel may not have is not judged', async () => {
    for (const word of ['addpcis 11, 0', 'extswsli 0, 0, 3', 'maddld 0, 0, 2, 2', 'wait 0, 0']) {
      const own = await bench.changed('ppc64le-frame.S', [
        ['	mflr	0\n', `	.machine power10\n	${word}\n	.machine power8\n	mflr	0\n`],
      ]);
      const verdicts = proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
      expect(verdicts).toEqual([expect.stringMatching(/may not have/)]);
    }
  });

  test('what only newer processors keep of a carry is not believed', async () => {
    // Of XER, all of which is 0 before, the carry or that of the lower half, either in the lowest bit; then 1 is taken away.
    const judge = async (rotation: number): Promise<string[]> => {
      const lines = ['li 0, 0', 'mtxer 0', 'li 0, -1', 'addic 0, 0, 1', 'mfxer 11'];
      const use = [`rlwinm 11, 11, ${rotation}, 31, 31`, 'addi 11, 11, -1', 'add 4, 4, 11'];
      const text = [...lines, ...use].map((line) => `	${line}\n`).join('');
      const own = await bench.changed('ppc64le-frame.S', [['	mflr	0\n', `${text}	mflr	0\n`]]);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await judge(3)).toEqual(['proven']);
    expect(await judge(14)).toEqual(['arguments']);
  });

  test('a stub takes no more of the stack than the kernel lets one function have', async () => {
    const frame = async (size: number): Promise<string[]> => {
      const own = await bench.changed('ppc64le-frame.S', [['#define FRAME	48', `#define FRAME	${size}`]]);
      return proveOwnRedirect(bench.kernel, own, vfsRead()).flatMap(({ verdict }) => told(verdict));
    };
    expect(await frame(2048)).toEqual(['proven']);
    for (const size of [2064, 8000]) expect((await frame(size)).join()).toMatch(/more than 2048 bytes of the stack/);
  });

  test('a stub with the smallest frame is proven for every function of which nothing is on the stack', async () => {
    const counts = bench.count(await bench.read(example('ppc64le-frame.S')));
    // One more than has stack arguments stores those of its registers in its caller's frame.
    expect(counts).toEqual({ proven: 33_365, refuted: 82, unknown: 0 });
  });

  const faults: [file: string, broken: string][] = [
    ['1-li-after-lis', 'toc'],
    ['1-compare-doublewords', 'toc'],
    ['1-link-in-lr', 'stack-pointer'],
    ['1-lr-before-frame', 'return-address'],
    ['1-site-without-lr', 'return-address'],
    ['2-stack-arguments', 'stack-arguments'],
    ['3-callee-saved', 'callee-saved'],
    ['4-toc-slot', 'toc'],
    ['5-results', 'results'],
    ['5-alignment', 'alignment'],
  ];
  test.each(faults)('the known fault %s is refuted by what it breaks: %s', async (file, broken) => {
    expect(await judge(example(`faults/${file}.S`))).toContain(broken);
  });

  test('the corrected forms of the known faults are proven', async () => {
    // Of the first, what was meant; of the others, the frame that is kept right.
    for (const file of ['ppc64le-2015-meant', 'faults/2-stack-arguments-corrected', 'ppc64le-frame'])
      expect([file, await judge(example(`${file}.S`))]).toEqual([file, ['proven']]);
  });

  test('every file of known faults is in the table', () => {
    const files = readdirSync(example('faults')).filter((file) => !file.includes('corrected'));
    expect(files.sort()).toEqual(faults.map(([file]) => `${file}.S`).sort());
  });
});
