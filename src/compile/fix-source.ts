// What a FIX.c says: which functions it defines, and which of them replace which function of the kernel.
//
// gcc's -aux-info lists every function declared or defined in a translation unit with its file and line, one line each:
//
//   /* fix.c:5:NF */ static int cmdline_proc_show (struct seq_file *m, void *v); /* (m, v) … */
//
// where the letter F stands for a definition. That is the compiler's own word, so macros, attributes and headers need no
// parser of ours. Where the old name, its sympos or its module differ from the C name, SUTURE_REPLACES of <suture/fix.h>
// leaves a line of text in the section `.suture.replaces` of the object.

import { reasonError } from '../reason.ts';

/** One function of the fix and the kernel's function that it takes the place of. */
export interface Replacement {
  /** The C name in the fix. */
  readonly newName: string;
  readonly oldName: string;
  /** Which of several symbols of the old name, counted from 1 in kallsyms order; 0: it must be the only one. */
  readonly sympos: number;
  /** The module that holds the old function; '' for vmlinux. */
  readonly module: string;
}

/** A function that a fix defines. */
export interface DefinedFunction {
  readonly name: string;
  readonly isStatic: boolean;
}

/** The functions that `source` (the path as given to the compiler) itself defines, in source order, without those of headers. */
export function definedFunctions(auxInfo: string, source: string): DefinedFunction[] {
  const functions: DefinedFunction[] = [];
  const prefix = `/* ${source}:`;
  for (const line of auxInfo.split('\n')) {
    if (!line.startsWith(prefix)) continue;
    const match = /^\d+:[NOI]F \*\/ ([^;]*);/.exec(line.slice(prefix.length));
    const name = match && declaredName(match[1]!);
    if (name) functions.push({ name, isStatic: match[1]!.startsWith('static ') });
  }
  return functions;
}

/**
 * The name that a declaration declares: the identifier before the first parenthesis that opens a parameter list. A function
 * that returns a pointer to a function has its name within parentheses: `int (*picker (int x)) (void)`.
 */
function declaredName(declaration: string): string | undefined {
  return /\(\*+([A-Za-z_]\w*) \(/.exec(declaration)?.[1] ?? /([A-Za-z_]\w*) \(/.exec(declaration)?.[1];
}

/** The lines that SUTURE_REPLACES left in `.suture.replaces`: NUL-terminated "new old sympos module". Throws `usage`. */
export function declaredReplacements(section: Uint8Array): Replacement[] {
  return new TextDecoder()
    .decode(section)
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const [newName = '', oldName = '', sympos = '', module = ''] = line.split(' ');
      if (!newName || !oldName || !/^\d+$/.test(sympos) || !/^\w*$/.test(module)) {
        throw reasonError(
          'compile-failed',
          `SUTURE_REPLACES(${newName || '?'})`,
          `its arguments are not a function, a name, a position and a module: "${line}"`,
          'write SUTURE_REPLACES(new_function, old_name, sympos, "module or empty")',
        );
      }
      return { newName, oldName, sympos: Number(sympos), module };
    });
}

/** What becomes of the functions of a fix. */
export interface FixFunctions {
  readonly replacements: readonly Replacement[];
  /** Functions that are not static and yet replace nothing: most likely names that are mistyped. */
  readonly idle: readonly string[];
}

/**
 * Which functions of the fix replace which of the kernel: those that SUTURE_REPLACES names, and every other one that the
 * fix defines under the name of a kernel function.
 */
export function replacementsOf(
  defined: readonly DefinedFunction[],
  declared: readonly Replacement[],
  isKernelFunction: (name: string) => boolean,
): FixFunctions {
  const missing = declared.find((r) => !defined.some(({ name }) => name === r.newName));
  if (missing) {
    throw reasonError(
      'compile-failed',
      `SUTURE_REPLACES(${missing.newName})`,
      `the fix defines no function ${missing.newName}`,
      'define it in the same file, or correct the name',
    );
  }
  const undeclared = defined.filter(({ name }) => !declared.some((r) => r.newName === name));
  const byName = undeclared.filter(({ name }) => isKernelFunction(name));
  return {
    replacements: [...declared, ...byName.map(({ name }) => ({ newName: name, oldName: name, sympos: 0, module: '' }))],
    idle: undeclared.filter((f) => !f.isStatic && !byName.includes(f)).map(({ name }) => name),
  };
}

/** The objects of a patch in the order in which its replacements first name them; '' is the kernel itself. */
const objectsOf = (replacements: readonly Replacement[]): string[] => [
  ...new Set(replacements.map(({ module }) => module)),
];

/**
 * The C source that makes a live patch of a fix: the fix itself, then what mainline's documentation has at the end of
 * every livepatch module. One translation unit, so that static functions of the fix can be named.
 * `fix` is the file name for `#include`; `patch` is the module's name.
 */
export const patchSource = (fix: string, replacements: readonly Replacement[]): string =>
  `#include "${fix}"\n${moduleLines(replacements, objectsOf(replacements))}`;

/**
 * The same for functions that are compiled elsewhere; `objects` are the modules that it has to do with, '' for vmlinux, and
 * may be more than those with replacements.
 */
export function frameSource(replacements: readonly Replacement[], objects: readonly string[]): string {
  const declarations = replacements.map(({ newName }) => `extern void ${newName}(void);\n`);
  return `${declarations.join('')}${moduleLines(replacements, objects)}`;
}

function moduleLines(replacements: readonly Replacement[], modules: readonly string[]): string {
  const lists = modules.map((module, i) => {
    const funcs = replacements
      .filter((each) => each.module === module)
      .map(({ oldName, newName, sympos }) => {
        return `\t{ .old_name = "${oldName}", .new_func = ${newName}${sympos ? `, .old_sympos = ${sympos}` : ''} },\n`;
      });
    return `static struct klp_func suture_funcs_${i}[] = {\n${funcs.join('')}\t{ }\n};\n`;
  });
  const objects = modules.map(
    (module, i) => `\t{ ${module === '' ? '' : `.name = "${module}", `}.funcs = suture_funcs_${i} },\n`,
  );
  return `#include <linux/module.h>
#include <linux/livepatch.h>

${lists.join('\n')}
static struct klp_object suture_objects[] = {
${objects.join('')}\t{ }
};

static struct klp_patch suture_patch = {
\t.mod = THIS_MODULE,
\t.objs = suture_objects,
};

static int __init suture_patch_init(void)
{
\treturn klp_enable_patch(&suture_patch);
}

static void __exit suture_patch_exit(void)
{
}

module_init(suture_patch_init);
module_exit(suture_patch_exit);
MODULE_LICENSE("GPL");
`;
}
