// The contract of all commands, held once with made-up ones: what goes where, in which form, with which exit status.

import { describe, expect, test } from 'vitest';
import { reasonError } from '../reason.ts';
import { type Addition, runCommandLine } from './command.ts';

/** In milliseconds. */
let time = 0;
const clock = { now: () => time, after: () => () => {} };

const commands: Addition = (program, act) => {
  const group = program.command('group').description('a group');
  group
    .command('say')
    .argument('<word>')
    .option('--kernel <name>')
    .action(
      act(async (context, word: string) => {
        context.progress('thinking');
        context.remark('by the way');
        return {
          result: { word, address: 0xc0de_0000_0000n, bytes: new Uint8Array([1, 171]), none: undefined },
          text: word,
        };
      }),
    );
  program.command('refuse').action(
    act(async (context) => {
      context.kernel = 'k';
      throw reasonError('no-call-site', 'some_function', 'it has none', 'patch its caller');
    }),
  );
  program.command('verdict').action(
    act(async () => ({
      result: { proven: 0 },
      text: 'refuted',
      status: 'refused',
      reasons: [{ code: 'stack-arguments', place: 'f', message: 'two\nlines', remedy: '' }],
    })),
  );
  program.command('slow').action(
    act(async (context) => {
      context.progress('begun');
      time += 60_000;
      context.progress('half done');
      return { result: null, text: '' };
    }),
  );
  program.command('fail').action(act(async () => Promise.reject(reasonError('tool-missing', 'make', 'not there'))));
  program
    .command('make')
    .argument('<what>')
    .requiredOption('--kernel <name>')
    .action(act(async () => ({ result: null, text: 'made' })));
  program.command('crash').action(act(async () => Promise.reject(new TypeError('x is not a function'))));
  program.command('list').action(
    act(async () => {
      const reason = (place: string, remedy: string) =>
        ({ code: 'stack-arguments', place, message: 'm', remedy }) as const;
      return {
        result: null,
        text: '',
        status: 'refused',
        reasons: [reason('a', 'same'), reason('b', 'same'), reason('c', 'other'), reason('d', 'same')],
      };
    }),
  );
  program
    .command('disk')
    .action(
      act(async () => Promise.reject(Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC', path: '/out' }))),
    );
};

async function cli(line: string, watched = false) {
  let [out, err] = ['', ''];
  const status = await runCommandLine(line.split(' ').filter(Boolean), [commands], {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    watched,
    colours: false,
    clock,
  });
  return { status, out, err };
}

const document = async (line: string) => JSON.parse((await cli(`${line} --json`)).out);

describe('for people', () => {
  test('the result goes to stdout; remarks go to stderr', async () => {
    expect(await cli('group say hello')).toEqual({ status: 0, out: 'hello\n', err: 'by the way\n' });
  });

  test('progress is for whoever watches; a log gets a line of what takes long, and none beside --json', async () => {
    expect((await cli('group say hello', true)).err).toBe('thinking\nby the way\n');
    expect((await cli('slow')).err).toBe('half done (60 s so far)\n');
    expect((await cli('slow', true)).err).toBe('begun\nhalf done\n');
    expect((await cli('slow --json')).err).toBe('');
  });

  test('a refusal shows code, place, message and remedy, and ends with 2', async () => {
    expect(await cli('refuse')).toEqual({
      status: 2,
      out: '',
      err: 'no-call-site  some_function: it has none\n    patch its caller\n',
    });
  });

  test('a verdict that says no has a result as well as reasons', async () => {
    expect(await cli('verdict')).toEqual({ status: 2, out: 'refuted\n', err: 'stack-arguments  f: two\n    lines\n' });
  });

  test('a remedy that reasons in a row share stands once', async () => {
    const line = (place: string) => `stack-arguments  ${place}: m\n`;
    const [same, other] = ['    same\n', '    other\n'];
    expect((await cli('list')).err).toBe(line('a') + line('b') + same + line('c') + other + line('d') + same);
    expect((await document('list')).reasons.map(({ remedy }: { remedy: string }) => remedy)).toEqual([
      'same',
      'same',
      'other',
      'same',
    ]);
  });

  test('a fault ends with 1', async () => {
    expect(await cli('fail')).toMatchObject({ status: 1, out: '' });
  });

  test('what a terminal would act on is shown, not done', async () => {
    expect((await cli('group say a\x1b[2Jb\x07')).out).toBe('a\\x1b[2Jb\\x07\n');
  });

  test('help is asked for, and is no fault', async () => {
    const { status, out, err } = await cli('group say --help');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toContain('--json');
    expect(await cli('--version')).toMatchObject({ status: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});

describe('with --json', () => {
  test('no help, where a command is missing', async () => {
    for (const line of ['--json', 'group --json']) {
      const { status, out, err } = await cli(line);
      expect({ status, err, code: JSON.parse(out).reasons[0].code }).toEqual({ status: 1, err: '', code: 'usage' });
    }
    expect((await cli('')).err).toMatch(/^Usage: suture/);
  });

  test('one document, and nothing else on stdout', async () => {
    expect(await document('group say hello --kernel 6.1')).toEqual({
      status: 'done',
      schema: 1,
      command: 'group say',
      kernel: '6.1',
      result: { word: 'hello', address: '0xc0de00000000', bytes: '01ab', none: null },
      reasons: [],
    });
  });

  test('the flag may stand anywhere before a --', async () => {
    expect(JSON.parse((await cli('--json group say hello')).out).status).toBe('done');
    expect((await cli('group say -- --json')).out).toBe('--json\n');
  });

  test.each([
    ['refuse', 'refused', 'no-call-site'],
    ['verdict', 'refused', 'stack-arguments'],
    ['fail', 'fault', 'tool-missing'],
    ['crash', 'fault', 'bug'],
    ['disk', 'fault', 'output-failed'],
    ['group say', 'fault', 'usage'],
    ['group say one two', 'fault', 'usage'],
    ['group say one --such', 'fault', 'usage'],
    ['group', 'fault', 'usage'],
    ['group such', 'fault', 'usage'],
    ['such', 'fault', 'usage'],
    ['such --help', 'fault', 'usage'],
    ['help such', 'fault', 'usage'],
    ['group help such', 'fault', 'usage'],
    ['make it', 'fault', 'usage'],
    ['', 'fault', 'usage'],
  ])('%j: %s, %s', async (line, status, code) => {
    const { out, ...end } = await cli(`${line} --json`);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ schema: 1, status, reasons: [{ code }] });
    expect(Object.keys(report)).toEqual(['schema', 'command', 'kernel', 'status', 'result', 'reasons']);
    expect(end.status).toBe(status === 'refused' ? 2 : 1);
  });

  test('a usage error names the command, and the help that explains it', async () => {
    const { command, reasons } = await document('group say');
    expect(command).toBe('group say');
    expect(reasons[0]).toMatchObject({
      message: "missing required argument 'word'",
      remedy: '`suture group say --help` says what it takes',
    });
  });

  test('a usage error names the kernel, where the line does', async () => {
    const kernelOf = async (line: string) => (await document(line)).kernel;
    for (const line of ['group say --kernel k', 'group say one --such --kernel k', 'make --kernel k it too'])
      expect(await kernelOf(line)).toBe('k');
    for (const line of ['group say one --kernel', 'make it', 'such --kernel k'])
      expect(await kernelOf(line)).toBe(null);
  });

  test.each([
    ['verdit', "unknown command 'verdit'\n(Did you mean verdict?)"],
    ['verdit --help', "unknown command 'verdit'\n(Did you mean verdict?)"],
    ['help verdit', "unknown command 'verdit'\n(Did you mean verdict?)"],
    ['group sya --help', "unknown command 'sya'\n(Did you mean say?)"],
    // Commander by itself would miss --kernel first.
    ['make --kernal k it', "unknown option '--kernal'\n(Did you mean --kernel?)"],
    ['make it', "required option '--kernel <name>' not specified"],
  ])('%s: says what is mistyped', async (line, message) => {
    expect((await document(line)).reasons).toMatchObject([{ code: 'usage', message }]);
  });

  test('a command line with a mistake does nothing, also when it is looked at twice', async () => {
    expect((await cli('make it')).out).toBe('');
  });
});
