// A kernel with live patching of its own gets modules for that: `build` and `adapt` choose by themselves, and what they make
// is applied and taken back by the kernel alone.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openKernel } from '../../src/host/kernel-store.ts';
import { run } from '../../src/host/run.ts';
import { withGuest } from '../../src/lab/guest.ts';
import { guestKernel } from '../../src/lab/guest-kernel.ts';
import { modulesWithDependencies } from '../../src/lab/target-modules.ts';
import { suture, sutureJson } from '../suture.ts';
import { versionPatch } from './version-patch.ts';
import { describeKernel } from './wanted-kernels.ts';

const kernel = 'ppc64le-livepatch';

/** Uses a function and a variable that the kernel does not export. */
const replacement = `
static int new_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s (%d processes)\\n", saved_command_line, nr_processes());
	return 0;
}
`;
const includes = `#include <linux/init.h>
#include <linux/sched/stat.h>
#include <linux/seq_file.h>
`;
const fix = includes + replacement.replace('new_show', 'cmdline_proc_show');
const livepatchModule = `#include <linux/livepatch.h>
#include <linux/module.h>
${includes}${replacement}
static struct klp_func funcs[] = { { .old_name = "cmdline_proc_show", .new_func = new_show }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int __init demo_init(void) { return klp_enable_patch(&patch); }
static void __exit demo_exit(void) { }
module_init(demo_init);
module_exit(demo_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;
/** Of a module (samples/kobject), and with a variable of it, which is nowhere but there. */
const moduleFix = `#include <linux/kobject.h>
#include <linux/sysfs.h>
#include <suture/fix.h>
extern int foo;
static ssize_t my_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "patched %d\\n", foo);
}
SUTURE_REPLACES(my_show, foo_show, 0, "kobject_example");
`;

const check = (file: string, pattern: string) => `cat ${file}
case $SUTURE_PHASE in
applied) grep -q '${pattern}' ${file} ;;
*) ! grep -q '${pattern}' ${file} ;;
esac
`;

await describeKernel(kernel, () => {
  let folder: string;
  const inFolder = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'suture-test-livepatch-'));
    await writeFile(inFolder('fix.c'), fix);
    await writeFile(inFolder('fix.patch'), versionPatch);
    await writeFile(inFolder('cmdline.sh'), check('/proc/cmdline', 'processes)'));
    await writeFile(inFolder('version.sh'), check('/proc/version', '^patched Linux'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const rehearse = async (module: string, script: string, ...options: string[]) => {
    const { exit, status, result, reasons } = await sutureJson([
      ...['rehearse', '--kernel', kernel, inFolder(module), '--check', inFolder(script), ...options],
    ]);
    expect({ exit, status, reasons, verdict: result?.verdict }).toEqual({
      ...{ exit: 0, status: 'done', reasons: [], verdict: 'passed' },
    });
    expect(result.steps.map(({ name }: { name: string }) => name)).not.toContain('load core');
  };

  it('is audited as one that redirects by itself, and has no redirect of ours to prove and no core', async () => {
    const { result } = await sutureJson(['audit', kernel]);
    expect(Object.keys(result.listedByFtrace)).toEqual(['own-livepatch', 'nameless-body']);
    const codeOf = async (...args: string[]) => {
      const { exit, reasons } = await sutureJson([...args, '--kernel', kernel]);
      return [exit, ...reasons.map(({ code }: { code: string }) => code)];
    };
    expect(await codeOf('prove', '--all')).toEqual([2, 'own-livepatch']);
    expect(await codeOf('core', '-o', inFolder('core'))).toEqual([2, 'kernel-unsupported']);
  });

  it('gets a module from a C file, with what is not exported bound by the kernel', async () => {
    const output = inFolder('fix.ko');
    const { exit, result } = await sutureJson(['build', '--kernel', kernel, '-o', output, inFolder('fix.c')]);
    expect(exit).toBe(0);
    expect(result.redirects).toMatchObject([{ oldName: 'cmdline_proc_show', module: null, way: 'livepatch' }]);
    expect(result).toMatchObject({ proven: false, unproven: [{ code: 'own-livepatch' }] });
    const { stdout } = await run('powerpc64le-linux-gnu-readelf', ['-rW', output]);
    expect(stdout).toContain('.klp.sym.vmlinux.nr_processes,0');
    expect(stdout).toContain('.klp.sym.vmlinux.saved_command_line,0');
    const codeOf = async (...args: string[]) => (await sutureJson(args)).reasons[0]?.code;
    expect((await sutureJson(['info', output])).result).toMatchObject({
      depends: [],
      modules: [],
      redirects: [{ oldName: 'cmdline_proc_show', module: null, way: 'livepatch' }],
      unexported: [{ name: 'saved_command_line' }, { name: 'nr_processes' }],
    });
    const { stdout: said } = await suture(['info', output]);
    expect(said).toMatch(/replaces 1 function of 6\.1[^\n]*\nfor the kernel’s own livepatch: it is loaded as it is/);
    expect(await codeOf('prove', '--kernel', kernel, output)).toBe('own-livepatch');
    await rehearse('fix.ko', 'cmdline.sh');
  });

  it('gets a module from a patch of its source', async () => {
    const { exit, result } = await sutureJson([
      ...['build', '--kernel', kernel, '-o', inFolder('patch.ko'), inFolder('fix.patch')],
    ]);
    expect(exit).toBe(0);
    expect(result.redirects).toMatchObject([{ oldName: 'version_proc_show', module: null, way: 'livepatch' }]);
    await rehearse('patch.ko', 'version.sh');
  });

  it('gets a module for functions of a module, whether that is there already or comes later', async () => {
    await writeFile(inFolder('of-module.c'), moduleFix);
    await writeFile(inFolder('foo.sh'), check('/sys/kernel/kobject_example/foo', 'patched 0'));
    const output = inFolder('of-module.ko');
    const { exit, result } = await sutureJson(['build', '--kernel', kernel, '-o', output, inFolder('of-module.c')]);
    expect(exit).toBe(0);
    expect(result).toMatchObject({
      redirects: [{ oldName: 'foo_show', module: 'kobject_example', way: 'livepatch' }],
      recipes: [{ module: 'kobject_example', symbol: 'foo' }],
    });
    expect((await sutureJson(['info', output])).result).toMatchObject({
      modules: [{ name: 'kobject_example', redirects: 1 }],
      redirects: [{ oldName: 'foo_show', module: 'kobject_example', newName: 'my_show' }],
      recipes: [{ module: 'kobject_example', symbol: 'foo' }],
    });
    await rehearse('of-module.ko', 'foo.sh', '--load', 'kobject-example');

    const stored = await openKernel(kernel);
    const [target] = await modulesWithDependencies(stored.modules, ['kobject-example']);
    const files = [
      { path: '/patch.ko', bytes: new Uint8Array(await readFile(output)) },
      { path: '/target.ko', bytes: target!.bytes },
    ];
    await withGuest(guestKernel(stored), { files }, async (guest) => {
      await guest.succeed('insmod /patch.ko && insmod /target.ko');
      expect(await guest.succeed('cat /sys/kernel/kobject_example/foo')).toBe('patched 0\n');
      await guest.succeed('echo 7 >/sys/kernel/kobject_example/foo');
      expect(await guest.succeed('cat /sys/kernel/kobject_example/foo')).toBe('patched 7\n');
    });
  });

  it('says of a module of its own build system what it replaces', async () => {
    const { modules } = await openKernel(kernel);
    const sample = (name: string) => join(modules, `kernel/samples/livepatch/livepatch-${name}.ko`);
    const { result } = await sutureJson(['info', sample('shadow-fix1')]);
    expect(result.redirects.map(({ oldName }: { oldName: string }) => oldName)).toEqual(['dummy_alloc', 'dummy_free']);
    expect((await sutureJson(['info', sample('callbacks-demo')])).result.modules).toMatchObject([
      { name: 'livepatch_callbacks_mod', redirects: 0 },
      { name: 'livepatch_callbacks_busymod', redirects: 1 },
    ]);
    expect((await sutureJson(['info', sample('callbacks-mod')])).reasons[0].code).toBe('not-a-patch-module');
  });

  it('takes a module of its own build system that uses what it does not export', async () => {
    await writeFile(inFolder('demo.c'), livepatchModule);
    await writeFile(inFolder('Kbuild'), 'obj-m := demo.o\n');
    const { headers, crossPrefix } = await openKernel(kernel);
    const words = ['ARCH=powerpc', `CROSS_COMPILE=${crossPrefix}`, 'KBUILD_MODPOST_WARN=1', 'modules'];
    await run('make', ['-C', headers, `M=${folder}`, ...words]);
    const adapt = ['adapt', '--kernel', kernel, '-o', inFolder('adapted.ko')];
    const { exit, result } = await sutureJson([...adapt, inFolder('demo.ko')]);
    expect(exit).toBe(0);
    expect(result.bound.map(({ name }: { name: string }) => name).sort()).toEqual([
      'nr_processes',
      'saved_command_line',
    ]);
    await rehearse('adapted.ko', 'cmdline.sh');
  });
});
