// A version is fetched, 139 MB of it; a folder that is mistyped must not be taken for one.

import { expect, test } from 'vitest';
import { looksLikeVersion } from './source-version.ts';

test.each(['6.1.187-1', '6.12.38-1~bpo12+1', '5.10.0-2+deb11u1'])('%s is a version', (text) => {
  expect(looksLikeVersion(text)).toBe(true);
});

test.each(['linux-6.1', '6.1.187', './6.1.187-1', '/src/6.1-1', '6.1-1/fs', '', 'v6.1.187-1'])(
  '%j is a folder',
  (text) => {
    expect(looksLikeVersion(text)).toBe(false);
  },
);
