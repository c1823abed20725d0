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
  'include/linux/kconfig.h': '#include <generated/autoconf.h>',
  'fs/three/generator.h': '#include REQUESTS',
  'fs/three/requests.h': '',
  'fs/three/i.c': '#define REQUESTS "requests.h"\n#include "generator.h"',
  'arch/arm/kernel/debug.S': '#include CONFIG_DEBUG_INCLUDE',
  'arch/arm/include/debug/uart.S': '',
};
/** As Kbuild makes it for an architecture without a bug.h of its own. */
const generated = {
  'arch/arm/include/generated/asm/bug.h': '#include <asm-generic/bug.h>',
  'include/generated/autoconf.h': '#define CONFIG_DEBUG_INCLUDE "debug/uart.S"\n#define CONFIG_MODEL "other.h"',
};

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
  // A macro names the file: of the source that defines it, or of the configuration.
  ['fs/three/requests.h', ['fs/three/i.c']],
  ['arch/arm/include/debug/uart.S', ['arch/arm/kernel/debug.S']],
])('%s is included by what leads to it', async (path, expected) => {
  const tree = { source: join(folder, 'source'), folder: join(folder, 'objects'), platform };
  expect(await includersOf(tree, [path])).toEqual(expected);
});
