// kernel.json is written by one run and trusted by all later ones; a damaged one must be named, never half believed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ReasonError } from '../reason.ts';
import { cacheFolder } from './cache.ts';
import {
  checkKernelName,
  type KernelDescription,
  listKernels,
  openKernel,
  readKernelFile,
  writeKernelFile,
} from './kernel-store.ts';

const described: KernelDescription = {
  name: '6.1.0-50-armmp',
  architecture: 'arm',
  version: '6.1.176-1',
  crossPrefix: 'arm-linux-gnueabihf-',
  image: 'boot/vmlinuz-6.1.0-50-armmp',
  modules: 'lib/modules/6.1.0-50-armmp',
  headers: '/somewhere/else/headers',
  config: '/cache/kernels/k/boot/config',
};

describe('kernel.json', () => {
  test('keeps what lies inside its folder relative, so that the cache can be moved', () => {
    const text = writeKernelFile(described, '/cache/kernels/k');
    expect(JSON.parse(text)).toMatchObject({ schema: 1, config: 'boot/config', headers: '/somewhere/else/headers' });
    expect(readKernelFile(text, '/moved/k')).toEqual({
      ...described,
      folder: '/moved/k',
      image: '/moved/k/boot/vmlinuz-6.1.0-50-armmp',
      modules: '/moved/k/lib/modules/6.1.0-50-armmp',
      config: '/moved/k/boot/config',
    });
  });

  test('a folder that only begins like the entry’s is outside of it', () => {
    const text = writeKernelFile({ ...described, headers: '/cache/kernels/k2/headers' }, '/cache/kernels/k');
    expect(JSON.parse(text).headers).toBe('/cache/kernels/k2/headers');
  });

  const whole = JSON.parse(writeKernelFile(described, '/k'));
  test.each([
    ['cut short', JSON.stringify(whole).slice(0, -1)],
    ['no object', '[]'],
    ['another schema', JSON.stringify({ ...whole, schema: 2 })],
    ['a part missing', JSON.stringify({ ...whole, image: undefined })],
    ['an unknown architecture', JSON.stringify({ ...whole, architecture: 'vax' })],
    ['an unknown key', JSON.stringify({ ...whole, imgae: 'x' })],
  ])('%s is refused by name', (_, text) => {
    expect(() => readKernelFile(text, '/k')).toThrow(/^\/k\/kernel\.json: /);
  });

  test('any text gives a kernel or a refusal', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          readKernelFile(text, '/k');
        } catch (error) {
          expect(error).toBeInstanceOf(ReasonError);
        }
      }),
    );
  });
});

test.each(['..', '.', '', 'a/b', '/etc', 'a b', '../../x', 'a\n'])('%j is no kernel’s name', (name) => {
  expect(() => checkKernelName(name)).toThrow(ReasonError);
});

describe('the list of kernels', () => {
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'kernel-store-test-'));
    vi.stubEnv('XDG_CACHE_HOME', cache);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(cache, { recursive: true });
  });

  test('is empty where there is no cache yet, and an unknown kernel’s refusal leads to it', async () => {
    expect(await listKernels()).toEqual([]);
    await expect(openKernel('nope')).rejects.toMatchObject({
      reasons: [
        {
          code: 'kernel-unknown',
          place: 'nope',
          message: expect.stringContaining(`in the cache (${cacheFolder()})`),
          remedy: expect.stringContaining('`suture kernel list`'),
        },
      ],
    });
  });

  test('is not empty but a fault where the cache cannot be read', async () => {
    mkdirSync(join(cache, 'suture'));
    writeFileSync(join(cache, 'suture', 'kernels'), 'not a folder');
    await expect(listKernels()).rejects.toMatchObject({ kind: 'fault', reasons: [{ code: 'file-missing' }] });
  });
});
