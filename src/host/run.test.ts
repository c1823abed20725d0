// What becomes of the programs that we run: their output, their failure, their end. Uses nothing but Node itself.

import { expect, test } from 'vitest';
import type { ReasonError } from '../reason.ts';
import { run } from './run.ts';

const node = (script: string, options = {}) => run(process.execPath, ['-e', script], options);
const reasonOf = (task: Promise<unknown>) =>
  task.then(
    () => expect.fail('it did not fail'),
    (error) => (error as ReasonError).reasons[0],
  );

test('arguments arrive as they are, and output is kept apart', async () => {
  const script = 'console.log(process.argv[1]); console.error("e")';
  const { status, stdout, stderr } = await run(process.execPath, ['-e', script, '$HOME; "a b" *']);
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '$HOME; "a b" *\n', stderr: 'e\n' });
});

test('input is handed over, also to a program that does not read it', async () => {
  expect((await node('process.stdin.pipe(process.stdout)', { input: 'ä'.repeat(100_000) })).stdout).toHaveLength(
    100_000,
  );
  await node('process.exit(0)', { input: 'x'.repeat(1_000_000) });
});

test('output that is not UTF-8 is read byte by byte where it is asked for', async () => {
  const script = 'process.stdout.write(Buffer.from([0x61, 0xe4, 0xff]))';
  expect((await node(script, { encoding: 'latin1' })).stdout).toBe('a\u00e4\u00ff');
});

test('the environment is added to, or taken from', async () => {
  const script = 'console.log(process.env.SUTURE_A, process.env.HOME)';
  expect((await node(script, { env: { SUTURE_A: '1', HOME: undefined } })).stdout).toBe('1 undefined\n');
});

test('a failure carries the last lines that were written', async () => {
  const reason = await reasonOf(node('for (let i = 0; i < 99; i++) console.error("line " + i); process.exitCode = 3'));
  expect(reason?.code).toBe('tool-failed');
  expect(reason?.message).toMatch(/ended with status 3: line 91\n(.*\n)*line 98$/);
});

test('a status that is accepted is no failure', async () => {
  expect((await node('process.exit(7)', { accept: [0, 7] })).status).toBe(7);
});

test('a program that takes too long is ended', async () => {
  const reason = await reasonOf(node('setInterval(() => {}, 1000)', { timeout: 0.3 }));
  expect(reason?.message).toMatch(/did not end within 0.3 s/);
});

test('a program that is not there is named', async () => {
  expect(await reasonOf(run('suture-no-such-program', []))).toMatchObject({ code: 'tool-missing' });
});

test('streamed output is handed on whole characters at a time', async () => {
  let streamed = '';
  const script =
    'const b = Buffer.from("ü"); process.stdout.write(b.subarray(0, 1)); setImmediate(() => process.stdout.write(b.subarray(1)))';
  const { stdout } = await node(script, { onStdout: (text: string) => (streamed += text) });
  expect([streamed, stdout]).toEqual(['ü', '']);
});
