// Modules are loaded in the order that this gives, so a dependency that comes later is a rehearsal that fails for nothing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SHF_ALLOC, SHT_PROGBITS } from '../elf/constants.ts';
import { newModel, newSection, writeElf } from '../elf/elf.ts';
import type { ReasonError } from '../reason.ts';
import { modulesThatAnswerTo, modulesWithDependencies } from './target-modules.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'target-modules-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Module files of nothing but their modinfo; `more` are further fields of some, each ended by a zero. */
function modules(dependsOf: Readonly<Record<string, string>>, more: Readonly<Record<string, string>> = {}): void {
  for (const [name, depends] of Object.entries(dependsOf)) {
    const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x5000000 });
    const modinfo = new TextEncoder().encode(`license=GPL\0depends=${depends}\0name=${name}\0${more[name] ?? ''}`);
    model.sections.push(newSection('.modinfo', SHT_PROGBITS, SHF_ALLOC, modinfo));
    writeFileSync(join(folder, `${name}.ko`), writeElf(model));
  }
}
const order = async (...names: string[]) => (await modulesWithDependencies(folder, names)).map(({ name }) => name);

test('what a module depends on comes before it, once', async () => {
  modules({ 'a-b': 'c,d', c: 'd', d: '', unrelated: '' });
  expect(await order('a-b', 'd')).toEqual(['d', 'c', 'a_b']);
});

test('what a module asks for softly comes before it too, by name or by alias', async () => {
  modules(
    { lib: '', crc_generic: 'base', crc_special: '', base: '', plain: '', later: '', crcx: '' },
    {
      lib: 'softdep=pre: crc plain gone post: later\0',
      crc_generic: 'alias=crypto-crc\0alias=crc\0',
      crc_special: 'alias=crc\0',
      crcx: 'alias=crcx\0',
    },
  );
  expect(await order('lib')).toEqual(['base', 'crc_generic', 'plain', 'lib']);
});

test('modules that ask for each other softly are loaded all the same', async () => {
  modules({ a: '', b: 'a' }, { a: 'softdep=pre: b\0' });
  expect(await order('a')).toEqual(['a']);
});

test('to a name answer the module that is called so and those that have it as an alias', async () => {
  modules(
    { first: 'base', base: '', second: '', 'by-name': '', other: '', broken: 'gone' },
    {
      first: 'alias=crypto-x\0',
      second: 'alias=more\0alias=crypto-x\0',
      other: 'alias=crypto-xy\0description=alias=crypto-x\0',
      broken: 'alias=crypto-x\0',
    },
  );
  const answer = async (name: string) => (await modulesThatAnswerTo(folder, name)).map(({ name }) => name);
  expect(await answer('crypto-x')).toEqual(['base', 'first', 'second']);
  expect(await answer('by_name')).toEqual(['by_name']);
  expect(await answer('nobody')).toEqual([]);
});

test('a module that is not there is named', async () => {
  modules({ a: 'gone' });
  await expect(order('a')).rejects.toThrow(/^gone: there is no module of this name/);
});

test('modules that depend on each other are refused, and the circle named', async () => {
  modules({ start: 'a', a: 'b', b: 'c', c: 'a' });
  const error = await order('start').catch((thrown: ReasonError) => thrown);
  expect((error as ReasonError).reasons).toMatchObject([
    { code: 'kernel-incomplete', place: 'a', message: expect.stringMatching(/a → b → c → a$/) },
  ]);
});

test.each([
  // As the modules of a kernel have them, and what kernels and udev ask for.
  ['net-pf-10-proto-132*', 'net-pf-10-proto-132-type-1', true],
  ['usb:v0B05p17[0-9A-D]?d*', 'usb:v0B05p17C5d0101', true],
  ['usb:v0B05p17[0-9A-D]?d*', 'usb:v0B05p17F5d0101', false],
  ['char-major-10-[!5]', 'char-major-10-6', true],
  ['char-major-10-[!5]', 'char-major-10-5', false],
  ['fs-ext[', 'fs-ext[', false],
  ['fs.ext', 'fsxext', false],
  ['of:N*T*Carm,pl031', 'of:NrtcT(null)Carm,pl031', true],
  ['crypto-crc32c', 'crypto_crc32c', true],
])('the alias %s, asked for %s: %s', async (alias, name, isMeant) => {
  modules({ one: '' }, { one: `alias=${alias}\0` });
  expect((await modulesThatAnswerTo(folder, name)).map((module) => module.name)).toEqual(isMeant ? ['one'] : []);
});
