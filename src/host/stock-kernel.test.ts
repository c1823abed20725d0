// Which kernel is meant when none is named: the newest of the distribution's own, never one that only looks like it.

import { expect, test } from 'vitest';
import { arm } from '../arch/arm/arm.ts';
import { isStockRelease } from './choose-packages.ts';
import type { StoredKernel } from './kernel-store.ts';
import { newestStock } from './stock-kernel.ts';

const kernel = (name: string, version: string) => ({ name, version }) as StoredKernel;

test('a stock release ends in the flavour, and has nothing but its version before it', () => {
  const stock = (release: string) => isStockRelease(release, arm.platform);
  expect(['6.1.0-50-armmp', '6.12.38+deb13-armmp', '7.0-armmp'].map(stock)).toEqual([true, true, true]);
  expect(['6.1.0-50-armmp-lpae', '6.1.0-50-rt-armmp', 'my-armmp', '6.1.0-50-marvell'].map(stock)).toEqual([
    ...[false, false, false, false],
  ]);
});

test('the newest stock kernel is the one of the highest version', () => {
  const old = kernel('6.1.0-9-armmp', '6.1.27-1');
  const newest = kernel('6.1.0-50-armmp', '6.1.176-1');
  const others = [
    kernel('6.1.0-60-powerpc64le', '6.1.180-1'),
    kernel('6.1.0-70-armmp', ''),
    kernel('9.9-rt-armmp', '9'),
  ];
  expect(newestStock([newest, old, ...others], arm.platform)).toBe(newest);
  expect(newestStock(others, arm.platform)).toBeUndefined();
});
