// The rate of the corpus is what the project is judged by: each fix must have its outcome, the right one, and a run that was
// interrupted must come to the same ones. The new tree is the kernel's own with a few files changed.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePatchedTree } from '../src/compile/patched-tree.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import { stockKernels } from './stock-kernels.ts';
import { startSuture, sutureJson } from './suture.ts';

/** What becomes of a file: text that it has once, and what takes its place. */
const changes = {
  'fs/proc/cmdline.c': ['seq_puts(m, saved_command_line);', 'seq_puts(m, "patched");'],
  'drivers/net/dummy.c': ['eth_hw_addr_random(dev);', 'eth_zero_addr(dev->broadcast);'],
  'fs/proc/consoles.c': ['.stop	= c_stop,', '.stop	= NULL,'],
  'fs/proc/uptime.c': ['idle_nsec = 0;', 'idle_nsec = 0; /* none yet */'],
  // Not in the configuration.
  'mm/memtest.c': ['#include <linux/init.h>', '#include <linux/init.h>\n'],
} as const;

describe.each(stockKernels)('$name', ({ name, package: wanted }) => {
  let scratch: string;
  let source: string;
  let newTree: string;

  beforeAll(async () => {
    source = (await fetchKernel(wanted, { source: true })).source!;
    scratch = mkdtempSync(join(tmpdir(), 'suture-test-corpus-'));
    newTree = join(scratch, 'new');
    mkdirSync(newTree);
    const changed = Object.entries(changes).map(([path, [from, to]]) => {
      const text = readFileSync(join(source, path), 'latin1');
      if (text.split(from).length !== 2) throw new Error(`${path}: not one ${from}`);
      return [
        path,
        Buffer.from(
          text.replace(from, () => to),
          'latin1',
        ),
      ] as const;
    });
    await makePatchedTree(source, newTree, new Map(changed), []);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const command = (state: string, ...more: string[]) => [
    ...['corpus', source, newTree, '--kernel', name, '--state', join(scratch, state)],
    ...more,
  ];
  const outcomesIn = (state: string) =>
    readdirSync(join(scratch, state, 'fixes')).filter((file) => file.endsWith('.json'));

  it('tells what becomes of each fix, whenever and however often it is interrupted', async () => {
    mkdirSync(join(scratch, 'all'));
    mkdirSync(join(scratch, 'all', 'fixes'));
    const first = new Promise<string>((resolve) => {
      const watcher = watch(join(scratch, 'all', 'fixes'), (_, file) => {
        if (!file?.endsWith('.json') || file.startsWith('.')) return;
        watcher.close();
        resolve(file);
      });
    });
    const child = startSuture(command('all'), {});
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const kept = join(scratch, 'all', 'fixes', await first);
    child.kill('SIGINT');
    expect(await ended).toBe(1);
    // What is known is whole, and is not found out again.
    JSON.parse(readFileSync(kept, 'utf8'));
    const keptAt = outcomesIn('all').map((file) => [file, statSync(join(scratch, 'all', 'fixes', file)).mtimeMs]);
    expect(keptAt.length).toBeLessThan(4);
    expect(await sutureJson(command('all', '--no-rehearse'))).toMatchObject({ exit: 0 });
    for (const [file, at] of keptAt) expect(statSync(join(scratch, 'all', 'fixes', String(file))).mtimeMs).toBe(at);

    const report = await sutureJson(command('all'));
    expect(report).toMatchObject({ exit: 0, status: 'done', kernel: name, reasons: [] });
    const { result } = report;
    expect(result).toMatchObject({ changed: { c: 5, headers: 0, others: 0, inOneTree: 0 }, compiled: 4, seed: 1 });
    type Fix = { path: string; stage: string; module: string; replaced: string[]; reasons: { code: string }[] };
    const fixes = new Map((result.fixes as Fix[]).map((fix) => [fix.path, fix]));
    const told = (path: keyof typeof changes) => {
      const { stage, module, replaced, reasons } = fixes.get(path)!;
      return [stage, module, ...replaced, ...reasons.map(({ code }) => code)];
    };
    expect(fixes.size).toBe(4);
    expect(told('fs/proc/cmdline.c')).toEqual(['passed', '', 'cmdline_proc_show']);
    expect(told('drivers/net/dummy.c')).toEqual(['passed', 'dummy', 'dummy_setup']);
    expect(told('fs/proc/consoles.c')).toEqual(['refused', '', 'data-changed']);
    expect(told('fs/proc/uptime.c')).toEqual(['refused', '', 'nothing-to-patch']);
    expect(result.table).toMatchObject({
      ...{ fixes: 4, bodiesOnly: 3, compileAlone: 3, counted: 2, passed: 2, passedCounted: 2 },
      ...{ percentOfCounted: 100, percentOfAll: 50, withoutTarget: 0, made: 2, exact: 2 },
    });
    expect(report).toEqual(await sutureJson(command('all')));
  });

  it('does not mix runs', async () => {
    const report = await sutureJson(command('all', '--seed', '2'));
    expect(report).toMatchObject({
      exit: 1,
      reasons: [{ code: 'usage', message: expect.stringMatching(/seed is 1/) }],
    });
  });

  it('draws a sample', async () => {
    const report = await sutureJson(command('sample', '--sample', '1', '--seed', '3', '--no-rehearse'));
    expect(report).toMatchObject({ exit: 0, result: { compiled: 4, seed: 3, sample: 1, table: { fixes: 1 } } });
    const again = await sutureJson(command('again', '--sample', '1', '--seed', '3', '--no-rehearse'));
    expect(again.result.drawn).toEqual(report.result.drawn);
  });
});
