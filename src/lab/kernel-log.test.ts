// A rehearsal stands and falls with what it recognises in a log: real lines of real reports, and the harmless lines
// that stand close to them.

import { expect, test } from 'vitest';
import { alarm, type FindingKind, findings, normalise, stripTimestamp } from './kernel-log.ts';

const reports: readonly (readonly [FindingKind, string])[] = [
  [
    'oops',
    '8<--- cut here ---\n[   12.3] Unable to handle kernel NULL pointer dereference at virtual address 00000000',
  ],
  ['oops', '[   12.345678] Internal error: Oops: 805 [#1] SMP ARM'],
  ['oops', '[   12.345678] Internal error: Oops - undefined instruction: 0 [#1] SMP ARM'],
  ['oops', '[    3.141592] BUG: Kernel NULL pointer dereference on write at 0x00000000'],
  ['oops', '[    3.141592] BUG: Unable to handle kernel instruction fetch (NULL pointer?)'],
  ['oops', '[    3.141592] Oops: Kernel access of bad area, sig: 11 [#1]'],
  ['oops', '[    3.141592] kernel tried to execute exec-protected page (c008000000a10000) - exploit attempt? (uid: 0)'],
  ['oops', '[   26.388600] Kernel panic - not syncing: sysrq triggered crash'],
  ['oops', '[   26.388600] kernel BUG at mm/slub.c:419!'],
  ['oops', '[   26.388600] BUG: scheduling while atomic: insmod/77/0x00000002'],
  ['oops', 'Unexpected kernel BRK exception at EL1'],
  ['warning', '[    5.000000] WARNING: CPU: 0 PID: 77 at kernel/trace/ftrace.c:2052 ftrace_bug+0x74/0x2b4'],
  ['warning', '[    5.000000] ------------[ cut here ]------------'],
  ['warning', '[    5.000000] ------------[ ftrace bug ]------------'],
  ['warning', '[    5.000000] WARNING: suspicious RCU usage'],
  ['warning', '[    5.000000] Call Trace:'],
  ['warning', '[    5.000000]  unwind_backtrace from show_stack+0x18/0x1c'],
  ['lockup', '[   44.000000] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [insmod:77]'],
  ['lockup', '[   99.000000] rcu: INFO: rcu_sched self-detected stall on CPU'],
  ['lockup', '[   99.000000] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'],
  ['lockup', '[  242.000000] INFO: task insmod:77 blocked for more than 120 seconds.'],
  ['lockup', '[  242.000000] watchdog: CPU 1 self-detected hard LOCKUP @ arch_local_irq_restore+0x0/0x80'],
  ['lockup', '[  242.000000] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!'],
];

test.each(reports)('%s: %s', (kind, report) => {
  expect(findings(report, '').map((finding) => finding.kind)).toContain(kind);
});

test.each([
  '[    0.000000] Linux version 6.1.0-50-armmp (debian-kernel@lists.debian.org)',
  '[    0.000000] rcu: Hierarchical RCU implementation.',
  '[    0.000000] rcu: \tRCU restricting CPUs from NR_CPUS=8 to nr_cpu_ids=2.',
  '[    0.100000] Debug: loopback device is up',
  '[    0.583042] PCI: CLS 0 bytes, default 64',
  '[    1.000000] watchdog: Delayed init of the lockup detector failed: -19',
  '[    1.000000] random: crng init done',
])('no alarm: %s', (line) => {
  expect(alarm(line)).toBeUndefined();
});

test('what printk puts before a line does not count', () => {
  for (const line of ['hello', '[    1.000000] hello', '<6>[    1.000000] hello', '[    1.000000][   T77] hello']) {
    expect(stripTimestamp(line)).toBe('hello');
  }
  expect(stripTimestamp('[c000000004393710] panic+0x16c/0x444')).toBe('[c000000004393710] panic+0x16c/0x444');
});

test('lines that differ in numbers and addresses are the same line', () => {
  expect(normalise('[ 1.000000] eth0: at c8000000, irq 30')).toBe(normalise('[ 9.123456] eth0: at dec0de00, irq 7'));
  expect(normalise('at 0xbf000000')).toBe(normalise('at 0xbf01abcd'));
  expect(normalise('started')).not.toBe(normalise('stopped'));
});

test('a line is unfamiliar if the kernel does not print it without the patch', () => {
  const baseline = '[    1.000000] usb 1-1: new device number 2\n';
  expect(findings('[    7.000000] usb 1-1: new device number 3', baseline)).toEqual([]);
  expect(findings('[    7.000000] usb 1-1: device descriptor read error', baseline)).toEqual([
    { kind: 'unfamiliar', line: 'usb 1-1: device descriptor read error' },
  ]);
});

test('what loading and switching a patch says is expected', () => {
  const log = `
[    7.000000] livepatch_cmdline: loading out-of-tree module taints kernel.
[    7.000001] livepatch_cmdline: module verification failed: signature and/or required key missing - tainting kernel
[    7.000001] livepatch_cmdline: tainting kernel with TAINT_LIVEPATCH
[    7.000002] livepatch: enabling patch 'livepatch_cmdline'
[    7.000003] livepatch: 'livepatch_cmdline': starting patching transition
[    7.000004] livepatch: 'livepatch_cmdline': patching complete
[    8.000000] livepatch: 'livepatch_cmdline': starting unpatching transition
[    8.000001] livepatch: 'livepatch_cmdline': unpatching complete
`;
  expect(findings(log, '')).toEqual([]);
  expect(findings("[    7.000005] livepatch: failed to enable patch 'livepatch_cmdline'", '')).toHaveLength(1);
});

test('what the patch is meant to print can be announced, line by line, and an alarm cannot', () => {
  const warning = '[    7.000002] WARNING: CPU: 0 PID: 7 at fs/fix.c:1 fix+0x8/0x10';
  const log = `[    7.000000] fix: 3 bytes left out\n[    7.000001] fix: no bytes at all\n${warning}`;
  expect(findings(log, '', [/^fix: \d+ bytes left out$/]).map(({ line }) => line)).toEqual([
    'fix: no bytes at all',
    'WARNING: CPU: 0 PID: 7 at fs/fix.c:1 fix+0x8/0x10',
  ]);
  expect(findings(log, '', [/./])).toMatchObject([{ kind: 'warning' }]);
});

test('a twin that had to wait for its host says nothing about the patch', () => {
  expect(findings('[   12.000000] hrtimer: interrupt took 13787344 ns', '')).toEqual([]);
});

test('a report with its registers and stack trace is one finding, and a second report another', () => {
  const report = (cpu: number, where: string) => `
[    5.000000] WARNING: CPU: ${cpu} PID: 77 at ${where}
[    5.000001] Modules linked in: suture(OE)
[    5.000002] Hardware name: Generic DT based system
[    5.000003]  unwind_backtrace from show_stack+0x18/0x1c
[    5.000004]  show_stack from dump_stack_lvl+0x40/0x4c
`;
  expect(findings(report(0, 'kernel/a.c:1') + report(1, 'kernel/b.c:2'), '').map((finding) => finding.line)).toEqual([
    'WARNING: CPU: 0 PID: 77 at kernel/a.c:1',
    'WARNING: CPU: 1 PID: 77 at kernel/b.c:2',
  ]);
});

test('an alarm that the kernel also gives without the patch is not the patch’s', () => {
  const warning = '[    5.000000] WARNING: CPU: 0 PID: 1 at drivers/old.c:12 probe+0x10/0x20';
  expect(findings(warning, warning)).toEqual([]);
});
