// Foreign headers compile without complaint, and load without complaint too: only this comparison notices.

import { describe, expect, it } from 'vitest';
import { linkAddress } from '../elf/units.ts';
import type { ReasonError } from '../reason.ts';
import { checkHeaders, readSymvers } from './module-symvers.ts';

const text = `0x8c1823f3\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t
0x0000abcd\tkfree\tvmlinux\tEXPORT_SYMBOL_GPL\tNS
0x00000001\text4_thing\tfs/ext4/ext4\tEXPORT_SYMBOL\t
neither this
`;
const symvers = readSymvers(text);

const image = (versions: Readonly<Record<string, number | undefined>>) => ({
  release: '6.1.0-50-armmp',
  exports: new Map(
    Object.entries(versions).map(([name, crc]) => [
      name,
      { name, crc, address: linkAddress(0n), gplOnly: false, namespace: '' },
    ]),
  ),
});
const own = { module_layout: 0x8c1823f3, kfree: 0xabcd };

function refusal(versions: Readonly<Record<string, number | undefined>>, release = '6.1.0-50-armmp') {
  try {
    checkHeaders(image(versions), { symvers, release }, 'headers');
  } catch (error) {
    return (error as ReasonError).reasons[0];
  }
  return undefined;
}

it('Module.symvers gives version, name and module of each line', () => {
  expect(symvers).toEqual([
    { name: 'module_layout', crc: 0x8c1823f3, module: 'vmlinux' },
    { name: 'kfree', crc: 0xabcd, module: 'vmlinux' },
    { name: 'ext4_thing', crc: 1, module: 'fs/ext4/ext4' },
  ]);
});

describe('the headers of a kernel', () => {
  it('are its own when release and all versions agree', () => {
    expect(refusal(own)).toBeUndefined();
  });

  it('agree by name where the kernel has no versions', () => {
    expect(refusal({ module_layout: undefined, kfree: undefined })).toBeUndefined();
    expect(refusal({ module_layout: undefined })).toMatchObject({ code: 'wrong-kernel' });
  });

  it.each([
    ['another version', { ...own, module_layout: 1 }, /^module_layout has version 0x8c1823f3 .* and 0x00000001 in/],
    ['an export that they lack', { ...own, vfree: 1 }, /^the image exports vfree/],
    ['no export of theirs', { module_layout: own.module_layout }, /^these headers have kfree/],
    ['nothing of theirs', { a: 1, b: 2 }, /^the image exports a.*, and 3 more such differences$/],
  ])('are refused for an image with %s', (_what, versions, message) => {
    expect(refusal(versions)).toMatchObject({ code: 'wrong-kernel', message: expect.stringMatching(message) });
  });

  it('are refused for another release', () => {
    expect(refusal(own, '6.1.0-49-armmp')).toMatchObject({
      message: expect.stringMatching(/49-armmp, the image is 6/),
    });
  });
});
