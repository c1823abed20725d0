// The promise of the whole project, on stock kernels: each example is applied, does what it should, and is taken back
// without a trace. And the reason for the stub on ppc64le: without it, a caller loses its TOC.

import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { readElf, writeElf } from '../src/elf/elf.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { readPatchModule } from '../src/kernel/read-patch-module.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { type Rehearsal, rehearse } from '../src/lab/rehearse.ts';
import { examples } from './examples.ts';
import { fetchOnce, preemptibleKernel, stockKernels } from './stock-kernels.ts';
import { coreOf, patchOf } from './support/patches.ts';

describe.each([...stockKernels, preemptibleKernel])('on $name', (stock) => {
  const { name, architecture } = stock;
  let kernel: LoadedKernel;
  let rehearsal: Rehearsal;

  beforeAll(async () => {
    await fetchOnce(stock);
    kernel = await loadKernel(name);
    const patches = [];
    for (const { name: example, fix, check } of examples) {
      patches.push({ name: example, module: await patchOf(kernel, fix), check: await readFile(check, 'utf8') });
    }
    rehearsal = await rehearse(guestKernel(kernel.stored), { core: await coreOf(kernel), patches });
  });

  it.each(examples)('the example $name works and is taken back', ({ name: example }) => {
    const steps = rehearsal.steps.filter(({ patch }) => patch === example);
    expect(steps.map((step) => [step.name, step.status])).toEqual([
      ['check before', 0],
      ['apply', 0],
      ['check applied', 0],
      ['revert', 0],
      ['check reverted', 0],
    ]);
    const [before, , applied, , reverted] = steps.map(({ output }) => output);
    expect(applied).not.toBe(before);
    expect(reverted).toBe(before);
  });

  it('the kernel prints nothing that it does not print without patches', () => {
    expect(rehearsal.reasons).toEqual([]);
    expect(rehearsal.verdict).toBe('passed');
  });

  // ARM has no TOC to lose.
  if (architecture !== 'ppc64le') return;
  it('a caller that uses its TOC breaks if the stub does not give it back', async () => {
    const leaf = examples.find((example) => example.name === 'leaf')!;
    const { module } = await checkSignature(await patchOf(kernel, leaf.fix));
    const model = readElf(module.slice(), 'leaf.ko');
    const { stub } = readPatchModule(module, 'leaf.ko').redirects[0]!;
    // `ld r2,N(r1)`, the one word behind the call that restores the TOC, becomes `nop`.
    const restores = stub.words.findIndex((word) => (word & 0xffff0003) >>> 0 === 0xe8410000);
    expect(restores).toBeGreaterThan(0);
    const { data } = model.sections.find((section) => section.name === stub.section.name)!;
    new DataView(data.buffer, data.byteOffset).setUint32(stub.offset + 4 * restores, 0x60000000, true);

    const broken = await signModule(writeElf(model));
    const check = await readFile(leaf.check, 'utf8');
    const plan = { core: await coreOf(kernel), patches: [{ name: 'broken', module: broken, check }] };
    const { verdict, steps } = await rehearse(guestKernel(kernel.stored), plan);
    expect(verdict).toBe('failed');
    // loadavg_proc_show, the caller, finds the format of its line through r2.
    expect(steps.find((step) => step.name === 'check applied')!.status).not.toBe(0);
  });
});
