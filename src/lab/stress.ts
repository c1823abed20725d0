// Patches coming and going in a guest with two processors, while both call what is patched and tracers come and go.
//
// What must not happen shows in a count that the target module keeps (test/stress/target.c): calls that saw the old version
// of one function and the new one of the other. What must come back is counted before and after: see `Holdings`.

import { type Guest, withGuest } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { alarm } from './kernel-log.ts';
import { grown, type Holdings, holdingsScript, readHoldings } from './stress-holdings.ts';

export interface StressPlan {
  readonly core: Uint8Array;
  /** test/stress/target.c as the module `stress_target`. */
  readonly target: Uint8Array;
  /** test/stress/patch.c as the modules `stress_a` and `stress_b`. */
  readonly patches: readonly [a: Uint8Array, b: Uint8Array];
  /** Of each phase. */
  readonly cycles: number;
}

/** What one phase came to. Counts are of the phase alone. */
export interface StressPhase {
  readonly name: string;
  readonly cycles: number;
  readonly seconds: number;
  /** Calls of the patched functions. */
  readonly calls: number;
  /** Calls that saw half a patch: must be 0. */
  readonly mixed: number;
  /** Calls that saw another version than the same caller's call before: the patches were really there. */
  readonly changes: number;
  /** Calls that slept inside the patched functions. */
  readonly blocked: number;
  /** Transitions that were not complete when insmod, or the write to `enabled`, came back. */
  readonly waited: number;
  /** How often tracers were switched on and off: function, function_graph and a kretprobe each time. */
  readonly tracings: number;
  readonly before: Holdings;
  readonly after: Holdings;
  /** What is held afterwards and was not before, beyond the tolerance; must be empty. */
  readonly leaks: readonly string[];
  /** Alarms of the kernel's log, and what the guest's shell said although it should be silent; must be empty. */
  readonly alarms: readonly string[];
}

const sysfs = '/sys/kernel/livepatch';
const tracing = '/sys/kernel/tracing';

/** Cycles for which the guest may take one command's time. */
const cyclesAtOnce = 20;
/** Cycles that come first and are not counted: caches fill, tracers allocate their buffers. */
const warmUp = 12;

/** What the guest's shell knows. A cycle's number says which way it goes. */
const script = `
waited=0
# The state of a patch that may be gone at any moment.
state_of() { state=; read -r state 2> /dev/null < ${sysfs}/$1/$2; }
enable() { echo $2 2> /dev/null > ${sysfs}/$1/enabled; } 2> /dev/null
note_waiting() { state_of $1 transition; [ "$state" = 1 ] && waited=$((waited + 1)); }
settle() { while state_of $1 transition && [ "$state" = 1 ]; do usleep 4000; done; }
unload() { until [ ! -e ${sysfs}/$1 ] && rmmod $1 2> /dev/null; do usleep 4000; done; }
take_back() {
  while [ -e ${sysfs}/$1 ]; do
    state_of $1 enabled
    [ "$state" = 1 ] && enable $1 0
    usleep 4000
  done
  unload $1
}

# Insmod, disable, rmmod; every other time turned round on the way, once or twice.
cycle_enable() {
  insmod /stress_a.ko version=1 || echo "insmod failed in cycle $1"
  note_waiting stress_a
  case $(($1 % 4)) in
    0 | 2) settle stress_a; enable stress_a 0; note_waiting stress_a ;;
    1) enable stress_a 0 ;;
    3) settle stress_a; enable stress_a 0; enable stress_a 1; note_waiting stress_a ;;
  esac
  take_back stress_a
}

# One takes the place of the other; every fourth time it is turned round on the way, if it has to wait.
cycle_replace() {
  new=stress_b old=stress_a version=2
  [ -e ${sysfs}/stress_b ] && new=stress_a old=stress_b version=1
  insmod /$new.ko version=$version replace=1 || echo "insmod failed in cycle $1"
  note_waiting $new
  [ $(($1 % 4)) = 3 ] && [ "$state" = 1 ] && enable $new 0
  while [ -e ${sysfs}/$new ] && [ -e ${sysfs}/$old ]; do usleep 4000; done
  if [ -e ${sysfs}/$new ]; then unload $old; else unload $new; fi
}

# A whole phase; the same word starts and ends what must be there for it.
begin_replace() { insmod /stress_a.ko version=1 replace=1; settle stress_a; }
end_replace() { for patch in stress_a stress_b; do [ -e ${sysfs}/$patch ] && take_back $patch; done; true; }

# Tracers on and off until /stop is there. The kretprobe is at a patched function's entry.
disturb() {
  cd ${tracing}
  echo 'r:stress_return stress_target:stress_outer' > kprobe_events
  count=0
  while [ ! -e /stop ]; do
    # All functions of the kernel now and then: a guest is slow.
    if [ $((count % 8)) = 7 ]; then : > set_ftrace_filter; else echo 'stress_*' > set_ftrace_filter; fi
    for tracer in function function_graph; do
      echo 1 > events/kprobes/stress_return/enable
      echo $tracer > current_tracer
      usleep 20000
      echo 0 > events/kprobes/stress_return/enable
      usleep 20000
      echo nop > current_tracer
    done
    count=$((count + 1))
  done
  : > set_ftrace_filter
  : > kprobe_events
  : > trace
  echo $count > /tracings
}

# User space calls the patched functions as well.
read_on() { while [ ! -e /stop ]; do read -r line < /proc/suture_stress; read -r line < /proc/cmdline; usleep 10000; done; }

start_others() {
  rm -f /stop
  (disturb > /disturbed 2>&1) &
  echo $! > /disturber
  (read_on) &
  echo $! > /reader
}
stop_others() {
  : > /stop
  while [ -e /proc/$(cat /disturber) ] || [ -e /proc/$(cat /reader) ]; do usleep 10000; done
  cat /disturbed
}
`;

const phases = [
  { name: 'enable and disable', cycle: 'cycle_enable', begin: ':', end: ':' },
  { name: 'atomic replace', cycle: 'cycle_replace', begin: 'begin_replace', end: 'end_replace' },
] as const;

/**
 * Runs both phases in one guest. `onPhase` is told of each as it ends, `onCycles` how many cycles of the current one are done.
 * Throws `GuestError`.
 */
export function stress(
  kernel: GuestKernel,
  plan: StressPlan,
  onPhase: (phase: StressPhase) => void = () => {},
  onCycles: (phase: string, done: number) => void = () => {},
): Promise<StressPhase[]> {
  return withGuest(kernel, { files: filesOf(plan), cpus: 2 }, async (guest) => {
    await guest.run(`mount -t tracefs t ${tracing}`);
    await guest.succeed('insmod /suture.ko; insmod /stress_target.ko');
    const results: StressPhase[] = [];
    for (const phase of phases) {
      const run = (first: number, end: number) =>
        cycles(guest, phase, first, end, (done) => onCycles(phase.name, done));
      await run(0, warmUp);
      const before = await holdings(guest);
      const started = performance.now();
      const { calls, waited, tracings, said } = await run(0, plan.cycles);
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      // What was freed may still wait for RCU: a leak is what stays.
      let after = await holdings(guest);
      for (let tries = 0; tries < 5 && grown(before, after, plan.cycles).length > 0; tries++)
        after = await holdings(guest);
      const result = {
        name: phase.name,
        cycles: plan.cycles,
        seconds,
        ...calls,
        waited,
        tracings,
        before,
        after,
        leaks: grown(before, after, plan.cycles),
        alarms: said,
      };
      onPhase(result);
      results.push(result);
    }
    return results;
  });
}

/**
 * What the count of mixed calls is worth: transitions are forced while a thread sleeps inside the patched functions, which
 * gives consistency up. Returns how many calls saw half a patch then.
 */
export function stressForced(kernel: GuestKernel, plan: Omit<StressPlan, 'cycles'>): Promise<number> {
  return withGuest(kernel, { files: filesOf(plan), cpus: 2 }, async (guest) => {
    await guest.succeed('insmod /suture.ko; insmod /stress_target.ko');
    for (let tries = 0; tries < 20; tries++) {
      // Of the way there only: nothing is left that the module's memory would have to stay for.
      const force = `state_of stress_a transition; [ "$state" = 1 ] && echo 1 > ${sysfs}/stress_a/force; settle stress_a`;
      await guest.succeed(inShell(`insmod /stress_a.ko; ${force}; take_back stress_a`), { timeout: 200 });
      const { mixed } = await readCalls(guest);
      if (mixed > 0) return mixed;
    }
    return 0;
  });
}

/** A shell that knows the script, for one command. */
const inShell = (command: string) => `. /stress.sh; ${command}`;

const filesOf = ({ core, target, patches: [a, b] }: Omit<StressPlan, 'cycles'>) => [
  { path: '/suture.ko', bytes: core },
  { path: '/stress_target.ko', bytes: target },
  { path: '/stress_a.ko', bytes: a },
  { path: '/stress_b.ko', bytes: b },
  { path: '/stress.sh', bytes: new TextEncoder().encode(script) },
];

async function cycles(
  guest: Guest,
  phase: (typeof phases)[number],
  first: number,
  end: number,
  onCycles: (done: number) => void,
) {
  const said: string[] = [];
  const before = await readCalls(guest);
  await guest.succeed(inShell(`start_others; ${phase.begin}`));
  let waited = 0;
  for (let from = first; from < end; from += cyclesAtOnce) {
    const to = Math.min(end, from + cyclesAtOnce);
    const output = await guest.succeed(
      inShell(`n=${from}; while [ $n -lt ${to} ]; do ${phase.cycle} $n; n=$((n + 1)); done; echo "waited $waited"`),
      { timeout: 1200 },
    );
    for (const line of output.split('\n').filter((each) => each !== '')) {
      const [, count] = /^waited (\d+)$/.exec(line) ?? [];
      if (count === undefined) said.push(line);
      else waited += Number(count);
    }
    // Before the log goes round.
    said.push(...(await guest.succeed('dmesg -c')).split('\n').filter((line) => alarm(line) !== undefined));
    onCycles(to);
  }
  said.push(
    ...(await guest.succeed(inShell(`${phase.end}; stop_others`), { timeout: 600 })).split('\n').filter(Boolean),
  );
  const after = await readCalls(guest);
  const calls = {
    calls: after.calls - before.calls,
    mixed: after.mixed - before.mixed,
    changes: after.changes - before.changes,
    blocked: after.blocked - before.blocked,
  };
  return { calls, waited, tracings: Number(await guest.succeed('cat /tracings')), said };
}

/** What the target module has counted. */
async function readCalls(guest: Guest) {
  const line = await guest.succeed('cat /proc/suture_stress');
  const [calls, mixed, changes, blocked] = [...line.matchAll(/\d+/g)].map(Number);
  return { calls: calls!, mixed: mixed!, changes: changes!, blocked: blocked! };
}

const holdings = async (guest: Guest): Promise<Holdings> => readHoldings(await guest.succeed(holdingsScript));
