// The way on which mainline's selftests run: that a script finds all that it needs, and that a case which fails is never
// counted as passed. The selftests themselves are `npm run selftests`.

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { planSelftests } from '../src/cli/selftests.ts';
import type { CompiledModule } from '../src/compile/selftest-modules.ts';
import { openKernel } from '../src/host/kernel-store.ts';
import { type GuestKernel, guestKernel } from '../src/lab/guest-kernel.ts';
import { runSamples } from '../src/lab/samples.ts';
import { type SelftestCase, titlesOf } from '../src/lab/selftest-output.ts';
import { bootSelftestGuest, runSelftests, type SelftestPlan } from '../src/lab/selftests.ts';
import { runInUserland } from '../src/lab/userland.ts';
import { stockKernels } from './stock-kernels.ts';

const target = 'test_klp_callbacks_mod';

/** A script in mainline's manner, with its own functions.sh: modprobe, dynamic debug, sysctl, the log and its comparison. */
const script = (title: string, inside: string, expected = `${target}: ${target}_exit`) => `#!/bin/bash
. $(dirname $0)/functions.sh
setup_config
start_test "${title}"
load_mod ${target}
${inside}
unload_mod ${target}
check_result "% modprobe ${target}
${target}: ${target}_init
% rmmod ${target}
${expected}"
start_test "behind ${title}"
set_ftrace_enabled 0
set_ftrace_enabled 1
check_result "livepatch: kernel.ftrace_enabled = 0
livepatch: kernel.ftrace_enabled = 1"
`;

describe.each(stockKernels)('selftests on $name', ({ name }) => {
  let kernel: GuestKernel;
  let plan: SelftestPlan;
  let modules: readonly CompiledModule[];

  beforeAll(async () => {
    kernel = guestKernel(await openKernel(name));
    ({ plan, modules } = await planSelftests(name, () => {}));
  });

  it('are the 22 cases of the kernel’s own source', () => {
    const tests = [...plan.scripts].filter(([file]) => /^test-.*\.sh$/.test(file));
    expect(tests.flatMap(([, bytes]) => titlesOf(new TextDecoder().decode(bytes)))).toHaveLength(22);
    expect(modules).toHaveLength(17);
    expect(modules.flatMap(({ undefinedSymbols }) => undefinedSymbols)).toEqual([]);
    // All of them compile as they are, and can be adapted.
    expect(modules.filter(({ ko }) => !ko).map(({ complaints }) => complaints)).toEqual([]);
  });

  it('of the entry way have a script of ours in the place of the one about ftrace', async () => {
    const scripts = fileURLToPath(new URL('selftests', import.meta.url));
    const { plan: entry } = await planSelftests(name, () => {}, { way: 'entry', scripts });
    const added = [...entry.scripts.keys()].filter((file) => !plan.scripts.has(file));
    const left = [...plan.scripts.keys()].filter((file) => !entry.scripts.has(file));
    expect([added, left]).toEqual([['test-entry.sh'], ['test-ftrace.sh']]);
  });

  it('find every program with its libraries, and the modules', async () => {
    const guest = await bootSelftestGuest(kernel, plan);
    try {
      const missing =
        'cd /bin; for program in *; do ./$program --version </dev/null 2>&1 | grep -E "error while loading"; done';
      expect(await runInUserland(guest, missing)).toMatchObject({ output: '' });
      const asked = [`modprobe --dry-run ${target}`, `modinfo -F name ${target}`, 'diff <(echo a) <(echo a)'];
      expect(await runInUserland(guest, asked.join(' && '))).toMatchObject({ status: 0, output: `${target}\n` });
    } finally {
      await guest.stop();
    }
  });

  it('are followed by samples, each of which must be seen to work', async () => {
    const steps = 'modprobe livepatch_sample; take_back livepatch_sample';
    const samples = [
      { title: 'good', steps },
      { title: 'without effect', steps: "modprobe livepatch_sample\nis /proc/cmdline 'something else'\ntrue" },
      { title: 'warning', steps: `${steps}; echo 'WARNING: CPU: 0' > /dev/kmsg` },
    ];
    const cases = await runSamples(kernel, plan, undefined, samples);
    expect(cases.map(({ title, outcome }) => `${title}: ${outcome}`)).toEqual([
      'good: passed',
      'without effect: failed',
      'warning: failed',
    ]);
    expect(cases[1]!.detail).toMatch(/^not ok: .*\n.*TEST: without effect/);
  });

  it('are told apart by what becomes of each case', async () => {
    const tests = {
      'functions.sh': plan.scripts.get('functions.sh')!,
      'test-a-passing.sh': script('good', ''),
      'test-b-differing.sh': script('differing', '', 'another line'),
      'test-c-warning.sh': script('warning', 'echo "WARNING: CPU: 0" >/dev/kmsg'),
      'test-d-dying.sh': script('dying', 'load_mod test_klp_no_such_module'),
      'test-e-panicking.sh': script('panicking', 'echo c >/proc/sysrq-trigger; sleep 60'),
    };
    const scripts = new Map(
      Object.entries(tests).map(([file, text]) => {
        return [file, typeof text === 'string' ? new TextEncoder().encode(text) : text] as const;
      }),
    );
    const seen: SelftestCase[] = [];
    const cases = await runSelftests(kernel, { ...plan, scripts }, (each) => seen.push(each));
    expect(seen).toEqual(cases);
    expect(cases.map(({ title, outcome }) => `${title}: ${outcome}`)).toEqual([
      'good: passed',
      'behind good: passed',
      'differing: failed',
      'behind differing: not run',
      'warning: failed',
      'behind warning: passed',
      'dying: skipped',
      'behind dying: not run',
      'panicking: failed',
      'behind panicking: not run',
    ]);
    const detailOf = (title: string) => cases.find((each) => each.title === title)!.detail;
    expect(detailOf('differing')).toContain('-another line\n+test_klp_callbacks_mod: test_klp_callbacks_mod_exit');
    expect(detailOf('panicking')).toMatch(/^panic: /);
  });
});
