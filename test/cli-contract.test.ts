// Scripts rely on what every command prints with --json and on the status that it ends with. So one table holds all
// commands, well and badly used, in the order that a user might call them; a command that is not in it fails the last
// test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { commands } from '../src/cli/commands.ts';
import { openKernel, type StoredKernel } from '../src/host/kernel-store.ts';
import { stockKernels } from './stock-kernels.ts';
import { stockImage } from './support/stock-image.ts';
import { program, suture, sutureJson } from './suture.ts';

const example = fileURLToPath(new URL('../examples/cmdline', import.meta.url));

let scratch: string;
let stock: StoredKernel;
/** A kernel of another architecture, parts of which fit no image but its own. */
let foreign: StoredKernel;

/** A cache of its own, that the rows below fill from nothing; and what stands for WORDS in their command lines. */
const environment = () => ({ XDG_CACHE_HOME: scratch });
const fill = (line: string) =>
  line
    .split(' ')
    .map((word) =>
      word
        .replace('SCRATCH', scratch)
        .replace('IMAGE', stock.image)
        .replace('MODULES', stock.modules)
        .replace('HEADERS', stock.headers)
        .replace('BUSYBOX', stock.busybox!)
        .replace('FOREIGN_TREE', foreign.headers)
        .replace('FOREIGN_KERNEL', foreign.image)
        .replace('REDIRECTS', join(example, '../redirects'))
        .replace('EXAMPLE', example),
    );

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'cli-contract-test-'));
  stock = await openKernel(stockKernels[0].name);
  foreign = await openKernel(stockKernels[1].name);
  const { kallsyms } = await stockImage(foreign.name);
  const lines = kallsyms.map(
    ({ address, type, name }) => `${address.toString(16).padStart(16, '0')} ${type} ${name}\n`,
  );
  writeFileSync(join(scratch, 'System.map'), lines.join(''));
  writeFileSync(
    join(scratch, 'config'),
    'CONFIG_MODULES=y\nCONFIG_MMU=y\nCONFIG_DYNAMIC_FTRACE_WITH_REGS=y\nCONFIG_LIVEPATCH=y\n',
  );
  mkdirSync(join(scratch, 'tree/arch', architectureByName(stock.architecture)!.platform.kbuild), { recursive: true });
  writeFileSync(join(scratch, 'tree/Makefile'), 'VERSION = 6\n');
  writeFileSync(join(scratch, 'garbage'), 'neither an image nor a module\n');
  writeFileSync(join(scratch, 'fix.patch'), '--- a/fs/proc/cmdline.c\n');
  writeFileSync(
    join(scratch, 'of-module.c'),
    '#include <suture/fix.h>\nstatic void mine(void) { }\nSUTURE_REPLACES(mine, theirs, 0, "no_such_module");\n',
  );
  writeFileSync(join(scratch, 'whole.c'), 'static int __init init(void) { return klp_enable_patch(&patch); }\n');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A command line, and how it ends: `done`, or the code of its first reason. */
const table: readonly [line: string, end: string][] = [
  ['kernel import --name mine --image IMAGE --modules MODULES --headers HEADERS --busybox BUSYBOX', 'done'],
  ['kernel import --name mine --image IMAGE --modules MODULES --headers HEADERS', 'usage'],
  ['kernel import --name ../mine --image IMAGE --modules MODULES --headers HEADERS', 'usage'],
  ['kernel import --name mine', 'usage'],
  ['kernel import --name other --image SCRATCH/none --modules MODULES --headers HEADERS', 'file-missing'],
  ['kernel import --name other --image IMAGE --modules MODULES --headers SCRATCH', 'file-missing'],
  ['kernel import --name other --image SCRATCH/garbage --modules MODULES --headers HEADERS', 'image-unreadable'],
  ['kernel import --name other --image IMAGE --modules MODULES --headers FOREIGN_TREE', 'wrong-kernel'],
  ...[
    ['--system-map SCRATCH/System.map', 'wrong-kernel'] as const,
    ['--system-map SCRATCH/garbage', 'system-map-malformed'] as const,
    ['--vmlinux FOREIGN_KERNEL', 'wrong-kernel'] as const,
    ['--vmlinux SCRATCH/garbage', 'elf-malformed'] as const,
  ].map(([option, end]): [string, string] => [
    `kernel import --name other --image IMAGE --modules MODULES --headers HEADERS ${option}`,
    end,
  ]),
  ['kernel import --name own --image IMAGE --modules MODULES --headers HEADERS --config SCRATCH/config', 'done'],
  ['core --kernel own -o SCRATCH/own', 'kernel-unsupported'],
  ['build --kernel own -o SCRATCH/other.ko EXAMPLE.c', 'kernel-unsupported'],
  ['kernel list', 'done'],
  ['kernel list all', 'usage'],
  ['kernel show mine', 'done'],
  ['kernel show other', 'kernel-unknown'],
  ['kernel show', 'usage'],
  // By its exact name, what is there is not looked for: no network.
  ['kernel fetch linux-image-mine', 'done'],
  ['kernel fetch linux-image-other:s390x', 'usage'],
  ['kernel fetch armfh', 'usage'],
  ['core --kernel mine -o SCRATCH/core', 'done'],
  ['core --kernel other -o SCRATCH/core', 'kernel-unknown'],
  ['core --kernel mine', 'usage'],
  ['build --kernel mine -o SCRATCH/fix.ko EXAMPLE.c', 'done'],
  ['build --kernel other -o SCRATCH/other.ko EXAMPLE.c', 'kernel-unknown'],
  ['build --kernel mine -o SCRATCH/other.ko SCRATCH/none.c', 'file-missing'],
  ['build --kernel mine -o SCRATCH/none/other.ko EXAMPLE.c', 'output-failed'],
  // Before the kernel is looked for.
  ['build --kernel other -o SCRATCH/none/other.ko EXAMPLE.c', 'output-failed'],
  ['build --kernel mine -o SCRATCH/new/ EXAMPLE.c', 'done'],
  ['build --kernel mine -o SCRATCH/other.ko SCRATCH/fix.patch', 'patch-unreadable'],
  ['build --kernel mine -o SCRATCH/other.ko SCRATCH/whole.c', 'whole-module'],
  ['build --kernel mine -o SCRATCH/other.ko SCRATCH/garbage', 'compile-failed'],
  ['build --kernel mine --module SCRATCH/none.ko -o SCRATCH/other.ko SCRATCH/of-module.c', 'file-missing'],
  ['build --kernel mine -o SCRATCH/other.ko SCRATCH/of-module.c', 'target-missing'],
  ['build EXAMPLE.c', 'usage'],
  ['adapt --kernel mine -o SCRATCH/adapted.ko MODULES/kernel/drivers/net/dummy.ko', 'done'],
  ['adapt --kernel mine --module SCRATCH/none.ko -o SCRATCH/other.ko SCRATCH/adapted.ko', 'file-missing'],
  ['adapt --kernel mine -o SCRATCH/other.ko SCRATCH/fix.ko', 'already-adapted'],
  ['adapt --kernel mine -o SCRATCH/other.ko SCRATCH/none.ko', 'file-missing'],
  ['adapt --kernel mine -o SCRATCH/other.ko SCRATCH/garbage', 'elf-malformed'],
  ['adapt --kernel mine -o SCRATCH/adapted.ko SCRATCH/adapted.ko', 'usage'],
  ['adapt --kernel mine -o SCRATCH/none/other.ko SCRATCH/adapted.ko', 'output-failed'],
  ['adapt --kernel other -o SCRATCH/other.ko SCRATCH/adapted.ko', 'kernel-unknown'],
  ['adapt --kernel mine SCRATCH/adapted.ko', 'usage'],
  ['info SCRATCH/fix.ko', 'done'],
  ['info SCRATCH/none.ko', 'file-missing'],
  ['info SCRATCH/garbage', 'not-a-patch-module'],
  ['info', 'usage'],
  ['diff SCRATCH/fix.ko SCRATCH/fix.ko', 'done'],
  ['diff SCRATCH/fix.ko SCRATCH/none.o', 'file-missing'],
  ['diff SCRATCH/fix.ko SCRATCH/garbage', 'elf-malformed'],
  ['diff SCRATCH/fix.ko FOREIGN_KERNEL', 'objects-unrelated'],
  ['diff SCRATCH/fix.ko', 'usage'],
  ['prove --kernel mine SCRATCH/fix.ko', 'done'],
  ['prove --kernel mine SCRATCH/fix.ko --function cmdline_proc_show', 'done'],
  ['prove --kernel mine SCRATCH/fix.ko --function version_proc_show', 'name-missing'],
  ['prove --kernel mine --all --function version_proc_show', 'done'],
  ['prove --kernel mine --all --function no_such_function', 'name-missing'],
  ['prove --kernel mine SCRATCH/garbage', 'not-a-patch-module'],
  ['prove --kernel mine SCRATCH/none.ko', 'file-missing'],
  ['prove --kernel other SCRATCH/fix.ko', 'kernel-unknown'],
  ['prove --kernel mine --redirect REDIRECTS/arm-call-first.S', 'done'],
  ['prove --kernel mine --redirect SCRATCH/garbage', 'compile-failed'],
  ['prove --kernel mine --redirect SCRATCH/none.S', 'file-missing'],
  ['prove --kernel mine --all SCRATCH/fix.ko', 'usage'],
  ['prove --kernel mine', 'usage'],
  ['prove --kernel mine SCRATCH/fix.ko --way entry', 'usage'],
  ['prove --kernel mine --redirect REDIRECTS/arm-call-first.S --way entry', 'usage'],
  ['audit mine', 'done'],
  ['audit mine --list never-left', 'done'],
  ['audit mine --list why', 'usage'],
  ['audit other', 'kernel-unknown'],
  ['rehearse --kernel mine SCRATCH/fix.ko --check EXAMPLE.sh', 'done'],
  ['rehearse --kernel other SCRATCH/fix.ko', 'kernel-unknown'],
  ['rehearse --kernel mine SCRATCH/none.ko', 'file-missing'],
  ['rehearse --kernel mine SCRATCH/fix.ko --load no_such_module', 'file-missing'],
  ['rehearse --kernel mine SCRATCH/fix.ko --expect-log (', 'usage'],
  ['rehearse --kernel mine SCRATCH/fix.ko --timeout soon', 'usage'],
  ['rehearse SCRATCH/fix.ko', 'usage'],
  ['rehearse --kernel mine SCRATCH/fix.ko SCRATCH/fix.ko', 'usage'],
  ['corpus SCRATCH/tree SCRATCH/tree --kernel mine --state SCRATCH/corpus', 'done'],
  ['corpus SCRATCH/tree SCRATCH/tree --kernel mine --state SCRATCH/corpus --seed 2', 'usage'],
  ['corpus SCRATCH/tree SCRATCH/none --kernel mine --state SCRATCH/other', 'usage'],
  ['corpus SCRATCH/tree SCRATCH/tree --kernel mine --sample some', 'usage'],
  ['corpus SCRATCH/tree SCRATCH/tree --kernel other', 'kernel-unknown'],
  ['demo --kernel mine', 'done'],
  ['demo --kernel other', 'kernel-unknown'],
  ['demo mine', 'usage'],
  ['kernel remove mine', 'done'],
  ['kernel remove mine', 'kernel-unknown'],
];

const faults = [
  'usage',
  'kernel-unknown',
  'file-missing',
  'output-failed',
  'tool-missing',
  'tool-failed',
  'fetch-failed',
];

test.each(table)('%s → %s', async (line, end) => {
  const report = await sutureJson(fill(line), environment());
  const expected =
    end === 'done'
      ? { exit: 0, status: 'done', reasons: [] }
      : faults.includes(end)
        ? { exit: 1, status: 'fault', result: null, reasons: [{ code: end }] }
        : { exit: 2, status: 'refused', result: null, reasons: [{ code: end }] };
  expect(report).toMatchObject({ schema: 1, command: commandOf(line), ...expected });
  expect(Object.keys(report)).toEqual(['exit', 'schema', 'command', 'kernel', 'status', 'result', 'reasons']);
  for (const { message, remedy, place } of report.reasons) {
    expect(message).not.toBe('');
    expect(typeof place).toBe('string');
    // Whoever is refused is told what to do next.
    expect(remedy).not.toBe('');
  }
});

test('the kernel that a command is about is in its report, also when it fails', async () => {
  for (const line of ['kernel show nobody', 'core --kernel nobody -o SCRATCH', 'build --kernel nobody EXAMPLE.c']) {
    expect(await sutureJson(fill(line), environment())).toMatchObject({ kernel: 'nobody' });
  }
});

describe('without --json', () => {
  test('a result is on stdout alone', async () => {
    expect(await suture(['kernel', 'list'])).toMatchObject({ status: 0, stderr: '' });
    expect((await suture(['kernel', 'list'])).stdout).toContain(stock.name);
  });

  test('a reason is on stderr alone, in plain text where nobody watches', async () => {
    const { status, stdout, stderr } = await suture(['kernel', 'show', 'nobody']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^kernel-unknown {2}nobody: /);
    expect(stderr).not.toContain('\x1b');
  });

  test('a device that takes no more is named in one line', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [program, 'kernel', 'list', '--json'], { stdio: ['ignore', full, 'pipe'] });
    const [said, [status]] = await Promise.all([text(child.stderr!), once(child, 'close')]);
    closeSync(full);
    expect(status).toBe(1);
    expect(said.split('\n')[0]).toBe('output-failed  standard output: no space left on device');
    expect(said).not.toMatch(/\n +at /);
  });

  test('an empty cache is no fault, and how to fill it is said beside the empty list', async () => {
    const { status, stdout, stderr } = await suture(['kernel', 'list'], { XDG_CACHE_HOME: join(scratch, 'empty') });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(stderr).toMatch(/suture kernel fetch/);
  });

  test('rehearse says of two patches what can be done with them', async () => {
    const { kernel, reasons } = await sutureJson(['rehearse', '--kernel', 'k', 'a.ko', 'b.ko']);
    expect({ kernel, reasons }).toMatchObject({
      kernel: 'k',
      reasons: [{ code: 'usage', place: 'b.ko', remedy: expect.stringMatching(/^build one patch of all the fixes/) }],
    });
  });

  test('the help of rehearse tells all that a check has to keep to', async () => {
    const { stdout } = await suture(['rehearse', '--help']);
    for (const word of ['before', 'applied', 'reverted', 'status 0', 'must be the same', '--timeout', '--expect-log']) {
      expect(stdout).toContain(word);
    }
  });

  test('help is no fault, and nothing at all is one', async () => {
    expect((await suture(['--help'])).status).toBe(0);
    expect((await suture([])).status).toBe(1);
  });
});

test('a refused command writes no output', () => {
  expect(existsSync(join(scratch, 'other.ko'))).toBe(false);
});

test('the table holds every command: well used, and wrongly', () => {
  for (const command of allCommands()) {
    const ends = table.filter(([line]) => commandOf(line) === command).map(([, end]) => end);
    expect(ends, command).toContain('done');
    expect(ends.length, command).toBeGreaterThan(1);
  }
});

/** The words of a command line that name its command. */
const commandOf = (line: string): string => allCommands().find((name) => `${line} `.startsWith(`${name} `)) ?? '';

/** The names of all commands that do something themselves. */
function allCommands(): string[] {
  const program = new Command();
  for (const add of commands) add(program, () => async () => {});
  const names = (command: Command, words: string): string[] =>
    command.commands.length > 0
      ? command.commands.flatMap((each) => names(each, `${words} ${each.name()}`))
      : [words.trim()];
  return names(program, '');
}
