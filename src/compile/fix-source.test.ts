// Which function a fix replaces is decided here; a wrong answer patches the wrong function or none.

import { describe, expect, it } from 'vitest';
import { declaredReplacements, definedFunctions, patchSource, replacementsOf } from './fix-source.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const inKernel = (name: string) => ['cmdline_proc_show', 'ip_append_data', 'show'].includes(name);

describe('the functions that a fix defines', () => {
  // As gcc 12 writes it, with paths shortened.
  const aux = `/* compiled from: . */
/* <built-in>:0:NC */ extern int printf (const char *, ...);
/* include/linux/page-flags.h:320:NF */ static long unsigned int *folio_flags (struct folio *folio, unsigned int n); /* (folio, n) struct folio *folio; unsigned int n; */
/* fix.c:5:NC */ extern int ip_setup_cork (struct sock *, struct inet_cork *);
/* fix.c:12:NF */ int ip_append_data (struct sock *sk, struct flowi4 *flow, int (*getfrag) (void *, char *, int)); /* (sk, flow, getfrag) struct sock *sk; */
/* fix.c:40:NF */ static int cmdline_proc_show (struct seq_file *m, void *v); /* (m, v) struct seq_file *m; void *v; */
/* other/fix.c:9:NF */ int elsewhere (void); /* () */
`;

  it('are those with a body in the fix itself, not its headers’ and not mere declarations', () => {
    expect(definedFunctions(aux, 'fix.c')).toEqual([
      { name: 'ip_append_data', isStatic: false },
      { name: 'cmdline_proc_show', isStatic: true },
    ]);
  });

  it('have their names found behind pointers too', () => {
    const aux = `/* fix.c:2:NF */ static int (*picker (int x)) (void); /* (x) int x; */
/* fix.c:3:NF */ extern int plain (int (*cb) (int), int y); /* (cb, y) int (*cb)(); int y; */
/* fix.c:4:NF */ static void (*two (int x, void (*f) (int))) (int); /* (x, f) int x; void (*f)(); */`;
    expect(definedFunctions(aux, 'fix.c').map(({ name }) => name)).toEqual(['picker', 'plain', 'two']);
  });

  it('are none in an empty file', () => {
    expect(definedFunctions('', 'fix.c')).toEqual([]);
  });
});

describe('SUTURE_REPLACES', () => {
  it('leaves the new name, the old one, the sympos and the module', () => {
    expect(declaredReplacements(bytes('my_show show 3 \0mine theirs 0 ext4\0'))).toEqual([
      { newName: 'my_show', oldName: 'show', sympos: 3, module: '' },
      { newName: 'mine', oldName: 'theirs', sympos: 0, module: 'ext4' },
    ]);
  });

  it('is refused when its position is not a number', () => {
    expect(() => declaredReplacements(bytes('my_show show third \0'))).toThrow(/not a function, a name, a position/);
  });
});

describe('what replaces what', () => {
  const functions = (...names: string[]) => names.map((name) => ({ name, isStatic: false }));

  it('goes by name', () => {
    expect(replacementsOf(functions('cmdline_proc_show'), [], inKernel)).toEqual({
      replacements: [{ newName: 'cmdline_proc_show', oldName: 'cmdline_proc_show', sympos: 0, module: '' }],
      idle: [],
    });
  });

  it('goes by what is declared where the fix says so, also for a function that has a kernel name', () => {
    const declared = [{ newName: 'show', oldName: 'show', sympos: 2, module: '' }];
    expect(replacementsOf(functions('show', 'ip_append_data'), declared, inKernel).replacements).toEqual([
      ...declared,
      { newName: 'ip_append_data', oldName: 'ip_append_data', sympos: 0, module: '' },
    ]);
  });

  it('leaves out helpers, and tells of those that are not static: their names may be mistyped', () => {
    const defined = [...functions('cmdline_proc_shwo', 'show'), { name: 'helper', isStatic: true }];
    expect(replacementsOf(defined, [], inKernel)).toMatchObject({
      replacements: [{ oldName: 'show' }],
      idle: ['cmdline_proc_shwo'],
    });
  });

  it('refuses a declaration for a function that the fix does not define', () => {
    const declared = [{ newName: 'gone', oldName: 'show', sympos: 0, module: '' }];
    expect(() => replacementsOf(functions('other'), declared, inKernel)).toThrow(/defines no function gone/);
  });
});

describe('the source of the patch', () => {
  it('is the fix and a livepatch module as mainline documents it', () => {
    const source = patchSource('fix.c', [
      { newName: 'mine', oldName: 'show', sympos: 3, module: '' },
      { newName: 'leaf', oldName: 'leaf', sympos: 0, module: '' },
    ]);
    expect(source).toMatch(/^#include "fix.c"\n/);
    expect(source).toContain('{ .old_name = "show", .new_func = mine, .old_sympos = 3 },');
    expect(source).toContain('{ .old_name = "leaf", .new_func = leaf },');
    expect(source).toContain('return klp_enable_patch(&suture_patch);');
  });

  it('has an object for each module, in the order in which they are named', () => {
    const source = patchSource('fix.c', [
      { newName: 'a', oldName: 'one', sympos: 0, module: 'ext4' },
      { newName: 'b', oldName: 'two', sympos: 0, module: '' },
      { newName: 'c', oldName: 'three', sympos: 2, module: 'ext4' },
    ]);
    expect(source).toContain('\t{ .name = "ext4", .funcs = suture_funcs_0 },\n\t{ .funcs = suture_funcs_1 },\n\t{ }\n');
    expect(source).toContain(
      '\t{ .old_name = "one", .new_func = a },\n\t{ .old_name = "three", .new_func = c, .old_sympos = 2 },\n\t{ }\n',
    );
  });
});
