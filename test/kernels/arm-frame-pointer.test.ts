// The ground of the posting of 2016: a kernel with frame pointers. Its hook is right for most functions and wrong for the rest,
// and function_graph writes into the frame of a function that is redirected: both found by proof, and shown in a guest.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { arm } from '../../src/arch/arm/arm.ts';
import { buildCore } from '../../src/compile/core-module.ts';
import { linkAddress } from '../../src/elf/units.ts';
import { openKernel } from '../../src/host/kernel-store.ts';
import { readKernelImage } from '../../src/kernel/image.ts';
import { withGuest } from '../../src/lab/guest.ts';
import { guestKernel } from '../../src/lab/guest-kernel.ts';
import { sutureJson } from '../suture.ts';
import { describeKernel } from './wanted-kernels.ts';

const kernel = 'arm-frame-pointer';
const example = (name: string) => new URL(`../../examples/${name}`, import.meta.url).pathname;

const [moveIpSp, pushFrame, moveFp, subFpIp] = [0xe1a0c00d, 0xe92dd800, 0xe24cb004, 0xe24cb000];

/** The functions whose words before their call site are of a kind. */
async function functionsThatBegin(fits: (prologue: readonly number[]) => boolean): Promise<string[]> {
  const image = await readKernelImage(new Uint8Array(await readFile((await openKernel(kernel)).image)), kernel, arm);
  // A further site below a name is that of a nameless body behind the function.
  const sites = arm.findCallSites(image).filter((site, i, all) => site.function !== all[i - 1]?.function);
  return sites.flatMap(({ name, address, function: start }) => {
    const words = Array.from({ length: Number(address - start) / 4 }, (_, i) => {
      return image.word(linkAddress(start + BigInt(4 * i)))!;
    });
    return fits(words) ? [name] : [];
  });
}

/**
 * Those that push arguments that came in registers before their frame: any number of them, or part of a structure. So fp is
 * more than 4 below what the stack pointer was: `sub fp, ip, #…`.
 */
const functionsWithArgumentsAboveTheFrame = () =>
  functionsThatBegin((prologue) =>
    prologue.some((word) => (word & 0xfffff000) >>> 0 === subFpIp && (word & 0xfff) !== 4),
  );

/** How many functions have each verdict. */
async function verdicts(file: string) {
  const { result, reasons } = await sutureJson(['prove', '--kernel', kernel, '--redirect', file]);
  const counts: Record<string, number> = {};
  for (const { verdict, functions } of result.groups) counts[verdict] = (counts[verdict] ?? 0) + functions;
  return { counts, reasons: reasons as { code: string; message: string }[] };
}

await describeKernel(kernel, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-frames-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has every function that ftrace lists proven, but for nameless ones', async () => {
    const { result } = await sutureJson(['audit', kernel]);
    const { 'nameless-body': nameless, ...others } = result.listedByFtrace;
    expect(Object.keys(others)).toEqual(['proven']);
    expect(others.proven + nameless).toBe(result.callSites.listed);
    expect(nameless).toBeLessThan(40);
  });

  it('has the hook of 2016 refuted for the functions that push arguments before their frame, and proven for all else', async () => {
    const affected = await functionsWithArgumentsAboveTheFrame();
    const { counts, reasons } = await verdicts(example('redirects/arm-2016.S'));
    expect(counts.refuted).toBe(affected.length);
    expect(counts.proven).toBeGreaterThan(10_000);
    expect(Object.keys(counts).sort()).toEqual(['proven', 'refuted']);
    for (const { message } of reasons) expect(message).toMatch(/callee-saved.*: fp should be fp/);
  });

  it('has the hook that goes by fp proven for all of them', async () => {
    const { counts } = await verdicts(example('redirects/arm-2016-frame.S'));
    expect(Object.keys(counts)).toEqual(['proven']);
  });

  it('has a stub refuted that does not return by what the frame keeps, and keeps going under function_graph with ours', async () => {
    const careless = join(folder, 'careless.S');
    const [smallest] = await functionsThatBegin(
      (words) => words.slice(0, -1).join() === [moveIpSp, pushFrame, moveFp].join(),
    );
    await writeFile(
      careless,
      // The frame is the smallest: `mov ip, sp; push {fp, ip, lr, pc}; sub fp, ip, #4`.
      '.globl redirect\nredirect:\n\tldr fp, [sp]\n\tadd sp, sp, #16\n\tb new_function\n',
    );
    const prove = ['prove', '--kernel', kernel, '--redirect', careless, '--function', smallest!];
    const { exit, reasons } = await sutureJson(prove);
    expect([exit, reasons[0].code]).toEqual([2, 'proof-refuted']);
    expect(reasons[0].message).toMatch(/^return-address .*should be the tracer of returns/);

    const patch = join(folder, 'patch.ko');
    expect((await sutureJson(['build', '--kernel', kernel, '-o', patch, example('cmdline.c')])).exit).toBe(0);
    const stored = await openKernel(kernel);
    const core = await buildCore(stored);
    const file = async (path: string, from: string) => ({ path, bytes: new Uint8Array(await readFile(from)) });
    // This kernel panics by itself where function_graph traces one of these, for what the hook of 2016 gets wrong too.
    const untraced = await functionsWithArgumentsAboveTheFrame();
    const files = [await file('/suture.ko', core.ko), await file('/patch.ko', patch)];
    await withGuest(guestKernel(stored), { files }, async (guest) => {
      await guest.succeed('insmod /suture.ko && insmod /patch.ko');
      await guest.succeed('until [ $(cat /sys/kernel/livepatch/*/transition) = 0 ]; do sleep 1; done');
      for (const name of new Set(untraced)) await guest.run(`echo ${name} >>/sys/kernel/tracing/set_ftrace_notrace`);
      await guest.succeed('echo function_graph >/sys/kernel/tracing/current_tracer');
      const shown = await guest.succeed('for i in 1 2 3 4 5 6 7 8 9 10; do cat /proc/cmdline; done');
      await guest.succeed('echo nop >/sys/kernel/tracing/current_tracer');
      expect(new Set(shown.trimEnd().split('\n'))).toEqual(new Set(['hidden by a live patch']));
      expect(shown.trimEnd().split('\n')).toHaveLength(10);
    });
  });

  it('has a patch rehearsed', async () => {
    const patch = join(folder, 'cmdline.ko');
    expect((await sutureJson(['build', '--kernel', kernel, '-o', patch, example('cmdline.c')])).exit).toBe(0);
    const rehearse = ['rehearse', '--kernel', kernel, patch, '--check', example('cmdline.sh')];
    const { exit, reasons } = await sutureJson(rehearse);
    expect({ exit, reasons }).toEqual({ exit: 0, reasons: [] });
  });
});
