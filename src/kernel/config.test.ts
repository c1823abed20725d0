// The configuration and .modinfo are plain text; the corners are quotes, repeated keys and what is no entry.

import { expect, test } from 'vitest';
import { parseConfig } from './config.ts';
import { readModinfo } from './modinfo.ts';

test('A configuration gives what is set', () => {
  const config = parseConfig(
    [
      '# Linux/arm 6.1.176 Kernel Configuration',
      'CONFIG_FTRACE=y',
      'CONFIG_XFRM_USER=m',
      '# CONFIG_LIVEPATCH is not set',
      'CONFIG_NR_CPUS=8',
      'CONFIG_BUILD_SALT="6.1.0-50 \\"armmp\\""',
      'CONFIG_PAGE_OFFSET=0xC0000000\r',
      'CONFIG_LOCALVERSION=""\r',
      'NOT_CONFIG_X=y',
    ].join('\n'),
  );
  expect(Object.fromEntries(config)).toEqual({
    FTRACE: 'y',
    XFRM_USER: 'm',
    NR_CPUS: '8',
    BUILD_SALT: '6.1.0-50 "armmp"',
    PAGE_OFFSET: '0xC0000000',
    LOCALVERSION: '',
  });
});

test('.modinfo gives every entry, the values with their own equals signs', () => {
  const bytes = new TextEncoder().encode('alias=a\0alias=b\0\0nothing\0parm=x:y=z\0');
  expect(readModinfo(bytes)).toEqual([
    ['alias', 'a'],
    ['alias', 'b'],
    ['parm', 'x:y=z'],
  ]);
});
