// Patches coming and going in a guest with two processors, while both call what is patched and tracers come and go.
//
// What must not happen shows in a count that the target module keeps (test/stress/target.c), calls that saw the old version
// of one function and the new one of the other, and in the lines that user space reads of the kernel's own functions. What must
// come back is counted before and after (`Holdings`), and held against what the same tracers leave in the same guest while no
// patch is there.

import type { Way } from '../kernel/patch-module.ts';
import { type Guest, withGuest } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import { alarm } from './kernel-log.ts';
import { exactSlabs, grown, growth, type Holdings, holdingsScript, noGrowth, readHoldings } from './stress-holdings.ts';
import { stressScript, tracing } from './stress-script.ts';

export interface StressPlan {
  readonly core: Uint8Array;
  /** test/stress/target.c as the module `stress_target`. */
  readonly target: Uint8Array;
  /** test/stress/patch.c as the modules `stress_a` and `stress_b`. */
  readonly patches: readonly [a: Uint8Array, b: Uint8Array];
  /** Of their redirects. */
  readonly way: Way;
  /** Of each phase with patches. */
  readonly cycles: number;
  /**
   * Both processors in one thread of the emulator, by turns. With a thread each, QEMU may go on executing what was there before the
   * other processor wrote a word of text (docs/stress.md), and calls seem to see half a patch.
   */
  readonly oneThread: boolean;
}

/** What one phase came to. Counts are of the phase alone. */
export interface StressPhase {
  readonly name: string;
  /** 0 where no patches came and went. */
  readonly cycles: number;
  readonly seconds: number;
  /** Calls of the target's functions. */
  readonly calls: number;
  /** Calls that saw half a patch: must be 0. */
  readonly mixed: number;
  /** Calls that saw another version than the same caller's call before: the patches were really there. */
  readonly changes: number;
  /** Calls that slept inside the patched functions. */
  readonly blocked: number;
  /** Reads of the kernel's patched functions by processes, which sleep inside; one that saw half a patch is an alarm. */
  readonly reads: number;
  /** Transitions that were not complete when insmod, or the write to `enabled`, came back. */
  readonly waited: number;
  /** How often tracers were switched on and off: function, function_graph and a kretprobe each time. */
  readonly tracings: number;
  /** Returns that the kretprobe caught. */
  readonly probed: number;
  readonly before: Holdings;
  readonly after: Holdings;
  /** What is held afterwards and was not before, beyond what tracers alone leave; must be empty. */
  readonly leaks: readonly string[];
  /** Alarms of the kernel's log, and what the guest's shell said although it should be silent; must be empty. */
  readonly alarms: readonly string[];
}

/** Cycles for which the guest may take one command's time. */
const cyclesAtOnce = 20;
/** Cycles of each phase that come first: caches fill, the tracers' buffers grow to their size. Of what they came to, only faults count. */
const warmUp = 4;
/** The phase without patches is shorter: what it came to hold is all that the others may. */
const baselineShare = 10;
/**
 * 32-bit ARM gives a module's memory back with a flush of the TLB, page by page, of all that lies between it and the last
 * area of vmalloc, the kernel's whole memory included; so the less memory, the quicker a cycle.
 */
const memoryMegabytes = 256;

const phases = [
  { name: 'tracers alone', kind: 'alone' },
  { name: 'enable and disable', kind: 'enable' },
  { name: 'atomic replace', kind: 'replace' },
] as const;

/**
 * Runs all phases in one guest, that without patches first. `onPhase` is told of each as it ends, `onCycles` how many cycles
 * of the current one are done. What is left of the whole run, once all modules of ours are gone, counts as a leak of its last
 * phase. Throws `GuestError`.
 */
export function stress(
  kernel: GuestKernel,
  plan: StressPlan,
  onPhase: (phase: StressPhase) => void = () => {},
  onCycles: (phase: string, done: number) => void = () => {},
): Promise<StressPhase[]> {
  return withGuest(kernel, guestOptions(plan), async (guest) => {
    await guest.run(`mount -t tracefs t ${tracing}`);
    const untouched = (await holdings(guest)).exact;
    await guest.succeed('insmod /suture.ko; insmod /stress_target.ko');
    const results: StressPhase[] = [];
    let baseline = noGrowth;
    for (const { name, kind } of phases) {
      const run = (end: number) => cycles(guest, kind, end, (done) => onCycles(name, done));
      const count = kind === 'alone' ? Math.ceil(plan.cycles / baselineShare) : plan.cycles;
      const warmed = await run(warmUp);
      const before = await holdings(guest);
      const started = performance.now();
      const { counts, said } = await run(count);
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      // What was freed may still wait for RCU: a leak is what stays.
      let after = await holdings(guest);
      for (let tries = 0; tries < 5 && grown(before, after, baseline).length > 0; tries++) {
        after = await holdings(guest);
      }
      const leaks = grown(before, after, baseline);
      if (kind === 'alone') baseline = growth(before, after);
      else if (kind === phases.at(-1)!.kind) leaks.push(...(await leftBehind(guest, untouched)));
      const done = kind === 'alone' ? 0 : count;
      const alarms = [...warmed.said, ...said, ...(await logged(guest))];
      const mixed = warmed.counts.mixed + counts.mixed;
      const result = { name, cycles: done, seconds, ...counts, mixed, before, after, leaks, alarms };
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
  return withGuest(kernel, guestOptions(plan), async (guest) => {
    await guest.succeed('insmod /suture.ko; insmod /stress_target.ko block_ms=1000');
    // It is inside for a second of every four.
    for (let tries = 0; tries < 40; tries++) {
      await guest.succeed(inShell('cycle_forced'), { timeout: 200 });
      const { mixed } = await readCalls(guest);
      if (mixed > 0) return mixed;
    }
    return 0;
  });
}

/** A shell that knows the script, for one command. */
const inShell = (command: string) => `. /stress.sh; ${command}`;

const guestOptions = ({ core, target, patches: [a, b], way, oneThread }: Omit<StressPlan, 'cycles'>) => ({
  files: [
    { path: '/suture.ko', bytes: core },
    { path: '/stress_target.ko', bytes: target },
    { path: '/stress_a.ko', bytes: a },
    { path: '/stress_b.ko', bytes: b },
    { path: '/stress.sh', bytes: new TextEncoder().encode(stressScript(way)) },
  ],
  cpus: 2,
  memoryMegabytes,
  kernelArguments: [exactSlabs],
  // Counting instructions takes one thread (QEMU, docs/devel/multi-thread-tcg.rst).
  ...(oneThread && { icount: 0 }),
});

async function cycles(
  guest: Guest,
  kind: (typeof phases)[number]['kind'],
  end: number,
  onCycles: (done: number) => void,
) {
  const said: string[] = [];
  const before = await readCalls(guest);
  await guest.succeed(inShell(`start_others; begin_${kind}`), { timeout: 600 });
  let waited = 0;
  for (let from = 0; from < end; from += cyclesAtOnce) {
    const to = Math.min(end, from + cyclesAtOnce);
    const output = await guest.succeed(
      inShell(`n=${from}; while [ $n -lt ${to} ]; do cycle_${kind} $n; n=$((n + 1)); done; echo "waited $waited"`),
      { timeout: 1200 },
    );
    for (const line of output.split('\n').filter((each) => each !== '')) {
      const [, count] = /^waited (\d+)$/.exec(line) ?? [];
      if (count === undefined) said.push(line);
      else waited += Number(count);
    }
    // Before the log goes round.
    said.push(...(await logged(guest)));
    onCycles(to);
  }
  const last = await guest.succeed(inShell(`end_${kind}; stop_others`), { timeout: 600 });
  said.push(...last.split('\n').filter(Boolean));
  const after = await readCalls(guest);
  const counts = {
    calls: after.calls - before.calls,
    mixed: after.mixed - before.mixed,
    changes: after.changes - before.changes,
    blocked: after.blocked - before.blocked,
    waited,
    ...(await readCounts(guest)),
  };
  return { counts, said };
}

/** The alarms in the kernel's log since it was last asked for. */
const logged = async (guest: Guest): Promise<string[]> =>
  (await guest.succeed('dmesg -c')).split('\n').filter((line) => alarm(line) !== undefined);

/** What the target module has counted. */
async function readCalls(guest: Guest) {
  const line = await guest.succeed('cat /proc/suture_stress');
  const [calls, mixed, changes, blocked] = [...line.matchAll(/\d+/g)].map(Number);
  return { calls: calls!, mixed: mixed!, changes: changes!, blocked: blocked! };
}

/** What those have counted who ran beside the cycles. */
async function readCounts(guest: Guest) {
  const text = await guest.succeed('cat /counts /reads.*');
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name} (\\d+)$`, 'gm'))].reduce((total, [, count]) => total + Number(count), 0);
  return { tracings: sum('rounds'), probed: sum('hits'), reads: sum('reads') };
}

const holdings = async (guest: Guest): Promise<Holdings> =>
  readHoldings(await guest.succeed(holdingsScript, { timeout: 300 }));

/** Takes our modules out; a line for everything that is not then as it was before they came. */
async function leftBehind(guest: Guest, untouched: readonly string[]): Promise<string[]> {
  const { output } = await guest.run('rmmod stress_target && rmmod suture');
  const { exact } = await holdings(guest);
  return [
    ...output.split('\n').filter(Boolean),
    ...exact.filter((line) => !untouched.includes(line)).map((line) => `left behind: ${line}`),
  ];
}
