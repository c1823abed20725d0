// What may happen while a source patch is built: an interrupt, a full disk, another build at the same time. Whatever it is, there is
// a live patch or there is none, the same one each time, and neither the source tree nor anything else shows that we were there.

import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import type { StoredKernel } from '../src/host/kernel-store.ts';
import { run } from '../src/host/run.ts';
import { processStart } from '../src/host/temporary.ts';
import { findProgram } from '../src/host/tools.ts';
import { stockKernels } from './stock-kernels.ts';
import { cacheWithoutObjects } from './support/own-cache.ts';
import { editsAsPatch } from './support/source-patch.ts';
import { program, startSuture, suture, sutureJson } from './suture.ts';

const cmdline = ['fs/proc/cmdline.c', 'seq_puts(m, saved_command_line);', '\tseq_puts(m, "patched");'] as const;
const dummy = ['drivers/net/dummy.c', 'eth_hw_addr_random(dev);', '\teth_zero_addr(dev->broadcast);'] as const;

describe.each(stockKernels)('$name', ({ name, package: wanted }) => {
  let kernel: StoredKernel;
  let source: string;
  let scratch: string;
  /** Of each test: where Suture works, what it caches, what it makes. */
  let temporary: string;
  let cache: string;
  let output: string;

  beforeAll(async () => {
    kernel = await fetchKernel(wanted, { source: true });
    source = kernel.source!;
    scratch = mkdtempSync(join(tmpdir(), 'suture-test-trouble-'));
    writeFileSync(join(scratch, 'fix.patch'), editsAsPatch(source, [cmdline]), 'latin1');
    writeFileSync(join(scratch, 'two.patch'), editsAsPatch(source, [dummy, cmdline]), 'latin1');
    // What all builds for a kernel have in common is made by its first one.
    await sutureJson(command('fix.patch', join(scratch, 'first.ko')));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  beforeEach(async () => {
    const own = mkdtempSync(join(scratch, 'own-'));
    temporary = join(own, 'tmp');
    mkdirSync(temporary);
    cache = await cacheWithoutObjects(kernel, join(own, 'cache'));
    output = join(own, 'lp.ko');
  });

  const command = (patch: string, to: string) => [
    ...['build', '--kernel', name, '--source', source, '-n', 'lp', '-o', to],
    join(scratch, patch),
  ];
  const environment = () => ({ XDG_CACHE_HOME: cache, TMPDIR: temporary });

  /** A folder for PATH, with a script in the stead of the kernel's compiler, whatever number that has behind its name. */
  const withCompiler = (script: (compiler: string) => string): string => {
    const tools = mkdtempSync(join(scratch, 'tools-'));
    const gcc = `${kernel.crossPrefix}gcc`;
    const beside = dirname(findProgram(gcc)!);
    for (const each of readdirSync(beside)) {
      if (!each.startsWith(gcc) || !/^(-\d+)?$/.test(each.slice(gcc.length))) continue;
      writeFileSync(join(tools, each), `#!/bin/sh\n${script(join(beside, each))}\n`, { mode: 0o755 });
    }
    return `${tools}${delimiter}${process.env.PATH}`;
  };
  /** The folders of the source that a build could leave traces in. */
  const treeState = () =>
    [
      '.',
      'fs',
      'fs/proc',
      'include',
      'scripts',
      'scripts/basic',
      `arch/${kernel.architecture === 'arm' ? 'arm' : 'powerpc'}`,
    ].map((folder) => [readdirSync(join(source, folder)), statSync(join(source, folder)).mtimeMs]);
  const expectNoTrace = (before: ReturnType<typeof treeState>) => {
    expect(readdirSync(temporary)).toEqual([]);
    const building = join(cache, 'suture/building');
    expect(existsSync(building) ? readdirSync(building) : []).toEqual([]);
    expect(readdirSync(dirname(output)).sort()).toEqual(['cache', 'tmp']);
    expect(treeState()).toEqual(before);
  };

  it('says which functions go another way than was asked for', async () => {
    const { status, stderr } = await suture([...command('two.patch', output), '--way', 'entry'], environment());
    expect(status).toBe(0);
    const said = /dummy_\w+ of dummy goes the ftrace way: here the entry way is for functions of the kernel itself/;
    if (name.includes('powerpc')) expect(stderr).toMatch(said);
    else expect(stderr).not.toContain('goes the ftrace way');
  });

  describe('an interrupt', () => {
    // The compiler hangs where it is asked for this, and has begun a temporary file.
    it.each([
      ['the original is compiled', '-o fs/proc/cmdline.o'],
      ['the patched file is compiled', '/patched/tree-0/'],
      ['the module\u2019s frame is compiled', '/lp.c'],
    ])('while %s ends that, and leaves nothing', async (_, words) => {
      const pid = join(mkdtempSync(join(scratch, 'pid-')), 'pid');
      const PATH = withCompiler(
        (gcc) =>
          `case "$*" in *'${words}'*) echo $$ >${pid}.new; echo >$TMPDIR/cc.s; mv ${pid}.new ${pid}; exec sleep 600;; esac\nexec ${gcc} "$@"`,
      );
      const before = treeState();
      const child = startSuture([...command('fix.patch', output), '--json'], { ...environment(), PATH });
      let said = '';
      child.stdout!.on('data', (bytes) => {
        said += bytes;
      });
      await expect.poll(() => existsSync(pid), { timeout: 60_000 }).toBe(true);
      child.kill('SIGINT');
      expect(await once(child, 'close')).toEqual([1, null]);
      expect(JSON.parse(said)).toMatchObject({ status: 'fault', result: null, reasons: [{ code: 'interrupted' }] });
      const compiler = Number(readFileSync(pid, 'utf8'));
      await expect.poll(() => processStart(compiler), { timeout: 10_000 }).toBe(undefined);
      expectNoTrace(before);
    });

    it('while the build is compared with the kernel ends that, and leaves nothing', async () => {
      // What it is at is said where somebody watches. It interrupts itself there: who reads that may come too late.
      const watched = `process.stderr.isTTY = true;
        const write = process.stderr.write.bind(process.stderr);
        process.stderr.write = (text, ...rest) => {
          if (String(text).includes('comparing with')) process.kill(process.pid, 'SIGINT');
          return write(text, ...rest);
        };`;
      const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(watched)}`;
      const before = treeState();
      const child = startSuture([...command('fix.patch', output), '--json'], { ...environment(), NODE_OPTIONS });
      let said = '';
      child.stdout!.on('data', (bytes) => {
        said += bytes;
      });
      let progress = '';
      child.stderr!.on('data', (bytes) => {
        progress += bytes;
      });
      expect(await once(child, 'close')).toEqual([1, null]);
      expect(progress).toContain('comparing with the kernel as shipped');
      expect(JSON.parse(said)).toMatchObject({ status: 'fault', reasons: [{ code: 'interrupted' }] });
      expectNoTrace(before);
    });
  });

  describe('a full disk', () => {
    /** Builds where a folder has only so many kilobytes, and tells what is left there too. */
    const buildWith = async (folder: string, kilobytes: number, { first = ':', shown = 'ls -A' } = {}) => {
      const script = `mount -t tmpfs -o size="$1"k none "$2"; ${first}; shift 2; "$@"; status=$?; cd "$0"; ${shown} >&2; exit $status`;
      const { status, stdout, stderr } = await run(
        'unshare',
        [
          '-rm',
          'sh',
          '-c',
          script,
          folder,
          String(kilobytes),
          folder,
          process.execPath,
          program,
          '--json',
          ...command('fix.patch', output),
        ],
        { env: environment(), accept: [0, 1, 2] },
      );
      return { exit: status, left: stderr.trim(), ...JSON.parse(stdout) };
    };

    const expectNoSpace = (status: string, reasons: unknown): void =>
      expect({ status, reasons }).toMatchObject({
        status: 'fault',
        reasons: [{ code: 'output-failed', message: expect.stringMatching(/no space left/i) }],
      });

    it('of temporary files is said, however much there is, and leaves nothing', async () => {
      const before = treeState();
      const outcomes: number[] = [];
      for (const kilobytes of [100, 2100, 2500, 4500, 4800, 40_000]) {
        const { exit, left, status, reasons } = await buildWith(temporary, kilobytes);
        outcomes.push(exit);
        expect(left).toBe('');
        if (exit === 0) rmSync(output);
        else expectNoSpace(status, reasons);
        expectNoTrace(before);
      }
      expect([outcomes[0], outcomes.at(-1)]).toEqual([1, 0]);
    });

    it('of the cache is said, however much there is, and leaves no half of an entry', async () => {
      const kept = cache;
      const before = treeState();
      const outcomes: number[] = [];
      for (const free of [0, 16, 100, 10_000]) {
        cache = join(dirname(output), 'small');
        mkdirSync(cache);
        const remount = `mount -o remount,size=$(($(df -k --output=used '${cache}' | tail -1) + ${free}))k '${cache}'`;
        const { exit, left, status, reasons } = await buildWith(cache, 60_000, {
          first: `cp -a '${kept}/.' '${cache}' && ${remount}`,
          shown: 'ls -A suture/building; find . -name object.json -size 0',
        });
        outcomes.push(exit);
        expect(left).toBe('');
        if (exit === 0) rmSync(output);
        else expectNoSpace(status, reasons);
        rmSync(cache, { recursive: true });
        cache = kept;
        expectNoTrace(before);
      }
      expect([outcomes[0], outcomes.at(-1)]).toEqual([1, 0]);
    });

    it('of the output is said, and there is no half of it', async () => {
      const folder = join(dirname(output), 'full');
      mkdirSync(folder);
      output = join(folder, 'lp.ko');
      const report = await buildWith(folder, 4);
      expect(report).toMatchObject({ exit: 1, left: '', reasons: [{ code: 'output-failed', place: output }] });
    });
  });

  it('has one of two patches where both are built to one file at once, and never some of each', async () => {
    const before = treeState();
    const both = await Promise.all(
      ['fix.patch', 'two.patch'].map((patch) => suture(command(patch, output), environment())),
    );
    expect(both).toMatchObject([{ status: 0 }, { status: 0 }]);
    const bytes = readFileSync(output);
    if (!bytes.equals(readFileSync(join(scratch, 'first.ko')))) {
      expect(await suture(command('two.patch', output), environment())).toMatchObject({ status: 0 });
      expect(bytes.equals(readFileSync(output))).toBe(true);
    }
    rmSync(output);
    expectNoTrace(before);
  });

  it('makes the same of the same, beside another build, with an empty cache and a full one, on any number of processors', async () => {
    const outputs = ['a.ko', 'b.ko', 'c.ko'].map((each) => join(dirname(output), each));
    const before = treeState();
    // Two with nothing in the cache, at once, and of one the compilers end in another order.
    const slow = withCompiler(
      (gcc) => `case "$*" in *dummy.c*) ${gcc} "$@"; status=$?; sleep 1; exit $status;; esac\nexec ${gcc} "$@"`,
    );
    const both = await Promise.all([
      suture(command('two.patch', outputs[0]!), environment()),
      suture(command('two.patch', outputs[1]!), { ...environment(), PATH: slow }),
    ]);
    expect(both).toMatchObject([{ status: 0 }, { status: 0 }]);
    const third = await run(
      'taskset',
      ['--cpu-list', '0', process.execPath, program, ...command('two.patch', outputs[2]!)],
      {
        env: environment(),
        cwd: scratch,
      },
    );
    expect(third.status).toBe(0);
    const [first, ...others] = outputs.map((each) => readFileSync(each));
    for (const other of others) expect(other.equals(first!)).toBe(true);
    for (const each of outputs) rmSync(each);
    expectNoTrace(before);
  });
});
