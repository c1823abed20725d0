// The choice of packages: one version throughout, the newest that is complete, and a refusal that says what is missing.

import { describe, expect, test } from 'vitest';
import { ReasonError } from '../reason.ts';
import { choosePackages, nearestVersion, readRequest } from './choose-packages.ts';
import type { DebianPackage } from './debian.ts';

const debianPackage = (name: string, version: string, depends: string[] = []): DebianPackage => ({
  name,
  version,
  architecture: 'armhf',
  depends,
  size: 1,
});

/** The packages of one bookworm kernel. */
function kernel(release: string, version: string): DebianPackage[] {
  const abi = release.replace('-armmp', '');
  return [
    debianPackage(`linux-image-${release}`, version),
    debianPackage(`linux-headers-${release}`, version, [`linux-headers-${abi}-common`, 'linux-kbuild-6.1']),
    debianPackage(`linux-headers-${abi}-common`, version),
    debianPackage('linux-source-6.1', version),
  ];
}

const busybox = debianPackage('busybox-static', '1:1.35.0-4');
const images = (packages: DebianPackage[]) => packages.filter(({ name }) => name.startsWith('linux-image-'));
const choose = (...packages: DebianPackage[]) => choosePackages(packages, images(packages), 'armhf');
const refusal = (task: () => unknown): ReasonError => {
  try {
    task();
  } catch (error) {
    if (error instanceof ReasonError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('the packages of a kernel', () => {
  test('the newest image is taken, by version and not by the order of the list', () => {
    const chosen = choose(...kernel('6.1.0-50-armmp', '6.1.176-1'), busybox, ...kernel('6.1.0-9-armmp', '6.1.27-1'));
    expect(chosen.release).toBe('6.1.0-50-armmp');
    expect(chosen.source).toEqual(debianPackage('linux-source-6.1', '6.1.176-1'));
    expect(chosen.kbuild).toBe('linux-kbuild-6.1');
    expect(chosen.debug).toBeUndefined();
  });

  test('an image whose source is not there yet is passed over', () => {
    const unfinished = kernel('6.1.0-51-armmp', '6.1.180-1').filter(({ name }) => name !== 'linux-source-6.1');
    expect(choose(...unfinished, ...kernel('6.1.0-50-armmp', '6.1.176-1'), busybox).release).toBe('6.1.0-50-armmp');
  });

  test('headers of another version do not count', () => {
    const mixed = kernel('6.1.0-50-armmp', '6.1.176-1').map((each) =>
      each.name === 'linux-headers-6.1.0-50-armmp' ? { ...each, version: '6.1.176-2' } : each,
    );
    const [reason] = refusal(() => choose(...mixed, busybox)).reasons;
    expect(reason.code).toBe('fetch-failed');
    expect(reason.message).toContain('6.1.176-1 is there without linux-headers-6.1.0-50-armmp');
  });

  test('trixie’s names are read from what the headers depend on', () => {
    const chosen = choose(
      debianPackage('linux-image-6.12.9+deb13-armmp', '6.12.9-1'),
      debianPackage('linux-headers-6.12.9+deb13-armmp', '6.12.9-1', [
        'linux-headers-6.12.9+deb13-common',
        'linux-kbuild-6.12.9+deb13',
      ]),
      debianPackage('linux-headers-6.12.9+deb13-common', '6.12.9-1'),
      debianPackage('linux-source-6.12', '6.12.9-1'),
      debianPackage('linux-image-6.12.9+deb13-armmp-dbg', '6.12.9-1'),
      busybox,
    );
    expect(chosen.kbuild).toBe('linux-kbuild-6.12.9+deb13');
    expect(chosen.source.name).toBe('linux-source-6.12');
    expect(chosen.debug?.name).toBe('linux-image-6.12.9+deb13-armmp-dbg');
  });

  test('no image at all is said so', () => {
    expect(refusal(() => choose(busybox)).reasons[0].message).toMatch(/no such kernel/);
  });
});

describe('the build tools', () => {
  const tools = ['6.1.170-3', '6.1.192-2', '6.1.176-1'].map((version) => debianPackage('linux-kbuild-6.1', version));

  test.each([
    ['6.1.176-1', '6.1.176-1'],
    ['6.1.180-1', '6.1.192-2'],
    ['6.1.200-1', '6.1.192-2'],
    ['6.1.100-1', '6.1.170-3'],
  ])('for %s are those of %s', (kernelVersion, taken) => {
    expect(nearestVersion(tools, kernelVersion)?.version).toBe(taken);
  });

  test('none are none', () => {
    expect(nearestVersion([], '6.1.176-1')).toBeUndefined();
  });
});

describe('what can be asked for', () => {
  const architectures = (text: string) => readRequest(text).platforms.map((each) => each.debian.architecture);

  test('an architecture means its newest stock kernel', () => {
    expect(readRequest('armhf').image).toBeUndefined();
    expect(architectures('armhf')).toEqual(['armhf']);
    expect(architectures('ppc64el')).toEqual(['ppc64el']);
  });

  test('a package is looked for first where its flavour belongs', () => {
    expect(architectures('linux-image-6.1.0-50-powerpc64le')[0]).toBe('ppc64el');
    expect(architectures('linux-image-6.1.0-50-rt-armmp')[0]).toBe('armhf');
    expect(architectures('linux-image-6.1.0-50-armmp:ppc64el')).toEqual(['ppc64el']);
  });

  test('another of the distribution’s architectures with kernels for the same machine code may be named', () => {
    expect(architectures('linux-image-6.1.0-50-marvell:armel')).toEqual(['armel']);
    expect(readRequest('linux-image-6.1.0-50-marvell:armel').platforms[0]!.name).toBe('arm');
    expect(refusal(() => readRequest('armel')).reasons[0].code).toBe('usage');
  });

  test('a version may be given, and a release stands for its image', () => {
    expect(readRequest('linux-image-6.1.0-47-armmp:armhf=6.1.170-3')).toMatchObject({
      image: 'linux-image-6.1.0-47-armmp',
      version: '6.1.170-3',
    });
    expect(readRequest('6.1.0-50-armmp').image).toBe('linux-image-6.1.0-50-armmp');
  });

  test.each([
    '',
    'linux-image-x:s390x',
    '-oDir=/',
    '../x',
    'a b',
    'linux-image-x=',
    'amd64',
    'armfh',
    'bash',
    'linux-image-',
  ])('%j is not', (text) => {
    expect(refusal(() => readRequest(text)).reasons[0].code).toBe('usage');
  });
});
