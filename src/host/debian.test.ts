// Which of two packages is newer decides which kernel is fetched; dpkg is the judge of that, so its rules are held here.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareVersions, readStanzas } from './debian.ts';

describe('versions sort as dpkg sorts them', () => {
  // Each line from old to new, checked once against `dpkg --compare-versions`.
  test.each([
    ['6.1.99-1', '6.1.170-3', '6.1.176-1', '6.1.176-2', '6.1.176-10', '6.12.9-1'],
    ['6.12~rc4-1~exp1', '6.12~rc4-1', '6.12-1', '6.12-1+b1', '6.12.1-1'],
    ['1.35.0-4', '1.35.0-4+deb12u1', '1.35.0-4+deb12u1+b1', '1:1.30.1-6', '1:1.35.0-4'],
    ['1.0~~', '1.0~', '1.0', '1.0a', '1.0z', '1.0+', '1.0.', '1.0.1'],
    ['0', '0a', '1-1', '1-1-1', '1.1'],
  ])('%s < %s …', (...versions) => {
    const shuffled = [...versions].reverse();
    expect(shuffled.sort(compareVersions)).toEqual(versions);
  });

  test('leading zeros and a missing revision make no difference', () => {
    expect(compareVersions('1.007-1', '1.7-1')).toBe(0);
    expect(compareVersions('1.0', '1.0-0')).toBe(0);
    expect(compareVersions('0:1.0', '1.0')).toBe(0);
  });

  test('the order is one: reflexive, antisymmetric', () => {
    const version = fc.stringMatching(/^[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,4})?$/);
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(compareVersions(a, a)).toBe(0);
        expect(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a))).toBe(0);
      }),
    );
  });
});

describe('stanzas of apt-cache show', () => {
  const shown = `Package: linux-headers-6.1.0-50-armmp
Version: 6.1.176-1
Architecture: armhf
Depends: linux-headers-6.1.0-50-common (= 6.1.176-1), linux-kbuild-6.1 (>= 6.1.176-1), gcc-12:any | gcc-11
Size: 1660484
Description: Header files
 with a second line
 Version: of no importance

Package: linux-source-6.1
Version: 6.1.176-1
Depends: binutils,
 xz-utils
Architecture: all

`;

  test('give name, version, dependencies and size', () => {
    const [headers, source, ...rest] = readStanzas(shown);
    expect(rest).toEqual([]);
    expect(headers).toEqual({
      name: 'linux-headers-6.1.0-50-armmp',
      version: '6.1.176-1',
      architecture: 'armhf',
      depends: ['linux-headers-6.1.0-50-common', 'linux-kbuild-6.1', 'gcc-12', 'gcc-11'],
      size: 1660484,
    });
    expect(source).toMatchObject({ architecture: 'all', depends: ['binutils', 'xz-utils'], size: 0 });
  });

  test('nothing comes of text that has none', () => {
    expect(readStanzas('')).toEqual([]);
    expect(readStanzas('N: Unable to locate package linux-image-none\n')).toEqual([]);
  });
});
