// What Kbuild noted of a compiler run, `.NAME.o.cmd` beside the object (scripts/basic/fixdep.c, Linux 6.1):
//
//   cmd_fs/proc/cmdline.o := arm-linux-gnueabihf-gcc -Wp,-MMD,… -c -o fs/proc/cmdline.o /source/fs/proc/cmdline.c
//   source_fs/proc/cmdline.o := /source/fs/proc/cmdline.c
//   deps_fs/proc/cmdline.o := \
//     /source/include/linux/kconfig.h \
//       $(wildcard include/config/CPU_BIG_ENDIAN) \
//
// The command is a line for the shell, escaped for make: `$$` is a dollar, `$(pound)` a `#`.

import { reasonError } from '../reason.ts';

export interface CompilerRun {
  /** The compiler and its arguments, as a shell would pass them. */
  readonly words: readonly string[];
  /** The file that was compiled, as the compiler was given it. */
  readonly source: string;
  /** Every file that it read, the source included: absolute, or relative to the object tree. */
  readonly dependencies: readonly string[];
}

/** Reads the text of a `.cmd` file; `place` is its object's name. Throws `tool-failed` for a form that is not known. */
export function readCompilerRun(text: string, place: string): CompilerRun {
  const lines = text.split('\n');
  const after = (start: string) => lines.find((line) => line.startsWith(start))?.slice(start.length);
  const command = after(`cmd_${place} := `) ?? after(`savedcmd_${place} := `);
  const source = after(`source_${place} := `);
  const from = lines.indexOf(`deps_${place} := \\`);
  const words =
    command === undefined ? undefined : shellWords(command.replaceAll('$$', '$').replaceAll('$(pound)', '#'));
  if (words === undefined || source === undefined) {
    throw reasonError('tool-failed', place, 'what Kbuild noted of its compilation is not in the form known');
  }
  const dependencies = [source];
  for (let i = from + 1; from >= 0 && i < lines.length && lines[i]!.startsWith('  '); i++) {
    const name = lines[i]!.trim().replace(/ \\$/, '');
    if (!name.startsWith('$(wildcard ')) dependencies.push(name);
  }
  return { words, source, dependencies };
}

/**
 * The words of the first simple command of a shell line (POSIX, 2.2 and 2.3); undefined if it does more than quote, since
 * that needs a shell. A command that comes after `;` looks at the object only.
 */
export function shellWords(line: string): string[] | undefined {
  const words: string[] = [];
  const pattern = /\s+|;|'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)|([^\s;'"\\$`&|<>()*?[\]#~]+)|([~#[\]*?])/gy;
  let word: string | undefined;
  while (pattern.lastIndex < line.length) {
    const match = pattern.exec(line);
    if (!match) return undefined;
    const [whole, single, double, escaped, plain, glob] = match;
    const text = single ?? double?.replace(/\\([$`"\\])/g, '$1') ?? escaped ?? plain ?? glob;
    if (double !== undefined && /(^|[^\\])[$`]/.test(double)) return undefined;
    if (text !== undefined) word = (word ?? '') + text;
    else {
      if (word !== undefined) words.push(word);
      word = undefined;
      if (whole === ';') break;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Where a compiler run is to differ from Kbuild's. */
export interface OtherRun {
  /** The object to write. */
  readonly object: string;
  /** The list of what was read, in make's form. */
  readonly dependencies: string;
  /** Replaces the source tree's path wherever the command has it. */
  readonly tree: { readonly from: string; readonly to: string };
  readonly flags: readonly string[];
}

/** The command of another run over the same source. Throws `tool-failed` if the command has not the form that is known. */
export function otherRun(run: CompilerRun, { object, dependencies, tree, flags }: OtherRun): string[] {
  const output = run.words.indexOf('-o');
  const listed = run.words.findIndex((word) => /^-Wp,-MM?D,/.test(word));
  if (output < 0 || listed < 0 || !run.words.includes('-c') || run.words.at(-1) !== run.source) {
    throw reasonError(
      'tool-failed',
      run.source,
      'Kbuild does not compile it in the way known: -Wp,-MMD,… -c -o OBJECT SOURCE',
    );
  }
  const moved = run.words.map((word, i) => {
    if (i === output + 1) return object;
    if (i === listed) return word.replace(/(?<=^-Wp,-MM?D,).*/, dependencies);
    return inTree(word, tree.from, tree.to);
  });
  return [...moved, ...flags];
}

/** A word with one tree's path in place of another's, where the path ends there or goes on with a slash. */
const inTree = (word: string, from: string, to: string): string => {
  const parts = word.split(from);
  return parts.reduce(
    (text, part, i) => text + (/^(?:$|[/=])/.test(part) || i === 0 ? (i ? to : '') : from) + part,
    '',
  );
};

/** The files of a dependency list in make's form: `OBJECT: FILE FILE \`, blanks in names escaped. */
export function listedDependencies(text: string): string[] {
  const names = text.slice(text.indexOf(': ') + 2).replaceAll('\\\n', ' ');
  return (names.match(/(?:\\ |\S)+/g) ?? []).map((name) => name.replaceAll('\\ ', ' '));
}
