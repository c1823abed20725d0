// The kernel's own samples of live patches (samples/livepatch) in a guest: each is loaded, seen to work as the comment at its
// top says, and removed. The kernel has no script for them, so the steps are ours.

import { GuestError } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { type SelftestCase, withAlarms } from './selftest-output.ts';
import { bootSelftestGuest, type SelftestPlan } from './selftests.ts';
import { runInUserland } from './userland.ts';

const script = 'samples/livepatch';

/** What all of them use; a step that fails ends the case, and its line is told. */
const prelude = `set -eE
trap 'echo "not ok: $BASH_COMMAND"' ERR
sysfs=/sys/kernel/livepatch
within() { for i in {1..300}; do "$@" && return; sleep 0.1; done; echo "never: $*"; return 1; }
logged() { dmesg | grep -q "$1"; }
is() { [ "$(cat "$1" 2> /dev/null)" = "$2" ]; }
remove() { rmmod "$1" 2> /dev/null; }
take_back() { echo 0 > $sysfs/$1/enabled; within remove $1; }
`;

/** A sample, and steps in bash with what `prelude` defines; each must succeed. */
export interface Sample {
  readonly title: string;
  readonly steps: string;
}

const kernelsOwn: readonly Sample[] = [
  {
    title: 'livepatch-sample',
    steps: `
before=$(cat /proc/cmdline)
modprobe livepatch_sample
is /proc/cmdline 'this has been live patched'
take_back livepatch_sample
is /proc/cmdline "$before"`,
  },
  {
    title: 'livepatch-callbacks-demo after its target',
    steps: `
modprobe livepatch_callbacks_mod
modprobe livepatch_callbacks_demo
logged 'livepatch_callbacks_demo: pre_patch_callback: vmlinux'
logged 'livepatch_callbacks_demo: post_patch_callback: livepatch_callbacks_mod -> \\[MODULE_STATE_LIVE\\]'
take_back livepatch_callbacks_demo
logged 'livepatch_callbacks_demo: post_unpatch_callback: livepatch_callbacks_mod'
rmmod livepatch_callbacks_mod`,
  },
  {
    title: 'livepatch-callbacks-demo before its target, which it may refuse',
    steps: `
modprobe livepatch_callbacks_demo
modprobe livepatch_callbacks_mod
logged 'livepatch_callbacks_demo: post_patch_callback: livepatch_callbacks_mod -> \\[MODULE_STATE_COMING\\]'
rmmod livepatch_callbacks_mod
echo -19 > /sys/module/livepatch_callbacks_demo/parameters/pre_patch_ret
refused=$(! modprobe livepatch_callbacks_mod 2>&1)
[[ $refused == *'No such device'* ]]
take_back livepatch_callbacks_demo`,
  },
  {
    title: 'livepatch-callbacks-demo while its target is parked in a patched function',
    steps: `
modprobe livepatch_callbacks_busymod sleep_secs=10
within logged 'sleeping 10 seconds'
modprobe livepatch_callbacks_demo
is $sysfs/livepatch_callbacks_demo/transition 1
modprobe livepatch_callbacks_mod
rmmod livepatch_callbacks_mod
within is $sysfs/livepatch_callbacks_demo/transition 0
take_back livepatch_callbacks_demo
rmmod livepatch_callbacks_busymod`,
  },
  {
    title: 'livepatch-shadow-mod with its two fixes',
    steps: `
modprobe livepatch_shadow_mod
within logged ' dummy_alloc: dummy'
modprobe livepatch_shadow_fix1
within logged 'livepatch_fix1_dummy_alloc: dummy'
modprobe livepatch_shadow_fix2
cleanups() { dmesg | grep -c cleanup_work_func || true; }
before=$(cleanups)
cleaned() { [ $(cleanups) -gt $before ]; }
within cleaned
rmmod livepatch_shadow_mod
logged 'livepatch_fix2_dummy_free: dummy @ .*, check counter = '
logged 'livepatch_fix2_dummy_leak_dtor: dummy @ .*, prevented leak'
take_back livepatch_shadow_fix2
take_back livepatch_shadow_fix1`,
  },
];

/** Lines of the kernel's log that are shown of a case that failed. */
const loggedLines = 30;

/** Runs all samples; each gets a guest of its own if the one before it failed. Throws what `bootGuest` throws. */
export async function runSamples(
  kernel: GuestKernel,
  plan: SelftestPlan,
  onCase: (result: SelftestCase) => void = () => {},
  samples: readonly Sample[] = kernelsOwn,
): Promise<SelftestCase[]> {
  const results: SelftestCase[] = [];
  let guest = await bootSelftestGuest(kernel, plan);
  try {
    for (const { title, steps } of samples) {
      let result: SelftestCase;
      try {
        await guest.succeed(`dmesg -c > /dev/null; echo '===== TEST: ${title} =====' > /dev/kmsg`);
        const { status, output } = await runInUserland(guest, prelude + steps, { timeout: plan.timeout ?? 300 });
        const outcome = status === 0 ? 'passed' : 'failed';
        const told: SelftestCase = { script, title, outcome, detail: status === 0 ? '' : output.trim() };
        const log = await guest.succeed('dmesg');
        result = withAlarms([told], log)[0]!;
        if (result.outcome === 'failed') {
          const last = log.split('\n').slice(-loggedLines).join('\n');
          result = { ...result, detail: `${result.detail}\n${last}`.trim() };
        }
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        const detail = `${error.fate}: ${error.reasons[0].message}\n${error.log}`;
        result = { script, title, outcome: 'failed', detail };
      }
      results.push(result);
      onCase(result);
      if (result.outcome === 'passed') continue;
      await guest.stop();
      guest = await bootSelftestGuest(kernel, plan);
    }
  } finally {
    await guest.stop();
  }
  return results;
}
