// Codes are what scripts rely on. One that nothing gives, or that no test has seen, is a promise that nobody keeps.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ReasonError, reasonCodes, reasonError } from './reason.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.startsWith('reason.'))
    .map((file) => ({ file, text: readFileSync(join(root, folder, file), 'utf8') }));
const sources = read('src').filter(({ file }) => !file.endsWith('.test.ts'));
const tests = [...read('src').filter(({ file }) => file.endsWith('.test.ts')), ...read('test')];
const inside = (files: readonly { text: string }[], code: string) =>
  files.some(({ text }) => text.includes(`'${code}'`));

describe('every code', () => {
  const codes = Object.keys(reasonCodes);

  it('is given by some part of the program', () => {
    expect(codes.filter((code) => !inside(sources, code))).toEqual([]);
  });

  it('is seen by some test', () => {
    // What is not meant to happen, and so cannot be brought about.
    const never = ['bug'];
    expect(codes.filter((code) => !never.includes(code) && !inside(tests, code))).toEqual([]);
  });
});

describe('an error', () => {
  const refusal = { code: 'no-call-site', place: 'f', message: 'has none', remedy: '' } as const;
  const fault = { code: 'tool-missing', place: 'make', message: 'is not there', remedy: '' } as const;

  it('says its place and its message', () => {
    expect(reasonError('no-call-site', 'f', 'has none').message).toBe('f: has none');
  });

  it('is a refusal when all its reasons are, and a fault as soon as one is', () => {
    expect(new ReasonError(refusal).kind).toBe('refused');
    expect(new ReasonError(refusal, fault).kind).toBe('fault');
  });
});
