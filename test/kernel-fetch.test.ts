// Fetching a kernel for real: nothing half-made is ever left in the cache, and the host stays as it was.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { withLock } from '../src/host/cache.ts';
import type { StoredKernel } from '../src/host/kernel-store.ts';
import { run } from '../src/host/run.ts';
import { findProgram } from '../src/host/tools.ts';
import { startSuture, suture, sutureJson } from './suture.ts';

let scratch: string;
let cache: string;
let kernel: StoredKernel;

const environment = () => ({ XDG_CACHE_HOME: scratch });
const entries = (folder: string) => (existsSync(join(cache, folder)) ? readdirSync(join(cache, folder)) : []);

/** What must be the same on the host before and after: its architectures, its packages, its package lists. */
const hostState = () => [
  execFileSync('dpkg', ['--print-foreign-architectures'], { encoding: 'utf8' }),
  execFileSync('dpkg-query', ['--show'], { encoding: 'utf8' }),
  existsSync('/var/lib/apt/lists') ? readdirSync('/var/lib/apt/lists').sort() : [],
];

/**
 * An environment whose apt-get notes what it was called for, passes `update` on to the real one, and for `download` does
 * `script` instead. So a fetch can be stopped at a known point, and none of these tests downloads a package.
 */
function withAptGet(script: string) {
  const folder = mkdtempSync(join(scratch, 'bin-'));
  const calls = join(folder, 'calls');
  const file = join(folder, 'apt-get');
  writeFileSync(calls, '');
  writeFileSync(
    file,
    `#!/bin/sh
for word; do
  case $word in
    update) echo update >>${calls}; exec ${findProgram('apt-get')} "$@" ;;
    download) echo download >>${calls}; ${script} ;;
  esac
done
`,
  );
  chmodSync(file, 0o755);
  return {
    env: { ...environment(), PATH: `${folder}:${process.env.PATH}` },
    calls: () => readFileSync(calls, 'utf8').split('\n').filter(Boolean),
  };
}

/** Whether a process still runs. One that is dead and waits to be collected by init does not. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'kernel-fetch-test-'));
  cache = join(scratch, 'suture');
  const before = hostState();
  const { status, result, reasons } = await sutureJson(['kernel', 'fetch', 'armhf'], environment());
  expect({ status, reasons }).toEqual({ status: 'done', reasons: [] });
  expect(hostState()).toEqual(before);
  kernel = result;
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('a fetched kernel', () => {
  test('has every part that it says it has, inside the cache, and nothing beside it', () => {
    const { name, architecture, version, crossPrefix, folder, ...parts } = kernel;
    expect(architecture).toBe('arm');
    expect(Object.keys(parts).sort()).toEqual(['busybox', 'config', 'headers', 'image', 'kbuild', 'modules']);
    for (const path of Object.values(parts) as string[]) {
      expect(path.startsWith(`${cache}/kernels/${name}/`)).toBe(true);
      expect(existsSync(path)).toBe(true);
    }
    expect(entries('building')).toEqual([]);
    expect(entries('kernels')).toEqual([name]);
  });

  test('lets a module be built against it with nothing of it installed', async () => {
    const folder = join(scratch, 'module');
    mkdirSync(folder);
    writeFileSync(join(folder, 'Kbuild'), 'obj-m := empty.o\n');
    writeFileSync(join(folder, 'empty.c'), '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n');
    await run('make', [
      '-C',
      kernel.headers,
      `M=${folder}`,
      'ARCH=arm',
      `CROSS_COMPILE=${kernel.crossPrefix}`,
      'modules',
    ]);
    expect(readFileSync(join(folder, 'empty.ko')).toString('latin1')).toContain(`vermagic=${kernel.name} `);
  });

  test('is not fetched again; by its own name not even looked for', async () => {
    const { env, calls } = withAptGet('exit 1');
    expect(await suture(['kernel', 'fetch', kernel.name], env)).toMatchObject({
      status: 0,
      stdout: `${kernel.name}\n`,
    });
    expect(calls()).toEqual([]);
    expect(await suture(['kernel', 'fetch', 'armhf'], env)).toMatchObject({ status: 0, stdout: `${kernel.name}\n` });
    expect(calls()).toEqual(['update']);
  });
});

test('an imported kernel keeps its own image, and a busybox, whatever becomes of the files it came from', async () => {
  const image = join(scratch, 'zImage');
  copyFileSync(kernel.image, image);
  const folders = ['--modules', kernel.modules, '--headers', kernel.headers];
  const { result } = await sutureJson(
    ['kernel', 'import', '--name', 'mine', '--image', image, ...folders],
    environment(),
  );
  rmSync(image);
  expect(readFileSync(result.image).equals(readFileSync(kernel.image))).toBe(true);
  expect(readFileSync(result.busybox).equals(readFileSync(kernel.busybox!))).toBe(true);
  expect(result).toMatchObject({ architecture: 'arm', modules: kernel.modules, headers: kernel.headers });
  await suture(['kernel', 'remove', 'mine'], environment());
});

describe('a fetch that does not come to its end', () => {
  /** Starts a fetch, waits until its download has begun and some of it is there, and ends it. */
  async function interrupt(signal: NodeJS.Signals) {
    const pid = join(mkdtempSync(join(scratch, 'pid-')), 'pid');
    const { env } = withAptGet(`echo part >part.deb; echo $$ >${pid}.new; mv ${pid}.new ${pid}; exec sleep 600`);
    const child = startSuture(['kernel', 'fetch', 'ppc64el', '--json'], env);
    let stdout = '';
    child.stdout!.on('data', (bytes) => {
      stdout += bytes;
    });
    await expect.poll(() => existsSync(pid), { timeout: 120_000 }).toBe(true);
    expect(entries('building')).not.toEqual([]);
    child.kill(signal);
    const [status] = await once(child, 'close');
    const downloader = Number(readFileSync(pid, 'utf8'));
    await expect.poll(() => isRunning(downloader), { timeout: 10_000 }).toBe(false);
    expect(entries('kernels')).toEqual([kernel.name]);
    return { status, stdout };
  }

  test.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing behind on %s, and says what happened', async (signal) => {
    const { status, stdout } = await interrupt(signal);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'fault',
      command: 'kernel fetch',
      reasons: [{ code: 'interrupted' }],
    });
    expect(entries('building')).toEqual([]);
  });

  test('is swept by the next start when it was killed, and holds no lock', async () => {
    await interrupt('SIGKILL');
    const { env } = withAptGet('echo "E: no"; exit 100');
    expect(await sutureJson(['kernel', 'fetch', 'ppc64el'], env)).toMatchObject({
      reasons: [{ code: 'fetch-failed' }],
    });
    expect(entries('building')).toEqual([]);
  });

  test('because of the mirror, ends with what apt said', async () => {
    const { env } = withAptGet('echo "E: Failed to fetch some.deb" >&2; exit 100');
    const { exit, reasons } = await sutureJson(['kernel', 'fetch', 'ppc64el'], env);
    expect(exit).toBe(1);
    expect(reasons).toMatchObject([{ code: 'fetch-failed', message: 'E: Failed to fetch some.deb' }]);
    expect(entries('kernels')).toEqual([kernel.name]);
    expect(entries('building')).toEqual([]);
  });

  test('because there is no such package, says so', async () => {
    const { exit, reasons } = await sutureJson(['kernel', 'fetch', 'linux-image-0.0.0-0-armmp:armhf'], environment());
    expect(exit).toBe(1);
    expect(reasons).toMatchObject([{ code: 'fetch-failed', place: 'linux-image-0.0.0-0-armmp:armhf' }]);
  });
});

test('who comes second to a lock waits for the first', async () => {
  vi.stubEnv('XDG_CACHE_HOME', scratch);
  const events: string[] = [];
  let release = () => {};
  const first = withLock('test', async () => {
    events.push('first in');
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    events.push('first out');
  });
  await expect.poll(() => events).toEqual(['first in']);
  const second = withLock('test', async () => events.push('second in'), release);
  await Promise.all([first, second]);
  expect(events).toEqual(['first in', 'first out', 'second in']);
  vi.unstubAllEnvs();
});

test('a removed kernel is gone', async () => {
  expect(await suture(['kernel', 'remove', kernel.name], environment())).toMatchObject({ status: 0 });
  expect(entries('kernels')).toEqual([]);
  expect(entries('building')).toEqual([]);
});
