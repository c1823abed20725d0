// Modules are loaded in the order that this gives, so a dependency that comes later is a rehearsal that fails for nothing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SHF_ALLOC, SHT_PROGBITS } from '../elf/constants.ts';
import { newModel, newSection, writeElf } from '../elf/elf.ts';
import type { ReasonError } from '../reason.ts';
import { modulesWithDependencies } from './target-modules.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'target-modules-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Module files of nothing but their modinfo. */
function modules(dependsOf: Readonly<Record<string, string>>): void {
  for (const [name, depends] of Object.entries(dependsOf)) {
    const model = newModel({ class: 32, type: 1, machine: 40, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0x5000000 });
    const modinfo = new TextEncoder().encode(`license=GPL\0depends=${depends}\0name=${name}\0`);
    model.sections.push(newSection('.modinfo', SHT_PROGBITS, SHF_ALLOC, modinfo));
    writeFileSync(join(folder, `${name}.ko`), writeElf(model));
  }
}
const order = async (...names: string[]) => (await modulesWithDependencies(folder, names)).map(({ name }) => name);

test('what a module depends on comes before it, once', async () => {
  modules({ 'a-b': 'c,d', c: 'd', d: '', unrelated: '' });
  expect(await order('a-b', 'd')).toEqual(['d', 'c', 'a_b']);
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
