// Redirects at the entry are proven from the finished module and the image: of a stock kernel all that can be linked are. A right
// module is changed after it was linked, one thing at a time, and no change of it is proven.

import { beforeAll, describe, expect, it } from 'vitest';
import { findSection, readElf, writeElf } from '../src/elf/elf.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { patchSection } from '../src/kernel/patch-module.ts';
import { enteredFunctions, linkFunctions } from '../src/link/link-whole-kernel.ts';
import { Prover } from '../src/prove/prove-module.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';
import { PatchTable } from './support/patch-table.ts';

/** Has a TOC set-up on ppc64le. */
const name = 'cmdline_proc_show';

/**
 * A string, a structure, and assembly that is entered in its own ways, or copied elsewhere before it runs; on ppc64le what assembly
 * calls while an exception comes in or goes out, and what that calls.
 */
const notCalled: Record<string, readonly string[]> = {
  arm: ['cpu_v7_name', 'v7_crval', 'v7_secondary_startup', 'v7_early_abort', 'relocate_new_kernel'],
  ppc64le: [
    'relocate',
    'kexec_wait',
    'copypage_power7',
    'memcpy_power7',
    'do_slb_fault',
    'interrupt_exit_user_prepare_main',
  ],
};

/** Compiled without calls of mcount, and called by pointers only. */
const pointedTo: Record<string, readonly string[]> = {
  arm: ['perf_trace_sched_process_exec', 'tracing_free_buffer_write'],
  ppc64le: ['perf_trace_sched_process_exec', 'tracing_free_buffer_write', 'udp_lib_close', 'fdt_string'],
};

describe.each(stockKernels)('at the entries of $name', ({ name: kernelName, architecture }) => {
  let kernel: LoadedKernel;
  let prover: Prover;
  let module: Uint8Array;

  beforeAll(async () => {
    kernel = await loadKernel(kernelName);
    prover = new Prover(kernel);
    const functions = enteredFunctions(kernel).filter((each) => each.name === name);
    [{ bytes: module }] = linkFunctions(kernel, functions, 'entry') as unknown as [{ bytes: Uint8Array }];
  });

  it('all redirects that can be made are proven, those of functions without a call site among them', () => {
    const some = enteredFunctions(kernel).filter((_, i) => i % 8 === 0);
    const traced = new Set(kernel.callSites.map((site) => site.function));
    const linked = [...linkFunctions(kernel, some, 'entry')];
    const verdicts = linked.flatMap(({ bytes }) => prover.proveModule(bytes, 'entries'));
    expect(verdicts.filter(({ verdict }) => verdict.verdict !== 'proven')).toEqual([]);
    expect(verdicts.filter(({ oldAddress }) => !traced.has(oldAddress)).length).toBeGreaterThan(100);
    const codes = new Set(linked.flatMap(({ refused }) => refused.map(({ reasons }) => reasons[0]!.code)));
    expect(codes).toContain('entry-in-use');
    expect(codes).toContain('init-text');
  });

  it('functions that are called by pointers only are proven too, where the kernel shows them to be compiled', () => {
    const functions = enteredFunctions(kernel).filter((each) => pointedTo[architecture]!.includes(each.name));
    expect(functions.length).toBeGreaterThanOrEqual(pointedTo[architecture]!.length);
    const linked = [...linkFunctions(kernel, functions, 'entry')];
    expect(linked.flatMap(({ refused }) => refused)).toEqual([]);
    const verdicts = linked.flatMap(({ bytes }) => prover.proveModule(bytes, 'pointed to'));
    expect(verdicts.map(({ verdict }) => verdict.verdict)).toEqual(functions.map(() => 'proven'));
  });

  it('what nothing shows to be called as the ABI has it is refused: assembly, data in the text', () => {
    const functions = enteredFunctions(kernel).filter((each) => notCalled[architecture]!.includes(each.name));
    expect(functions.length).toBe(notCalled[architecture]!.length);
    const refused = [...linkFunctions(kernel, functions, 'entry')].flatMap((each) => each.refused);
    expect(refused.map(({ reasons }) => reasons[0]!.code)).toEqual(functions.map(() => 'entry-in-use'));
    // Nor is it proven where somebody links it all the same.
    const { arch } = kernel;
    const trusting = { ...kernel, arch: { ...arch, entryWay: { ...arch.entryWay!, doubt: () => undefined } } };
    const linked = [...linkFunctions(trusting, functions, 'entry')].filter((each) => each.linked.length > 0);
    const verdicts = linked.flatMap(({ bytes }) => prover.proveModule(bytes, 'linked'));
    expect(verdicts.length).toBeGreaterThan(0);
    expect(verdicts.filter(({ verdict }) => verdict.verdict !== 'unknown')).toEqual([]);
  });

  /** What a changed module's one redirect comes to: its verdict, or the code by which the module is refused. */
  function judge(change: (table: PatchTable) => void): string {
    const model = readElf(module.slice(), 'changed.ko');
    change(new PatchTable(model));
    try {
      return prover.proveModule(writeElf(model), 'changed.ko')[0]!.verdict.verdict;
    } catch (error) {
      if (error instanceof ReasonError) return error.reasons[0].code;
      throw error;
    }
  }

  it('the module as it was linked is proven', () => {
    expect(judge(() => {})).toBe('proven');
  });

  it('another word than the one that all callers come to is not', () => {
    const moved = (table: PatchTable) =>
      table.put(table.redirect + table.layout.suture_redirect.offset.site, (at) => at + 4);
    expect(judge(moved)).not.toBe('proven');
  });

  it('nor is a branch, or an island, that is not the architecture’s', () => {
    const branch = [
      ...(['branch', 'branch_addend', 'branch_fields', 'branch_range'] as const),
      ...(['branch_shift', 'branch_flip', 'island_always'] as const),
    ] as const;
    for (const member of branch) {
      expect(
        judge((table) => table.put(table.entry + table.layout.suture_entry.offset[member], (word) => word ^ 1)),
      ).not.toBe('proven');
    }
    for (const list of ['island_words', 'island_fields'] as const) {
      expect(
        judge((table) =>
          table.put(table.follow(table.entry + table.layout.suture_entry.offset[list]), (word) => word ^ 2),
        ),
      ).not.toBe('proven');
    }
  });

  it('nor is a module that does not say how the entry becomes a branch', () => {
    const without = (table: PatchTable) => {
      const section = findSection(table.model, patchSection)!;
      const at = table.layout.suture_patch_table.offset.entry;
      section.relocations = section.relocations.filter(({ offset }) => offset !== at);
      table.put(at, () => 0);
    };
    expect(judge(without)).toBe('patch-malformed');
  });

  it('nor is one whose way is that of a call site', () => {
    const way = (value: number) => (table: PatchTable) =>
      table.put(table.redirect + table.layout.suture_redirect.offset.way, () => value);
    expect(judge(way(0))).not.toBe('proven');
    expect(judge(way(2))).toBe('patch-malformed');
  });

  if (architecture !== 'ppc64le') return;
  it('a stub that does not give r2 back is refuted', () => {
    const broken = ({ model }: PatchTable) => {
      const { data } = findSection(model, '.text.suture_stubs')!;
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      for (let at = 0; at < data.length; at += 4) {
        // ld r2,N(r1) becomes nop.
        if ((view.getUint32(at, true) & 0xffff0003) >>> 0 === 0xe8410000) view.setUint32(at, 0x60000000, true);
      }
    };
    expect(judge(broken)).toBe('refuted');
  });
});
