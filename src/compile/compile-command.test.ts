// The second compilation must be Kbuild's own but for what we mean to change, so its note is read to the letter.

import { describe, expect, it } from 'vitest';
import { listedDependencies, otherRun, readCompilerRun, shellWords } from './compile-command.ts';

const note = `savedcmd_fs/a.o := gcc -Wp,-MMD,fs/.a.o.d -I/src/include -fmacro-prefix-map=/src/= -I/srcfiles -DPRICE='"$$5"' -c -o fs/a.o /src/fs/a.c ; ./tools/check fs/a.o

source_fs/a.o := /src/fs/a.c

deps_fs/a.o := \\
    $(wildcard include/config/FOO) \\
  /src/include/linux/kconfig.h \\
  include/generated/bounds.h \\

fs/a.o: $(deps_fs/a.o)
`;

describe('what Kbuild notes', () => {
  it('tells the command and what was read', () => {
    expect(readCompilerRun(note, 'fs/a.o')).toMatchObject({
      source: '/src/fs/a.c',
      dependencies: ['/src/fs/a.c', '/src/include/linux/kconfig.h', 'include/generated/bounds.h'],
    });
  });

  it('becomes another run over another tree, all else being equal', () => {
    const other = { object: '/o.o', dependencies: '/o.d', tree: { from: '/src', to: '/new' }, flags: ['-g0'] };
    expect(otherRun(readCompilerRun(note, 'fs/a.o'), other)).toEqual([
      ...['gcc', '-Wp,-MMD,/o.d', '-I/new/include', '-fmacro-prefix-map=/new/=', '-I/srcfiles', '-DPRICE="$5"'],
      ...['-c', '-o', '/o.o', '/new/fs/a.c', '-g0'],
    ]);
  });
});

describe('words of a shell line', () => {
  it.each([
    [`a 'b c' "d \\" e" f\\ g`, ['a', 'b c', 'd " e', 'f g']],
    ["-DX='\"'y'\"'", ['-DX="y"']],
  ])('are split as a shell does: %s', (line, words) => expect(shellWords(line)).toEqual(words));

  it.each(['a | b', 'a $(b)', 'a `b`', 'a > b', 'a "$b"'])('are not guessed at: %s', (line) =>
    expect(shellWords(line)).toBeUndefined(),
  );
});

it('names with blanks are read from a list of dependencies', () => {
  expect(listedDependencies('x.o: a.c \\\n b\\ c.h \\\n d.h\n')).toEqual(['a.c', 'b c.h', 'd.h']);
});
