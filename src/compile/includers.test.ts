// What includes a changed header is compiled again: one that is missed keeps the old code, and each that is named for nothing costs a
// compiler's run.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { platform } from '../arch/arm/platform.ts';
import { includersOf } from './includers.ts';

const files = {
  'fs/one/internal.h': '',
  'fs/one/a.c': '#include "internal.h"',
  'fs/one/deep/b.c': '#include "../internal.h"',
  'fs/one/deep/c.c': '  # include <internal.h>',
  'fs/two/internal.h': '#include <linux/fs.h>',
  'fs/two/d.c': '#include "internal.h"\n#include "nowhere.h"',
  'include/linux/fs.h': '#include <asm/bug.h>',
  'include/asm-generic/bug.h': '',
  'drivers/linux/fs.h': '',
  'drivers/e.c': '#include <linux/fs.h>',
  'arch/arm/kernel/f.S': '#include <asm/bug.h>',
  'arch/x86/kernel/g.c': '#include <linux/fs.h>',
  'tools/h.c': '#include <linux/fs.h>',
  'include/linux/kconfig.h': '',
};
/** As Kbuild makes it for an architecture without a bug.h of its own. */
const generated = { 'arch/arm/include/generated/asm/bug.h': '#include <asm-generic/bug.h>' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'includers-test-'));
  for (const [top, made] of Object.entries({ source: files, objects: generated })) {
    for (const [path, text] of Object.entries(made)) {
      mkdirSync(dirname(join(folder, top, path)), { recursive: true });
      writeFileSync(join(folder, top, path), `${text}\n`);
    }
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each<[string, string[] | 'all']>([
  // <internal.h> may come from a folder that a Makefile adds.
  ['fs/one/internal.h', ['fs/one/a.c', 'fs/one/deep/b.c', 'fs/one/deep/c.c']],
  ['fs/two/internal.h', ['fs/one/deep/c.c', 'fs/two/d.c']],
  ['include/linux/fs.h', ['drivers/e.c', 'fs/one/deep/c.c', 'fs/two/d.c']],
  ['drivers/linux/fs.h', []],
  ['include/asm-generic/bug.h', ['arch/arm/kernel/f.S', 'drivers/e.c', 'fs/one/deep/c.c', 'fs/two/d.c']],
  // The patch makes these.
  ['fs/two/nowhere.h', ['fs/two/d.c']],
  ['fs/one/deep/internal.h', ['fs/one/deep/c.c']],
  ['include/linux/kconfig.h', 'all'],
])('%s is included by what leads to it', async (path, expected) => {
  const tree = { source: join(folder, 'source'), folder: join(folder, 'objects'), platform };
  expect(await includersOf(tree, [path])).toEqual(expected);
});
