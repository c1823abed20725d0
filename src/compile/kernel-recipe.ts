// Recipes of kernels that are built here, for tests: `kernels/NAME.config`, a fragment of a configuration with a head.
//
//   # what the kernel is for, in one line
//   # architecture: NAME
//   # with: FRAGMENT FRAGMENT
//   CONFIG_…=y
//
// A fragment that others are made with has no `architecture` line, and is no kernel of its own. `CONFIG_X=n` keeps an option
// out. All that no fragment names is off (`make allnoconfig`).

import { parseConfig } from '../kernel/config.ts';
import { reasonError } from '../reason.ts';

export interface KernelRecipe {
  readonly name: string;
  /** What it is for. */
  readonly purpose: string;
  /** As `architectures` name it. */
  readonly architecture: string;
  /** What `KCONFIG_ALLCONFIG` takes: the fragments one behind the other, and a release of its own. */
  readonly config: string;
}

const extension = '.config';

/**
 * Reads all recipes of a folder, given its files' names with their texts; in the order of their names. Throws `file-missing`
 * for a fragment that is not there.
 */
export function readRecipes(files: ReadonlyMap<string, string>): KernelRecipe[] {
  return [...files].sort().flatMap(([file, text]) => {
    const head = (key: string) => new RegExp(`^# ${key}: *(.*)$`, 'm').exec(text)?.[1];
    const architecture = head('architecture');
    if (!file.endsWith(extension) || architecture === undefined) return [];
    const name = file.slice(0, -extension.length);
    const fragments = (head('with') ?? '').split(/\s+/).filter((each) => each !== '');
    const texts = fragments.map((fragment) => {
      const found = files.get(fragment + extension);
      if (found === undefined) {
        throw reasonError('file-missing', fragment + extension, `${file} asks for it`, 'correct its line `# with:`');
      }
      return found;
    });
    const purpose = /^# (.*)$/m.exec(text)?.[1] ?? '';
    const config = [...texts, text, `CONFIG_LOCALVERSION="-${name}"\n`].join('\n');
    return [{ name, purpose, architecture, config }];
  });
}

/**
 * Sees that a configuration (`.config`) has every option as its recipe has it. Throws `not-configured` for those that it
 * has otherwise: what they depend on is not there.
 */
export function checkConfiguration(recipe: Pick<KernelRecipe, 'name' | 'config'>, config: string): void {
  const made = parseConfig(config);
  const lost = [...parseConfig(recipe.config)].filter(([option, value]) => (made.get(option) ?? 'n') !== value);
  if (lost.length === 0) return;
  throw reasonError(
    'not-configured',
    recipe.name,
    `the kernel’s configuration does not take ${lost.map(([option, value]) => `${option}=${value}`).join(', ')}`,
    'add to the recipe what these options depend on (`depends on` in the source’s Kconfig files)',
  );
}
