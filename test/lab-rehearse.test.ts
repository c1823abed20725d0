// A rehearsal has to pass what is well, and to find each way in which something can be wrong: in the patch, in what the
// check sees, in the log, and in a guest that does not live to tell.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCore } from '../src/compile/core-module.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { type GuestKernel, guestKernel } from '../src/lab/guest-kernel.ts';
import { type RehearsalPlan, rehearse } from '../src/lab/rehearse.ts';
import { modulesThatAnswerTo, modulesWithDependencies } from '../src/lab/target-modules.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { linePatch } from './support/source-patch.ts';
import { sutureJson } from './suture.ts';

const example = examples.find(({ name }) => name === 'cmdline')!;

let folder: string;
/** Patch modules of the example, by kernel. */
const patches = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suture-test-rehearse-'));
  for (const { name } of stockKernels) {
    const output = join(folder, `${name}.ko`);
    expect(await sutureJson(['build', '--kernel', name, '--name', 'hide', '-o', output, example.fix])).toMatchObject({
      exit: 0,
    });
    patches.set(name, output);
  }
});
afterAll(() => rm(folder, { recursive: true }));

it.each(stockKernels)('suture rehearse passes the example on $name', async ({ name }) => {
  const report = await sutureJson(['rehearse', '--kernel', name, '--check', example.check, patches.get(name)!]);
  expect(report).toMatchObject({ exit: 0, status: 'done', kernel: name, reasons: [], result: { verdict: 'passed' } });
  expect(report.result.findings).toEqual([]);
  const steps: { name: string; status: number; output: string; log: string[] }[] = report.result.steps;
  expect(steps.map((step) => [step.name, step.status])).toEqual([
    ['load core', 0],
    ['check before', 0],
    ['apply', 0],
    ['check applied', 0],
    ['revert', 0],
    ['check reverted', 0],
  ]);
  const step = (wanted: string) => steps.find((each) => each.name === wanted)!;
  expect(step('check applied').output).toBe('hidden by a live patch\n');
  expect(step('check before').output).toBe(step('check reverted').output);
  expect(step('apply').log.join('\n')).toContain("livepatch: 'hide': patching complete");
  expect(step('revert').log.join('\n')).toContain("livepatch: 'hide': unpatching complete");
});

it('suture rehearse refuses what fails, and says in which step', async () => {
  const { name } = stockKernels[0];
  const check = join(folder, 'check.sh');
  await writeFile(check, 'echo "I do not like it"; [ $SUTURE_PHASE != applied ]\n');
  const report = await sutureJson(['rehearse', '--kernel', name, '--check', check, patches.get(name)!]);
  expect(report).toMatchObject({ exit: 2, status: 'refused', result: { verdict: 'failed' } });
  expect(report.reasons).toMatchObject([
    { code: 'rehearsal-failed', place: 'check applied', message: expect.stringMatching(/do not like it/) },
  ]);
  // A patch that does not do what it should is still taken back.
  expect(report.result.steps.at(-1)).toMatchObject({ name: 'check reverted', status: 0 });
});

// The rest is the same on every architecture.
describe('a rehearsal', () => {
  let kernel: GuestKernel;
  let plan: RehearsalPlan;
  const checked = (check: string) => ({ ...plan, patches: plan.patches.map((patch) => ({ ...patch, check })) });

  beforeAll(async () => {
    const stored = await openKernel(stockKernels[0].name);
    const core = new Uint8Array(await readFile((await buildCore(stored)).ko));
    kernel = guestKernel(stored);
    plan = { core, patches: [{ name: '', module: new Uint8Array(await readFile(patches.get(stored.name)!)) }] };
  });

  it('finds a trace that the patch leaves behind', async () => {
    const check = '[ $SUTURE_PHASE != reverted ] || echo scar';
    const { reasons } = await rehearse(kernel, checked(check));
    expect(reasons).toMatchObject([
      {
        place: 'check reverted',
        message: expect.stringMatching(/before the patch:\n.*\+scar/s),
        // Nothing in the log speaks against the patch: the check itself is the first to be looked at.
        remedy: expect.stringMatching(/leave out what changes by itself/),
      },
    ]);
  });

  it.each([
    ['fails', 'echo halfway; exit 3', /ended with status 3: halfway/],
    ['is no shell script', 'if', /syntax error/],
    ['hangs', 'echo halfway; sleep 600', /halfway\nKilled\nit did not end within 5 s/],
  ])(
    'blames a check that %s without the patch, shows what it printed, and loads no patch',
    async (_how, check, said) => {
      const { reasons, steps } = await rehearse(kernel, { ...checked(check), timeout: 5 });
      expect(steps.map((step) => step.name)).toEqual(['load core', 'check before']);
      expect(reasons).toMatchObject([
        {
          place: 'check before',
          message: expect.stringMatching(said),
          remedy: 'the check fails without the patch: mend the check',
        },
      ]);
    },
  );

  it('takes a patch back under which the check hangs', async () => {
    const check = '[ $SUTURE_PHASE != applied ] || sleep 600';
    const { reasons, steps } = await rehearse(kernel, { ...checked(check), timeout: 5 });
    expect(reasons).toMatchObject([{ place: 'check applied', remedy: 'the patch must not go to a machine as it is' }]);
    expect(steps.at(-1)).toMatchObject({ name: 'check reverted', status: 0 });
  });

  it('says what it read of a transition that does not end', async () => {
    // Something that looks like a patch in transition for ever, in the place of the real one.
    const check = `
      mount -t tmpfs stuck /sys/kernel/livepatch
      mkdir /sys/kernel/livepatch/stuck
      cd /sys/kernel/livepatch/stuck
      echo 1 >transition
      echo 0 >enabled`;
    const { reasons } = await rehearse(kernel, checked(check));
    const message = expect.stringMatching(/the transition to the patch does not end: transition is 1, enabled is 0/);
    expect(reasons).toMatchObject([{ place: 'apply', message }]);
  });

  it('finds a patch that is no module, and leaves out what then makes no sense', async () => {
    const module = new TextEncoder().encode('no module at all');
    const { reasons, steps } = await rehearse(kernel, { ...plan, patches: [{ name: '', module }] });
    expect(steps.map((step) => step.name)).toEqual(['load core', 'apply']);
    expect(reasons).toMatchObject([{ place: 'apply', message: expect.stringMatching(/invalid module format/) }]);
  });

  it('finds what the log says of the patched kernel only', async () => {
    const check = `
      echo "<4>always said" >/dev/kmsg
      [ $SUTURE_PHASE != applied ] || echo "<4>never heard of" >/dev/kmsg`;
    const { verdict, findings, reasons } = await rehearse(kernel, checked(check));
    expect(verdict).toBe('failed');
    expect(findings).toEqual([{ kind: 'unfamiliar', line: 'never heard of' }]);
    expect(reasons.at(-1)?.remedy).toMatch(/--expect-log/);
    expect(await rehearse(kernel, { ...checked(check), expectedLog: [/^never heard/] })).toMatchObject({
      verdict: 'passed',
      findings: [],
    });
  });

  it('finds an alarm whatever is announced', async () => {
    const check = '[ $SUTURE_PHASE != applied ] || echo "<4>WARNING: CPU: 0 PID: 1 at fix.c:1" >/dev/kmsg';
    const { findings } = await rehearse(kernel, { ...checked(check), expectedLog: [/./] });
    expect(findings).toMatchObject([{ kind: 'warning' }]);
  });

  it('does not blame the patch for what the kernel says by itself, only later', async () => {
    const check = `
      echo run >>/tmp/runs
      [ $(wc -l </tmp/runs) != 2 ] || echo "<4>took its time" >/dev/kmsg`;
    const { verdict, findings } = await rehearse(kernel, checked(check));
    expect({ verdict, findings }).toEqual({ verdict: 'passed', findings: [] });
  });

  it('finds a kernel that dies while it is patched', async () => {
    const check = '[ $SUTURE_PHASE != applied ] || echo c >/proc/sysrq-trigger';
    const { verdict, steps, findings, reasons } = await rehearse(kernel, checked(check));
    expect(verdict).toBe('failed');
    expect(steps.at(-1)).toMatchObject({
      name: 'check applied',
      status: null,
      output: expect.stringMatching(/^panic/),
    });
    expect(findings.map(({ kind }) => kind)).toContain('oops');
    expect(reasons[0]).toMatchObject({
      place: 'check applied',
      message: expect.stringMatching(/sysrq triggered crash/),
    });
  });

  it('loads the modules that it is told to, before everything else', async () => {
    const targets = [{ name: 'not_one', bytes: new Uint8Array([1, 2, 3]) }];
    const { reasons, steps } = await rehearse(kernel, { ...plan, targets });
    expect(steps).toHaveLength(1);
    expect(reasons).toMatchObject([{ place: 'load targets' }]);
  });

  it('says for which module a patch waits, and that --load brings it', async () => {
    const { name } = stockKernels[0];
    const fix = join(folder, 'dummy.patch');
    const { source } = await fetchKernel(stockKernels[0].package, { source: true });
    const edit = ['drivers/net/dummy.c', 'eth_hw_addr_random(dev);', '\teth_zero_addr(dev->broadcast);'] as const;
    await writeFile(fix, linePatch(source!, ...edit), 'latin1');
    const patch = join(folder, 'dummy.ko');
    expect(await sutureJson(['build', '--kernel', name, '-o', patch, fix])).toMatchObject({ exit: 0 });
    const applied = async (...options: string[]) => {
      const report = await sutureJson(['rehearse', '--kernel', name, ...options, patch]);
      expect(report).toMatchObject({ exit: 0, result: { verdict: 'passed' } });
      return report.result.steps.find((step: { name: string }) => step.name === 'apply').output;
    };
    expect(await applied()).toBe('not in effect yet in dummy, which is not loaded here (--load dummy)\n');
    expect(await applied('--load', 'dummy')).toBe('');
  });

  it('loads what the kernel asks for while it loads them', async () => {
    // rxrpc starts with a cipher that no modinfo tells of: the kernel asks modprobe for it.
    const { modules } = await openKernel(stockKernels[0].name);
    const targets = await modulesWithDependencies(modules, ['rxrpc']);
    expect(targets.map(({ name }) => name)).not.toContain('fcrypt');
    const without = await rehearse(kernel, { ...plan, patches: [], targets });
    expect(without.reasons).toMatchObject([{ place: 'load targets' }]);
    const find = (name: string) => modulesThatAnswerTo(modules, name);
    const check = 'grep -q ^fcrypt /proc/modules && grep -q ^rxrpc /proc/modules';
    expect(await rehearse(kernel, { ...checked(check), targets, find })).toMatchObject({ verdict: 'passed' });
  });
});
