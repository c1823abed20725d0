// What a patch module is called when nobody says so: a user goes by that in lsmod and sysfs, and two patches of one name cannot be
// loaded together.

import { expect, it } from 'vitest';
import { checkPatchName, patchName } from './build-patch.ts';

it.each([
  ['fixes/cmdline.c', undefined, 'livepatch_cmdline'],
  ['fix.patch', 'out/fix-a.ko', 'livepatch_fix_a'],
  ['fix.patch', 'fix-b.ko', 'livepatch_fix_b'],
  // None of a module, least of all that of the one that it patches or of the core.
  ['fix.patch', 'dummy.ko', 'livepatch_dummy'],
  ['fix.patch', 'suture.ko', 'livepatch_suture'],
  ['fix.patch', '6.1-fix.ko', 'livepatch_6_1_fix'],
  ['fix.patch', 'livepatch-fix.ko', 'livepatch_fix'],
  ['fix.patch', 'module.out', 'livepatch_fix'],
  ['fix.patch', `${'long'.repeat(20)}.ko`, `livepatch_${'long'.repeat(20)}`.slice(0, 48)],
])('%s to %s is %s', (fix, file, name) => {
  expect(patchName(fix, file)).toBe(name);
  expect(() => checkPatchName(name)).not.toThrow();
});
