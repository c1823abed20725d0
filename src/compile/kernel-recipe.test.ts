// Kernels for tests are made of fragments; one that silently lost an option would be another kernel than its name says.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { architectures } from '../arch/architectures.ts';
import { parseConfig } from '../kernel/config.ts';
import { checkConfiguration, readRecipes } from './kernel-recipe.ts';

describe('a recipe', () => {
  const files = new Map([
    ['whole.config', '# For tests.\n# architecture: pdp11\n# with: base\nCONFIG_A=n\n'],
    ['base.config', '# What all have.\nCONFIG_A=y\nCONFIG_B=m\n'],
  ]);

  test('is its fragments, then its own lines, then a release by its name', () => {
    const [recipe, ...others] = readRecipes(files);
    expect(others).toEqual([]);
    expect(recipe).toMatchObject({ name: 'whole', purpose: 'For tests.', architecture: 'pdp11' });
    expect([...parseConfig(recipe!.config)]).toEqual([
      ['A', 'n'],
      ['B', 'm'],
      ['LOCALVERSION', '-whole'],
    ]);
  });

  test('whose fragment is not there is refused', () => {
    const broken = new Map([['whole.config', '# For tests.\n# architecture: pdp11\n# with: nothing\n']]);
    expect(() => readRecipes(broken)).toThrowError(
      expect.objectContaining({
        reasons: [expect.objectContaining({ code: 'file-missing', place: 'nothing.config' })],
      }),
    );
  });

  test('is refused where the configuration made of it has an option otherwise', () => {
    const check = (config: string, made: string) => () => checkConfiguration({ name: 'whole', config }, made);
    expect(check('CONFIG_A=y\nCONFIG_B=n\n', 'CONFIG_A=y\n# CONFIG_B is not set\n')).not.toThrow();
    expect(check('CONFIG_A=y\nCONFIG_B=n\n', 'CONFIG_A=m\nCONFIG_B=y\n')).toThrowError(
      expect.objectContaining({
        reasons: [
          expect.objectContaining({
            code: 'not-configured',
            place: 'whole',
            message: expect.stringMatching(/ A=y, B=n$/),
          }),
        ],
      }),
    );
  });
});

test('the recipes of this project are for architectures that it knows', () => {
  const folder = new URL('../../kernels/', import.meta.url);
  const files = new Map(readdirSync(folder).map((file) => [file, readFileSync(new URL(file, folder), 'utf8')]));
  const recipes = readRecipes(files);
  const known = architectures.map(({ platform }) => platform.name as string);
  expect(recipes.length).toBeGreaterThan(3);
  for (const { architecture, purpose } of recipes) {
    expect(known).toContain(architecture);
    expect(purpose).not.toBe('');
  }
});
