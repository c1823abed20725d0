// A file of the kernel is compiled in two ways: plain, to be compared with what was shipped, and for a module, to be compared
// with what a fix makes of it. What one calls by a name, the other does too: names come before the flags that differ.

import type { Architecture } from '../arch/arch.ts';
import { codeOffset } from '../arch/code-offset.ts';
import type { Piece } from '../diff/diff.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol } from '../elf/model.ts';
import type { MatchedRegion } from '../match/match.ts';
import { reasonError } from '../reason.ts';

/**
 * The symbol that the plain object has of a piece of the other. `path` is the source file. Throws `build-differs` if there is
 * none, or more than one: then the compiler has inlined or copied otherwise.
 */
export function plainSymbol(plain: ElfModel, piece: Piece, path: string): ElfSymbol {
  const [found, ...others] = plain.symbols.filter(({ name, place }) => name === piece.name && isSection(place));
  if (found && others.length === 0 && piece.name !== '') return found;
  throw reasonError(
    'build-differs',
    `${path}: ${piece.name || piece.section.name}`,
    found
      ? `compiled as the kernel’s build does it, the file has ${others.length + 1} of this name`
      : 'compiled as the kernel’s build does it, the file has nothing of this name',
    'change a function that calls it instead, or give the functions as a C file',
  );
}

/** The region that begins where a symbol of the plain object is. */
export function regionAt(
  regions: readonly MatchedRegion[],
  symbol: ElfSymbol,
  arch: Architecture,
): MatchedRegion | undefined {
  const [{ place }, at] = [symbol, Number(codeOffset(symbol, arch))];
  return regions.find(({ section, offset }) => isSection(place) && section === place.name && offset === at);
}
