// From a command line to a report. A command's own file only says which arguments it takes, calls one thing with them
// and words the result; what becomes of errors, of --json and of the exit status is decided here for all of them.

import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Command, CommanderError } from 'commander';
import { cacheFolder } from '../host/cache.ts';
import { cannotRead, systemMessage } from '../host/files.ts';
import { onInterrupt } from '../host/interrupt.ts';
import { packageFile } from '../host/package-file.ts';
import { type Reason, ReasonError } from '../reason.ts';
import { print, type Report, type Status, type Terminal } from './output.ts';
import { type Progress, seldom } from './progress.ts';

/** What a command's handler is given besides its arguments. */
export interface Context {
  /** The kernel that the command is about, for the report. Preset from --kernel. */
  kernel: string | null;
  /** Says what is being done: all of it to somebody who watches, a little of it to a log, nothing beside --json. */
  readonly progress: (text: string) => void;
  /** Says something that matters beside the result; goes to stderr, watched or not. */
  readonly remark: (text: string) => void;
}

/** What a handler comes to, if it does not throw. */
export interface Outcome {
  /** For --json. */
  readonly result: unknown;
  /** For people; empty where there is nothing to say. */
  readonly text: string;
  /** `refused` for a verdict that says no; `done` if it is left out. */
  readonly status?: Exclude<Status, 'fault'>;
  readonly reasons?: readonly Reason[];
}

/** Makes a commander action of a handler, which is given the context and then the command's arguments and options. */
export type Act = <A extends unknown[]>(
  handler: (context: Context, ...args: A) => Promise<Outcome>,
) => (...args: A) => Promise<void>;

/** Adds commands to the program. */
export type Addition = (program: Command, act: Act) => void;

/** Runs the program with these arguments (without `node` and the script) and returns its exit status. */
export async function runCommandLine(
  args: readonly string[],
  additions: readonly Addition[],
  terminal: Terminal,
): Promise<number> {
  const json = wantsJson(args);
  const program = new Command('suture');
  let status = 0;
  let said = '';
  let running: { command: string; context: Context } | undefined;
  const finish = (report: Report) => {
    status = print(report, json, terminal);
  };

  const act: Act =
    (handler) =>
    async (...given) => {
      // Commander adds the options and the command itself behind the arguments.
      const command = given.at(-1) as Command;
      const remark = (text: string) => terminal.stderr(`${text}\n`);
      const { tell, stop } = progressOf(terminal, json, remark);
      const context: Context = {
        kernel: kernelOf(command),
        progress: tell,
        remark,
      };
      running = { command: wordsOf(command), context };
      const report = await reportOf(running.command, context, () => handler(context, ...given));
      stop();
      finish(report);
    };

  program
    .description('Live patching for Linux kernels that were never built for it.')
    .version(version)
    .option('--json', 'print one JSON document on stdout and nothing else')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: terminal.stdout,
      // The help that commander gives for a command that is missing.
      writeErr: json ? () => {} : terminal.stderr,
      outputError: (text) => {
        said += text;
      },
    })
    .exitOverride();
  for (const add of additions) add(program, act);

  const forget = onInterrupt((signal) => {
    const { command, context } = running ?? { command: '', context: { kernel: null } };
    const remedy = 'start it again: what was half done is gone';
    const reason = { code: 'interrupted', place: command, message: `ended by ${signal}`, remedy } as const;
    finish({ command, kernel: context.kernel, status: 'fault', result: null, reasons: [reason], text: '' });
    process.exit(status);
  });

  const parse = async (line: readonly string[]) => {
    said = '';
    await program.parseAsync(line, { from: 'user' });
  };
  try {
    // Commander gives help for a command that there is none of; without the request for help it says so.
    await parse(unknownCommand(program, args) ?? args);
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      // A mistake of ours in reading the command line is reported like any other.
      const { kind, reasons } = asReason(error);
      const command = wordsOf(commandOf(program, args));
      finish({ command, kernel: null, status: kind, result: null, reasons, text: '' });
      return status;
    }
    // Help and version were asked for and have been printed.
    if (error.exitCode === 0) return 0;
    const named = commandOf(program, args);
    const command = wordsOf(named);
    if (error.code === 'commander.missingMandatoryOptionValue') {
      // An option that is mistyped (`--kernal`) is the better answer, but commander asks for those that are missing first.
      const first = said;
      withoutMandatory(named);
      await parse(args).then(
        () => {
          said = first;
        },
        () => {},
      );
    }
    const message = said.replace(/^error: /, '').trim() || 'a command is missing';
    const remedy = `\`${['suture', command, '--help'].filter((word) => word).join(' ')}\` says what it takes`;
    const reasons = [{ code: 'usage', place: command, message, remedy } as const];
    finish({ command, kernel: kernelOf(named), status: 'fault', result: null, reasons, text: '' });
  } finally {
    forget();
  }
  return status;
}

function progressOf(terminal: Terminal, json: boolean, say: (line: string) => void): Progress {
  const none = () => {};
  if (terminal.watched) return { tell: say, stop: none };
  return json ? { tell: none, stop: none } : seldom(say, terminal.clock);
}

async function reportOf(command: string, context: Context, handler: () => Promise<Outcome>): Promise<Report> {
  try {
    const { result, text, status = 'done', reasons = [] } = await handler();
    return { command, kernel: context.kernel, status, result, reasons, text };
  } catch (error) {
    const known = error instanceof ReasonError ? error : asReason(error);
    const reasons = known.reasons.map((reason) =>
      reason.code === 'bug' && reason.remedy === '' ? { ...reason, remedy: reportIt } : reason,
    );
    return { command, kernel: context.kernel, status: known.kind, result: null, reasons, text: '' };
  }
}

/** Errors that nobody has put into words yet: the file system's, and our own mistakes. */
function asReason(error: unknown): ReasonError {
  const { code, path, dest, message, stack } = error as NodeJS.ErrnoException & { readonly dest?: string };
  if (process.env.SUTURE_DEBUG) process.stderr.write(`${stack ?? String(error)}\n`);
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EROFS') {
    // Of a file that was open already the system does not say which it was.
    const place = dest ?? path ?? `${tmpdir()} or ${cacheFolder()}`;
    const remedy = 'make room there, or set TMPDIR or XDG_CACHE_HOME to another folder';
    return new ReasonError({ code: 'output-failed', place, message: systemMessage(error), remedy });
  }
  if (path !== undefined && (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR' || code === 'EISDIR')) {
    return cannotRead(path, error);
  }
  return new ReasonError({ code: 'bug', place: '', message: message ?? String(error), remedy: reportIt });
}

const reportIt = 'please report it, with what `SUTURE_DEBUG=1` in the environment prints';

/** As package.json has it; the file is two folders up from here, compiled or not. */
const version: string = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version;

/** Decided before parsing, since a command line that cannot be parsed is answered in JSON too. */
const wantsJson = (args: readonly string[]): boolean => args.slice(0, endOfOptions(args)).includes('--json');

const endOfOptions = (args: readonly string[]): number => {
  const end = args.indexOf('--');
  return end < 0 ? args.length : end;
};

/** A command's words without the program's. */
function wordsOf(command: Command): string {
  return command.parent ? `${wordsOf(command.parent)} ${command.name()}`.trim() : '';
}

/** What --kernel names, as far as the line was read. */
const kernelOf = (command: Command): string | null => (command.opts().kernel as string | undefined) ?? null;

/** The command that a line names, as far as it names one. */
function commandOf(program: Command, args: readonly string[]): Command {
  let command = program;
  for (const word of args.filter((each) => !each.startsWith('-'))) {
    const next = command.commands.find((each) => each.name() === word);
    if (!next) break;
    command = next;
  }
  return command;
}

/** The words of a line up to the one that should name a command and does not; undefined if there is none. */
function unknownCommand(program: Command, args: readonly string[]): string[] | undefined {
  let command = program;
  const words: string[] = [];
  for (const word of args.slice(0, endOfOptions(args))) {
    if (command.commands.length === 0) return undefined;
    if (word.startsWith('-') || word === 'help') continue;
    words.push(word);
    const next = command.commands.find((each) => each.name() === word);
    if (!next) return words;
    command = next;
  }
  return undefined;
}

/** Has a command do nothing and miss no option, so that parsing a line finds what else is wrong with it. */
function withoutMandatory(command: Command): void {
  for (const option of command.options) option.mandatory = false;
  command.action(() => {});
}
