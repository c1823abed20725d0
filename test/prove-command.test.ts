// What a user is told of proofs: of the whole kernel in numbers that can be compared with ftrace's own, and of a patch whose
// redirects are not what they should be, as a refusal.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proveBuilt } from '../src/cli/prove-built.ts';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import type { Section } from '../src/elf/model.ts';
import { loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { suture, sutureJson } from './suture.ts';

/** What is known of each kernel. */
const known = {
  '6.1.0-50-armmp': {
    // available_filter_functions of the running kernel (test/lab-guest.test.ts looks there).
    listed: 37_253,
    codes: ['nameless-body', 'proven'],
    // The word of a stub that gives the caller's stack pointer back: at 4, behind a trap.
    wrong: { offset: 4, nop: 0xe1a00000, obligation: 'stack-pointer' },
  },
  '6.1.0-50-powerpc64le': {
    listed: 32_181,
    codes: ['nameless-body', 'proven', 'stack-arguments'],
    // The word that loads the caller's TOC pointer, the eleventh.
    wrong: { offset: 40, nop: 0x60000000, obligation: 'toc' },
  },
} as const;

describe.each(stockKernels)('On $name', ({ name }) => {
  let folder: string;
  let patch: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-prove-'));
    patch = join(folder, 'patch.ko');
    expect(await sutureJson(['build', '--kernel', name, '-o', patch, examples[0]!.fix])).toMatchObject({ exit: 0 });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The built patch with its stubs changed, signed again. */
  async function withStubs(change: (stubs: Section) => void): Promise<string> {
    const file = join(folder, 'changed.ko');
    const { module } = await checkSignature(new Uint8Array(await readFile(patch)));
    const model = readElf(module.slice(), file);
    change(findSection(model, '.text.suture_stubs')!);
    await writeFile(file, await signModule(writeElf(model)));
    return file;
  }

  test('every function that ftrace lists is proven, or its code says why not', async () => {
    const { exit, result } = await sutureJson(['prove', '--kernel', name, '--all']);
    expect(exit).toBe(0);
    const { result: audited } = await sutureJson(['audit', name, '--list', 'nameless-body']);
    const byFtrace: Record<string, number> = audited.listedByFtrace;
    expect(Object.values(byFtrace).reduce((sum, count) => sum + count)).toBe(known[name].listed);
    expect(byFtrace.proven).toBe(result.counts.proven);
    // Nameless bodies lie in memory that is given back, too.
    expect(audited.list.length).toBe(byFtrace['nameless-body']);
    expect(Object.keys(byFtrace).sort()).toEqual(known[name].codes);
  });

  test('of functions that are named each must be proven', async () => {
    const prove = (of: string) => sutureJson(['prove', '--kernel', name, '--all', '--function', of]);
    expect(await prove('cmdline_proc_show')).toMatchObject({ exit: 0, result: { counts: { proven: 1 } } });
    expect(await prove('start_kernel')).toMatchObject({ exit: 2, reasons: [{ code: 'init-text' }] });
  });

  test('a patch as it was built is proven', async () => {
    expect(await sutureJson(['prove', '--kernel', name, patch])).toMatchObject({
      exit: 0,
      result: { redirects: [{ verdict: 'proven' }] },
    });
  });

  test('one that breaks something is refuted, and what it breaks is said', async () => {
    const { offset, nop, obligation } = known[name].wrong;
    const file = await withStubs(({ data }) => new DataView(data.buffer, data.byteOffset).setUint32(offset, nop, true));
    const { exit, status, result, reasons } = await sutureJson(['prove', '--kernel', name, file]);
    expect({ exit, status, reasons }).toMatchObject({
      exit: 2,
      status: 'refused',
      reasons: [{ code: 'proof-refuted', place: 'cmdline_proc_show' }],
    });
    const [{ verdict, failures }] = result.redirects;
    expect(verdict).toBe('refuted');
    expect(failures.map((failure: { obligation: string }) => failure.obligation)).toContain(obligation);
    expect(failures[0].trace.length).toBeGreaterThan(20);
  });

  test('one that is not understood is unknown, and the place is said', async () => {
    const file = await withStubs(({ data }) =>
      new DataView(data.buffer, data.byteOffset).setUint32(4, 0xffffffff, true),
    );
    const { exit, reasons } = await sutureJson(['prove', '--kernel', name, file]);
    expect({ exit, reasons }).toMatchObject({
      exit: 2,
      reasons: [{ code: 'proof-unknown', message: expect.stringContaining('at stub') }],
    });
  });

  test('what is built is handed out only if it is proven, or if somebody insists, loudly', async () => {
    expect(
      await sutureJson(['build', '--kernel', name, '-o', join(folder, 'again.ko'), examples[0]!.fix]),
    ).toMatchObject({
      result: { proven: true, unproven: [] },
    });
    // No fix makes build link a wrong stub, so one is made wrong behind its back.
    const { offset, nop } = known[name].wrong;
    const file = await withStubs(({ data }) => new DataView(data.buffer, data.byteOffset).setUint32(offset, nop, true));
    const wrong = new Uint8Array(await readFile(file));
    const remarks: string[] = [];
    const context = { kernel: name, progress: () => {}, remark: (text: string) => void remarks.push(text) };
    const kernel = await loadKernel(name);
    await expect(proveBuilt(kernel, wrong, 'wrong', false, context)).rejects.toMatchObject({
      kind: 'refused',
      reasons: [{ code: 'proof-refuted', place: 'cmdline_proc_show', remedy: expect.stringContaining('--unproven') }],
    });
    expect(remarks).toEqual([]);
    expect(await proveBuilt(kernel, wrong, 'wrong', true, context)).toMatchObject({
      proven: false,
      unproven: [{ code: 'proof-refuted' }],
    });
    expect(remarks[0]).toContain('WARNING');
    expect(remarks[1]).toContain('proof-refuted  cmdline_proc_show');
  });

  test('progress is for those who watch', async () => {
    const { stdout, stderr } = await suture(['prove', '--kernel', name, patch]);
    expect({ stdout, stderr }).toEqual({ stdout: 'proven  cmdline_proc_show\n', stderr: '' });
  });
});
