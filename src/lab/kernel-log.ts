// What in a kernel's log means that something is wrong.
//
// Two questions are asked of a log. Is there anything in it that a healthy kernel never prints: an oops, a warning, a
// lockup? And is there anything that the same kernel did not print without the patch? The second finds what no table
// foresees. Lines are compared without their time stamps and with all numbers and addresses blanked.

export type FindingKind = 'oops' | 'warning' | 'lockup' | 'unfamiliar';

/** A line that should not be there. */
export interface Finding {
  readonly kind: FindingKind;
  /** Without its time stamp. */
  readonly line: string;
}

const stackTrace = /^Call Trace:|^Backtrace:|^Modules linked in:|^ *unwind_backtrace from/;

/** The lines that open a report of the kernel's, by what they mean. The first that fits decides. */
const alarms: readonly (readonly [FindingKind, RegExp])[] = [
  // kernel/watchdog.c; arch/powerpc/kernel/watchdog.c
  ['lockup', /BUG: soft lockup|hard LOCKUP|watchdog: CPU \d+ (?:self-detected|detected hard|TB:|became unstuck)/],
  // kernel/rcu/tree_stall.h, tree_exp.h
  ['lockup', /self-detected (?:stall|expedited stall)|detected (?:expedited )?stalls|kthread starved for/],
  // kernel/hung_task.c
  ['lockup', /INFO: task .* blocked for more than \d+ seconds/],
  // kernel/workqueue.c
  ['lockup', /BUG: workqueue lockup/],
  // kernel/panic.c
  ['oops', /Kernel panic - not syncing/],
  // lib/bug.c; arch/arm/kernel/traps.c; mm/: "BUG: Bad page state", kernel/sched: "BUG: scheduling while atomic"
  ['oops', /kernel BUG at |(?:^|\W)BUG: /],
  // arch/arm/kernel/traps.c and arch/powerpc/kernel/traps.c, each on die()
  ['oops', /Internal error: |(?:^|\W)Oops(?:\W|$)|bad mode|Machine check/],
  // arch/arm/mm/fault.c, arch/powerpc/mm/fault.c
  ['oops', /Unable to handle kernel|Unhandled (?:prefetch abort|fault)|(?:[Kk]ernel (?:tried|attempted) to )/],
  // kernel/module/main.c's last resort, arm64's BRK and generic traps, for kernels to come
  ['oops', /Unexpected kernel BRK|general protection fault|undefined instruction|Fixing recursive fault/],
  // kernel/panic.c, __warn()
  ['warning', /(?:^|\W)WARNING: |-{4,}\[ cut here \]-{4,}/],
  // kernel/locking/lockdep.c
  ['warning', /INFO: (?:possible|suspicious|inconsistent|trying)|suspicious RCU usage/],
  // kernel/trace/ftrace.c, ftrace_bug()
  ['warning', /-{4,}\[ ftrace bug \]-{4,}|ftrace (?:failed to modify|faulted on)/],
  // A stack trace without any of the above: arch/powerpc/kernel/process.c, arch/arm/kernel/traps.c, lib/dump_stack.c
  ['warning', stackTrace],
];

/** Strips what printk puts before the text: `<6>`, `[   12.345678]`, `[ T123]`. */
export function stripTimestamp(line: string): string {
  return line.replace(/^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[CT]\d+\])? ?)?/, '').trimEnd();
}

/** A line as it is compared: addresses and numbers become #. */
export function normalise(line: string): string {
  return stripTimestamp(line).replace(/0x[0-9a-f]+|\b[0-9a-f]{8,16}\b|\d+/gi, '#');
}

/** Whether the text is in a kernel's log because something went wrong, and how wrong. */
export function alarm(line: string): FindingKind | undefined {
  const text = stripTimestamp(line);
  return alarms.find(([, pattern]) => pattern.test(text))?.[0];
}

/**
 * What loading a module that is not the distribution's says once, and what the core says of each patch. The latter are
 * mainline's words (kernel/livepatch/core.c, transition.c).
 */
const expected: readonly RegExp[] = [
  /loading out-of-tree module taints kernel/,
  /module verification failed: signature and\/or required key missing - tainting kernel/,
  /: tainting kernel with TAINT_LIVEPATCH$/,
  /^livepatch: enabling patch '/,
  /^livepatch: '[^']+': (?:starting|completing) (?:un)?patching transition$/,
  /^livepatch: '[^']+': initializing (?:un)?patching transition$/,
  /^livepatch: '[^']+': (?:un)?patching complete$/,
  /^livepatch: '[^']+': reversing transition from /,
  /^livepatch: signaling remaining tasks$/,
];

/** What a kernel says whose processor was taken away by a busy host: of the twin, not of the patch. */
const starved: readonly RegExp[] = [
  /^hrtimer: interrupt took \d+ ns/,
  /^perf: interrupt took too long/,
  /^sched: RT throttling activated/,
  /^sched: DL replenish lagged too much/,
  /^clocksource: /,
  /^workqueue: .* hogged CPU for/,
];

const harmless = (text: string): boolean => [...expected, ...starved].some((pattern) => pattern.test(text));

/**
 * The lines of `log` that should not be there, in order. `baseline` is the log of the same kernel without the patch: a
 * line that it has is familiar. `announced` are the lines that the patch is meant to print; an alarm cannot be announced.
 * Behind an alarm, stack traces and lines of no meaning are taken for a part of it.
 */
export function findings(log: string, baseline: string, announced: readonly RegExp[] = []): Finding[] {
  const familiar = new Set(linesOf(baseline).map(normalise));
  const found: Finding[] = [];
  let alarmed = false;
  for (const line of linesOf(log)) {
    const text = stripTimestamp(line);
    if (familiar.has(normalise(text)) || harmless(text)) continue;
    const kind = alarm(text);
    if (!kind && announced.some((pattern) => pattern.test(text))) continue;
    if (alarmed && (!kind || stackTrace.test(text))) continue;
    alarmed ||= kind !== undefined;
    found.push({ kind: kind ?? 'unfamiliar', line: text });
  }
  return found;
}

const linesOf = (log: string): string[] => log.split('\n').filter((line) => stripTimestamp(line) !== '');
